"""Captured files, and the records of deleted files."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.checkpoints import disk
from harness.checkpoints.archive import members
from harness.checkpoints.disk import CapturedFiles, Disk, listed_names
from harness.checkpoints.sources import Archive, Folder, Source
from harness.checkpoints.untrusted import Broken, Budget, Unreadable
from tests.criu_images import tar


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ((), False),
        (("a/b/x",), False),
        (("a/b/.wh.x",), True),
        (("a/.wh.b",), True),
        ((".wh.a",), True),
        (("a/.wh.b", "a/b/y"), True),
        (("a/.wh.b", "a/b/x"), False),
        (("a/b/.wh..wh..opq",), True),
        (("a/.wh..wh..opq",), True),
        (("a/.wh..wh..opq", "a/b/x"), False),
        (("a/b/.wh.xx", "a/.wh.x", ".wh.b"), False),
    ],
)
def test_a_layer_says_of_a_file_that_it_was_deleted(tmp_path: Path, names: tuple[str, ...], gone: bool) -> None:
    assert CapturedFiles(put(tmp_path, *names)).lacks("a/b/x") is gone


@pytest.mark.parametrize(
    ("mode", "device", "gone"),
    [
        (stat.S_IFCHR, (0, 0), True),
        (stat.S_IFCHR, (1, 3), False),
        (stat.S_IFBLK, (0, 0), False),
        (stat.S_IFREG, (0, 0), False),
        (stat.S_IFLNK, (0, 0), False),
    ],
)
def test_overlayfs_says_so_by_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, device: tuple[int, int], gone: bool
) -> None:
    node = SimpleNamespace(st_mode=mode | 0o600, st_rdev=os.makedev(*device))
    monkeypatch.setattr(disk, "_status", lambda path: node if path.name == "x" else None)  # making a device needs root
    assert CapturedFiles(tmp_path).lacks("x") is gone


@pytest.mark.parametrize(("value", "gone"), [(b"y", True), (b"n", False)])
def test_overlayfs_says_of_a_folder_that_nothing_of_the_image_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: bytes, gone: bool
) -> None:
    monkeypatch.setattr(os, "getxattr", lambda path, *_, **__: value if path.name == "a" else b"")
    assert CapturedFiles(put(tmp_path, "a/y")).lacks("a/x") is gone


def test_a_list_says_so_and_counts_more_than_what_is_there(tmp_path: Path) -> None:
    found = CapturedFiles(put(tmp_path, "a/x"), deleted=frozenset({"a/x", "b"}))
    assert found.lacks("a/x")
    assert found.lacks("b/c")
    assert not found.lacks("a/y")
    assert not found.file("a/x").exists()
    above = CapturedFiles(tmp_path, deleted=frozenset({"a"}))
    assert above.lacks("a/x"), "the list wins over captured files"
    assert not above.file("a/x").exists()


def test_of_a_mount_that_is_whole_what_is_not_there_was_deleted(tmp_path: Path) -> None:
    found = CapturedFiles(put(tmp_path, "a"), whole=True)
    assert not found.lacks("a")
    assert found.lacks("b")


def test_names_that_lead_out_of_the_mount_are_declined() -> None:
    assert listed_names(["/a/b", "c", "", "/"]) == {"a/b", "c"}
    with pytest.raises(Unreadable, match="leads outside of it"):
        listed_names(["../../victim"])


def test_of_an_archive_what_is_wanted_is_taken_and_what_says_that_it_was_deleted(tmp_path: Path) -> None:
    names = ("a/x", "a/.wh.y", ".wh.b", "c/.wh..wh..opq", "d/unasked")
    tar(tmp_path / "it/layer.tar", dict.fromkeys(names, b""))
    found = Disk(Folder(tmp_path / "it", Budget()), "layer.tar").take({"a/x", "a/y", "b/z", "c/z"}, tmp_path / "to")
    assert {str(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*") if path.is_file()} == {
        *names[:-1]
    }
    assert [name for name in ("a/x", "a/y", "b/z", "c/z", "d/z") if found.lacks(name)] == ["a/y", "b/z", "c/z"]


def test_empty_folders_of_an_archive_are_kept_with_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    with tarfile.open(tmp_path / "it/layer.tar", "w") as archive:
        for name in ("database", "database/pg_notify"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    Disk(Folder(tmp_path / "it", Budget()), "layer.tar").take(None, tmp_path / "to")
    assert (tmp_path / "to/database/pg_notify").is_dir()


def test_of_an_archive_of_an_overlay_s_folder_devices_and_attributes_say_so(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    with tarfile.open(tmp_path / "it/upper.tar", "w", format=tarfile.PAX_FORMAT) as made:
        gone = tarfile.TarInfo("a/gone")
        gone.type = tarfile.CHRTYPE
        made.addfile(gone)
        folder = tarfile.TarInfo("b")
        folder.type, folder.pax_headers = tarfile.DIRTYPE, {"SCHILY.xattr.trusted.overlay.opaque": "y"}
        made.addfile(folder)
    found = Disk(Folder(tmp_path / "it", Budget()), "upper.tar").take({"a/gone", "b/gone", "c"}, tmp_path / "to")
    assert [name for name in ("a/gone", "b/gone", "c") if found.lacks(name)] == ["a/gone", "b/gone"]


def test_an_archive_that_is_cut_off_is_noticed_though_nothing_of_it_is_wanted(tmp_path: Path) -> None:
    tar(tmp_path / "it/layer.tar", {"a": b"x" * 5000})
    data = (tmp_path / "it/layer.tar").read_bytes()
    (tmp_path / "it/layer.tar").write_bytes(data[:3000])
    with pytest.raises(Broken, match=r"layer\.tar is not a complete archive"):
        Disk(Folder(tmp_path / "it", Budget()), "layer.tar").take(set(), tmp_path / "to")


def linked(path: Path, name: str, target: str, kind: bytes = tarfile.LNKTYPE, *more: str) -> Disk:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as made:
        for each in ("a/x", *more):
            info = tarfile.TarInfo(each)
            info.size = 2
            made.addfile(info, io.BytesIO(b"it"))
        link = tarfile.TarInfo(name)
        link.type, link.linkname = kind, target
        made.addfile(link)
    return Disk(Folder(path.parent, Budget()), path.name)


def test_a_file_that_is_another_name_of_one_in_the_archive_has_its_content(tmp_path: Path) -> None:
    found = linked(tmp_path / "it/layer.tar", "b/y", "a/x").take({"b/y"}, tmp_path / "to")
    assert found.file("b/y").read_bytes() == b"it"
    with pytest.raises(Unreadable, match="leads outside of it"):
        linked(tmp_path / "it/layer.tar", "b/y", "../../etc/passwd").take({"b/y"}, tmp_path / "again")


def test_a_file_below_a_link_of_its_archive_is_nowhere(tmp_path: Path) -> None:
    disk = linked(tmp_path / "it/layer.tar", "b", "a", tarfile.SYMTYPE, "b/y")
    with pytest.raises(Unreadable, match=r"layer\.tar holds 'b/y' below the link 'b'"):
        disk.take({"b/y"}, tmp_path / "to")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_folder_may_be_the_layer_and_only_one_of_its_folders_be_mounted(tmp_path: Path, form: str) -> None:
    source: Source = Folder(put(tmp_path / "it", "upper/a/x", "other/a/y"), Budget())
    if form == "archive":
        names = dict.fromkeys(("upper/a/x", "other/a/y"), b"")
        source = Archive(tar(tmp_path / "it.tar", names), tmp_path / "parts", Budget())
    found = Disk(source, "upper").take({"a/x", "a/y"}, tmp_path / "to")
    assert (found.file("a/x").exists(), found.file("a/y").exists()) == (True, False)
    found = Disk(source, "upper", whole=True, below="a").take({"x"}, tmp_path / "again")
    assert (found.file("x").exists(), found.lacks("x"), found.lacks("y")) == (True, False, True)


# ---- all files, as they were


def test_who_asks_for_all_files_gets_them_as_they_were(tmp_path: Path) -> None:
    """Owners, permissions and attributes, symbolic links, and folders without a file."""
    archive = tmp_path / "layer.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, more in (
            ("data", tarfile.DIRTYPE, {"mode": 0o750, "uid": 7}),
            ("data/empty", tarfile.DIRTYPE, {"mode": 0o700}),
            ("data/own", tarfile.REGTYPE, {"mode": 0o4711, "uid": 1001, "gid": 1002}),
            ("data/link", tarfile.SYMTYPE, {"linkname": "own"}),
            ("data/away", tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            for field, value in more.items():
                setattr(member, field, value)
            if name == "data/own":
                member.pax_headers = {"SCHILY.xattr.user.kept": "it", "SCHILY.xattr.trusted.overlay.origin": "no"}
            made.addfile(member)
    before = Path("/etc/passwd").stat()
    disk.extract(lambda: members(archive, Budget()), None, tmp_path / "all", Budget(), archive.name)
    own = (tmp_path / "all/data/own").stat()
    assert (own.st_mode & 0o7777, own.st_uid, own.st_gid) == (0o4711, 1001, 1002)
    assert os.listxattr(tmp_path / "all/data/own") == ["user.kept"]
    assert os.getxattr(tmp_path / "all/data/own", "user.kept") == b"it"
    assert (tmp_path / "all/data").stat().st_uid == 7
    assert stat.S_IMODE((tmp_path / "all/data/empty").stat().st_mode) == 0o700
    assert os.readlink(tmp_path / "all/data/link") == "own"
    assert os.readlink(tmp_path / "all/data/away") == "/etc/passwd"
    assert Path("/etc/passwd").stat() == before


def test_a_link_of_a_name_that_comes_again_is_replaced(tmp_path: Path) -> None:
    archive = tmp_path / "layer.tar"
    with tarfile.open(archive, "w") as made:
        for name, kind, target in (
            ("x", tarfile.SYMTYPE, "one"),
            ("x", tarfile.REGTYPE, ""),
            ("y", tarfile.REGTYPE, ""),
            ("y", tarfile.SYMTYPE, "two"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            made.addfile(member)
    disk.extract(lambda: members(archive, Budget()), None, tmp_path / "all", Budget(), archive.name)
    assert not (tmp_path / "all/x").is_symlink()
    assert os.readlink(tmp_path / "all/y") == "two"
