"""The trial of a whole pod, with engines that keep CRI's rules for it, and with some that do not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.cells import FreezePolicy, Scenario
from harness.model.errors import CommandFailed, DeadlineExceeded, GivenUp, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Witness
from harness.oracle.judge import judge
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec, State
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.workload.definitions import find
from scenarios import test_pod
from scenarios.test_pod import FrozenPod, WholePod
from tests.folder_bench import CELL, NONCE, PLAN, open_bench, tell

LATER = 1 << 62


class Engine:
    """Takes pods by the rules, unless a test gives it a fault."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.done: list[str] = []
        self.stopped = False
        self.slow = False
        """The short deadline passes."""
        self.counters = (90, 90)
        self.fault = ""

    def checkpoint_pod(self, containers: Sequence[Container], folder: str, *, seconds: float) -> None:
        names = [each.name for each in containers]
        wrong = len(set(names)) < len(names) or any(each.id == test_pod.NOBODY for each in containers)
        late = self.slow and seconds < test_pod.POD_SECONDS
        when = "declined" if wrong else "late" if late else "done"
        self.done.append(f"{when} {len(names)}")
        if self.fault == "lacks":
            raise StageFailed(Stage.CHECKPOINT, Outcome.UNSUPPORTED, "CheckpointPod failed: UNIMPLEMENTED")
        self.stopped = self.fault == f"frozen, {when}"
        if when == "done" or self.fault in (f"partial, {when}", f"taken, {when}"):
            assert list(self.bench.node.path(folder).iterdir()) == [], "the folder must be empty"
            self.bench.node.path(f"{folder}/pod").write_text("")
        if when == "late":
            raise DeadlineExceeded("CheckpointPod was not answered")
        if when == "declined" and self.fault != "taken, declined":
            raise CommandFailed("CheckpointPod failed: INVALID_ARGUMENT", runtime=True)

    def restore_pod(self, folder: str, specs: Sequence[ContainerSpec]) -> tuple[Container, ...]:
        assert self.bench.node.path(f"{folder}/pod").exists()
        self.done.append(f"restore {len(specs)}")
        made = tuple(Container(spec, f"/sys/fs/cgroup/{spec.name}", id=spec.name) for spec in specs)
        if self.fault == "starts at the restore":
            self.begin(made[1])
        return made

    def begin(self, container: Container) -> None:
        self.done.append("begin")
        if container.spec.beside and self.fault == "says nothing":
            return
        second = bool(container.spec.beside)
        n = self.counters[second]
        at, now = container.spec.report, time.time_ns()
        held = {"surface": "added", "newest": n, "newest_wall_ns": now}
        gap = {"reason": "gap", "gap_ns": 90_000_000, "wall_ns": LATER, "n_wall_ns": now}
        nonce = "00000000c0ffee99" if second and self.fault == "another one" else NONCE
        if second and self.fault == "a new start":
            tell(self.bench, "start", at=at, pid=1, ring=64, period_us=100, surfaces=["added"], wall_ns=LATER)
        tell(self.bench, "reading", at=at, n=n, surfaces=[held], nonce=nonce, **gap)
        tell(self.bench, "beat", at=at, n=n + 9, wall_ns=LATER, n_wall_ns=LATER)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    monkeypatch.setattr(test_pod, "TIDY_SECONDS", 0.0)
    monkeypatch.setattr("harness.trial.restored.WORD_SECONDS", 0.5)
    monkeypatch.setattr("harness.trial.trial.see_alive", lambda *_, **__: None)
    opened = open_bench(tmp_path, set(), monkeypatch)
    opened.workload = find("pair")
    return opened


@pytest.fixture
def engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(bench)
    for name in ("checkpoint_pod", "restore_pod", "begin"):
        monkeypatch.setattr(bench.runtime, name, getattr(made, name), raising=False)
    start = bench.start

    def started(role: str, *, number: int = 0, beside: Container | None = None) -> Container:
        container = replace(start(role, number=number, beside=beside), id="second")
        tell(bench, "start", at=container.spec.report, pid=1, ring=64, period_us=100, surfaces=["added"])
        tell(bench, "beat", at=container.spec.report, n=90, wall_ns=LATER, n_wall_ns=LATER)
        return container

    def ticks(_: Source, __: int, **___: object) -> None:
        if made.stopped:
            raise DeadlineExceeded("no tick")

    monkeypatch.setattr(bench, "start", started)
    monkeypatch.setattr(bench, "stop_source", lambda: True)
    monkeypatch.setattr(Source, "tick_after", ticks)
    for name in ("kill", "delete", "signal"):
        monkeypatch.setattr(bench.runtime, name, lambda *_: None)
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.STOPPED)
    return made


def play(bench: Bench) -> WholePod:
    cell = CELL.model_copy(update={"policy": FreezePolicy.ENGINE, "workload": "pair", "scenario": Scenario.POD})
    played = WholePod(bench, cell, PLAN, number=0, last=False)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


def test_a_pod_by_the_rules_is_consistent(bench: Bench, engine: Engine) -> None:
    played = play(bench)
    assert engine.done == ["done 2", "declined 2", "declined 2", "done 2", "restore 2", "begin", "begin"]
    assert judge(played.evidence).outcome is Outcome.CONSISTENT
    assert played.evidence.restored is not None
    assert [each.counter for each in (played.evidence.restored, *played.evidence.group)] == [90, 90]
    assert [each.witness for each in played.evidence.group] == [Witness.RESTORED]
    storage = bench.node.path(bench.node.storage)
    assert [path.name for path in (storage / "containers").iterdir()] == ["source-0"]
    assert list((storage / "checkpoints").iterdir()) == []


