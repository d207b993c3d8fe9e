"""What a reader has before the commands of a page: runs, shards and checkpoints, made without root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.host.process import HOST
from tests.docs.desk import Desk
from tests.real_checkpoints import plain
from tests.reports import sharded
from tests.reports.synthetic import MOVING, NOON, STILL, expected_run, moving, plan, store

DAY_NS = 24 * 3600 * 1_000_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with two runs of which the second is worse, the shards of a run, and checkpoints in their usual forms."""
    desk = Desk(tmp_path)
    cells, folder = [MOVING, STILL], desk.folder
    before = store(folder / "out/before", plan(cells), expected_run(cells))
    worse = [*expected_run([MOVING]), *(moving(STILL, trial) for trial in range(5))]
    store(folder / "out/after", plan(cells, run="2026-11-24-1").model_copy(update={"created_ns": NOON + DAY_NS}), worse)
    (folder / "out/latest").symlink_to("after")
    sharded.divide(before, folder / "shards", 2)
    (folder / "share").mkdir()
    (folder / "share/live.tar").write_bytes(plain("still-ledger"))
    unpack(folder / "share/live.tar", tmp_path / "unpacked")
    shutil.copytree(tmp_path / "unpacked/checkpoint", folder / "share/images")
    unpack(tmp_path / "unpacked/rootfs-diff.tar", folder / "share/disk")
    return desk


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar. The library's safe way needs Python 3.11.4, and Debian 12 has 3.11.2."""
    folder.mkdir()
    HOST.run(["tar", "--extract", f"--file={archive}", f"--directory={folder}"], deadline=60)
