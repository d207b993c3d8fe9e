"""The trial of two containers that tick together, on a simulated bench."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from harness.checkpoints.untrusted import Broken, Unreadable
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.errors import CommandFailed, StageFailed
from harness.model.readings import Reading, Witness
from harness.runtimes.contract import Checkpoint, Container, Contents, Mount, State
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from harness.workload.definitions import find
from scenarios.controls.apart import HeldApart, SecondFirst
from scenarios.test_group import Group, GroupAtOnce
from tests.folder_bench import CELL, NONCE, NOW, PLAN, node_of, open_bench, tell

LATER = 1 << 62
READING = Reading(witness=Witness.OFFLINE, nonce=NONCE, counter=90, counter_wall_ns=NOW, surfaces=())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    opened = open_bench(tmp_path, set(), monkeypatch)
    opened.workload = find("pair")
    monkeypatch.setattr(opened, "read_offline", lambda *_: (READING,))
    monkeypatch.setattr(opened.runtime, "contents", lambda _: Contents("/images", {}))
    return opened


@pytest.fixture
def steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to whom, in order."""
    done: list[str] = []

    def who(container: Container) -> str:
        return "second" if container.spec.beside else "first"

    start = bench.start

    def started(role: str, *, number: int = 0, beside: Container | None = None) -> Container:
        container = start(role, number=number, beside=beside)
        for at in (f"{bench.source.container.spec.folder}/heard", container.spec.report):  # type: ignore[union-attr]
            tell(bench, "start", at=at, pid=1, ring=64, period_us=100, surfaces=["added"])
            tell(bench, "beat", at=at, n=90, wall_ns=LATER, n_wall_ns=LATER)
        return container

    monkeypatch.setattr(bench, "start", started)
    for name in ("pause", "resume", "kill"):
        monkeypatch.setattr(bench.runtime, name, lambda each, name=name: done.append(f"{name} {who(each)}"))
    monkeypatch.setattr(Source, "tick_after", lambda *_, **__: done.append("tick"))
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.RUNNING)
    monkeypatch.setattr(bench.runtime, "signal", lambda each, number: done.append(f"{number} {who(each)}"))
    monkeypatch.setattr(bench.runtime, "live_checkpoint", lambda each: done.append(f"checkpoint {who(each.container)}"))
    monkeypatch.setattr(bench.runtime, "capture", lambda each: done.append(f"capture {who(each.container)}"))
    return done


def play(
    bench: Bench, kind: type[Group], policy: FreezePolicy = FreezePolicy.PAUSE, *, examines: bool = False
) -> Trial:
    cell = CELL.model_copy(update={"policy": policy, "workload": "pair", "scenario": Scenario.GROUP})
    played = kind(bench, cell, PLAN, number=0, last=False)
    for name in ("restore", "read_restored") if examines else ("restore", "read_restored", "examine"):
        setattr(played, name, lambda *_: None)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


MOMENT = ["tick", "tick"]
"""The second container has caught up, and the planned moment."""
ENDED = ["TERM second", "kill second"]
FIRST = ["pause first", "checkpoint first", "capture first", "resume first"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Group, ["pause second", *FIRST, "checkpoint second", "capture second", "resume second"]),
        (HeldApart, [*FIRST, "pause second", "checkpoint second", "capture second", "resume second"]),
        (SecondFirst, ["pause second", "checkpoint second", "capture second", *FIRST, "resume second"]),
    ],
)
def test_a_policy_that_holds_still_holds_both(
    bench: Bench, steps: list[str], kind: type[Group], expected: list[str]
) -> None:
    played = play(bench, kind)
    assert steps == [*MOMENT, *expected, *ENDED]
    assert played.evidence.group == [READING]


def test_where_nothing_holds_them_one_is_taken_after_the_other(bench: Bench, steps: list[str]) -> None:
    bench.runtime.way = bench.runtime.way.__class__(policies=(FreezePolicy.ENGINE,))
    play(bench, Group, FreezePolicy.ENGINE)
    assert steps == [*MOMENT, "checkpoint first", "tick", "checkpoint second", *ENDED]


def test_both_may_be_taken_at_once(bench: Bench, steps: list[str]) -> None:
    bench.runtime.way = bench.runtime.way.__class__(policies=(FreezePolicy.ENGINE,))
    play(bench, GroupAtOnce, FreezePolicy.ENGINE)
    assert sorted(steps[2:4]) == ["checkpoint first", "checkpoint second"]
    assert steps[4:] == ENDED


def test_nothing_of_the_second_container_stays(bench: Bench, steps: list[str]) -> None:
    play(bench, Group)
    containers = node_of(bench).path(f"{bench.node.storage}/containers")
    assert [path.name for path in containers.iterdir()] == ["source-0"]
    assert list(node_of(bench).path(f"{bench.node.storage}/checkpoints").iterdir()) == []


def test_a_trial_that_fails_ends_the_second_container(
    bench: Bench, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Checkpoint) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.runtime, "live_checkpoint", fails)
    with pytest.raises(ZeroDivisionError):
        play(bench, Group)
    assert steps[-2:] == ENDED


def test_the_second_container_of_a_group_shares_the_barrier_of_the_first(bench: Bench) -> None:
    first = bench.start("source")
    second = bench.start("second", number=1, beside=first)
    assert first.spec.mounts == (Mount(SurfaceKind.BIND, "/barrier", f"{first.spec.folder}/shared/barrier"),)
    assert (second.spec.mounts, second.spec.beside) == (first.spec.mounts, first.name)
    assert [each.spec.argv[-2:] for each in (first, second)] == [
        ("--barrier", "0/2=/barrier/file"),
        ("--barrier", "1/2=/barrier/file"),
    ]


def test_after_a_failure_the_source_is_examined_when_the_second_container_goes_on(
    bench: Bench, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Checkpoint) -> None:
        raise CommandFailed("runc checkpoint ended with code 1", runtime=True)

    monkeypatch.setattr(Trial, "examine", lambda *_: steps.append("examine"))
    monkeypatch.setattr(bench.runtime, "live_checkpoint", fails)
    with pytest.raises(StageFailed):
        play(bench, Group, examines=True)
    assert steps == [*MOMENT, "pause second", "pause first", "resume first", "resume second", "examine", *ENDED]


@pytest.mark.parametrize(
    ("error", "broken", "unreadable"),
    [
        (Broken("it ends early"), "the second container's checkpoint was reported as a success: it ends early", ""),
        (Unreadable("odd pages"), "", "the second container's checkpoint: odd pages"),
    ],
)
def test_what_is_wrong_with_the_second_checkpoint_is_told_of_it(
    bench: Bench, steps: list[str], monkeypatch: pytest.MonkeyPatch, error: Unreadable, broken: str, unreadable: str
) -> None:
    def contents(checkpoint: Checkpoint) -> Contents:
        if checkpoint.container.spec.beside:
            raise error
        return Contents("/images", {})

    monkeypatch.setattr(bench.runtime, "contents", contents)
    played = play(bench, Group)
    assert (played.evidence.broken, played.evidence.unreadable, played.evidence.group) == (broken, unreadable, [])


def test_the_second_reading_has_to_be_of_the_second_container(
    bench: Bench, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = READING.model_copy(update={"nonce": "00000000c0ffee99"})
    monkeypatch.setattr(bench, "read_offline", lambda *_: (other,))
    played = play(bench, Group)
    assert played.evidence.broken == "the second container's checkpoint holds another workload"
    assert played.evidence.group == []
