"""The source of a trial: it is asked to end if a restore needs that, and is dropped once."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from harness.model.cells import SurfaceKind
from harness.model.commands import Command
from harness.model.errors import CommandFailed, Lost, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading, SourceHealth, Witness
from harness.runtimes.contract import Checkpoint, Container
from harness.trial import bench as benches
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from tests.folder_bench import (
    CELL,
    CHECKPOINT,
    CONTAINER,
    NONCE,
    NOW,
    PLAN,
    Played,
    node_of,
    nothing,
    open_bench,
    tell,
    use,
)
from tests.folder_node import Answer

ASKED = "runc --root /run/runc kill source-0 TERM"
DELETED = "runc --root /run/runc delete --force source-0"
UNMOUNTED = f"umount {CONTAINER.spec.folder}/rootfs"


@pytest.fixture
def held() -> set[str]:
    """The content of the node."""
    return {"process 1 init"}


@pytest.fixture
def bench(tmp_path: Path, held: set[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose source ends when it is asked to."""
    bench = open_bench(tmp_path, held, monkeypatch)
    node = node_of(bench)
    node.put(f"{CONTAINER.cgroup}/cgroup.procs", "42\n")

    def kill(*_: object) -> Answer:
        node.put(f"{CONTAINER.cgroup}/cgroup.procs", "")
        return 0, "", ""

    def ask(*_: object) -> Answer:
        tell(bench, "stop")
        return kill()

    node.programs |= {"TERM": ask, "KILL": kill}
    return bench


def stubborn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the source ignore the request to end, and end only by a kill."""
    monkeypatch.setattr(benches, "STOP_SECONDS", 0.0)
    node_of(bench).answer("TERM")


def well(played: Trial, _: contextlib.ExitStack) -> None:
    """An experiment after which the source ticks."""
    played.evidence.source = SourceHealth(ticking=True)


class Restored(Trial):
    """A trial that only restores, and records the state at that time."""

    def __init__(self, bench: Bench, *, last: bool = False) -> None:
        super().__init__(bench, CELL, PLAN, number=0, last=last)
        self.said_before: list[str] = []

    def await_moment(self, source: Source) -> None:
        """Do not wait."""

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        return CHECKPOINT

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Do nothing."""

    def examine(self, source: Source) -> None:
        self.evidence.source = SourceHealth(ticking=True)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        self.said_before = node_of(self.bench).said()
        return super().restore(checkpoint, acquired)

    def read_restored(self, clone: Container, begun: int) -> None:
        """Do nothing."""


def shares(bench: Bench) -> None:
    """Let the workload use a folder that a restored container would share with its source."""
    added, _ = bench.workload.surfaces
    shared = added.model_copy(update={"name": "bind", "path": "/bind/bind.ring", "kind": SurfaceKind.BIND})
    bench.workload = bench.workload.model_copy(update={"surfaces": (added, shared)})


def test_a_source_that_ends_when_it_is_asked_to_is_well(bench: Bench) -> None:
    record = Played(bench, well, last=True).run()
    assert record.source.stops is True
    assert [line for line in node_of(bench).said() if line in (ASKED, DELETED)] == [ASKED, DELETED]
    assert Outcome.SOURCE_HARMED not in record.verdict.found


def test_a_source_that_has_to_be_killed_is_harmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn(bench, monkeypatch)
    record = Played(bench, well, last=True).run()
    assert record.source.stops is False
    assert Outcome.SOURCE_HARMED in record.verdict.found
    assert bench.source is None


def test_a_source_that_said_its_last_word_but_stays_is_harmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn(bench, monkeypatch)
    tell(bench, "stop")
    assert Played(bench, well, last=True).run().source.stops is False


@pytest.mark.parametrize("ticking", [None, False])
def test_a_source_that_was_not_seen_to_tick_is_not_asked(bench: Bench, ticking: bool | None) -> None:
    def play(played: Trial, _: contextlib.ExitStack) -> None:
        played.evidence.source = SourceHealth(ticking=ticking)

    record = Played(bench, play, last=True).run()
    assert record.source.stops is None
    assert ASKED not in node_of(bench).said()
    assert DELETED in node_of(bench).said()


