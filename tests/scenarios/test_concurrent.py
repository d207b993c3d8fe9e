"""The trial of two requests at once, on a simulated bench."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkpoints.untrusted import Broken
from harness.host import wait
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Leftover, Rival
from harness.runtimes.contract import Checkpoint, State
from harness.trial import source as sources
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from scenarios.interrupted import test_concurrent
from scenarios.interrupted.test_concurrent import TwoAtOnce
from tests.folder_bench import CELL, PLAN, open_bench, tell, use

LATER = 1 << 62
Take = Callable[[Checkpoint], None]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(test_concurrent, "APART_SECONDS", 0.0)
    monkeypatch.setattr(sources, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    opened = open_bench(tmp_path, set(), monkeypatch)
    monkeypatch.setattr(opened.runtime, "state", lambda _: State.RUNNING)
    monkeypatch.setattr(opened.runtime, "live_checkpoint", lambda _: None)
    monkeypatch.setattr("scenarios.interrupted.aftermath.left_of", lambda *_: Leftover.WHOLE)
    return opened


@pytest.fixture
def sources_after(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The sources of the ordinary experiments that follow."""
    done: list[Source] = []
    monkeypatch.setattr(Trial, "experiment", lambda _, source, __: done.append(source))
    return done


def race(bench: Bench, rival: Rival) -> TwoAtOnce:
    """Play the trial of a rival up to the ordinary experiment."""
    played = TwoAtOnce(bench, CELL, PLAN, number=list(Rival).index(rival), last=False)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


def declines(_: object) -> None:
    raise CommandFailed("runc checkpoint ended with code 1", runtime=True)


def test_every_rival_has_its_turn_and_none_that_the_runtime_lacks(bench: Bench) -> None:
    trials = [TwoAtOnce(bench, CELL, PLAN, number=number, last=False) for number in range(5)]
    assert [each.rival for each in trials] == [*Rival, Rival.CHECKPOINT]
    use(bench, policies=(), scenarios=())
    assert [each.rival for each in trials[:3]] == [Rival.CHECKPOINT, Rival.STOP, Rival.DELETE]


def test_both_may_be_done_and_then_both_archives_are_whole(bench: Bench, sources_after: list[Source]) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    played = race(bench, Rival.CHECKPOINT)
    assert [(each.declined, each.archive) for each in played.concurrent] == [("", Leftover.WHOLE)] * 2
    assert sources_after == [bench.source]
    assert list(bench.node.path(f"{bench.node.storage}/checkpoints").iterdir()) == []


@pytest.mark.parametrize("left", [Leftover.PARTIAL, Leftover.GONE])
def test_what_was_reported_as_done_must_be_whole(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch, left: Leftover
) -> None:
    def contents(_: Checkpoint) -> None:
        raise Broken("the store has no such image")

    tell(bench, "beat", n_wall_ns=LATER)
    monkeypatch.setattr("scenarios.interrupted.aftermath.left_of", lambda *_: left)
    monkeypatch.setattr(bench.runtime, "contents", contents)
    with pytest.raises(StageFailed, match=f"reported as done, and its archive is {left}") as raised:
        race(bench, Rival.CHECKPOINT)
    assert raised.value.outcome is Outcome.CHECKPOINT_BROKEN
    assert sources_after == []


def test_an_image_in_the_store_of_an_engine_is_an_archive_too(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    monkeypatch.setattr("scenarios.interrupted.aftermath.left_of", lambda *_: Leftover.GONE)
    monkeypatch.setattr(bench.runtime, "contents", lambda _: None)
    race(bench, Rival.CHECKPOINT)
    assert len(sources_after) == 1


def test_what_is_declined_has_no_archive_to_read(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    monkeypatch.setattr(bench.runtime, "live_checkpoint", declines)
    monkeypatch.setattr("scenarios.interrupted.aftermath.left_of", lambda *_: Leftover.PARTIAL)
    played = race(bench, Rival.CHECKPOINT)
    assert [each.declined for each in played.concurrent] == ["runc checkpoint ended with code 1"] * 2
    assert len(sources_after) == 1


@pytest.mark.parametrize("rival", [Rival.CHECKPOINT, Rival.PAUSE])
def test_a_source_that_does_not_go_on_is_harmed(bench: Bench, sources_after: list[Source], rival: Rival) -> None:
    with pytest.raises(StageFailed, match=f"a checkpoint and a {rival} at once, and the source no longer") as no:
        race(bench, rival)
    assert (no.value.outcome, no.value.stage) == (Outcome.SOURCE_HARMED, Stage.THAW)
    assert sources_after == []


@pytest.mark.parametrize("rival", [Rival.STOP, Rival.DELETE])
def test_a_source_that_was_to_end_is_replaced(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch, rival: Rival
) -> None:
    old, calls = bench.source, []
    assert old is not None
    new = replace(old, nonce="new")
    monkeypatch.setattr(bench.runtime, "kill", lambda _: calls.append("kill"))
    monkeypatch.setattr(bench.runtime, "delete", lambda _: calls.append("delete"))
    monkeypatch.setattr(bench, "running_source", lambda _: new)
    played = race(bench, rival)
    assert calls == ["kill", "delete"]
    assert sources_after == [new]
    assert bench.source is None
    assert played.last, "the new source ends with its trial"


def test_a_stop_that_is_declined_leaves_the_source(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    monkeypatch.setattr(bench.runtime, "kill", declines)
    played = race(bench, Rival.STOP)
    assert played.concurrent[1].declined
    assert sources_after == [bench.source]


def test_a_request_that_does_not_end_hangs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(_: Checkpoint) -> None:
        raise DeadlineExceeded("runc checkpoint did not end within 60 s")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", hangs)
    with pytest.raises(StageFailed) as raised:
        race(bench, Rival.CHECKPOINT)
    assert raised.value.outcome is Outcome.HUNG


def test_the_second_request_comes_while_the_first_one_is_done(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    asked = threading.Event()
    waited: list[float] = []

    def takes(_: Checkpoint) -> None:
        assert asked.wait(20), "the other request is made meanwhile"

    monkeypatch.setattr(test_concurrent, "APART_SECONDS", 0.1)
    monkeypatch.setattr(wait, "moment", waited.append)
    monkeypatch.setattr(bench.runtime, "live_checkpoint", takes)
    monkeypatch.setattr(bench.runtime, "pause", lambda _: asked.set())
    before = time.monotonic()
    race(bench, Rival.PAUSE)
    (due,) = waited
    assert before < due < time.monotonic() + 0.1


def test_a_pause_that_was_done_is_undone(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(bench, "beat", n_wall_ns=LATER)
    done: list[str] = []
    for name in ("pause", "resume"):
        monkeypatch.setattr(bench.runtime, name, lambda _, name=name: done.append(name))
    race(bench, Rival.PAUSE)
    assert done == ["pause", "resume"]


def test_a_failure_of_ours_is_not_declined_by_the_runtime(
    bench: Bench, sources_after: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise CommandFailed("mv ended with code 1")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", fails)
    with pytest.raises(StageFailed, match="mv ended") as raised:
        race(bench, Rival.CHECKPOINT)
    assert raised.value.outcome is Outcome.HARNESS_ERROR
