"""A run on disk, and a worker's share of it, with simulated benches and trials that record their calls."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.host import audit, cgroups, facts
from harness.host.audit import Snapshot
from harness.model import expectations
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario, Settings
from harness.model.commands import Schedule
from harness.model.errors import EnvironmentUnfit, StackUnavailable
from harness.model.expectations import About, Declaration, Declared, declared
from harness.model.machine import Condition
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.model.shard import Shard
from harness.oracle.judge import Evidence
from harness.privacy.redaction import HOME, USER, Redaction
from harness.records import run_files
from harness.records.plan import Plan, missing_trials
from harness.records.record import Record
from harness.run import prepare
from harness.run.options import Options
from harness.run.prepare import Run
from harness.run.worker import Worker
from harness.runtimes.contract import Capability
from harness.stacks import build
from harness.trial import bench as benches
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from tests.folder_bench import HOST

RUNC, CRUN = (Participant(runtime=runtime, stack="host") for runtime in ("runc", "crun"))
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
VOLUMES = CELL.model_copy(update={"workload": "volumes"})
COMMIT = CELL.model_copy(update={"way": "commit"})
OTHER = CELL.model_copy(update={"checkpoint": CRUN, "restore": CRUN})
PLAN = Plan(
    run="r1",
    stillframe="0.1.0",
    created_ns=1,
    seed=7,
    rounds=3,
    cells=(CELL, VOLUMES, COMMIT, OTHER),
    host=HOST,
    fewer={VOLUMES.id: 1},
    settings=Settings(ring=64),
)


@dataclass
class Seat:
    """A simulated bench that can only open and close."""

    key: tuple[Participant, str]
    settings: Settings
    lacking: tuple[Capability, ...] = ()
    workload: Any = None
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class Room:
    """The recorded calls, and the planned outcomes."""

    opened: list[Seat] = field(default_factory=list)
    trials: list[tuple[Seat, str, int, bool, str]] = field(default_factory=list)
    lacking: tuple[Capability, ...] = ()
    outcome: Outcome = Outcome.CONSISTENT
    error: Exception | None = None

    def open(self, key: tuple[Participant, str], _: Path, __: object, settings: Settings, ___: object) -> Seat:
        if self.error is not None:
            raise self.error
        self.opened.append(Seat(key, settings, self.lacking))
        return self.opened[-1]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()

    class Told(Trial):
        def __init__(self, bench: Any, cell: Cell, plan: Plan, *, number: int, last: bool, far: Any) -> None:
            self.bench, self.cell, self.plan, self.number, self.last = bench, cell, plan, number, last
            self.evidence = Evidence()
            self.far = far

        def run(self) -> Record:
            seat: Any = self.bench
            room.trials.append((seat, self.cell.id, self.number, self.last, seat.workload.name))
            return record(self.cell, self.number, room.outcome, self.control)

    class Control(Told):
        control = "ring-byte"

    monkeypatch.setattr(benches.Bench, "open", room.open)
    room.trial, room.control = Told, Control  # type: ignore[attr-defined]
    return room


def record(cell: Cell, number: int, outcome: Outcome, control: str | None) -> Record:
    verdict = Verdict(outcome=outcome, reason="so it was told")
    schedule = Schedule(seed=7, planned_delay_us=0)
    return Record(
        run="r1", cell=cell, trial=number, control=control, verdict=verdict, start_ns=1, end_ns=2, schedule=schedule
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run_files.write_plan(tmp_path / "r1", PLAN)
    return Run(tmp_path / "r1", PLAN, {"host": Path("/")}, {})


def execute(run: Run, room: Any, *cells: Cell, control: bool = False) -> list[Record]:
    kind = room.control if control else room.trial
    with Worker(run) as worker:
        return [record for cell in cells for record in worker.execute(cell, kind)]


# ---- a worker


def test_a_cell_is_tried_as_often_as_planned_and_every_record_is_kept(run: Run, room: Room) -> None:
    written = execute(run, room, CELL, VOLUMES)
    assert [(told[1], told[2], told[3]) for told in room.trials] == [
        (CELL.id, 0, False),
        (CELL.id, 1, False),
        (CELL.id, 2, True),
        (VOLUMES.id, 0, True),
    ]
    assert list(run_files.read_records(run.folder)) == written


def sequential(run: Run, rounds: int = 3) -> Run:
    plan = run.plan.model_copy(update={"rate": 0.7, "rounds": rounds})
    return Run(run.folder, plan, run.stacks, run.binaries)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_where_a_rate_is_asked_for_the_first_violation_is_the_last_trial(
    run: Run, room: Room, outcome: Outcome
) -> None:
    room.outcome = outcome
    written = execute(sequential(run), room, CELL)
    assert len(written) == (1 if outcome.violates else 3)
    assert missing_trials(sequential(run).plan, written).get(CELL.id) is None, "and the cell is complete"


def test_the_source_of_a_convicted_cell_serves_no_other_cell(run: Run, room: Room) -> None:
    room.outcome = Outcome.INCONSISTENT
    execute(sequential(run), room, CELL, CELL)
    assert [seat.closed for seat in room.opened] == [1, 1]
    room.opened.clear()
    execute(sequential(run, rounds=1), room, CELL, CELL)
    assert len(room.opened) == 1, "the last planned trial has ended its source"


def test_a_cell_with_fewer_trials_is_not_cut_short(run: Run, room: Room) -> None:
    room.outcome = Outcome.INCONSISTENT
    fewer = sequential(run).plan.model_copy(update={"fewer": {VOLUMES.id: 2}})
    assert len(execute(Run(run.folder, fewer, run.stacks, run.binaries), room, VOLUMES)) == 2


def test_a_control_is_played_once(run: Run, room: Room) -> None:
    (written,) = execute(run, room, CELL, control=True)
    assert written.control == "ring-byte"
    assert [(told[2], told[3]) for told in room.trials] == [(0, True)]


def test_cells_share_a_bench_that_serves_them_each_with_its_workload(run: Run, room: Room) -> None:
    execute(run, room, CELL, VOLUMES)
    (seat,) = room.opened
    assert [told[4] for told in room.trials] == ["ledger", "ledger", "ledger", "volumes"]
    assert (seat.settings, seat.closed) == (PLAN.settings, 1)


@pytest.mark.parametrize("other", [COMMIT, OTHER])
def test_another_way_or_participant_is_another_bench(run: Run, room: Room, other: Cell) -> None:
    execute(run, room, CELL, other, CELL)
    assert [seat.key for seat in room.opened] == [Bench.key_of(each) for each in (CELL, other, CELL)]
    assert [seat.closed for seat in room.opened] == [1, 1, 1]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_bench_that_was_spoiled_is_replaced(run: Run, room: Room, outcome: Outcome) -> None:
    room.outcome = outcome
    execute(run, room, CELL)
    spoiled = outcome in {Outcome.SOURCE_HARMED, Outcome.LEAKED, Outcome.HUNG, Outcome.HARNESS_ERROR}
    assert len(room.opened) == (3 if spoiled else 1)
    assert all(seat.closed == 1 for seat in room.opened)


def test_what_a_runtime_cannot_do_here_is_told_of_every_trial(run: Run, room: Room) -> None:
    room.lacking = (Capability("checkpoint", available=False, evidence="no ptrace"),)
    written = execute(run, room, CELL)
    assert [each.verdict.outcome for each in written] == [Outcome.UNSUPPORTED] * 3
    assert {each.verdict.reason for each in written} == {"checkpoint: no ptrace"}
    assert room.trials == []


def test_a_bench_that_cannot_be_opened_is_a_verdict_and_tried_again(run: Run, room: Room) -> None:
    room.error = EnvironmentUnfit("no node")
    written = execute(run, room, CELL)
    assert [(each.verdict.outcome, each.verdict.stage) for each in written] == [
        (Outcome.HARNESS_ERROR, Stage.PREPARE)
    ] * 3
    room.error = None
    assert execute(run, room, CELL)[0].verdict.outcome is Outcome.CONSISTENT


def test_a_stack_that_is_not_there_costs_its_own_cells(run: Run, room: Room) -> None:
    run.stacks["host"] = "mmdebstrap ended with code 1"
    (written,) = execute(run, room, CELL, control=True)
    assert (written.verdict.outcome, written.control) == (Outcome.HARNESS_ERROR, "ring-byte")
    assert "mmdebstrap" in written.verdict.reason


def test_what_names_the_machine_is_in_no_record_that_a_worker_writes_or_gives(run: Run, room: Room) -> None:
    run = dataclasses.replace(run, redaction=Redaction.knowing({USER: ("ada",)}, {"/home/ada": HOME}))
    room.error = EnvironmentUnfit("ada has no room in /home/ada/x")
    found = execute(run, room, VOLUMES)
    room.error, run.stacks["host"] = None, "/home/ada/stack is ada's"
    found += execute(run, room, COMMIT, control=True)
    assert [each.verdict.reason for each in found] == ["[user] has no room in ~/x", "~/stack is [user]'s"]
    written = "".join(path.read_text(encoding="utf-8") for path in (run.folder / "records").iterdir())
    assert "[user]" in written
    assert "ada" not in written


# ---- a run


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with all stacks and programs built, and a simulated audit of the host."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cgroups, "sweep", list)
    monkeypatch.setattr(audit, "of_host", lambda: Snapshot(frozenset({"link lo"})))
    monkeypatch.setattr(prepare, "compile_all", lambda _: {"ledger": tmp_path / "ledger"})
    monkeypatch.setattr(build, "prepare", lambda *_, **__: tmp_path / "stack")
    monkeypatch.setattr(expectations, "declared", lambda: ())
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
    assert run_files.read_plan(machine / "out" / "latest") == plan


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
    assert {plan.rounds_of(cell) for cell in plan.cells} == ({10} if chosen else {10, 2})


@pytest.mark.parametrize(("asked", "told"), [({"rounds": 9}, (9, None)), ({"rate": 0.05}, (59, 0.05)), ({}, (5, None))])
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
    assert (machine / "out" / "latest").resolve() == begun.folder.resolve()
    monkeypatch.setattr(build, "prepare", refuse)
    assert Run.join(begin(options(machine, seed=10)).folder).stacks == {"host": "it cannot be built"}


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


def test_a_run_needs_root(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentUnfit, match="needs root"):
        begin(options(machine))
    assert not (machine / "out").exists()


def test_a_cell_of_two_sides_has_two_benches_and_the_nearer_one_stays(run: Run, room: Room) -> None:
    far = CELL.model_copy(update={"restore": Participant(runtime="crun", stack="host")})
    execute(run, room, CELL, far, CELL)
    assert [str(seat.key[0]) for seat in room.opened] == ["runc@host", "crun@host"]
    assert [seat.closed for seat in room.opened] == [1, 1]
