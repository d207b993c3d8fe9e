"""A trial whose commands somebody else runs: what its lines in the script have done, and how it is judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.host import audit
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.errors import UsageError
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Witness
from harness.run import matrix
from harness.trial import source
from harness.trial.answers import Trials, cell_of
from harness.trial.replay import Conclusion, Replay, can_be_replayed
from tests import criu_images
from tests.folder_bench import CHECKPOINT, NONCE, NOW, SPEC, furnish, tell
from tests.folder_node import FolderNode

LATER = 1 << 62
SID = Participant(runtime="runc", stack="debian-sid")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=SID, restore=SID)
CLONE = "clone-2"
START: dict[str, Any] = {"pid": 1, "ring": 65536, "period_us": 100, "surfaces": ["added"]}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderNode:
    monkeypatch.setattr(audit, "groups_of", lambda _: [])
    for name in ("LATE_SECONDS", "SOON_SECONDS", "READY_SECONDS", "TICK_SECONDS"):
        monkeypatch.setattr(source, name, 0.05)
    node = FolderNode(tmp_path)
    furnish(node)
    node.put(f"/sys/fs/cgroup/{CLONE}/cgroup.procs", f"{os.getpid()}\n")
    return node


def running(node: FolderNode, cell: Cell = CELL) -> Replay:
    """Follow a trial until its source ticks."""
    replay = Replay(node, cell)
    tell(replay.bench, "start", n=0, **START)
    tell(replay.bench, "beat", n_wall_ns=LATER)
    replay.started(SPEC.name, SPEC.report)
    if replay.evidence.freeze_begin_ns:
        replay.evidence.freeze_begin_ns = NOW
    return replay


def take(node: FolderNode, newest: int) -> None:
    """A checkpoint whose memory is at tick 90, a moment from now, and its ring at `newest`."""
    nonce = int(NONCE, 16)
    surfaces = (("ring", "added", "/data/added.ring"),)
    memory = criu_images.memory(90, nonce, surfaces)
    criu_images.dump(node.path(CHECKPOINT.images), memory, mounts=criu_images.MOUNTS[:1])
    ring = node.path(f"{CHECKPOINT.upper}/data/added.ring")
    ring.parent.mkdir(parents=True)
    ring.write_bytes(criu_images.ring(newest, nonce))


def restore(replay: Replay, newest: int, nonce: str = NONCE) -> None:
    """Read the checkpoint, and hear a restored workload that found a ring at `newest` and goes on."""
    replay.read(CHECKPOINT.folder)
    now = time.time_ns()
    held = {"surface": "added", "newest": newest, "newest_wall_ns": NOW}
    told = {"reason": "gap", "gap_ns": 90_000_000, "surfaces": [held], "wall_ns": now, "nonce": nonce}
    tell(replay.bench, "reading", at=SPEC.report, **told)
    tell(replay.bench, "beat", at=SPEC.report, n=91, nonce=nonce)
    replay.restored(CLONE)


def outcome(found: Conclusion) -> Outcome:
    assert found.verdict is not None
    return found.verdict.outcome


def test_a_checkpoint_that_is_restored_as_it_was_is_consistent(node: FolderNode) -> None:
    replay = running(node)
    take(node, 90)
    restore(replay, 90)
    found = replay.conclude()
    assert outcome(found) is Outcome.CONSISTENT, found
    assert [(each.witness, each.counter) for each in found.readings] == [(Witness.OFFLINE, 90), (Witness.RESTORED, 90)]
    assert replay.evidence.source.ticking is True
    assert replay.evidence.period_ns == 100_000


def test_a_disk_that_ran_ahead_is_told_by_both_readings(node: FolderNode) -> None:
    replay = running(node)
    take(node, 95)
    restore(replay, 95)
    found = replay.conclude()
    assert outcome(found) is Outcome.INCONSISTENT
    assert found.verdict is not None
    assert found.verdict.reason == "disk-ahead: added holds +5 ticks from memory (offline reading)"


def test_readings_that_do_not_agree_are_no_verdict_on_the_runtime(node: FolderNode) -> None:
    replay = running(node)
    take(node, 90)
    restore(replay, 95)
    found = replay.conclude()
    assert found.verdict is not None
    assert Outcome.HARNESS_ERROR in found.verdict.found


def test_another_process_is_no_restored_one(node: FolderNode) -> None:
    replay = running(node)
    take(node, 90)
    restore(replay, 90, nonce="00000000deadbeef")
    found = replay.conclude()
    assert found.verdict is not None
    assert Outcome.COLD_START in found.verdict.found


def test_a_workload_that_did_not_tick_right_up_to_the_checkpoint_proves_nothing(node: FolderNode) -> None:
    replay = running(node)
    replay.evidence.freeze_begin_ns = NOW + 2_000_000_000
    take(node, 90)
    replay.read(CHECKPOINT.folder)
    assert outcome(replay.conclude()) is Outcome.VACUOUS


@pytest.mark.parametrize("goes_as_far_as", ["nothing", "a source", "a checkpoint"])
def test_commands_that_end_early_are_not_judged(node: FolderNode, goes_as_far_as: str) -> None:
    replay = Replay(node, CELL) if goes_as_far_as == "nothing" else running(node)
    if goes_as_far_as == "a checkpoint":
        take(node, 90)
        replay.read(CHECKPOINT.folder)
    found = replay.conclude()
    assert found.verdict is None
    assert len(found.readings) == (goes_as_far_as == "a checkpoint")


def test_a_workload_that_never_ticks_hangs_and_is_waited_for_once(node: FolderNode) -> None:
    replay = Replay(node, CELL)
    node.path(f"{SPEC.folder}/heard").mkdir(parents=True)
    replay.started(SPEC.name, SPEC.report)
    replay.read(CHECKPOINT.folder)
    replay.restored(CLONE)
    assert outcome(replay.conclude()) is Outcome.HUNG
    assert len(replay.evidence.failures) == 1


# ---- what failed


@pytest.mark.parametrize(
    ("stage", "code", "blamed"),
    [
        (Stage.START, 1, Outcome.CHECKPOINT_FAILED),
        (Stage.FREEZE, 1, Outcome.CHECKPOINT_FAILED),
        (Stage.CHECKPOINT, 255, Outcome.CHECKPOINT_FAILED),
        (Stage.RESTORE, 22, Outcome.RESTORE_FAILED),
        (Stage.RESTORE, 124, Outcome.HUNG),
    ],
)
def test_a_command_that_failed_is_blamed_as_in_a_trial(
    node: FolderNode, stage: Stage, code: int, blamed: Outcome
) -> None:
    replay = running(node)
    replay.ended(Stage.START, 0, "started")
    replay.ended(stage, code, "$ runc restore\nwhy it failed\n")
    assert outcome(replay.conclude()) is blamed


def test_a_failure_is_explained_by_the_log_that_was_written_meanwhile(node: FolderNode) -> None:
    node.put(f"{CHECKPOINT.work}/dump.log", "Error (criu/x.c:1): of an earlier command\n")
    os.utime(node.path(f"{CHECKPOINT.work}/dump.log"), (1, 1))
    replay = running(node)
    node.put_log(f"{SPEC.folder}/criu/restore.log", "(0.1) Warn\n(0.2) Error (criu/mount.c:3141): No mapping\n")
    replay.ended(Stage.RESTORE, 1, "restoring\n")
    found = replay.conclude()
    assert found.verdict is not None
    assert found.verdict.reason == "(0.2) Error (criu/mount.c:3141): No mapping"
    assert found.log == (found.verdict.reason,)


def test_without_a_log_it_is_explained_by_the_last_words(node: FolderNode) -> None:
    replay = running(node)
    replay.ended(Stage.CHECKPOINT, 125, "one\ntwo\n\nthree\nError: no checkpoint\n")
    found = replay.conclude()
    assert found.verdict is not None
    assert found.verdict.reason == "Error: no checkpoint"
    assert found.log == ("Error: no checkpoint", "two", "three")


def test_a_silent_command_is_explained_by_the_log_of_the_runtime(node: FolderNode) -> None:
    replay = running(node)
    node.put(f"{SPEC.folder}/runc.log", "level=error msg=one\nlevel=error msg=two\n")
    node.put_log(f"{SPEC.folder}/criu/restore.log", "(0.1) nothing that is called an error\n")
    replay.ended(Stage.RESTORE, 1, "\n")
    assert replay.conclude().log == ("level=error msg=two", "level=error msg=one")


def test_without_any_word_the_exit_code_is_told(node: FolderNode) -> None:
    replay = running(node)
    replay.ended(Stage.RESTORE, 3, "")
    found = replay.conclude()
    assert found.verdict is not None
    assert found.verdict.reason == "a command of the runtime ended with code 3"


def test_the_source_is_looked_at_after_a_checkpoint_that_failed(node: FolderNode) -> None:
    replay = Replay(node, CELL)
    tell(replay.bench, "start", n=0, **START)
    tell(replay.bench, "beat", n_wall_ns=time.time_ns())
    replay.started(SPEC.name, SPEC.report)
    replay.ended(Stage.CHECKPOINT, 1, "no")
    replay.read(CHECKPOINT.folder)
    found = replay.conclude()
    assert found.verdict is not None
    assert found.verdict.found == (Outcome.SOURCE_HARMED, Outcome.CHECKPOINT_FAILED)


@pytest.mark.parametrize(("said", "right"), [("container is not running", True), ("no space left", False)])
def test_a_checkpoint_that_is_declined_because_of_a_pause_is_refused(node: FolderNode, said: str, right: bool) -> None:
    paused = CELL.model_copy(update={"scenario": Scenario.PAUSED})
    replay = running(node, paused)
    replay.ended(Stage.CHECKPOINT, 125, said)
    assert outcome(replay.conclude()) is (Outcome.REFUSED if right else Outcome.CHECKPOINT_FAILED)


@pytest.mark.parametrize(("kept", "right"), [(True, Outcome.CONSISTENT), (False, Outcome.SOURCE_HARMED)])
def test_a_pause_has_to_last(node: FolderNode, monkeypatch: pytest.MonkeyPatch, kept: bool, right: Outcome) -> None:
    monkeypatch.setattr(source.Source, "stands_still", lambda _: kept)
    replay = running(node, CELL.model_copy(update={"scenario": Scenario.PAUSED}))
    take(node, 90)
    replay.still_paused()
    restore(replay, 90)
    assert outcome(replay.conclude()) is right


# ---- generations


def test_the_next_generation_is_judged_if_the_one_before_was_well(node: FolderNode) -> None:
    replay = running(node)
    take(node, 90)
    restore(replay, 90)
    tell(replay.bench, "beat", at=f"{node.storage}/containers/{CLONE}/heard", n_wall_ns=LATER)
    replay.started(CLONE, SPEC.report)
    assert replay.evidence.source_nonce == NONCE
    replay.ended(Stage.CHECKPOINT, 1, "not twice")
    assert outcome(replay.conclude()) is Outcome.CHECKPOINT_FAILED


def test_a_generation_that_is_not_well_is_the_last(node: FolderNode) -> None:
    replay = running(node)
    take(node, 95)
    restore(replay, 95)
    replay.started(CLONE, SPEC.report)
    replay.ended(Stage.CHECKPOINT, 1, "not twice")
    assert outcome(replay.conclude()) is Outcome.INCONSISTENT


# ---- the lines of a script


def answers(node: FolderNode) -> Callable[[str], tuple[int, str]]:
    trials = Trials(node)
    return lambda line: trials.answer(line.split(), "what was said\n")


def test_the_lines_of_a_script_lead_to_a_verdict(node: FolderNode) -> None:
    answer = answers(node)
    assert answer(f"begin {CELL.id} inconsistent") == (0, "")
    assert answer("ended start 1") == (0, "")
    code, text = answer("verdict")
    assert code == 1
    assert "verdict: checkpoint-failed: " in text
    assert "why: what was said\n" in text
    assert "recorded: inconsistent: " in text


def test_a_trial_of_another_stack_or_build_is_told_to_be_one(node: FolderNode) -> None:
    for stack, told in ((node.stack, False), (f"{node.stack}+mine", True)):
        answer = answers(node)
        answer(f"begin {CELL.id} inconsistent {stack}")
        answer("ended start 1")
        _, text = answer("verdict")
        assert (f"The trial on record ran on {stack}, and this node is {node.stack}.\n" in text) is told


def test_a_failed_restore_is_a_violation_in_the_exit_code(node: FolderNode) -> None:
    answer = answers(node)
    answer(f"begin {CELL.id} restore-failed")
    answer("ended restore 1")
    code, text = answer("verdict")
    assert code == 1
    assert text.endswith("recorded: the same\n")


@pytest.mark.parametrize(
    "line",
    ["ended nowhere 1", "ended start x", "started one", "jump", "read /a/../../etc", "read $(reboot)", "restored a b"],
)
def test_what_no_script_says_is_declined(node: FolderNode, line: str) -> None:
    answer = answers(node)
    answer(f"begin {CELL.id} consistent")
    code, text = answer(line)
    assert code == 2
    assert text == f"stillframe-trial: {line!r} is not a line that `stillframe show` prints\n"


def test_without_a_known_cell_nothing_is_judged(node: FolderNode) -> None:
    answer = answers(node)
    assert answer("verdict") == (3, "verdict: none. No line `stillframe-trial begin` has named a cell.\n")
    code, text = answer("begin ledger.pause.runk@debian-sid consistent")
    assert code == 2
    assert text.startswith("stillframe-trial: unknown runtime 'runk'. Valid: ")
    assert answer("ended checkpoint 1") == (0, "")
    assert answer("verdict")[1].startswith("verdict: none. unknown runtime 'runk'.")


def test_every_cell_is_known_by_its_id() -> None:
    cells = matrix.every_cell()
    assert [each for each in cells if cell_of(each.id) != each] == []


def test_a_stack_need_not_be_defined_here() -> None:
    assert cell_of("ledger.none.runc@mine-2.0").checkpoint == Participant(runtime="runc", stack="mine-2.0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ledger.none", "'ledger.none' is not the id of a cell"),
        ("ledger.none.runc@", "is not the id of a cell"),
        ("ledger.still.runc@debian-sid", "unknown policy 'still'"),
        ("dead:ledger.none.runc@debian-sid", "unknown scenario 'dead'"),
        ("ledgers.none.runc@debian-sid", "unknown workload 'ledgers'"),
        ("ledger.none.runc@debian-sid+sideways", "unknown way to use runc 'sideways'"),
    ],
)
def test_what_is_no_cell_is_told(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cell_of(name)


def test_a_shell_judges_one_trial(node: FolderNode) -> None:
    answer = answers(node)
    answer(f"begin {CELL.id} consistent")
    for _ in range(2):
        assert answer(f"begin {CELL.id} consistent")[0] == 2
    code, text = answer("verdict")
    assert (code, text) == (3, "verdict: none. A shell judges one trial. Open another shell for the next one.\n")


def test_a_trial_on_two_nodes_is_not_judged(node: FolderNode) -> None:
    cell = cell_of("ledger.pause.runc@debian-sid~runc@debian-trixie")
    assert not can_be_replayed(cell)
    answer = answers(node)
    assert answer(f"begin {cell.id} consistent") == (0, "")
    assert answer("verdict") == (
        3,
        "verdict: none. A shell repeats only trials whose commands ended one after the other, in one node.\n",
    )


def test_a_fault_of_our_own_is_told_to_who_waits_for_an_answer(
    node: FolderNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = answers(node)
    answer(f"begin {CELL.id} consistent")
    monkeypatch.setattr(Replay, "read", lambda *_: 1 / 0)
    code, text = answer("read /x")
    assert code == 70
    assert "ZeroDivisionError" in text
