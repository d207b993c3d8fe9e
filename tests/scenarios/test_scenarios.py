"""The trials of scenarios and controls on a simulated bench: how each differs from an ordinary trial."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import wait
from harness.model.errors import DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.runtimes.contract import Checkpoint, Container
from harness.trial import source, trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from harness.workload.definitions import RECORD_BYTES
from scenarios.controls.test_controls import KINDS, FreshStart, GarbageImage, RingByte, StoppedWorkload
from scenarios.test_generations import Generations
from scenarios.test_incremental import Incremental
from scenarios.test_paused_source import PausedSource
from tests.folder_bench import CELL, CHECKPOINT, CONTAINER, NONCE, NOW, PLAN, node_of, open_bench, tell

LATER = 1 << 62
Take = Callable[..., None]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(source, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    return open_bench(tmp_path, set(), monkeypatch)


def source_of(bench: Bench) -> Source:
    assert bench.source is not None
    return bench.source


def make(kind: type[Trial], bench: Bench) -> Trial:
    return kind(bench, CELL, PLAN, number=0, last=False)


# ---- a paused source

PAUSED, RESUMED = "runc --root /run/runc pause source-0", "runc --root /run/runc resume source-0"


def checkpoint_and_examine(bench: Bench, take: Take, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """The first half of an experiment; the source ticks after its resume."""
    node = node_of(bench)

    def resume(*_: object) -> tuple[int, str, str]:
        tell(bench, "beat", n_wall_ns=LATER)
        return 0, "", ""

    node.programs["resume"] = resume
    monkeypatch.setattr(trial, "take", take)
    paused = make(PausedSource, bench)
    with contextlib.ExitStack() as acquired:
        paused.checkpoint(source_of(bench), acquired)
        paused.examine(source_of(bench))
    return paused


def test_a_source_is_paused_before_and_resumed_once_after(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = checkpoint_and_examine(bench, lambda *_, **__: None, monkeypatch)
    assert [line for line in node_of(bench).said() if line in (PAUSED, RESUMED)] == [PAUSED, RESUMED]
    assert (paused.evidence.source.kept_pause, paused.evidence.source.ticking) == (True, True)


def test_a_source_that_ticks_has_lost_its_pause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "moment", lambda _: tell(bench, "beat", n_wall_ns=LATER))
    paused = checkpoint_and_examine(bench, lambda *_, **__: None, monkeypatch)
    assert paused.evidence.source.kept_pause is False


def test_the_pause_belongs_to_what_is_idle_before_the_freeze(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a trial would be vacuous: the workload does not tick after the pause."""
    moments: list[int | None] = []
    paused = make(PausedSource, bench)

    def take(*_: object, **__: object) -> None:
        moments.append(paused.evidence.freeze_begin_ns)

    def pause(*_: object) -> None:
        moments.append(paused.evidence.freeze_begin_ns)

    monkeypatch.setattr(trial, "take", take)
    monkeypatch.setattr(bench.runtime, "pause", pause)
    with contextlib.ExitStack() as acquired:
        paused.checkpoint(source_of(bench), acquired)
    assert moments[0] is not None
    assert moments == [moments[0]] * 2


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        (Outcome.CHECKPOINT_FAILED, "cannot checkpoint a paused container", Outcome.REFUSED),
        (Outcome.CHECKPOINT_FAILED, "container one is not running", Outcome.REFUSED),
        (Outcome.CHECKPOINT_FAILED, "Error (criu/seize.c:1): Unable to interrupt", Outcome.CHECKPOINT_FAILED),
        (Outcome.HUNG, "runc checkpoint of a paused container did not end within 60 s", Outcome.HUNG),
    ],
)
def test_what_is_declined_because_of_the_pause_is_a_refusal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, reason: str, told: Outcome
) -> None:
    def take(*_: object, **__: object) -> None:
        raise StageFailed(Stage.CHECKPOINT, outcome, reason, log=("a line",))

    with pytest.raises(StageFailed) as raised:
        checkpoint_and_examine(bench, take, monkeypatch)
    assert (raised.value.outcome, raised.value.stage, raised.value.reason) == (told, Stage.CHECKPOINT, reason)
    assert raised.value.log == ("a line",)
    assert node_of(bench).said().count(RESUMED) == 1


def test_a_source_is_resumed_also_when_the_trial_breaks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint_and_examine(bench, take, monkeypatch)
    assert node_of(bench).said().count(RESUMED) == 1


# ---- in rounds


@pytest.mark.parametrize("tracks", [True, False])
def test_rounds_are_dumped_before_where_the_kernel_tracks_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, tracks: bool
) -> None:
    ticks: list[int] = []
    monkeypatch.setattr(Source, "tick_after", lambda _, wall_ns: ticks.append(wall_ns))
    node_of(bench).answer("check", 0 if tracks else 1, stdout="Dirty tracking is\n OFF.")
    chain = make(Incremental, bench)
    if tracks:
        assert chain.begin_checkpoint(source_of(bench), CHECKPOINT).earlier == ("round-1", "round-2")
        assert len(ticks) == 2, "or there would be nothing new in a round"
        return
    with pytest.raises(StageFailed) as raised:
        chain.begin_checkpoint(source_of(bench), CHECKPOINT)
    assert raised.value.outcome is Outcome.UNSUPPORTED
    assert raised.value.reason == "criu check --feature mem_dirty_track: Dirty tracking is OFF."


# ---- generations


