"""Pages of memory with a record each, read offline: from the images of a real container, and from some made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.checkpoints import archive
from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.outcomes import Anomaly
from harness.model.readings import SurfaceReading
from harness.oracle.judge import anomalies
from harness.oracle.offline import read
from harness.oracle.ring import RECORD, make_records
from tests.criu_images import BASE, COUNTER, LAZY, NONCE, NOW, PAGE, Entry, dump, memory
from tests.real_images import FOLDER, change

REAL = "criu-4.2-memory"
"""The workload `memory`, held still by runc 1.3 during a dump of CRIU 4.2, without its files."""
SORTS = ("anonymous", "shared", "memfd", "mapped", "heap", "stack", "huge")
N = 16
"""Pages of each sort but `huge`."""


@pytest.fixture
def real(tmp_path: Path) -> Path:
    archive.unpack(FOLDER / f"{REAL}.tar.zst", tmp_path / "images")
    return tmp_path / "images"


def held(images: Path) -> dict[str, SurfaceReading]:
    (found,) = read(images, {}, outside=("last",))
    assert (found.counter == COUNTER) is (found.nonce == f"{NONCE:016x}")
    return {each.surface: each for each in found.surfaces} | {
        "memory": SurfaceReading(surface="memory", newest=found.counter, newest_wall_ns=found.counter_wall_ns)
    }


def test_every_sort_of_memory_is_of_one_instant_with_the_counter(real: Path) -> None:
    found = held(real)
    assert {name: found[name].newest for name in SORTS} == dict.fromkeys(SORTS, found["memory"].newest)
    assert not any(each.torn or each.foreign or each.holes or each.backwards for each in found.values())


def older(record: Any) -> object:
    return make_records([record["n"] - N], [record["wall_ns"] - N], int(record["nonce"]))[0]


def foreign(record: Any) -> object:
    return make_records([record["n"]], [record["wall_ns"]], int(record["nonce"]) ^ 1)[0]


def torn(record: Any) -> object:
    changed = record.copy()
    changed["wall_ns"] += 1
    return changed


def zero(record: Any) -> object:
    return np.zeros((), record.dtype)


@pytest.mark.parametrize(
    ("damage", "anomaly"),
    [
        (older, Anomaly.RECORD_LOST),
        (zero, Anomaly.RECORD_LOST),
        (torn, Anomaly.TORN),
        (foreign, Anomaly.TORN),
    ],
)
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
def test_one_page_among_many_convicts(
    real: Path, damage: Callable[[Any], object], anomaly: Anomaly, shared: bool
) -> None:
    before = read(real, {}, outside=("last",))[0]
    for path in real.glob("pages-*.img"):
        if (path.stat().st_size == N * PAGE) is shared:
            data = bytearray(path.read_bytes())
            heads = np.frombuffer(data, np.dtype([("record", RECORD), ("rest", "V", PAGE - RECORD.itemsize)]))["record"]
            own = np.flatnonzero((heads["nonce"] == int(before.nonce, 16)) & (heads["n"] < before.counter))
            at = int(own[len(own) // 2 if shared else N // 2])
            heads[at : at + 1] = damage(heads[at : at + 1][0])
            path.write_bytes(data)
            break
    (after,) = read(real, {}, outside=("last",))
    assert anomalies(before) == ()
    assert anomaly in anomalies(after)
    changed = [one.surface for one, other in zip(before.surfaces, after.surfaces, strict=True) if one != other]
    assert len(changed) == 1
    assert (changed[0] in ("shared", "memfd")) is shared


def test_shared_memory_without_its_image_holds_nothing(real: Path) -> None:
    next(real.glob("pagemap-shmem-*.img")).unlink()
    lost = [name for name, each in held(real).items() if each.newest is None]
    assert len(lost) == 1
    assert lost[0] in ("shared", "memfd")


def test_a_mapping_that_names_its_object_itself_is_found_too(real: Path) -> None:
    """As CRIU has written it before it knew memfds."""
    numbers = [int(path.name[14:-4]) for path in sorted(real.glob("pagemap-shmem-*.img"))]
    memfds = [each for each in image.read(real / "files.img", image.FILES, Budget()) if each.HasField("memfd")]
    inodes = {each.inode_id: each.shmid for each in image.read(real / "memfd.img", image.MEMFDS, Budget())}

    def direct(found: list[Any]) -> None:
        for each in found[0].vmas:
            for memfd in memfds:
                if each.status & 1 << 14 and each.shmid == memfd.id:
                    each.shmid, each.status = inodes[memfd.memfd.inode_id], 1 << 8
                    break

    before = held(real)
    change(real / "mm-1.img", image.MAPPINGS, direct)
    assert len(numbers) == 2
    assert held(real) == before


def pages(newest: int, *, without: int = -1) -> bytes:
    """Pages of four slots, as the ledger leaves them."""
    records = {
        n % 4: make_records([n], [NOW - (newest - n) * 1000], NONCE).tobytes() for n in range(newest - 3, newest + 1)
    }
    return b"".join(records[slot].ljust(PAGE, b"\0") for slot in range(4) if slot != without)


def having(folder: Path, *entries: Entry, of_pages: bytes) -> Path:
    """Images of a process with four pages on its heap, behind the counter's page."""
    surfaces = (("pages", "heap", f"heap:4:{BASE + PAGE:016x}"),)
    return dump(folder / "images", memory(surfaces=surfaces) + of_pages, entries or None)


def test_a_page_that_is_not_in_the_images_is_one_of_zeros(tmp_path: Path) -> None:
    slot = COUNTER % 4
    entries = [Entry(0, 1), *(Entry(1 + number, 1) for number in range(4) if number != slot)]
    found = held(having(tmp_path, *entries, of_pages=pages(COUNTER, without=slot)))["heap"]
    assert (found.newest, found.holes) == (COUNTER - 1, 1)


def test_a_page_that_may_be_missing_is_not_taken_for_zeros(tmp_path: Path) -> None:
    entries = [Entry(0, 3), Entry(3, 1, LAZY), Entry(4, 1)]
    with pytest.raises(Unreadable, match="pages are lazy"):
        held(having(tmp_path, *entries, of_pages=pages(COUNTER, without=2)))


@pytest.mark.parametrize(
    "told",
    ["heap", "heap:0:0000000000401000", "heap:4:401000", "heap:4:0000000000000000", "x:9999999:0000000000401000"],
)
def test_pages_that_are_not_described_well_are_declined(tmp_path: Path, told: str) -> None:
    images = dump(tmp_path / "images", memory(surfaces=(("pages", "heap", told),)))
    with pytest.raises(Unreadable, match="damaged description"):
        held(images)
