"""The trial in which a client gives up on its checkpoint, on a simulated bench."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import audit
from harness.model.errors import CommandFailed, GivenUp, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Abandoned, GivesUp, Leftover
from harness.runtimes.contract import Checkpoint, Container, State
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from scenarios.interrupted import aftermath, test_abandoned
from scenarios.interrupted.test_abandoned import AbandonedCheckpoint
from tests.folder_bench import CELL, CONTAINER, PLAN, node_of, open_bench, tell

LATER = 1 << 62
Then = Callable[[Checkpoint], None]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(test_abandoned, "WORKING_SECONDS", 0.0)
    monkeypatch.setattr(aftermath, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    opened = open_bench(tmp_path, set(), monkeypatch)

    def state(container: Container) -> State:
        opened.node.run(["runc", "state", container.name], runtime=True)
        return State.RUNNING

    monkeypatch.setattr(opened.runtime, "state", state)
    node_of(opened).put(f"{CONTAINER.cgroup}/cgroup.events", "populated 1\nfrozen 0\n")
    return opened


def abandon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, then: Then = lambda _: None, *, number: int = 0, quick: int = 0
) -> AbandonedCheckpoint:
    """Play a trial up to the ordinary experiment; `then` is what becomes of a call that was given up on.

    `quick`: calls that are done before.
    """
    before = [None] * quick

    def call(checkpoint: Checkpoint) -> None:
        if bench.node.patience is None or (before and before.pop() is None):
            return
        then(checkpoint)
        raise GivenUp("it was given up on")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", call)
    played = AbandonedCheckpoint(bench, CELL, PLAN, number=number, last=False)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


def found(played: AbandonedCheckpoint) -> Abandoned:
    assert played.abandoned is not None
    return played.abandoned


def test_a_source_that_goes_on_is_checkpointed_as_always(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    played = abandon(bench, monkeypatch)
    assert experiments == [bench.source]
    assert (found(played).ticking, found(played).frozen, found(played).state) == (True, False, "running")
    assert (found(played).archive, found(played).repair) == (None, "")
    assert list(bench.node.path(f"{bench.node.storage}/checkpoints").iterdir()) == []


@pytest.mark.parametrize("resumes", [True, False], ids=["its runtime thaws it", "only the kernel's freezer thaws it"])
def test_a_source_that_stays_frozen_is_harmed_and_what_repairs_it_is_told(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch, *, resumes: bool
) -> None:
    def thaw() -> None:
        node_of(bench).put(f"{CONTAINER.cgroup}/cgroup.events", "populated 1\nfrozen 0\n")
        tell(bench, "beat", n_wall_ns=LATER)

    def freeze(_: Checkpoint) -> None:
        node_of(bench).put(f"{CONTAINER.cgroup}/cgroup.events", "populated 1\nfrozen 1\n")

    def resume(container: Container) -> None:
        if not resumes:
            raise CommandFailed("cannot resume a running process", runtime=True)
        bench.node.run(["runc", "resume", container.name], runtime=True)
        thaw()

    def write(inside: str, value: str) -> None:
        Node.set(bench.node, inside, value)
        thaw()

    monkeypatch.setattr(bench.runtime, "resume", resume)
    monkeypatch.setattr(bench.node, "set", write)
    with pytest.raises(StageFailed) as raised:
        abandon(bench, monkeypatch, freeze)
    repair = "runc resume source-0" if resumes else f"echo 0 > {CONTAINER.cgroup}/cgroup.freeze"
    assert (raised.value.outcome, raised.value.stage) == (Outcome.SOURCE_HARMED, Stage.THAW)
    assert raised.value.reason == (
        f"the client gave up, and the source is still frozen, while its runtime calls it running; `{repair}` repairs it"
    )
    assert experiments == []


def test_a_source_that_has_ended_cannot_be_repaired(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.STOPPED)
    with pytest.raises(StageFailed, match=r"no longer ticks, .* calls it stopped; and nothing repairs it"):
        abandon(bench, monkeypatch)
    assert experiments == []


def test_a_call_that_is_done_before_is_made_again(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    abandon(bench, monkeypatch, quick=test_abandoned.ATTEMPTS - 1)
    assert len(experiments) == 1
    with pytest.raises(StageFailed) as raised:
        abandon(bench, monkeypatch, quick=test_abandoned.ATTEMPTS)
    assert raised.value.outcome is Outcome.VACUOUS


@pytest.mark.parametrize("left", Leftover)
def test_what_an_engine_leaves_of_the_archive_is_read(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch, left: Leftover
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    bench.node.daemons.append(object.__new__(Daemon))
    monkeypatch.setattr(aftermath, "left_of", lambda *_: left)
    if left is Leftover.PARTIAL:
        with pytest.raises(StageFailed) as raised:
            abandon(bench, monkeypatch)
        assert raised.value.outcome is Outcome.CHECKPOINT_BROKEN
    else:
        assert found(abandon(bench, monkeypatch)).archive is left
    assert len(experiments) == (left is not Leftover.PARTIAL)


def test_the_trials_of_a_cell_cover_the_whole_call_in_both_ways(bench: Bench) -> None:
    plan = PLAN.model_copy(update={"rounds": 12})
    trials = [AbandonedCheckpoint(bench, CELL, plan, number=number, last=False) for number in range(12)]
    assert [each._how for each in trials] == [GivesUp.DEADLINE, GivesUp.KILLED] * 6
    for how in GivesUp:
        assert [int(6 * each._share) for each in trials if each._how is how] == list(range(6))


def test_each_call_is_given_up_on_at_its_share_of_a_whole_one_and_its_end_is_waited_for(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    clock = [100.0]
    waited: list[float] = []
    patience: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(AbandonedCheckpoint, "_let_work", lambda _, due, __: waited.append(due))
    monkeypatch.setattr(test_abandoned, "WORKING_SECONDS", 0.5)

    def call(_: Checkpoint) -> None:
        begun, wanted = clock[0], bench.node.patience
        clock[0] += 2.0 if wanted is None else 1.0
        if wanted is not None:
            patience.append(wanted.seconds)
            if len(patience) == 2:
                raise GivenUp(f"at {begun}")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", call)
    played = AbandonedCheckpoint(bench, CELL, PLAN, number=0, last=False)
    monkeypatch.setattr(AbandonedCheckpoint, "_share", 0.5)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    shorter = test_abandoned.SOONER * 1.0  # since a call that was to be given up on was done after a second
    assert patience == [0.5 * 2.0, 0.5 * shorter]
    assert waited == [103.0 + shorter + 0.5]
    assert (found(played).after_us, found(played).whole_us) == (round(0.5e6 * shorter), round(1e6 * shorter))
    assert bench.node.patience is None


def test_a_tick_from_before_the_end_does_not_count(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=1)
    with pytest.raises(StageFailed, match="no longer ticks"):
        abandon(bench, monkeypatch)
    assert experiments == []


def test_a_source_that_ticks_while_its_runtime_calls_it_paused_is_harmed(
    bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.PAUSED)
    with pytest.raises(StageFailed, match="calls it paused") as raised:
        abandon(bench, monkeypatch)
    assert raised.value.outcome is Outcome.SOURCE_HARMED


@pytest.mark.parametrize(
    ("daemon", "processes", "waits"), [(True, [], True), (False, ["9 criu"], True), (False, [], False)]
)
def test_an_engine_is_given_time_while_somebody_is_there_to_use_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, daemon: bool, processes: list[str], waits: bool
) -> None:
    monkeypatch.setattr(audit, "processes_of", lambda *_, **__: ["1 init", *processes])
    monkeypatch.setattr(test_abandoned, "WORKING_SECONDS", 0.2)
    monkeypatch.setattr(bench.node, "daemons", ["dockerd"] if daemon else [])
    begun = time.monotonic()
    AbandonedCheckpoint(bench, CELL, PLAN, number=0, last=False)._let_work(begun + 0.2, frozenset({"1 init"}))
    assert (time.monotonic() >= begun + 0.2) is waits
