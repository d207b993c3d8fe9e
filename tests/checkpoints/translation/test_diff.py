"""Changes to an image in both forms: applied to the same image, they give the same files."""

from __future__ import annotations

import gzip
import io
import json
import string
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checkpoints.translation.diff import Diff, from_layer, from_list, to_layer, to_list
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.errors import Untranslatable

Tree = dict[str, bytes | None]
"""Content of files by name, None for folders; each parent folder has an entry of its own."""


def made(path: Path, entries: Mapping[str, bytes | None], *, whiteouts: Sequence[str] = (), mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name in whiteouts:
            tar.addfile(tarfile.TarInfo(name))
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size, info.mtime = len(content or b""), 1_700_000_000.25
            tar.addfile(info, io.BytesIO(content or b""))
    return path


def listed(path: Path) -> list[tuple[str, bytes | None]]:
    with tarfile.open(path) as tar:
        return [(each.name, None if each.isdir() else _content(tar, each)) for each in tar]


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(info)
    assert content is not None
    return content.read()


def deletions(folder: Path) -> list[str]:
    path = folder / "deleted.files"
    return [str(name) for name in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


# ---- how engines apply them


def put(tree: Tree, name: str, content: bytes | None) -> None:
    """Replace the old entry, unless both are folders (containers/storage archive.Unpack, containerd archive.Apply)."""
    if not (name in tree and tree[name] is None and content is None):
        remove(tree, name)
    tree[name] = content


def remove(tree: Tree, name: str) -> None:
    for each in [each for each in tree if each == name or each.startswith(f"{name}/")]:
        del tree[each]


def applied_list(image: Tree, folder: Path) -> Tree:
    tree = dict(image)
    if (folder / "rootfs-diff.tar").exists():
        for name, content in listed(folder / "rootfs-diff.tar"):
            put(tree, name, content)
    for name in deletions(folder):
        remove(tree, name.removeprefix("/"))
    return tree


def applied_layer(image: Tree, layer: Path) -> Tree:
    tree, written = dict(image), set()
    for name, content in listed(layer):
        where, _, last = name.rpartition("/")
        assert not where or tree.get(where, b"") is None, "containerd would create the missing folder"
        if last.startswith(".wh."):
            gone = f"{where}/{last[4:]}".lstrip("/")
            assert gone not in written
            remove(tree, gone)
        else:
            put(tree, name, content)
            written.add(name)
    return tree


# ---- what a container may do to an image

NAMES = st.sampled_from(["a", "b", "c", ".w", "wh.", "\u00fc\n", "x" * 120, "tab\t' \"", "\\x00"])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree: Tree = {}
    for path in draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6)):
        names = ["/".join(path[:depth]) for depth in range(1, len(path) + 1)]
        if any(tree.get(name, None) is not None for name in names[:-1]) or names[-1] in tree:
            continue
        tree.update(dict.fromkeys(names[:-1]))
        tree[names[-1]] = draw(st.none() | st.binary(max_size=3))
    return dict(sorted(tree.items()))


def above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def changed(image: Tree, now: Tree) -> Tree:
    return {name: content for name, content in now.items() if name not in image or image[name] != content}


