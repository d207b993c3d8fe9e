"""What differs from the image in a container's root file system, in the two forms that engines keep it in.

Podman and CRI-O have a tar and a list of what was deleted; containerd has an OCI layer, in which an empty file
`.wh.NAME` stands for what was deleted. To mistake one for the other is silent: deleted files come back, and files
`.wh.NAME` appear. Entries are never taken apart: their bytes are copied, with all attributes that there are.
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
"""Prefix of marks that are about something else than one deleted file (OCI image specification, layer.md)."""
HOW_TO_HAVE_NONE = "Checkpoint a container in which no folder of the image was deleted and made again."


@dataclass(frozen=True)
class Diff:
    """Entries that were added or changed, and names that were deleted; nothing is both."""

    entries: Path | None
    """A plain tar without whiteouts; None: there are none."""
    deleted: tuple[str, ...] = ()
    """Relative to the root, in order, none below another one."""


@dataclass(frozen=True)
class _Entry:
    name: str
    folder: bool
    start: int
    end: int


def from_list(tar: Path | None, deleted: Path | None, own: Path, budget: Budget) -> Diff:
    """Take the form of Podman and CRI-O, where what is in both was deleted last."""
    plain = archive.plain(tar, own / "plain.tar", budget) if tar else None
    names = {each.name: each.folder for each in _entries(plain, budget)} if plain else {}
    gone = set(_listed(deleted)) if deleted else set()
    for name in gone:
        if name in names or any(each in gone for each in names for each in _above(each)):
            raise Unreadable(f"it says of {name[:200]!r} that it was deleted, and what it holds")
    return Diff(plain if names else None, _settled(gone, names))


def from_layer(layer: Path, own: Path, budget: Budget) -> Diff:
    """Take a layer apart, where what is deleted is that of the image."""
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
        gone.discard(name)  # what takes its place replaces it anyhow
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
    """Write `rootfs-diff.tar` and `deleted.files`, as far as there is something for them, but not what is `without`."""
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
    """Write a layer, compressed as containerd does it; `Untranslatable` where an entry would become a whiteout."""
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
            f"it is about a file {name[:200]!r}, which a layer cannot hold: there it would delete another one",
            remedy="Rename it in the container before the checkpoint.",
        )


def _entries(plain: Path, budget: Budget) -> Iterator[_Entry]:
    """Entries and where they are, headers included."""
    end = 0
    for member in archive.members(plain, budget):
        info = member.info
        if info.offset != end or info.issparse():
            raise Unreadable("its file system has entries with holes, or headers that are of several entries")
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
                    raise Unreadable("its file system ends before its last entry does")
                out.write(chunk)
                left -= len(chunk)


def _whiteout(entry: _Entry) -> str | None:
    """What the entry says that was deleted; None if it is no whiteout."""
    above, _, last = entry.name.rpartition("/")
    if any(each.startswith(DELETED_BY) for each in above.split("/")):
        raise Unreadable(f"its layer has something in {above[:200]!r}, which is the mark of something deleted")
    if not last.startswith(DELETED_BY):
        return None
    if last == f"{RESERVED}.opq":
        raise _replaced(above)
    name = last.removeprefix(DELETED_BY)
    if last.startswith(RESERVED) or name in ("", ".", ".."):
        raise Unreadable(f"its layer has a mark {last[:200]!r} that says nothing")
    return f"{above}/{name}".lstrip("/")


def _replaced(name: str) -> Untranslatable:
    return Untranslatable(
        f"the folder {'/' + name[:200]!r} of the image was deleted and made again; only the image tells what was in it",
        remedy=HOW_TO_HAVE_NONE,
    )


def _listed(deleted: Path) -> Iterator[str]:
    for name in listed(deleted):
        relative = inside(name.lstrip("/"))
        if not relative:
            raise Unreadable(f"{deleted.name} says that everything was deleted")
        yield relative


def _settled(gone: Collection[str], names: dict[str, bool]) -> tuple[str, ...]:
    """Deletions that have something to delete: none below another one, or below what is no folder any more."""
    for name in gone:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise Unreadable(
                f"it deletes {name[:200]!r}, whose name is not in UTF-8, and which no list can hold"
            ) from error
    moot = {name for name in gone if any(above in gone or names.get(above) is False for above in _above(name))}
    return tuple(sorted(set(gone) - moot))


def _above(name: str) -> Iterator[str]:
    """Names of the folders above it."""
    while name := name.rpartition("/")[0]:
        yield name
