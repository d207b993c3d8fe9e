from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.model import Anomaly, Reading, Witness
from harness.oracle.judge import anomalies
from harness.oracle.offline import Deleted, File, InTmpfs, Place, Unreadable, read
from harness.oracle.ring import MAGIC
from tests.criu_images import COUNTER, NONCE, NOW, PAGE, RING, dump, memory, ring, tmpfs


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = dump(tmp_path / "images", bytes(3 * PAGE) + memory() + bytes(PAGE))
    tmpfs(folder, {"./": None, "./tmpfs.ring": ring(COUNTER - 1)})
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "added.ring"
    path.write_bytes(ring())
    return path


def held(found: Reading) -> dict[str, int | None]:
    return {surface.surface: surface.newest for surface in found.surfaces}


def test_memory_files_and_tmpfs_are_read_without_a_restore(images: Path, disk: Path) -> None:
    found = read(images, {"added": File(disk), "tmpfs": InTmpfs("tmpfs.ring")})
    assert (found.witness, found.nonce, found.counter, found.counter_wall_ns) == (
        Witness.OFFLINE,
        f"{NONCE:016x}",
        COUNTER,
        NOW,
    )
    added, tmpfs = found.surfaces
    assert (added.surface, added.newest, added.newest_wall_ns) == ("added", COUNTER, NOW)
    assert (tmpfs.surface, tmpfs.newest, tmpfs.newest_wall_ns) == ("tmpfs", COUNTER - 1, NOW - 1000)
    assert all(not (each.torn or each.foreign or each.holes or each.backwards) for each in found.surfaces)


@pytest.mark.parametrize("ahead", [1, 30, 3000])
def test_a_disk_from_the_future_shows(images: Path, disk: Path, ahead: int) -> None:
    disk.write_bytes(ring(COUNTER + ahead))
    (surface,) = read(images, {"added": File(disk)}).surfaces
    assert (surface.newest, surface.newest_wall_ns) == (COUNTER + ahead, NOW + ahead * 1000)


def test_surfaces_keep_their_order_wherever_they_are(images: Path, disk: Path) -> None:
    places: dict[str, Place] = {
        "t": InTmpfs("tmpfs.ring"),
        "b": File(disk),
        "d": Deleted(whiteout(disk)),
        "a": File(disk),
    }
    assert list(held(read(images, places))) == ["t", "b", "d", "a"]
    assert list(held(read(images, dict(reversed(places.items()))))) == ["a", "d", "b", "t"]


@pytest.mark.parametrize(
    "decoy",
    [
        b"",
        b"STILLFRAMELEDGER",
        b"STILLFRAMELEDGER" * PAGE,
        memory(n=555)[:-1].replace(MAGIC, b"stillframeledger"),
        memory(n=555)[:80] + b"\xff" + memory(n=555)[81:],
    ],
    ids=["an empty file", "the text alone", "the text all over", "no magic", "a damaged counter"],
)
def test_pages_without_the_counter_are_passed_over(images: Path, disk: Path, decoy: bytes) -> None:
    dump(images, decoy.ljust(-(-len(decoy) // PAGE) * PAGE, b"\0"))
    dump(images, memory(), pid=20)
    assert read(images, {"added": File(disk)}).counter == COUNTER


@pytest.mark.parametrize("pages", [b"", bytes(PAGE)], ids=["an empty file", "other pages"])
def test_images_without_the_counter_cannot_be_read(images: Path, disk: Path, pages: bytes) -> None:
    dump(images, pages)
    with pytest.raises(Unreadable, match="no workload's counter in the memory pages of images"):
        read(images, {"added": File(disk)})


def test_a_surface_that_was_not_captured_holds_nothing(images: Path, tmp_path: Path) -> None:
    found = read(images, {"added": File(tmp_path / "nowhere"), "tmpfs": InTmpfs("other.ring")})
    assert held(found) == {"added": None, "tmpfs": None}


def test_a_surface_of_another_workload_holds_nothing_of_this_one(images: Path, disk: Path) -> None:
    disk.write_bytes(ring(nonce=NONCE + 1))
    (surface,) = read(images, {"added": File(disk)}).surfaces
    assert (surface.newest, surface.foreign) == (None, RING)


def test_a_surface_is_found_in_whichever_archive_has_it(images: Path) -> None:
    tmpfs(images, {"notes": b"nothing"}, device=12)
    tmpfs(images, {"second.ring": ring(COUNTER), "sub/tmpfs.ring": b"another folder's"}, device=99)
    found = read(images, {"tmpfs": InTmpfs("tmpfs.ring"), "second": InTmpfs("second.ring")})
    assert held(found) == {"tmpfs": COUNTER - 1, "second": COUNTER}


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_an_archive_that_was_cut_off_cannot_be_read(images: Path, kept: float) -> None:
    path = images / "tmpfs-dev-73.tar.gz.img"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(Unreadable, match=r"tmpfs-dev-73\.tar\.gz\.img"):
        read(images, {"tmpfs": InTmpfs("tmpfs.ring")})


def test_archives_are_opened_only_for_what_is_in_them(images: Path, disk: Path) -> None:
    (images / "tmpfs-dev-73.tar.gz.img").write_bytes(b"no archive")
    assert held(read(images, {"added": File(disk)})) == {"added": COUNTER}


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "fifo"])
def test_what_is_no_file_holds_nothing_and_is_not_waited_for(images: Path, disk: Path, kind: str) -> None:
    path = disk.with_name(kind)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(disk if kind == "link" else "/nowhere")
    assert held(read(images, {"added": File(path)})) == {"added": None}


def test_a_file_that_may_not_be_read_is_not_taken_for_one_that_is_missing(
    images: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, *given: int) -> int:
        if path == disk:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *given)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unreadable, match=r"added\.ring cannot be read: Permission denied"):
        read(images, {"added": File(disk)})