@settings(deadline=None)
@given(trees(), trees())
def test_a_list_becomes_a_layer_of_the_same_files(image: Tree, now: Tree) -> None:
    """Podman also lists the old content of a folder that has become a file."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        made(at / "rootfs-diff.tar", changed(image, now))
        (at / "deleted.files").write_text(json.dumps([f"/{name}" for name in image if name not in now]))
        assert applied_list(image, at) == now
        to_layer(from_list(at / "rootfs-diff.tar", at / "deleted.files", at, Budget()), at / "layer", Budget())
        assert applied_layer(image, at / "layer") == now


@settings(deadline=None)
@given(trees(), trees())
def test_a_layer_becomes_a_list_of_the_same_files_and_a_layer_again(image: Tree, now: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at, own, again = (Path(folder, name) for name in ("", "own", "again"))
        own.mkdir()
        again.mkdir()
        gone = [
            name for name in image if name not in now and not any(now.get(each) is not None for each in above(name))
        ]
        tops = [name for name in gone if not any(name.startswith(f"{other}/") for other in gone)]
        marks = [f"{folder}/.wh.{last}".lstrip("/") for folder, _, last in (name.rpartition("/") for name in tops)]
        made(at / "layer", changed(image, now), whiteouts=marks, mode="w:gz")
        assert applied_layer(image, at / "layer") == now
        diff = from_layer(at / "layer", own, Budget())
        to_list(diff, at, Budget())
        assert applied_list(image, at) == now
        to_layer(diff, again / "layer", Budget())
        assert sorted(listed(again / "layer"), key=str) == sorted(listed(at / "layer"), key=str)


ANY = st.text(string.printable + "\u00e9\u202e\U0001f512", min_size=1, max_size=90).filter(
    lambda name: "/" not in name and name not in (".", "..") and not name.startswith(".wh.")
)


@settings(deadline=None)
@given(st.sets(ANY, max_size=6), st.sets(ANY, max_size=6))
def test_names_survive_whatever_is_in_them(written: set[str], deleted: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        at, own = Path(folder), Path(folder) / "own"
        own.mkdir()
        made(at / "rootfs-diff.tar", {f"d/{name}": b"x" for name in sorted(written - deleted)})
        (at / "deleted.files").write_text(json.dumps([f"/d/{name}" for name in sorted(deleted)]))
        diff = from_list(at / "rootfs-diff.tar", at / "deleted.files", at, Budget())
        to_layer(diff, at / "layer", Budget())
        back = from_layer(at / "layer", own, Budget())
        assert set(back.deleted) == set(diff.deleted) == {f"d/{name}" for name in deleted}
        to_list(back, own, Budget())
        assert deletions(own) == sorted(f"/d/{name}" for name in deleted)
        if written - deleted:
            assert listed(own / "rootfs-diff.tar") == listed(at / "rootfs-diff.tar")


# ---- all that an entry is


def test_entries_are_copied_with_all_that_they_are(tmp_path: Path) -> None:
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w", format=tarfile.PAX_FORMAT) as tar:
        for kind, link in (
            (tarfile.SYMTYPE, "../x"),
            (tarfile.LNKTYPE, "a/b"),
            (tarfile.CHRTYPE, ""),
            (tarfile.FIFOTYPE, ""),
            (tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(f"{'long' * 40}/{kind!r}")
            info.type, info.linkname, info.mode, info.uid, info.uname = kind, link, 0o4751, 1_234_567_890, "somebody"
            info.devmajor, info.devminor, info.mtime = 7, 8, 1.000000001
            info.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x00\x02", "atime": "3.000000004"}
            tar.addfile(info)
    to_layer(from_list(source, None, tmp_path, Budget()), tmp_path / "layer", Budget())
    assert gzip.decompress((tmp_path / "layer").read_bytes()).rstrip(b"\0") == source.read_bytes().rstrip(b"\0")
    own, out = tmp_path / "own", tmp_path / "out"
    own.mkdir()
    out.mkdir()
    to_list(from_layer(tmp_path / "layer", own, Budget()), out, Budget())
    assert (out / "rootfs-diff.tar").read_bytes().rstrip(b"\0") == source.read_bytes().rstrip(b"\0")
    assert not (out / "deleted.files").exists()


def test_the_same_diff_is_the_same_layer(tmp_path: Path) -> None:
    source = made(tmp_path / "source.tar", {"a": b"1", "d": None})
    diff = Diff(source, ("x", "y/z"))
    for name in ("one", "other"):
        to_layer(diff, tmp_path / name, Budget())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert [name for name, _ in listed(tmp_path / "one")] == [".wh.x", "y/.wh.z", "a", "d"]


def test_what_is_left_out_is_that_alone(tmp_path: Path) -> None:
    source = made(tmp_path / "source.tar", {"etc": None, "etc/hosts": b"", "etc/hosts.allow": b"1"})
    to_list(Diff(source), tmp_path, Budget(), without=["/etc/hosts", "/report"])
    assert [name for name, _ in listed(tmp_path / "rootfs-diff.tar")] == ["etc", "etc/hosts.allow"]


# ---- what cannot be said, or is not believed


@pytest.mark.parametrize("entry", [".wh.x", "d/.wh.x", ".wh.d/x", "d/.wh..wh..opq"])
def test_a_file_that_would_delete_another_one_is_declined(tmp_path: Path, entry: str) -> None:
    source = made(tmp_path / "source.tar", {entry: b"1"})
    with pytest.raises(Untranslatable, match="where the name would delete another file"):
        to_layer(from_list(source, None, tmp_path, Budget()), tmp_path / "layer", Budget())


@pytest.mark.parametrize("name", ["/.wh..opq", "/d/.wh.x", "/.wh.d/x"])
def test_a_deletion_that_would_be_another_mark_is_declined(tmp_path: Path, name: str) -> None:
    (tmp_path / "deleted.files").write_text(json.dumps([name]))
    diff = from_list(None, tmp_path / "deleted.files", tmp_path, Budget())
    with pytest.raises(Untranslatable, match="where the name would delete another file"):
        to_layer(diff, tmp_path / "layer", Budget())


@pytest.mark.parametrize("marks", [["d/.wh..wh..opq"], [".wh.d", "d/", "d/x"], [".wh.d", "d/x"]])
def test_a_folder_that_took_the_place_of_another_one_is_declined(tmp_path: Path, marks: list[str]) -> None:
    layer = made(tmp_path / "layer", {name.rstrip("/"): None if name.endswith("/") else b"" for name in marks})
    with pytest.raises(Untranslatable, match="the image's folder '/d' was deleted and made again"):
        from_layer(layer, tmp_path, Budget())


@pytest.mark.parametrize("mark", [".wh.", ".wh..", ".wh...", ".wh..wh.plnk", "a/.wh..wh.aufs", ".wh.d/x"])
def test_a_mark_that_says_nothing_is_not_believed(tmp_path: Path, mark: str) -> None:
    with pytest.raises(Unreadable, match="its layer has "):
        from_layer(made(tmp_path / "layer", {mark: b""}), tmp_path, Budget())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["/"]', "lists the root itself as deleted"),
        ('["/../etc"]', "leads outside of it"),
        ('["/a\\u0000b"]', "leads outside of it"),
        ('["/a\\ud800b"]', "not UTF-8"),
        ('{"a": 1}', "not a list of names"),
        ("[1]", "not a list of names"),
        ("[" * 100_000, "not JSON"),
        ('["/kept"]', "as deleted, but also contains it"),
        ('["/d"]', "as deleted, but also contains it"),
    ],
)
def test_a_list_that_makes_no_sense_is_not_believed(tmp_path: Path, text: str, told: str) -> None:
    source = made(tmp_path / "source.tar", {"kept": b"1", "d/x": b"2"})
    (tmp_path / "deleted.files").write_text(text)
    with pytest.raises(Unreadable, match=told):
        from_list(source, tmp_path / "deleted.files", tmp_path, Budget())


def test_a_name_that_no_list_can_hold_is_declined(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not UTF-8"):
        from_layer(made(tmp_path / "layer", {b".wh.\xff".decode(errors="surrogateescape"): b""}), tmp_path, Budget())


def test_a_layer_that_unpacks_to_more_than_there_is_room_for_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(gzip.compress(bytes(8 << 20)))
    with pytest.raises(Unreadable, match="unpacks to more than"):
        from_layer(tmp_path / "layer", tmp_path, Budget(kept=4 << 20))
    assert (tmp_path / "plain.tar").stat().st_size <= 4 << 20


def test_headers_that_are_of_several_entries_are_declined(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}) as tar:
        tar.addfile(tarfile.TarInfo("x"))
    with pytest.raises(Unreadable, match="headers that belong to several entries"):
        from_list(tmp_path / "a.tar", None, tmp_path, Budget())
