"""A live checkpoint: memory first and disk second, or both by the runtime itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.cells import CgroupVersion, FreezePolicy
from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Leftover
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Checkpoint
from harness.trial.checkpoint import left_of
from tests.folder_bench import CHECKPOINT, open_bench
from tests.folder_node import Answer
from tests.real_checkpoints import files, plain
from tests.trial.machine import FOLDER, TARGET, Machine

SEEN, COPIED = "seen-running", f"cp --archive /one/upper {TARGET}"
NOBODY = (FreezePolicy.NONE, FreezePolicy.ENGINE)
BESIDE_THE_HOOK = [policy for policy in FreezePolicy if policy is not FreezePolicy.HOOK]


@pytest.fixture(params=list(CgroupVersion))
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


@pytest.fixture
def engine(machine: Machine) -> Machine:
    """A machine whose runtime takes the disk itself."""
    machine.runtime.way = replace(machine.runtime.way, leaves_disk=False)
    return machine


def test_the_disk_follows_memory_within_the_hold(machine: Machine) -> None:
    machine.take(FreezePolicy.PAUSE)
    assert machine.steps == ["freeze", "checkpoint", "capture", "thaw"]
    verbs = ["pause", "checkpoint", "cp", "resume"]
    assert [word for line in machine.said() for word in line.split() if word in verbs] == verbs
    assert COPIED in machine.said()


@pytest.mark.parametrize("policy", BESIDE_THE_HOOK)
def test_only_the_disk_of_a_container_that_nobody_holds_is_taken_after_it_ran_again(
    machine: Machine, policy: FreezePolicy
) -> None:
    machine.take(policy)
    order = [line for line in machine.said() if line in (SEEN, COPIED)]
    assert order == ([SEEN, COPIED] if policy in NOBODY else [COPIED])


@pytest.mark.parametrize("policy", BESIDE_THE_HOOK)
def test_a_runtime_that_takes_the_disk_itself_is_left_alone_with_it(engine: Machine, policy: FreezePolicy) -> None:
    engine.take(policy)
    assert engine.steps == (["checkpoint"] if policy in NOBODY else ["freeze", "checkpoint", "thaw"])
    assert [line for line in engine.said() if line in (SEEN, COPIED)] == []
    assert not any(engine.held.values())


@pytest.mark.parametrize("leaves_disk", [False, True])
def test_the_checkpoints_folder_is_there_before_the_runtime_is_asked(machine: Machine, leaves_disk: bool) -> None:
    asked: list[Checkpoint] = []

    def live_checkpoint(checkpoint: Checkpoint) -> None:
        assert machine.path(FOLDER).is_dir()
        asked.append(checkpoint)

    machine.runtime.way = replace(machine.runtime.way, leaves_disk=leaves_disk)
    machine.runtime.live_checkpoint = live_checkpoint  # type: ignore[method-assign]
    machine.take(FreezePolicy.NONE)
    assert asked == [machine.checkpoint]


def test_a_folder_that_cannot_be_made_is_our_own_fault(machine: Machine) -> None:
    machine.put(FOLDER, "a file where a folder should be")
    with pytest.raises(StageFailed) as raised:
        machine.take(FreezePolicy.PAUSE)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CHECKPOINT, Outcome.HARNESS_ERROR)
    assert not any(machine.held.values())


def test_a_disk_that_cannot_be_copied_is_our_own_fault(machine: Machine) -> None:
    machine.answer("cp", 1, stderr="no space left on device")
    with pytest.raises(StageFailed) as raised:
        machine.take(FreezePolicy.PAUSE)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CAPTURE, Outcome.HARNESS_ERROR)
    assert not any(machine.held.values())


def test_after_a_failed_checkpoint_no_disk_is_taken(machine: Machine) -> None:
    machine.answer("checkpoint", 1, stderr="criu failed")
    with pytest.raises(StageFailed):
        machine.take(FreezePolicy.NONE)
    assert [line for line in machine.said() if line in (SEEN, COPIED)] == []


def test_the_hook_is_in_the_configuration_while_criu_reads_it_and_takes_the_disk(machine: Machine) -> None:
    def dump(*_: object) -> Answer:
        configuration = machine.path(criu_configuration.DEFAULT).read_text(encoding="utf-8")
        assert configuration.splitlines() == ["cgroup-root=pids:/", f"action-script={TARGET}.hook"]
        assert machine.path(f"{TARGET}.hook").stat().st_mode & 0o111
        machine.put(f"{TARGET}.begun", "5\n")
        machine.put(f"{TARGET}.ended", "9\n")
        return 0, "", ""

    machine.programs["checkpoint"] = dump
    machine.take(FreezePolicy.HOOK)
    assert not [line for line in machine.said() if line.startswith("cp ")]
    (span,) = (span for span in machine.stages.timeline if span.name == "capture")
    assert (span.start_ns, span.end_ns) == (5, 9)


# ---- what there is of a checkpoint


def test_an_archive_is_whole_or_partial_or_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = open_bench(tmp_path, set(), monkeypatch)
    archive = bench.node.path(CHECKPOINT.archive)
    archive.parent.mkdir(parents=True)
    assert left_of(bench.node, CHECKPOINT) is Leftover.GONE
    archive.write_bytes(plain("still-ledger"))
    assert left_of(bench.node, CHECKPOINT) is Leftover.WHOLE
    archive.write_bytes(plain("still-ledger")[:-20_000])
    assert left_of(bench.node, CHECKPOINT) is Leftover.PARTIAL


def test_images_without_an_archive_are_read_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = open_bench(tmp_path, set(), monkeypatch)
    images = bench.node.path(CHECKPOINT.images)
    images.mkdir(parents=True)
    for name, content in files("still-ledger").items():
        if name.startswith("checkpoint/"):
            (images / Path(name).name).write_bytes(content)
    assert left_of(bench.node, CHECKPOINT) is Leftover.WHOLE
    (images / "pages-1.img").unlink()
    assert left_of(bench.node, CHECKPOINT) is Leftover.PARTIAL