# ---- deletions


def whiteout(path: Path) -> Path:
    """Mark a file as deleted as an OCI layer does."""
    path.with_name(f".wh.{path.name}").touch()
    return path


def test_a_file_is_deleted_where_the_layer_says_so(tmp_path: Path) -> None:
    gone = whiteout(tmp_path / "gone")
    (tmp_path / "there").touch()
    assert Deleted(gone).marked
    assert not Deleted(tmp_path / "there").marked
    assert not Deleted(tmp_path / "unknown").marked
    assert not Deleted(tmp_path / "nowhere" / "unknown").marked


@pytest.mark.parametrize(
    ("mode", "device", "marked"),
    [
        (stat.S_IFCHR, (0, 0), True),
        (stat.S_IFCHR, (1, 3), False),
        (stat.S_IFBLK, (0, 0), False),
        (stat.S_IFREG, (0, 0), False),
        (stat.S_IFLNK, (0, 0), False),
    ],
)
def test_a_file_is_deleted_where_overlayfs_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, device: tuple[int, int], marked: bool
) -> None:
    node = SimpleNamespace(st_mode=mode | 0o600, st_rdev=os.makedev(*device))
    monkeypatch.setattr(Path, "lstat", lambda _: node)  # to make one needs root
    assert Deleted(tmp_path / "gone").marked is marked


def test_a_deletion_is_as_new_as_what_was_written_before_it(images: Path, disk: Path) -> None:
    disk.write_bytes(ring(COUNTER + 30))
    places: dict[str, Place] = {"tmpfs": InTmpfs("tmpfs.ring"), "added": File(disk), "deleted": Deleted(whiteout(disk))}
    added, deleted = read(images, places).surfaces[1:]
    assert (
        (deleted.newest, deleted.newest_wall_ns) == (added.newest, added.newest_wall_ns) == (COUNTER + 30, NOW + 30_000)
    )


def test_a_deletion_alone_is_as_new_as_memory(images: Path, disk: Path) -> None:
    (deleted,) = read(images, {"deleted": Deleted(whiteout(disk))}).surfaces
    assert (deleted.newest, deleted.newest_wall_ns) == (COUNTER, NOW)


def test_a_deletion_that_was_undone_is_nothing(images: Path, disk: Path) -> None:
    found = read(images, {"added": File(disk), "deleted": Deleted(disk)})
    assert held(found) == {"added": COUNTER, "deleted": None}
    assert anomalies(found) == (Anomaly.DISK_BEHIND,)
