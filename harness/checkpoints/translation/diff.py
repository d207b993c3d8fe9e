"""The difference between a container's root file system and its image, in the two forms of engines.

Podman and CRI-O have a tar and a list of deleted files. containerd has an OCI layer, in which an empty file `.wh.NAME`
marks a deleted file. A mix-up of the two gives no error: deleted files come back, and files `.wh.NAME` appear. Entries
are copied byte by byte, with all their attributes.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.checkpoints import archive
from harness.checkpoints.archive import CHUNK, DELETED_BY
from harness.checkpoints.documents import listed
from harness.checkpoints.untrusted import Budget, Unreadable, inside
from harness.model.errors import Untranslatable

RESERVED = ".wh..wh."
"""Prefix of special whiteouts, which do not mark one deleted file (OCI image specification, layer.md)."""
HOW_TO_HAVE_NONE = "Checkpoint a container in which no folder of the image was deleted and made again."


@dataclass(frozen=True)
class Diff:
    """Added or changed entries, and deleted names; no name is both."""

    entries: Path | None
    """A plain tar without whiteouts; None: no entries."""
    deleted: tuple[str, ...] = ()
    """Sorted names relative to the root; no name is below another one."""


@dataclass(frozen=True)
class _Entry:
    name: str
    folder: bool
    start: int
    end: int


def from_list(tar: Path | None, deleted: Path | None, own: Path, budget: Budget) -> Diff:
    """Read the form of Podman and CRI-O; raise `Unreadable` for a name that is both deleted and present."""
    plain = archive.plain(tar, own / "plain.tar", budget) if tar else None
    names = {each.name: each.folder for each in _entries(plain, budget)} if plain else {}
    gone = set(_listed(deleted)) if deleted else set()
    for name in gone:
        if name in names or any(each in gone for each in names for each in _above(each)):
            raise Unreadable(f"it lists {name[:200]!r} as deleted, but also contains it")
    return Diff(plain if names else None, _settled(gone, names))


def from_layer(layer: Path, own: Path, budget: Budget) -> Diff:
    """Read an OCI layer, whose whiteouts delete names of the image."""
    plain = archive.plain(layer, own / "plain.tar", budget)
    names: dict[str, bool] = {}
    gone: set[str] = set()
    for each in _entries(plain, budget):
        deleted = _whiteout(each)
        if deleted is None:
            names[each.name] = each.folder
        else:
            gone.add(deleted)
    for name in gone & names.keys():
        if names[name]:
            raise _replaced(name)
        gone.discard(name)  # the new entry replaces the deleted one
    for name in names:
        for above in _above(name):
            if above in gone:
                raise _replaced(above)
    without = own / "entries.tar"
    with without.open("xb") as out:
        _copy(plain, out, (each for each in _entries(plain, budget) if _whiteout(each) is None))
        out.write(bytes(2 * tarfile.BLOCKSIZE))
    return Diff(without if names else None, _settled(gone, names))


def to_list(diff: Diff, into: Path, budget: Budget, *, without: Iterable[str] = ()) -> None:
    """Write `rootfs-diff.tar` and `deleted.files`, if not empty; `without`: names of entries to leave out."""
    if diff.entries:
        left = {name.lstrip("/") for name in without}
        kept = (each for each in _entries(diff.entries, budget) if each.name not in left)
        with (into / "rootfs-diff.tar").open("xb") as out:
            _copy(diff.entries, out, kept)
            out.write(bytes(2 * tarfile.BLOCKSIZE))
    if diff.deleted:
        text = json.dumps([f"/{name}" for name in diff.deleted], indent=2, ensure_ascii=False)
        (into / "deleted.files").write_text(text, encoding="utf-8")


def to_layer(diff: Diff, layer: Path, budget: Budget) -> None:
    """Write a layer, compressed like containerd's; raise `Untranslatable` if an entry looks like a whiteout."""
    with layer.open("xb") as file, gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as out:
        for name in diff.deleted:
            _speakable(name)
            above, _, last = name.rpartition("/")
            info = tarfile.TarInfo(f"{above}/{DELETED_BY}{last}".lstrip("/"))
            info.mode = 0
            out.write(info.tobuf(tarfile.PAX_FORMAT))
        for each in _entries(diff.entries, budget) if diff.entries else ():
            _speakable(each.name)
        if diff.entries:
            _copy(diff.entries, out, _entries(diff.entries, budget))
        out.write(bytes(2 * tarfile.BLOCKSIZE))


def _speakable(name: str) -> None:
    if any(each.startswith(DELETED_BY) for each in name.split("/")):
        raise Untranslatable(
            f"its file {name[:200]!r} cannot be in a layer, where the name would delete another file",
            remedy="Rename it in the container before the checkpoint.",
        )


def _entries(plain: Path, budget: Budget) -> Iterator[_Entry]:
    """Yield the entries with their positions, including headers."""
    end = 0
    for member in archive.members(plain, budget):
        info = member.info
        if info.offset != end or info.issparse():
            raise Unreadable("its file system has sparse entries, or headers that belong to several entries")
        end = info.offset_data
        if info.isreg() or info.type not in tarfile.SUPPORTED_TYPES:
            end += -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        yield _Entry(member.name, info.isdir(), info.offset, end)


def _copy(plain: Path, out: BinaryIO | gzip.GzipFile, entries: Iterable[_Entry]) -> None:
    with plain.open("rb") as source:
        for each in entries:
            source.seek(each.start)
            left = each.end - each.start
            while left:
                chunk = source.read(min(CHUNK, left))
                if not chunk:
                    raise Unreadable("its file system ends before the end of its last entry")
                out.write(chunk)
                left -= len(chunk)


def _whiteout(entry: _Entry) -> str | None:
    """Return the name that the entry deletes; None if it is not a whiteout."""
    above, _, last = entry.name.rpartition("/")
    if any(each.startswith(DELETED_BY) for each in above.split("/")):
        raise Unreadable(f"its layer has an entry below the whiteout {above[:200]!r}")
    if not last.startswith(DELETED_BY):
        return None
    if last == f"{RESERVED}.opq":
        raise _replaced(above)
    name = last.removeprefix(DELETED_BY)
    if last.startswith(RESERVED) or name in ("", ".", ".."):
        raise Unreadable(f"its layer has an invalid whiteout: {last[:200]!r}")
    return f"{above}/{name}".lstrip("/")


def _replaced(name: str) -> Untranslatable:
    return Untranslatable(
        f"the image's folder {'/' + name[:200]!r} was deleted and made again; only the image knows its old content",
        remedy=HOW_TO_HAVE_NONE,
    )


def _listed(deleted: Path) -> Iterator[str]:
    for name in listed(deleted):
        relative = inside(name.lstrip("/"))
        if not relative:
            raise Unreadable(f"{deleted.name} lists the root itself as deleted")
        yield relative


def _settled(gone: Collection[str], names: dict[str, bool]) -> tuple[str, ...]:
    """Return the deletions that have an effect: not below another deletion, or below an entry that is not a folder."""
    for name in gone:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise Unreadable(f"it deletes {name[:200]!r}, whose name is not UTF-8, so no list can hold it") from error
    moot = {name for name in gone if any(above in gone or names.get(above) is False for above in _above(name))}
    return tuple(sorted(set(gone) - moot))


def _above(name: str) -> Iterator[str]:
    """Yield the names of its parent folders."""
    while name := name.rpartition("/")[0]:
        yield name
