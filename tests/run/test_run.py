"""A run on disk, from its beginning to its last word."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.host import audit, cgroups, facts
from harness.host.audit import Snapshot
from harness.model import expectations
from harness.model.cells import CgroupVersion, Participant, Scenario
from harness.model.errors import CommandFailed, EnvironmentUnfit, StackUnavailable
from harness.model.expectations import About, Declaration, Declared, declared
from harness.model.machine import Condition
from harness.model.outcomes import Outcome
from harness.privacy.redaction import HOME, USER, Redaction
from harness.records import run_files
from harness.records.shard import Shard
from harness.run import hindrances, prepare
from harness.run.options import Options
from harness.run.prepare import Run
from harness.runtimes.contract import Capability
from harness.stacks import build, definition
from reports.runs.read import read_run
from tests.folder_bench import HOST


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with all stacks and programs built, and a simulated audit of the host."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cgroups, "sweep", list)
    monkeypatch.setattr(audit, "of_host", lambda: Snapshot(frozenset({"link lo"})))
    monkeypatch.setattr(prepare, "compile_all", lambda _: {"ledger": tmp_path / "ledger"})
    monkeypatch.setattr(build, "prepare", lambda *_, **__: tmp_path / "stack")
    monkeypatch.setattr(expectations, "declared", lambda: ())
    monkeypatch.setattr(hindrances, "lacking", lambda *_: "")
    return tmp_path


def options(folder: Path, **changes: Any) -> Options:
    given = {"stack": ("host",), "runtime": ("runc",), "seed": 9, "out": folder / "out", "cache": folder / "cache"}
    return Options(**(given | changes))


def begin(asked: Options) -> Run:
    return Run.begin(asked, progress=lambda _: None)


def test_a_run_promises_what_its_cells_should_be(machine: Path) -> None:
    plan = begin(options(machine)).plan
    by_outcome = {cell.id: plan.expected(cell).outcome for cell in plan.cells}
    assert by_outcome["ledger.none.runc@host"] is Outcome.INCONSISTENT
    assert by_outcome["ledger.pause.runc@host"] is Outcome.CONSISTENT
    assert set(plan.expectations) == {cell for cell, outcome in by_outcome.items() if outcome is not Outcome.CONSISTENT}


@pytest.mark.parametrize("lacks", [True, False])
def test_what_depends_on_the_machine_is_in_the_plan_with_what_was_probed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, lacks: bool
) -> None:
    monkeypatch.setattr(expectations, "declared", declared)
    monkeypatch.setattr(facts, "PROBES", {Condition.LACKS_MEM_DIRTY_TRACK: lambda: lacks})
    asked = {"stack": ("debian-trixie",), "cell": ("*:ledger.pause.runc@*",), "runtime": ()}
    plan = begin(options(machine, **asked)).plan
    chain = next(cell for cell in plan.cells if cell.scenario is Scenario.INCREMENTAL)
    assert list(plan.conditional) == [chain.id]
    assert plan.host.conditions == ((Condition.LACKS_MEM_DIRTY_TRACK,) if lacks else ())
    assert plan.expected(chain).outcome is (Outcome.UNSUPPORTED if lacks else Outcome.CONSISTENT)
    assert run_files.read_plan(machine / "out" / plan.run) == plan


def test_what_has_to_be_reviewed_is_in_the_plan(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {
        "ledger.pause.runc@*": dt.timedelta(days=-1),
        "ledger.cgroup.runc@*": dt.timedelta(days=1),
        "ledger.cgroup.runc@debian-potato": dt.timedelta(days=1),
    }
    today = dt.datetime.now(dt.UTC).date()
    sure = {"outcome": Outcome.HUNG, "reason": "why", "link": "https://x.org/1", "owner": "x", "added": today}
    known = tuple(
        Declared(
            about=About.CELLS,
            declaration=Declaration(match=(cells,), review_by=today + due, **sure),
            where="a.toml:1-9",
        )
        for cells, due in days.items()
    )
    monkeypatch.setattr(expectations, "declared", lambda: known)
    plan = begin(options(machine)).plan
    past, still = plan.expectations["ledger.pause.runc@host"], plan.expectations["ledger.cgroup.runc@host"]
    assert [(each.outcome, each.overdue) for each in (past, still)] == [(Outcome.HUNG, True), (Outcome.HUNG, False)]
    assert plan.unmatched == ("a.toml:1-9: ledger.cgroup.runc@debian-potato",)


@pytest.mark.parametrize("number", [1, 2])
def test_a_shard_promises_the_whole_run_and_makes_ready_its_own_part(
    machine: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stacks: list[str] = []
    monkeypatch.setattr(build, "prepare", lambda stack, *_, **__: stacks.append(stack.name))
    shard = Shard(number=number, of=2)
    asked = {"stack": ("host", "debian-sid"), "policy": ("pause",), "cell": ("ledger.pause.runc@*",), "runtime": ()}
    run = begin(options(machine, **asked, shard=shard))
    whole = begin(options(machine, **asked)).plan
    assert run.plan.model_copy(update={"shard": None, "run": "", "created_ns": 0}) == whole.model_copy(
        update={"run": "", "created_ns": 0}
    )
    assert run.plan.shard == shard
    assert run.folder.name == f"{run.plan.run}"
    assert run.plan.run.endswith(f"-00000009-{number}-of-2")
    share = run.plan.share
    assert (share.cells, share.controls) == shard.share(whole.cells, whole.controls)
    needed = {cell.checkpoint.stack for cell in (*share.cells, *(each.cell for each in share.controls))}
    assert set(run.stacks) == needed
    assert Run.join(run.folder).plan == run.plan


def test_a_shard_with_nothing_to_do_makes_nothing_ready(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "prepare", lambda *_, **__: pytest.fail("a stack for nobody"))
    asked = {"cell": ("ledger.pause.runc@host",), "runtime": ()}
    idle = [Shard(number=number, of=64) for number in range(1, 65)]
    cells, controls = options(machine, **asked).share
    shard = next(each for each in idle if each.share(cells, controls) == ((), ()))
    run = begin(options(machine, **asked, shard=shard))
    assert run.stacks == {}
    assert run.plan.cells == cells


@pytest.mark.parametrize("chosen", [False, True])
def test_cells_that_were_chosen_one_by_one_are_tried_in_every_round(machine: Path, chosen: bool) -> None:
    plan = begin(options(machine, rounds=10, cell=("*",) if chosen else ())).plan
    assert {plan.rounds_of(cell) for cell in plan.cells} == ({10} if chosen else {10, 4, 2})


@pytest.mark.parametrize(("asked", "told"), [({"rounds": 9}, (9, None)), ({"rate": 0.05}, (59, 0.05)), ({}, (6, None))])
def test_the_rule_is_in_the_plan_before_anything_runs(machine: Path, asked: Any, told: tuple[int, float]) -> None:
    plan = begin(options(machine, **asked)).plan
    assert (plan.rounds, plan.rate) == told
    assert plan.rule == options(machine, **asked).rule
    assert f"{told[0]} t" in plan.rule


def test_a_worker_joins_what_was_begun(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise StackUnavailable("it cannot be built")

    begun = begin(options(machine))
    joined = Run.join(begun.folder)
    assert (joined.plan, joined.stacks, joined.binaries) == (begun.plan, begun.stacks, begun.binaries)
    assert begun.stacks == {"host": machine / "stack"}


def test_what_is_lacking_is_told_once_and_costs_its_own_cells(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(who: Participant, *_: object) -> str:
        return "crun is not installed" if who.runtime == "crun" else ""

    monkeypatch.setattr(hindrances, "lacking", lacking)
    told: list[str] = []
    run = Run.begin(options(machine, runtime=("runc", "crun"), rounds=2), progress=told.append)
    assert told == [
        "checking 1 stack",
        "asking 2 participants what they can do",
        "20 cells and 4 controls cannot run (crun@host): crun is not installed",
    ]
    assert {cell.checkpoint.runtime for cell in run.plan.cells if run.loses(cell)} == {"crun"}
    assert Run.join(run.folder).lost == run.lost == {"crun@host": "crun is not installed"}
    run.close()
    found = read_run(run.folder)
    written = [each for each in found.cells if each.n]
    assert {each.cell.checkpoint.runtime for each in written} == {"crun"}
    assert not any(each.missing for each in written)
    assert "20 of 40 cells with incomplete evidence (crun is not installed): " in found.conclusion.sentence


def test_what_a_stack_of_the_users_own_lacks_is_a_result(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "_BROUGHT", {})
    monkeypatch.setattr(hindrances, "lacking", lambda *_: "crio is not installed")
    own = machine / "own.toml"
    own.write_text('name = "own"\ndescription = "A stack"\nroot = "."\n', encoding="utf-8")
    (machine / "usr").mkdir()
    run = begin(options(machine, stack=(str(own),), runtime=("cri/crio/runc",)))
    assert run.lost == {}, "a trial shows it, by a probe"


def test_a_run_of_which_nothing_is_left_ends_before_it_begins_and_says_why(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise StackUnavailable("it cannot be built")

    monkeypatch.setattr(build, "prepare", refuse)
    with pytest.raises(EnvironmentUnfit, match=r"^20 cells and 5 controls cannot run .*: it cannot be built$"):
        begin(options(machine, runtime=("crun",)))
    found = read_run(machine / "out" / "latest")
    assert (found.closing is not None, found.conclusion.exit_code) == (True, 3)
    assert [each.missing for each in found.cells] == [0] * 20


@pytest.mark.parametrize("kept", [False, True])
def test_names_are_in_nothing_of_a_run_unless_asked(machine: Path, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    asked: list[set[str]] = []

    def redaction_here(spared: set[str]) -> Redaction:
        asked.append(spared)
        return Redaction.knowing({USER: ("ada",)}, {"/home/ada": HOME})

    monkeypatch.setattr(prepare, "redaction_here", redaction_here)
    monkeypatch.setattr(prepare, "host_facts", lambda: HOST.model_copy(update={"os": "that of ada"}))
    run = begin(options(machine, keep_names=kept))
    joined = Run.join(run.folder)
    assert joined.redaction == run.redaction
    monkeypatch.setattr(audit, "of_host", lambda: Snapshot(frozenset({"link lo", "mount /home/ada/x (tmpfs)"})))
    run.close()
    closing = run_files.read_closing(run.folder)
    assert closing is not None
    assert closing.leaks == (("mount /home/ada/x (tmpfs)",) if kept else ("mount ~/x (tmpfs)",))
    assert joined.plan.host.os == ("that of ada" if kept else "that of [user]")
    assert all({"ledger", "runc", "host", "pause"} <= each for each in asked)
    assert len(asked) == (0 if kept else 2)


def test_what_was_made_ready_is_nobody_elses_business(machine: Path) -> None:
    assert (begin(options(machine)).folder / "prepared.json").stat().st_mode & 0o777 == 0o600


def test_the_last_word_of_a_run_is_what_it_left_on_the_host(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(options(machine))
    monkeypatch.setattr(audit, "of_host", lambda: Snapshot(frozenset({"link lo", "link left"})))
    run.close()
    closing = run_files.read_closing(run.folder)
    assert closing is not None
    assert (closing.run, closing.leaks) == (run.plan.run, ("link left",))


def test_latest_leads_to_a_run_that_has_something(machine: Path) -> None:
    first, second = begin(options(machine)), begin(options(machine, seed=10))
    assert not (machine / "out" / "latest").exists()
    first.point()
    assert (machine / "out" / "latest").resolve() == first.folder.resolve()
    second.point()
    assert (machine / "out" / "latest").resolve() == second.folder.resolve()


@pytest.mark.parametrize("error", [KeyboardInterrupt, EnvironmentUnfit("no compiler")])
def test_a_run_that_cannot_begin_leaves_no_folder(
    machine: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | BaseException
) -> None:
    def compile_all(_: Path) -> None:
        raise error

    monkeypatch.setattr(prepare, "compile_all", compile_all)
    with pytest.raises((KeyboardInterrupt, EnvironmentUnfit)):
        begin(options(machine))
    assert list((machine / "out").iterdir()) == []


def test_the_last_word_of_a_run_names_the_signal_that_ended_it(machine: Path) -> None:
    run = begin(options(machine))
    (run.folder / "stop").touch()
    assert run.stopping
    run.close(interrupted="SIGTERM")
    closing = run_files.read_closing(run.folder)
    assert closing is not None
    assert closing.interrupted == "SIGTERM"
    assert not run.stopping, "the file has done its duty"


def test_a_run_needs_root(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentUnfit, match="needs root"):
        begin(options(machine))
    assert not (machine / "out").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("crun --version ended with code 127 on host: crun: No such file or directory", "crun is not installed"),
        (
            "criu check ended with code 1 on host: Error: no CAP_SYS_ADMIN",
            "criu check ended with code 1 on host: Error",
        ),
    ],
)
def test_a_program_that_is_missing_is_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    probed = SimpleNamespace(capabilities=lambda: (Capability("checkpoint", available=False, evidence=said),))
    monkeypatch.setattr(hindrances, "Node", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(hindrances, "adapter", lambda *_: lambda _: probed)
    lacks = hindrances.lacking(Participant(runtime="crun", stack="host"), "", tmp_path, CgroupVersion.V2)
    assert lacks.startswith(told)
    assert lacks.endswith(". Install what is missing, or choose another stack with --stack.")


def test_a_program_of_another_kind_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def components() -> None:
        raise CommandFailed("runc --version printed 'true (GNU coreutils) 9.1'")

    works = Capability("checkpoint", available=True, evidence="Looks good.")
    probed = SimpleNamespace(capabilities=lambda: (works,), prepare=lambda: None, components=components)
    monkeypatch.setattr(hindrances, "Node", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(hindrances, "adapter", lambda *_: lambda _: probed)
    lacks = hindrances.lacking(Participant(runtime="runc", stack="host"), "", tmp_path, CgroupVersion.V2)
    assert lacks == "runc --version printed 'true (GNU coreutils) 9.1'"