class Played(Generations):
    """Generations with the outcomes in `verdicts`."""

    verdicts: tuple[Outcome, ...] = ()

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, CELL, PLAN, number=0, last=False)
        self.sources: list[Source] = []
        self.clones: list[Container] = []

    def await_moment(self, source: Source) -> None:
        self.sources.append(source)

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        self.evidence.freeze_begin_ns = NOW
        return self.bench.checkpoint_of(source.container)

    def read_offline(self, checkpoint: Checkpoint) -> None:
        surface = SurfaceReading(surface="added", newest=90, newest_wall_ns=NOW)
        self.evidence.offline = Reading(
            witness=Witness.OFFLINE, nonce=NONCE, counter=90, counter_wall_ns=NOW, surfaces=(surface,)
        )

    def examine(self, source: Source) -> None:
        """Do nothing: the source is healthy."""

    def read_restored(self, clone: Container, begun: int) -> None:
        self.clones.append(clone)
        outcome = self.verdicts[len(self.clones) - 1]
        if outcome is not Outcome.CONSISTENT:
            self.evidence.failures.append(Verdict(outcome=outcome, reason="as it was told"))
        assert self.evidence.offline is not None
        self.evidence.restored = self.evidence.offline.model_copy(update={"witness": Witness.RESTORED})
        self.evidence.restored_moves = True
        tell(self.bench, "beat", at=clone.spec.report, n_wall_ns=LATER)


def generations(bench: Bench, *verdicts: Outcome) -> tuple[Played, Verdict]:
    played = Played(bench)
    played.verdicts = verdicts
    return played, played.run().verdict


def test_each_generation_is_the_source_of_the_next(bench: Bench) -> None:
    played, verdict = generations(bench, *[Outcome.CONSISTENT] * 3)
    assert verdict.outcome is Outcome.CONSISTENT
    assert [source.container.name for source in played.sources] == [
        CONTAINER.name,
        *(clone.name for clone in played.clones[:2]),
    ]
    assert {source.nonce for source in played.sources} == {NONCE}
    assert [line.split(":")[0] for line in played.log] == [f"generation {number} of 3" for number in (1, 2, 3)]


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_the_first_bad_generation_is_the_last(bench: Bench, bad: int) -> None:
    verdicts = [Outcome.CONSISTENT] * (bad - 1) + [Outcome.RESTORE_FAILED]
    played, verdict = generations(bench, *verdicts)
    assert (len(played.clones), verdict.outcome) == (bad, Outcome.RESTORE_FAILED)
    assert f"generation {bad} of 3: restore-failed: as it was told" in played.log


def test_nothing_of_any_generation_stays(bench: Bench) -> None:
    generations(bench, *[Outcome.CONSISTENT] * 3)
    containers = node_of(bench).path(f"{bench.node.storage}/containers")
    assert [path.name for path in containers.iterdir()] == ["source-0"]
    deleted = [line.split()[-1] for line in node_of(bench).said() if "delete" in line]
    assert deleted == ["clone-6", "clone-4", "clone-2"]


def test_an_heir_that_does_not_tick_is_our_own_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick_after(*_: object) -> None:
        raise DeadlineExceeded("a tick of the source did not happen within 30 s")

    monkeypatch.setattr(Source, "tick_after", tick_after)
    assert generations(bench, *[Outcome.CONSISTENT] * 3)[1].outcome is Outcome.HARNESS_ERROR


# ---- controls


def test_a_control_is_known_by_its_name() -> None:
    assert {name: kind.control for name, kind in KINDS.items()} == {name: name for name in KINDS}


def test_what_poses_as_the_restored_container_was_started(bench: Bench) -> None:
    with contextlib.ExitStack() as acquired:
        posing = make(FreshStart, bench).restore(CHECKPOINT, acquired)
        assert posing.name == "clone-1"
        assert not [line for line in node_of(bench).said() if "restore" in line.split()]
    assert node_of(bench).said()[-1] == f"umount {posing.spec.folder}/rootfs"


def test_one_bit_of_a_captured_ring_is_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytes(range(2 * RECORD_BYTES))

    def take(_: object, checkpoint: Checkpoint, *__: object, **___: object) -> None:
        ring = bench.node.path(f"{checkpoint.upper}/data/added.ring")
        ring.parent.mkdir(parents=True)
        ring.write_bytes(whole)

    monkeypatch.setattr(trial, "take", take)
    with contextlib.ExitStack() as acquired:
        checkpoint = make(RingByte, bench).checkpoint(source_of(bench), acquired)
        changed = bench.node.path(f"{checkpoint.upper}/data/added.ring").read_bytes()
    assert sum((one ^ other).bit_count() for one, other in zip(whole, changed, strict=True)) == 1


@pytest.mark.parametrize("inventory", [False, True])
def test_a_checkpoint_is_overwritten_where_it_matters(bench: Bench, inventory: bool) -> None:
    node = node_of(bench)
    node.put(f"{CHECKPOINT.folder}/small", "x")
    node.put(f"{CHECKPOINT.folder}/sub/large.tar", "x" * 999)
    if inventory:
        node.put(f"{CHECKPOINT.images}/inventory.img", "xx")
    with contextlib.ExitStack() as acquired:
        make(GarbageImage, bench).restore(CHECKPOINT, acquired)
    files = [path for path in node.path(CHECKPOINT.folder).rglob("*") if path.is_file()]
    spoiled = [path.name for path in files if b"garbage" in path.read_bytes()]
    assert spoiled == ["inventory.img" if inventory else "large.tar"]


def test_a_workload_that_was_stopped_goes_on_in_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.controls.test_controls.OVERLAP_NS", 0)
    monkeypatch.setattr(trial, "take", lambda *_, **__: None)
    with contextlib.ExitStack() as acquired:
        make(StoppedWorkload, bench).checkpoint(source_of(bench), acquired)
    said = [line.split()[-2:] for line in node_of(bench).said() if "kill" in line.split()]
    assert said == [["source-0", "STOP"], ["source-0", "CONT"]]
