"""Where canaries are found: in which files of a node, in which of their bytes, and who else can read them."""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from pathlib import Path

import pytest

from harness.model.readings import Canary
from harness.oracle.ring import MAGIC, records_of
from scenarios.test_secrets import RANDOM, _exposed, _files, _held
from tests.folder_node import FolderNode

NONCE = 0x1122334455667788
WORDS = {
    Canary.ENVIRONMENT: b"e" * 32,
    Canary.ARGUMENT: b"a" * 32,
    Canary.MEMORY: NONCE.to_bytes(8, "little"),
}
PAGE = MAGIC + bytes(8) + NONCE.to_bytes(8, "little") + records_of(NONCE, 9, 2, 1)
RING = records_of(NONCE, 90, 64, 1)


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"nothing", []),
        (MAGIC + b"of the program itself", []),
        (b"PATH=/\0CANARY=" + b"e" * 32, [Canary.ENVIRONMENT]),
        (b"\0".join((b"e" * 32, b"/ledger", b"a" * 32)), [Canary.ENVIRONMENT, Canary.ARGUMENT]),
        (bytes(4096) + PAGE, [Canary.MEMORY]),
        (RING, [Canary.FILE]),
        (MAGIC + RING + PAGE, [Canary.MEMORY, Canary.FILE]),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_holds_what_is_in_its_bytes_or_in_what_it_unpacks_to(
    tmp_path: Path, data: bytes, held: list[Canary], *, compressed: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert _held(path, WORDS) == [kind for kind in Canary if kind in held]


def test_a_canary_is_found_in_a_compressed_archive(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_bytes(RING)
    with tarfile.open(tmp_path / "archive.tgz", "w:gz") as archive:
        archive.add(ring, "ring")
    assert _held(tmp_path / "archive.tgz", WORDS) == [Canary.FILE]
    page = tmp_path / "page.gz"
    page.write_bytes(gzip.compress(PAGE))
    with tarfile.open(tmp_path / "outer.tar", "w") as archive:
        (tmp_path / "link").symlink_to("/proc/self/fd/2")
        for inner in ("link", "archive.tgz", "page.gz"):
            archive.add(tmp_path / inner, inner)
    assert _held(tmp_path / "outer.tar", WORDS) == [Canary.MEMORY, Canary.FILE]


def test_only_regular_files_are_searched_that_were_changed_since(tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    node.put("/etc/old", "old")
    time.sleep(0.02)
    since = time.time_ns()
    time.sleep(0.02)
    node.put("/tmp/images/pages-1.img", "new")
    node.put("/proc/7/environ", "not a file")
    node.put("/tmp/empty", "")
    os.mkfifo(tmp_path / "tmp/fifo")
    (tmp_path / "tmp/link").symlink_to("images/pages-1.img")
    assert list(_files(node, since)) == ["/tmp/images/pages-1.img"]


@pytest.mark.parametrize(
    ("folder", "file", "exposed"),
    [(0o755, 0o644, True), (0o755, 0o640, False), (0o700, 0o644, False), (0o711, 0o604, True)],
)
def test_others_read_a_file_if_all_folders_above_let_them_pass(
    tmp_path: Path, folder: int, file: int, *, exposed: bool
) -> None:
    tmp_path.chmod(0o755)
    node = FolderNode(tmp_path)
    node.put("/srv/images/pages-1.img", "memory")
    node.path("/srv").chmod(0o755)
    node.path("/srv/images").chmod(folder)
    node.path("/srv/images/pages-1.img").chmod(file)
    assert _exposed(node, "/srv/images/pages-1.img") is exposed


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("/srv/checkpoints/checkpoint-12/images/pages-3.img", "/srv/checkpoints/checkpoint-*/images/pages-*.img"),
        ("/tmp/ctrd-checkpoint1376811517/core-1.img", "/tmp/ctrd-checkpoint*/core-*.img"),
        ("/run/0f3efb51d7b4e2/config.json", "/run/*/config.json"),
        ("/blobs/sha256/0f3efb51d7b4e2", "/blobs/sha256/*"),
    ],
)
def test_what_is_another_name_each_time_is_left_out_of_a_path(place: str, told: str) -> None:
    assert RANDOM.sub("*", place) == told