def test_a_source_goes_on_for_the_next_trial(bench: Bench) -> None:
    assert Played(bench, well).run().source.stops is None
    assert bench.source is not None
    assert node_of(bench).said() == []


def test_a_source_that_nobody_has_seen_after_a_failure_serves_no_other_trial(bench: Bench) -> None:
    def fail(_: Trial, __: contextlib.ExitStack) -> None:
        raise StageFailed(Stage.FREEZE, Outcome.CHECKPOINT_FAILED, "the container is not running")

    verdict = Played(bench, fail, last=False).run().verdict
    assert verdict.found == (Outcome.CHECKPOINT_FAILED,)
    assert bench.source is None
    assert DELETED in node_of(bench).said()


@pytest.mark.parametrize("crashes", [False, True])
def test_a_source_that_crashed_after_the_trial_before_is_told_with_its_crash(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crashes: bool
) -> None:
    source, log = bench.source, "/var/log/panics"
    assert source
    node_of(bench).put(log, "panic: of an earlier source\n" + "panic: of this one\n" * crashes)
    source.crashes_before, bench.node.crash_logs = {log: 1}, {log: 0}
    bench.node.mark()  # the trial before is over

    def lost(*_: object, **__: object) -> None:
        raise Lost("a tick of the source cannot come: it has no process")

    monkeypatch.setattr(Source, "tick_after", lost)
    record = Played(bench, lambda played, _: played.await_moment(source), last=False).run()
    told = "panic: of this one" if crashes else "a tick of the source cannot come: it has no process"
    assert (record.verdict.outcome, record.verdict.reason) == (Outcome.CHECKPOINT_FAILED, told)
    assert ("panic: of this one" in record.log) is crashes
    assert bench.source is None


@pytest.mark.parametrize("spent", [False, True])
def test_a_source_is_ended_before_a_restore_that_needs_it_gone(bench: Bench, spent: bool) -> None:
    if spent:
        shares(bench)
    restored = Restored(bench)
    record = restored.run()
    assert (ASKED in restored.said_before, DELETED in restored.said_before) == (spent, spent)
    assert record.source.stops is (True if spent else None)
    assert (bench.source is None) is spent, "the next trial needs a new one"
    assert node_of(bench).said().count(DELETED) == int(spent), "once"


def test_what_a_spent_source_leaves_behind_is_found(bench: Bench, held: set[str]) -> None:
    def delete(*_: object) -> Answer:
        held.add("mount /of-the-source (tmpfs)")
        return 0, "", ""

    shares(bench)
    node_of(bench).programs["delete"] = delete
    assert Restored(bench).run().leaks == ("mount /of-the-source (tmpfs)",)


