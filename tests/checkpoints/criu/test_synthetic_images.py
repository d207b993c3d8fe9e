"""Synthetic images are like CRIU's: no synthetic image has a field that a real image of its kind lacks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.checkpoints.criu import image
from harness.checkpoints.criu.memory import memories
from harness.checkpoints.untrusted import Budget
from harness.oracle.processes import processes
from harness.oracle.ring import MAGIC
from tests import criu_images, real_checkpoints, real_images
from tests.criu_images import MOUNTS, PAGE, RING, dump


def test_a_synthetic_field_that_no_real_image_has_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"no real table of mounts has .*deleted"):
        criu_images.write(tmp_path, "mountpoints-13.img", image.MOUNTS, {"mnt_id": 1, "deleted": True})


def test_all_images_of_a_synthetic_process_are_in_a_real_checkpoint(tmp_path: Path) -> None:
    made = dump(tmp_path / "made", bytes(PAGE) + criu_images.memory(), mounts=MOUNTS)
    real = real_images.unpacked("ledger-2", tmp_path / "real")
    kinds = {path.name.partition("-")[0] for path in real.iterdir()}
    assert {path.name.partition("-")[0] for path in made.iterdir()} <= kinds | {"pages"}


def test_the_synthetic_page_of_a_workload_is_that_of_a_real_one(tmp_path: Path) -> None:
    """They are equal byte by byte, given the values of the real one."""
    folder = real_checkpoints.spread(real_checkpoints.files("ledger-2"), tmp_path)
    (process,) = processes(folder / "checkpoint", Budget())
    (memory,) = memories(folder / "checkpoint", Budget())
    surfaces = tuple((each.form.value, each.name, each.path) for each in process.surfaces)
    assert [each.descriptor for each in process.surfaces] == [3, 4, 5, None], (
        "the synthetic images use the same numbers"
    )
    start = next(start for start, data, _ in memory.chunks() if MAGIC in data)
    data = memory.read(start, PAGE)
    data = data[data.index(MAGIC) :]
    period = (200_000).to_bytes(8, "little")
    told = period + criu_images.description(surfaces)[8:]
    assert data[104 : 104 + len(told)] == told
    counter = process.counter
    head = criu_images.counter(counter.n, counter.nonce, version=2)
    assert (RING, len(head)) == (counter.ring, 104)
    assert data[:40] == head[:40], "magic, version, ring, nonce, counter"
    for slot in (0, 1):
        at = 40 + 32 * slot
        assert data[at : at + 8] == head[at : at + 8], "n"
        assert data[at + 16 : at + 24] == head[at + 16 : at + 24], "nonce"


def test_the_synthetic_arguments_are_those_of_a_real_process_of_version_1(tmp_path: Path) -> None:
    folder = real_checkpoints.spread(real_checkpoints.files("still-ledger"), tmp_path) / "checkpoint"
    (memory,) = memories(folder, Budget())
    (said,) = image.read(folder / "mm-1.img", image.MEMORY, Budget())
    real = memory.read(said.mm_arg_start, said.mm_arg_end - said.mm_arg_start)
    words = ("--period-us", "100", "--ring", "4096", "--report", "/report")
    surfaces = ("--surface", "added=/data/added.ring", "--surface", "tmpfs=/scratch/tmpfs.ring")
    made = criu_images.arguments(*words, *surfaces).rstrip(b"\0") + b"\0"
    assert real.partition(b"\0")[2] == made.partition(b"\0")[2]


def test_a_synthetic_archive_of_a_tmpfs_has_the_names_of_a_real_one() -> None:
    content = real_checkpoints.files("ledger-2")
    name = next(name for name in content if "tmpfs-dev" in name and content[name] != b"" and len(content[name]) > 400)
    assert {"./tmpfs.ring"} <= set(real_checkpoints.members(gzip.decompress(content[name])))
