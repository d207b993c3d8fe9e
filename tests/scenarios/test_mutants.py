"""Mutants: their declarations, and their changes of files in a synthetic checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.untrusted import Unreadable
from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.controls import APART, APPLIED, ControlKind
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome, Verdict
from harness.oracle import offline
from harness.oracle.judge import anomalies
from harness.oracle.ring import RECORD, records_of
from scenarios.controls import changes
from scenarios.controls.changes import Files
from scenarios.controls.lying import LIES
from scenarios.controls.tampered import TAMPERINGS
from tests import criu_images

NONCE, NOW, RING = 0xC0FFEE, 1_795_435_200_000_000_000, criu_images.RING
WHO = Participant(runtime="runc", stack="host")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=WHO, restore=WHO)


def checkpoint(folder: Path, n: int = 90, nonce: int = NONCE) -> Path:
    """Make a checkpoint at tick `n` with both surfaces."""
    ring = records_of(nonce, n, RING, NOW)
    page = criu_images.memory(n, nonce)
    for name in ("images", "upper/data", "work"):
        (folder / name).mkdir(parents=True)
    criu_images.dump(folder / "images", bytes(changes.PAGE) + page, mounts=criu_images.MOUNTS)
    criu_images.tmpfs(folder / "images", {"./first": b"1", "./tmpfs.ring": ring})
    (folder / "upper/data/added.ring").write_bytes(ring)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(checkpoint(tmp_path / "later"), checkpoint(tmp_path / "earlier", n=60))


def found(files: Files) -> tuple[Anomaly, ...]:
    (reading,) = offline.read(files.folder / "images", {"/": CapturedFiles(files.folder / "upper")})
    return anomalies(reading)


@pytest.mark.parametrize(
    ("change", "anomaly"),
    [
        (changes.older_page, Anomaly.DISK_AHEAD),
        (changes.rewound, Anomaly.DISK_BEHIND),
        (changes.advanced, Anomaly.DISK_AHEAD),
        (changes.torn, Anomaly.TORN),
        (changes.lost, Anomaly.RECORD_LOST),
        (changes.foreign, Anomaly.TORN),
        (changes.backwards, Anomaly.TIME_BACKWARDS),
        (changes.out_of_order, Anomaly.ORDER_BROKEN),
        (changes.mixed, Anomaly.SURFACES_DISAGREE),
        (changes.surface_missing, Anomaly.DISK_BEHIND),
    ],
)
def test_what_is_tampered_with_is_read_as_what_it_is(
    files: Files, change: Callable[[Files], None], anomaly: Anomaly
) -> None:
    assert found(files) == ()
    change(files)
    assert anomaly in found(files)


@pytest.mark.parametrize(
    "change",
    [
        changes.other_padding,
        changes.copy_of(changes.ADDED),
        changes.reordered,
        changes.unrelated_file,
        changes.whole_copy,
    ],
)
def test_a_neutral_change_is_read_as_nothing(files: Files, change: Callable[[Files], None]) -> None:
    change(files)
    assert found(files) == ()


def test_a_foreign_nonce_leaves_a_valid_counter(files: Files) -> None:
    changes.other_nonce(files)
    (read,) = offline.read(files.folder / "images", {})
    assert (int(read.nonce, 16), read.counter) == (NONCE ^ 1, 90)


@pytest.mark.parametrize("change", [changes.zero_page, changes.pages_hidden])
def test_a_counter_that_is_gone_cannot_be_read(files: Files, change: Callable[[Files], None]) -> None:
    change(files)
    with pytest.raises(Unreadable):
        found(files)


def test_a_ring_that_has_gone_round_is_rewound_to_what_was_there(tmp_path: Path) -> None:
    files = Files(checkpoint(tmp_path / "one", n=3 * RING + 7), None)
    changes.rewound(files)
    assert len(files.ring.read_bytes()) == RING * RECORD.itemsize
    assert Anomaly.DISK_BEHIND in found(files)
    assert Anomaly.TORN not in found(files)


def test_a_second_checkpoint_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="second"):
        changes.older_page(Files(checkpoint(tmp_path / "one"), None))


# ---- declarations


def test_every_mutant_has_a_name_of_its_own_a_neighbour_and_a_maker() -> None:
    names = [proof.name for proof in MUTANTS]
    assert len(set(names)) == len(names)
    assert sorted(names) == sorted((*TAMPERINGS, *LIES, APART.name, *(proof.name for proof in APPLIED)))
    assert all(proof.neutral and proof.what for proof in MUTANTS)


def test_every_anomaly_is_made_by_some_mutant() -> None:
    assert {proof.anomaly for proof in MUTANTS} - {None} == set(Anomaly)


def verdict(outcome: Outcome, *also: Outcome, anomaly: Anomaly | None = None) -> Verdict:
    return Verdict(
        outcome=outcome, reason="left behind: mount /mnt", anomalies=(anomaly,) if anomaly else (), also=also
    )


TORN = next(proof for proof in MUTANTS if proof.name == "ring-torn")
MOUNT = next(proof for proof in MUTANTS if proof.name == "leaves-mount")
SWAPPED = next(proof for proof in MUTANTS if proof.name == "swapped-memory")


@pytest.mark.parametrize(
    ("proof", "told", "seen"),
    [
        (TORN, verdict(Outcome.INCONSISTENT, anomaly=Anomaly.TORN), True),
        (TORN, verdict(Outcome.LEAKED, Outcome.INCONSISTENT, anomaly=Anomaly.TORN), True),
        (TORN, verdict(Outcome.INCONSISTENT, anomaly=Anomaly.DISK_AHEAD), False),
        (TORN, verdict(Outcome.HARNESS_ERROR, Outcome.INCONSISTENT, anomaly=Anomaly.TORN), False),
        (TORN, verdict(Outcome.CONSISTENT), False),
        (MOUNT, verdict(Outcome.LEAKED), True),
        (SWAPPED, verdict(Outcome.HARNESS_ERROR), False),
    ],
)
def test_a_mutant_is_seen_by_what_must_be_found_and_for_its_reason(proof: object, told: Verdict, seen: bool) -> None:
    assert proof.control(CELL, ControlKind.MUTANT).seen_in(told) is seen  # type: ignore[attr-defined]


@pytest.mark.parametrize("outcome", Outcome)
def test_a_neighbour_may_be_nothing_but_consistent(outcome: Outcome) -> None:
    assert TORN.neighbour(CELL).seen_in(verdict(outcome)) is (outcome is Outcome.CONSISTENT)