def in_place(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a restore need the source's own, ended container."""
    use(bench, in_place=True)
    monkeypatch.setattr(bench.runtime, "restore", lambda checkpoint, _: checkpoint.container)


def test_a_container_that_is_restored_in_place_is_deleted_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place(bench, monkeypatch)
    restored = Restored(bench)
    record = restored.run()
    assert ASKED in restored.said_before
    assert DELETED not in restored.said_before, "the restore needs what is left of it"
    assert record.source.stops is True
    assert node_of(bench).said().count(DELETED) == 1
    assert bench.source is None
    assert not node_of(bench).path(CONTAINER.spec.folder).exists()


def test_a_source_that_could_not_be_restored_in_place_is_deleted_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore(*_: object) -> Container:
        raise CommandFailed("no", runtime=True)

    in_place(bench, monkeypatch)
    monkeypatch.setattr(bench.runtime, "restore", restore)
    assert Restored(bench).run().verdict.found[0] is Outcome.RESTORE_FAILED
    assert node_of(bench).said().count(DELETED) == 1
    assert bench.source is None


def test_nothing_of_a_restore_in_place_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    in_place(bench, monkeypatch)
    Restored(bench, last=True).run()
    folder = node_of(bench).path(f"{bench.node.storage}/containers")
    assert list(folder.iterdir()) == []


def test_a_runtime_that_cannot_pass_on_the_question_is_blamed_and_not_we(bench: Bench) -> None:
    shares(bench)
    node_of(bench).answer("TERM", 1, stderr="container is not running")
    verdict = Restored(bench).run().verdict
    assert Outcome.HARNESS_ERROR not in verdict.found


def test_what_is_done_in_a_trial_is_done_at_a_stage(bench: Bench) -> None:
    shares(bench)
    commands = Restored(bench).run().commands
    assert [command.argv for command in commands if command.stage is Stage.PREPARE] == []


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_checkpoint_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    discarded: list[Checkpoint] = []

    def take(_: object, checkpoint: Checkpoint, *__: object, **___: object) -> None:
        node_of(bench).put(f"{checkpoint.folder}/images/pages-1.img", "x")
        if fails:
            raise ZeroDivisionError

    def play(played: Trial, acquired: contextlib.ExitStack) -> None:
        assert bench.source is not None
        played.checkpoint(bench.source, acquired)

    monkeypatch.setattr("harness.trial.trial.take", take)
    monkeypatch.setattr(bench.runtime, "discard", discarded.append)
    record = Played(bench, play).run()
    assert [checkpoint.container for checkpoint in discarded] == [CONTAINER]
    assert not node_of(bench).path(discarded[0].folder).exists()
    assert Stage.CLEAN_UP in {span.name for span in record.timeline}


def said(**changes: Any) -> Command:
    spoken = {"argv": ("runc",), "where": "folder", "start_ns": NOW, "seconds": 0.1, "stage": Stage.CHECKPOINT}
    return Command(**{**spoken, "runtime": True, "exit_code": 0, "stderr": "careful\n\n  now \n", **changes})


@pytest.mark.parametrize(
    ("command", "warnings"),
    [
        (said(), ("careful", "now")),
        (said(stderr="same\nsame\n"), ("same",)),
        (said(exit_code=1), ()),
        (said(exit_code=None), ()),
        (said(runtime=False), ()),
        (said(stage=Stage.RESTORE), ()),
    ],
    ids=["a success", "twice", "a failure", "lateness", "a command of ours", "another stage"],
)
def test_what_a_runtime_warns_of_at_a_checkpoint_is_kept(
    bench: Bench, command: Command, warnings: tuple[str, ...]
) -> None:
    record = Played(bench, lambda played, _: played.stages.journal.commands.append(command)).run()
    assert record.warnings == warnings


def test_what_was_remarked_in_the_trial_is_kept_too(bench: Bench) -> None:
    def play(played: Trial, _: contextlib.ExitStack) -> None:
        played.stages.journal.commands.append(said())
        played.bench.node.remarks += ["the engine's log: careful", "now"]

    bench.node.remarks.append("of the trial before")
    assert Played(bench, play).run().warnings == ("careful", "now", "the engine's log: careful")


def test_workarounds_are_on_record(bench: Bench) -> None:
    bench.node.accommodate("no-resources", lacking="controllers", change="none are asked for")
    (found,) = Played(bench, nothing).run().accommodations
    assert (found.name, found.lacking, found.change) == ("no-resources", "controllers", "none are asked for")


@pytest.mark.parametrize("outcome", ["consistent", "harness-error", "source-harmed"])
def test_what_daemons_logged_is_kept_where_something_went_wrong(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    def play(trial: Trial, __: contextlib.ExitStack) -> None:
        trial.evidence.freeze_begin_ns, trial.evidence.source_nonce = NOW, NONCE
        trial.evidence.restored_moves = True
        trial.evidence.restored = Reading(
            witness=Witness.RESTORED, nonce=NONCE, counter=90, counter_wall_ns=NOW, surfaces=()
        )
        if outcome == "harness-error":
            raise ZeroDivisionError
        trial.evidence.source = SourceHealth(ticking=outcome == "consistent")

    monkeypatch.setattr(bench.node, "daemon_logs", lambda lines: (f"dockerd: the last of {lines}",))
    record = Played(bench, play).run()
    assert record.verdict.outcome == outcome
    assert ("dockerd: the last of 20" in record.log) is (outcome != "consistent")
