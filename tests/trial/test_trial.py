"""A trial on a bench with a simulated node: everything ends as a verdict, and no finding hides a worse one."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from harness.model.cells import Cell, FreezePolicy
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading, SourceHealth, SurfaceReading, Witness
from harness.runtimes.contract import Checkpoint, Container
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from harness.workload.messages import BEAT_NS
from tests.folder_bench import (
    CELL,
    CHECKPOINT,
    CONTAINER,
    NONCE,
    NOW,
    PLAN,
    STARTED,
    Played,
    node_of,
    nothing,
    open_bench,
)


def fail(outcome: Outcome, stage: Stage = Stage.RESTORE, log: tuple[str, ...] = ()) -> None:
    raise StageFailed(stage, outcome, f"it was {outcome}", log=log)


@pytest.fixture
def held() -> set[str]:
    """The content of the node."""
    return {"process 1 init"}


@pytest.fixture
def bench(tmp_path: Path, held: set[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return open_bench(tmp_path, held, monkeypatch)


def test_an_exception_is_our_own_fault_and_never_escapes(bench: Bench) -> None:
    def break_down(_: Trial, __: contextlib.ExitStack) -> None:
        raise ZeroDivisionError("one by nought")

    record = Played(bench, break_down).run()
    assert (record.verdict.outcome, record.verdict.reason) == (
        Outcome.HARNESS_ERROR,
        "ZeroDivisionError: one by nought",
    )
    assert record.log[0] == "Traceback (most recent call last):"
    assert any("break_down" in line for line in record.log)


def test_an_exception_is_attributed_to_the_stage_that_it_happened_in(bench: Bench) -> None:
    def break_down(played: Trial, _: contextlib.ExitStack) -> None:
        with played.stages.at(Stage.READ):
            raise ZeroDivisionError

    assert Played(bench, break_down).run().verdict.stage is Stage.READ


def test_what_breaks_on_the_way_to_a_source_is_a_verdict_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.source = None
    monkeypatch.setattr(bench.runtime, "start", lambda _: fail(Outcome.HARNESS_ERROR, Stage.START))
    verdict = Played(bench, nothing).run().verdict
    assert (verdict.outcome, verdict.stage) == (Outcome.HARNESS_ERROR, Stage.START)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_verdict(bench: Bench, interrupt: type[BaseException]) -> None:
    def interrupted(_: Trial, acquired: contextlib.ExitStack) -> None:
        acquired.callback(fail, Outcome.LEAKED, Stage.CLEAN_UP)
        raise interrupt

    with pytest.raises(interrupt):
        Played(bench, interrupted).run()


def test_a_failed_stage_is_the_verdict_with_its_log(bench: Bench) -> None:
    record = Played(bench, lambda *_: fail(Outcome.RESTORE_FAILED, log=("Error (criu): no",))).run()
    assert (record.verdict.outcome, record.verdict.stage) == (Outcome.RESTORE_FAILED, Stage.RESTORE)
    assert record.verdict.reason == "it was restore-failed"
    assert record.log == ("Error (criu): no",)


def test_the_clean_up_follows_a_failure(bench: Bench) -> None:
    done: list[str] = []

    def acquire_and_fail(_: Trial, acquired: contextlib.ExitStack) -> None:
        acquired.callback(done.append, "first acquired")
        acquired.callback(done.append, "last acquired")
        raise ZeroDivisionError

    Played(bench, acquire_and_fail).run()
    assert done == ["last acquired", "first acquired"]


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (Outcome.HUNG, Outcome.LEAKED, Outcome.HUNG),
        (Outcome.HARNESS_ERROR, Outcome.LEAKED, Outcome.HARNESS_ERROR),
        (Outcome.RESTORE_FAILED, Outcome.LEAKED, Outcome.LEAKED),
        (Outcome.RESTORE_FAILED, Outcome.HARNESS_ERROR, Outcome.HARNESS_ERROR),
    ],
)
def test_of_a_failure_and_one_in_the_clean_up_the_worse_is_told(
    bench: Bench, first: Outcome, then: Outcome, told: Outcome
) -> None:
    def fail_twice(_: Trial, acquired: contextlib.ExitStack) -> None:
        acquired.callback(fail, then, Stage.CLEAN_UP, ("of the clean-up",))
        fail(first, log=("of the restore",))

    record = Played(bench, fail_twice).run()
    assert (record.verdict.outcome, record.verdict.reason) == (told, f"it was {told}")
    assert record.log[:2] == ("of the restore", "of the clean-up")


def test_what_broke_in_the_harness_is_not_hidden_by_the_clean_up(bench: Bench) -> None:
    def break_down(_: Trial, acquired: contextlib.ExitStack) -> None:
        acquired.callback(fail, Outcome.LEAKED, Stage.CLEAN_UP)
        raise ZeroDivisionError

    verdict = Played(bench, break_down).run().verdict
    assert verdict.found[:2] == (Outcome.HARNESS_ERROR, Outcome.LEAKED)
    assert "ZeroDivisionError" in verdict.reason


def test_the_milder_of_two_failures_is_found_too(bench: Bench) -> None:
    def fail_twice(_: Trial, acquired: contextlib.ExitStack) -> None:
        acquired.callback(fail, Outcome.LEAKED, Stage.CLEAN_UP)
        fail(Outcome.RESTORE_FAILED)

    assert Played(bench, fail_twice).run().verdict.found[:2] == (Outcome.LEAKED, Outcome.RESTORE_FAILED)


@pytest.mark.parametrize("first", [Outcome.RESTORE_FAILED, Outcome.HUNG])
def test_of_a_failure_and_one_at_the_end_of_the_source_the_worse_is_told(bench: Bench, first: Outcome) -> None:
    node_of(bench).answer("delete", 1, stderr="it does not go")
    verdict = Played(bench, lambda *_: fail(first), last=True).run().verdict
    assert verdict.outcome is max(first, Outcome.LEAKED, key=lambda outcome: outcome.severity)


@pytest.mark.parametrize("last", [False, True])
def test_only_the_last_trial_drops_the_source(bench: Bench, last: bool) -> None:
    Played(bench, nothing, last=last).run()
    assert (bench.source is None) is last
    assert ("runc --root /run/runc delete --force source-0" in node_of(bench).said()) is last


def test_the_last_trial_drops_the_source_also_after_a_failure(bench: Bench) -> None:
    Played(bench, lambda *_: fail(Outcome.RESTORE_FAILED), last=True).run()
    assert bench.source is None


def test_what_a_trial_leaves_behind_is_found(bench: Bench, held: set[str]) -> None:
    held.add("mount /shared (tmpfs)")
    record = Played(bench, lambda *_: held.add("process 9 criu")).run()
    assert Outcome.LEAKED in record.verdict.found
    assert record.leaks == ("process 9 criu",)


def test_what_the_source_leaves_behind_is_found_after_the_last_trial(bench: Bench, held: set[str]) -> None:
    held.add("cgroup /cg/source-0")
    assert Played(bench, nothing).run().leaks == ()
    assert Played(bench, nothing, last=True).run().leaks == ("cgroup /cg/source-0",)


def sound(witness: Witness) -> Reading:
    surface = SurfaceReading(surface="added", newest=90, newest_wall_ns=NOW)
    return Reading(witness=witness, nonce=NONCE, counter=90, counter_wall_ns=NOW, surfaces=(surface,))


def succeed(played: Trial, _: contextlib.ExitStack) -> None:
    played.evidence.source_nonce = NONCE
    played.evidence.freeze_begin_ns = NOW
    played.evidence.offline, played.evidence.restored = sound(Witness.OFFLINE), sound(Witness.RESTORED)
    played.evidence.restored_moves = True
    played.evidence.source = SourceHealth(ticking=True)
    played.bench.node.run(["true"])


def test_a_sound_trial_is_consistent_and_everything_is_in_its_record(bench: Bench) -> None:
    record = Played(bench, succeed).run()
    assert record.verdict.outcome is Outcome.CONSISTENT
    assert (record.run, record.cell, record.trial, record.control) == ("r1", CELL, 3, None)
    assert [reading.witness for reading in record.readings] == [Witness.OFFLINE, Witness.RESTORED]
    assert [(skew.surface, skew.ticks) for skew in record.skews] == [("added", 0), ("added", 0)]
    assert [command.argv for command in record.commands] == [STARTED.argv, ("true",)], "it can be replayed"
    assert record.source.ticking
    assert record.start_ns <= record.end_ns
    assert record.log == ()


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_processes_are_kept_where_the_node_is_spoiled(bench: Bench, outcome: Outcome) -> None:
    record = Played(bench, lambda *_: fail(outcome)).run()
    spoiled = {Outcome.SOURCE_HARMED, Outcome.LEAKED, Outcome.HUNG, Outcome.HARNESS_ERROR}
    assert ("9 criu state D cgroup 0::/one" in record.log) is (record.verdict.outcome in spoiled)


def test_the_schedule_follows_from_seed_cell_and_number(bench: Bench) -> None:
    def delay(number: int, seed: int, cell: Cell = CELL) -> int:
        plan = PLAN.model_copy(update={"seed": seed})
        return Trial(bench, cell, plan, number=number, last=False).schedule.planned_delay_us

    other = CELL.model_copy(update={"way": "commit"})
    assert delay(0, 7) == delay(0, 7)
    assert len({delay(0, 7), delay(1, 7), delay(0, 8), delay(0, 7, other)}) == 4
    assert all(0 <= delay(number, 7) < trial.LATEST_MOMENT_US for number in range(50))


def test_under_another_policy_the_same_trial_has_the_same_schedule(bench: Bench) -> None:
    cells = [CELL.model_copy(update={"policy": policy}) for policy in FreezePolicy]
    schedules = {Trial(bench, cell, PLAN, number=3, last=False).schedule for cell in cells}
    assert len(schedules) == 1


class Recited(Trial):
    """A trial that only records its steps."""

    def __init__(self, bench: Bench, *, overlap: bool) -> None:
        super().__init__(bench, CELL, PLAN, number=0, last=False)
        self.overlap = overlap
        self.steps: list[str] = []

    def await_moment(self, source: Source) -> None:
        self.steps.append("wait")

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        self.steps.append("checkpoint")
        self.evidence.freeze_begin_ns = NOW
        return CHECKPOINT

    def read_offline(self, checkpoint: Checkpoint) -> None:
        self.steps.append("read offline")
        late = {} if self.overlap else {"counter_wall_ns": NOW - 10**12}
        self.evidence.offline = sound(Witness.OFFLINE).model_copy(update=late)

    def examine(self, source: Source) -> None:
        self.steps.append("examine")

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        self.steps.append("restore")
        return CONTAINER

    def read_restored(self, clone: Container, begun: int) -> None:
        self.steps.append("read restored")


def test_the_steps_follow_each_other(bench: Bench) -> None:
    recited = Recited(bench, overlap=True)
    recited.run()
    assert recited.steps == ["wait", "checkpoint", "read offline", "examine", "restore", "read restored"]


def test_what_can_prove_nothing_is_not_restored(bench: Bench) -> None:
    recited = Recited(bench, overlap=False)
    assert recited.run().verdict.outcome is Outcome.VACUOUS
    assert "restore" not in recited.steps


@pytest.mark.parametrize(("frozen", "outcome"), [(False, Outcome.CHECKPOINT_FAILED), (True, Outcome.SOURCE_HARMED)])
def test_a_failed_checkpoint_must_not_harm_the_source_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, frozen: bool, outcome: Outcome
) -> None:
    def take(*_: object, **__: object) -> None:
        fail(Outcome.CHECKPOINT_FAILED, Stage.CHECKPOINT)

    def examine(examined: Trial, _: Source) -> None:
        examined.evidence.source = SourceHealth(frozen=frozen)

    monkeypatch.setattr(trial, "take", take)
    monkeypatch.setattr(Trial, "examine", examine)
    monkeypatch.setattr(Trial, "await_moment", nothing)
    assert Trial(bench, CELL, PLAN, number=0, last=False).run().verdict.outcome is outcome


def test_a_source_that_the_machine_withholds_from_ticking_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Source, "tick_after", lambda _, wall_ns: asked.append(wall_ns))
    begun = time.time_ns()
    assert bench.source is not None
    waiting = Trial(bench, CELL, PLAN, number=0, last=False)
    waiting.await_moment(bench.source)
    assert asked[0] >= begun - BEAT_NS
    assert waiting.schedule.realised_delay_us is not None


def test_a_controls_record_carries_its_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Played, "control", "ring-byte")
    assert Played(bench, nothing).run().control == "ring-byte"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CommandFailed("runc ended with code 1", runtime=True), Outcome.RESTORE_FAILED),
        (DeadlineExceeded("runc did not end within 60 s"), Outcome.HUNG),
        (ValueError("no JSON"), Outcome.HARNESS_ERROR),
    ],
)
def test_a_restore_that_fails_ends_as_its_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: Outcome
) -> None:
    def restore(*_: object) -> Container:
        raise error

    def attempt(played: Trial, acquired: contextlib.ExitStack) -> None:
        played.restore(CHECKPOINT, acquired)

    monkeypatch.setattr(bench.runtime, "restore", restore)
    verdict = Played(bench, attempt).run().verdict
    assert (verdict.outcome, verdict.stage) == (outcome, Stage.RESTORE)


@pytest.mark.parametrize("command", ["mount", "cp"])
def test_a_bundle_that_cannot_be_laid_out_is_our_own_fault(bench: Bench, command: str) -> None:
    def attempt(played: Trial, acquired: contextlib.ExitStack) -> None:
        played.restore(CHECKPOINT, acquired)

    node_of(bench).answer(command, 1, stderr="no space left on device")
    assert Played(bench, attempt).run().verdict.outcome is Outcome.HARNESS_ERROR