def test_a_deadline_may_pass_if_nothing_stays(bench: Bench, engine: Engine) -> None:
    engine.slow = True
    assert judge(play(bench).evidence).outcome is Outcome.CONSISTENT
    assert engine.done[:2] == ["late 2", "declined 2"]


def test_containers_that_were_not_captured_at_one_instant_disagree(bench: Bench, engine: Engine) -> None:
    engine.counters = (90, 97)
    verdict = judge(play(bench).evidence)
    assert (verdict.outcome, verdict.reason) == (
        Outcome.INCONSISTENT,
        "containers-disagree: the memory of container 2 is +7 ticks from that of the first one",
    )


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ("lacks", Outcome.UNSUPPORTED, "CheckpointPod failed: UNIMPLEMENTED"),
        ("frozen, late", Outcome.SOURCE_HARMED, r"a deadline of 0\.\d+ s: the containers no longer tick"),
        ("frozen, declined", Outcome.SOURCE_HARMED, "a container twice: the containers no longer tick"),
        ("frozen, done", Outcome.SOURCE_HARMED, "the checkpoint: the containers no longer tick"),
        (
            "partial, late",
            Outcome.CHECKPOINT_BROKEN,
            r"a deadline of 0\.\d+ s: the checkpoint failed, and left pod behind",
        ),
        (
            "partial, declined",
            Outcome.CHECKPOINT_BROKEN,
            "a container twice: the checkpoint failed, and left pod behind",
        ),
        ("taken, declined", Outcome.CHECKPOINT_BROKEN, "a pod with a container twice was not declined"),
        ("starts at the restore", Outcome.RESTORE_FAILED, r"clone-\d+ ran before it was started"),
        ("says nothing", Outcome.RESTORE_FAILED, "the restored container has ended by itself"),
        ("a new start", Outcome.COLD_START, "the second container was started anew"),
        ("another one", Outcome.COLD_START, "the second container was started anew"),
    ],
)
def test_a_rule_that_is_broken_is_named(
    bench: Bench, engine: Engine, fault: str, outcome: Outcome, reason: str
) -> None:
    engine.fault, engine.slow = fault, True
    with pytest.raises(StageFailed, match=f"^{reason}$") as raised:
        play(bench)
    assert raised.value.outcome is outcome


def test_what_stayed_frozen_is_named(bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.fault = "frozen, declined"
    monkeypatch.setattr(bench, "frozen", lambda container: container.id == "second")
    with pytest.raises(StageFailed, match=r"^a container twice: second-\d+ stayed frozen$"):
        play(bench)


def test_a_container_that_the_engine_calls_running_was_not_to_run(
    bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.RUNNING)
    with pytest.raises(StageFailed, match="ran before it was started"):
        play(bench)
    assert "begin" not in engine.done


@pytest.fixture
def frozen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to which group, and the source's ticks."""
    done: list[str] = []
    monkeypatch.setattr(bench.node, "freeze", lambda group, *, frozen: done.append(f"{frozen} {group}"))
    monkeypatch.setattr(Source, "tick_after", lambda *_, **__: done.append("tick"))
    monkeypatch.setattr(bench.runtime, "state", lambda _: State.RUNNING)
    assert bench.source is not None
    pod = replace(bench.source.container, cgroup="/sys/fs/cgroup/pod/source-0")
    bench.source = replace(bench.source, container=pod)
    return done


def play_frozen(bench: Bench) -> FrozenPod:
    cell = CELL.model_copy(update={"policy": FreezePolicy.ENGINE, "scenario": Scenario.POD_FROZEN})
    played = FrozenPod(bench, cell, PLAN, number=0, last=False)
    for name in ("read_offline", "restore", "read_restored"):
        setattr(played, name, lambda *_: None)
    bench.runtime.way = replace(bench.runtime.way, leaves_disk=False)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


POD = "/sys/fs/cgroup/pod"


def test_the_pod_is_frozen_during_the_checkpoint_which_has_a_deadline(
    bench: Bench, frozen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def takes(_: Checkpoint) -> None:
        assert bench.node.patience is not None
        assert bench.node.patience.seconds == test_pod.FROZEN_SECONDS
        frozen.append("checkpoint")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", takes)
    play_frozen(bench)
    assert frozen == ["tick", f"True {POD}", "checkpoint", f"False {POD}", "tick"]
    assert bench.node.patience is None


def test_a_checkpoint_that_is_given_up_on_is_a_hang_and_the_pod_is_thawed_first(
    bench: Bench, frozen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(_: Checkpoint) -> None:
        raise GivenUp("CheckpointContainer was given up on after 10.0 s")

    monkeypatch.setattr(bench.runtime, "live_checkpoint", hangs)
    with pytest.raises(StageFailed, match="was given up on") as raised:
        play_frozen(bench)
    assert raised.value.outcome is Outcome.HUNG
    assert frozen == ["tick", f"True {POD}", f"False {POD}", "tick"]


def test_a_pod_that_was_frozen_is_thawed_whatever_comes(
    bench: Bench, frozen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(group: str, *, frozen: bool) -> None:
        done.append(f"{frozen} {group}")
        if frozen:
            raise DeadlineExceeded("cgroup.freeze=1 taking effect did not happen within 10 s")

    done = frozen
    monkeypatch.setattr(bench.node, "freeze", late)
    with pytest.raises(StageFailed, match="taking effect"):
        play_frozen(bench)
    assert done == ["tick", f"True {POD}", f"False {POD}"]
    assert bench.node.patience is None
