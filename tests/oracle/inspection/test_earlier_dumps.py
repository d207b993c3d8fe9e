"""Images of earlier dumps: Podman keeps them in the folder of a source that runs on, and exports them all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.checkpoints import archive, completeness
from harness.checkpoints.criu import image
from harness.checkpoints.criu.tasks import alive
from harness.checkpoints.untrusted import Broken, Budget
from harness.oracle.inspection import inspect
from harness.oracle.processes import processes
from harness.records.inspection import Finding
from tests.criu_images import PAGE, Entry, dump, memory, write
from tests.real_images import FOLDER

REAL = "criu-4.2-earlier"
"""The workload `state-processes` after its second live checkpoint by Podman 5.8.6 and crun 1.28."""


@pytest.fixture
def real(tmp_path: Path) -> Path:
    archive.unpack(FOLDER / f"{REAL}.tar.zst", tmp_path / "images")
    return tmp_path / "images"


def check(images: Path) -> None:
    completeness.check(images, {path.name: path.stat().st_size for path in images.iterdir()}, Budget())


def test_the_images_of_a_process_that_is_gone_need_no_pages(real: Path) -> None:
    living = alive(real, Budget())
    gone = {int(path.stem.removeprefix("pagemap-")) for path in real.glob("pagemap-*.img")} - set(living)
    assert gone, "the fixture has images of an earlier dump"
    check(real)
    assert [process.pid for process in processes(real, Budget())] == [1]


def test_the_images_of_a_living_process_need_all_pages(real: Path) -> None:
    head = next(image.read(real / "pagemap-2.img", image.PAGEMAP, Budget()))
    pages = real / f"pages-{head.pages_id}.img"
    pages.write_bytes(pages.read_bytes()[:-PAGE])
    with pytest.raises(Broken, match=r"but pagemap-2\.img counts"):
        check(real)


def test_memory_of_an_earlier_process_is_not_read(tmp_path: Path) -> None:
    """Another workload that has ended meanwhile: its pagemap now names the pages of somebody else."""
    images = dump(tmp_path / "images", memory(900), [Entry(0, 1)])
    earlier = dump(tmp_path / "earlier", bytes(PAGE) + memory(500), [Entry(0, 2)], pid=7)
    for name in ("pagemap-7.img", "mm-7.img", "core-7.img", "ids-7.img", "fs-7.img"):
        shutil.copy(earlier / name, images)
    check(images)
    assert [process.counter.n for process in processes(images, Budget())] == [900]


def test_memory_that_a_zombie_once_had_is_not_read(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", memory(900), [Entry(0, 1)])
    dump(images, memory(500), [Entry(0, 2)], pid=7)
    write(images, "core-7.img", image.CORE, {"mtype": 1, "tc": {"task_state": 2, "exit_code": 0, "comm": b"ledger"}})
    check(images)
    assert [process.counter.n for process in processes(images, Budget())] == [900]


def test_shared_memory_of_an_earlier_dump_needs_no_pages(tmp_path: Path) -> None:
    archive.unpack(FOLDER / "criu-4.2-memory.tar.zst", tmp_path / "images")
    images = tmp_path / "images"
    known = sorted(images.glob("pagemap-shmem-*.img"))[0]
    (images / "pagemap-shmem-1.img").write_bytes(known.read_bytes().replace(b"\x28\x10", b"\x28\x70"))
    check(images)
    known.write_bytes(known.read_bytes().replace(b"\x28\x10", b"\x28\x70"))
    with pytest.raises(Broken, match="pagemap-shmem-"):
        check(images)


def test_such_an_archive_is_inspected_like_any_other(real: Path) -> None:
    (found,) = inspect(real, {}).checkpoints
    assert found.finding is not Finding.INCONSISTENT
    assert len(found.workloads) == 1
