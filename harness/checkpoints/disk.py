"""Captured files of a mount: their content, and which files were deleted.

A capture of the differences from an image records a deleted file as `.wh.NAME` (OCI image specification, layer.md), as
a device node 0:0 (overlayfs), by an opaque folder, or in a separate list.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.archive import DELETED_BY, OPAQUE, Member, save
from harness.checkpoints.sources import Folder, Source, under
from harness.checkpoints.untrusted import Budget, Unreadable, beneath, inside

MOST_LINKED = 8
"""Maximum length of a chain of hard links."""
ATTRIBUTE = "SCHILY.xattr."
"""How the header of an extended attribute begins in an archive."""
OF_USER = f"{ATTRIBUTE}user."
OPAQUE_TO_OVERLAY = ("trusted.overlay.opaque", "user.overlay.opaque")
"""Attributes of an opaque folder in overlayfs (Documentation/filesystems/overlayfs.rst)."""


@dataclass(frozen=True)
class CapturedFiles:
    """Captured files in a folder; nothing in them is trusted."""

    folder: Path
    whole: bool = False
    """True if the folder holds all files of the mount, not only the differences from an image."""
    deleted: frozenset[str] = frozenset()
    """Names in the list of deleted files, relative to the mount; the list wins over captured files."""
    below: str = ""
    """The mounted folder within the captured files."""
    listed: bool = False
    """True if only the list records deletions, so that a file `.wh.NAME` is an ordinary file."""

    def file(self, name: str) -> Path:
        """Return the path of the file; a path that does not exist if the file was deleted."""
        gone = any(each in self.deleted for each in (name, *_above(name)))
        return beneath(self.folder, OPAQUE if gone else under(self.below, name))

    def lacks(self, name: str) -> bool:
        """Return whether the capture records the file as deleted."""
        if self.whole:
            return not os.path.lexists(beneath(self.folder, under(self.below, name)))
        above = list(_above(name))
        if any(each in self.deleted for each in (name, *above)):
            return True
        if self.listed:
            return False
        there = _status(beneath(self.folder, name))
        if there is not None and not _is_whiteout(there):
            return False
        return any(map(self._marked, (name, *above))) or any(map(self._opaque, above))

    def _marked(self, name: str) -> bool:
        path = beneath(self.folder, name)
        found = _status(path)
        marked = _status(path.with_name(f"{DELETED_BY}{path.name}")) is not None
        return marked or (found is not None and _is_whiteout(found))

    def _opaque(self, folder: str) -> bool:
        path = beneath(self.folder, folder)
        if _status(path / OPAQUE) is not None:
            return True
        for name in OPAQUE_TO_OVERLAY:
            with contextlib.suppress(OSError):
                if os.getxattr(path, name, follow_symlinks=False) == b"y":
                    return True
        return False


@dataclass(frozen=True)
class Disk:
    """Captured files of a mount, not unpacked: a folder or an archive of a source."""

    source: Source
    name: str
    whole: bool = False
    deleted: frozenset[str] = frozenset()
    below: str = ""
    listed: bool = False

    def take(self, names: Collection[str] | None, to: Path) -> CapturedFiles:
        """Unpack the files of these names, or all files, together with the records of their deletion.

        An archive is read to its end, to detect whether it is cut off. Raise `Unreadable` for a file below a link.
        """
        if isinstance(self.source, Folder) and self.name in self.source.folders:
            return CapturedFiles(self.source.path / self.name, self.whole, self.deleted, self.below, self.listed)
        to.mkdir(parents=True, exist_ok=True)
        wanted = None if names is None else {mark for name in names for mark in _marks(under(self.below, name))}
        if self.name:
            extract(lambda: self.source.members_of(self.name), wanted, to, self.source.budget, self.name)
        return CapturedFiles(to, self.whole, self.deleted, self.below, self.listed)


def extract(
    members: Callable[[], Iterable[Member]], wanted: Collection[str] | None, to: Path, budget: Budget, archive: str
) -> None:
    """Extract the regular files of these names, or all files as they were, into the folder `to`.

    The last member of a name counts, of any kind. A hard link gets the content of its target. All files have their
    owners, permissions, attributes and symbolic links, too: who asks for all lets an application read them.
    """
    links, saved = _save(members(), None if wanted is None else _with_folders(wanted), to, budget, archive)
    for _ in range(MOST_LINKED):
        lacking = {target for target in links.values() if target not in links and not os.path.lexists(to / target)}
        if not lacking:
            break
        further, _ = _save(members(), _with_folders(lacking), to, budget, archive)
        links |= further
        if not further:
            break
    for name in links:
        target = name
        for _ in range(MOST_LINKED):
            target = links.get(target, target)
        if not os.path.lexists(to / name) and os.path.isfile(to / target):  # noqa: PTH113  # accepts a name that is too long
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(to / target, to / name)
    if wanted is None:
        _dress(saved, to)


def _dress(saved: Mapping[str, tarfile.TarInfo], to: Path) -> None:
    """Give files what they have besides content; make symbolic links last, so that nothing is changed through one."""
    for name, info in saved.items():
        path = to / name
        if info.issym() or not os.path.lexists(path):
            continue
        os.chown(path, info.uid, info.gid, follow_symlinks=False)
        path.chmod(info.mode & 0o7777)
        for key, value in info.pax_headers.items():
            if key.startswith(OF_USER):
                os.setxattr(path, key.removeprefix(ATTRIBUTE), value.encode("utf-8", "surrogateescape"))
    for name, info in saved.items():
        if info.issym():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).symlink_to(info.linkname)


def _save(
    members: Iterable[Member], wanted: Collection[str] | None, to: Path, budget: Budget, archive: str
) -> tuple[dict[str, str], dict[str, tarfile.TarInfo]]:
    """Write the wanted members; return the targets of the hard links among them, and all of them."""
    same: dict[str, str] = {}
    links: set[str] = set()
    saved: dict[str, tarfile.TarInfo] = {}
    for member in members:
        if member.info.issym():
            links.add(member.name)
        if member.name and (wanted is None or member.name in wanted):
            _replace(member, to, same)
            saved[member.name] = member.info
            save(member, to, budget)
            if member.info.islnk():
                same[member.name] = inside(member.info.linkname)
        for mark in _marks_of(member):
            if wanted is None or mark in wanted:
                (to / mark).parent.mkdir(parents=True, exist_ok=True)
                (to / mark).touch()
    for name in saved:
        for link in links.intersection(_above(name)):
            raise Unreadable(f"{archive.rpartition('/')[2]} holds {name[:200]!r} below the link {link[:200]!r}")
    return same, saved


def _replace(member: Member, to: Path, same: dict[str, str]) -> None:
    """Remove what a member replaces: any file of its name, unless both are folders."""
    path = to / member.name
    same.pop(member.name, None)
    if os.path.isdir(path):  # noqa: PTH112  # accepts a name that is too long
        if not member.info.isdir():
            shutil.rmtree(path)
    else:
        with contextlib.suppress(NotADirectoryError):
            path.unlink(missing_ok=True)
    if not member.info.isdir():
        for name in [each for each in same if each.startswith(f"{member.name}/")]:
            del same[name]


def listed_names(names: Collection[str]) -> frozenset[str]:
    """Return the names of a list of deleted files as relative names; raise `Unreadable` for a name outside."""
    return frozenset(filter(None, (inside(name.lstrip("/")) for name in names)))


def _above(name: str) -> Iterator[str]:
    """Yield the folders that contain the file, the nearest first, without the mount itself."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _with_folders(names: Collection[str]) -> set[str]:
    return {each for name in names for each in (name, *_above(name))}


def _marks(name: str) -> Iterator[str]:
    """Yield the names in a capture that concern a file: its own, its folders', and their whiteouts."""
    for each in (name, *_above(name)):
        folder, _, last = each.rpartition("/")
        yield each
        yield f"{folder}/{DELETED_BY}{last}".lstrip("/")
        yield f"{each}/{OPAQUE}"


def _marks_of(member: Member) -> Iterator[str]:
    """Yield the whiteouts of overlayfs in a member, as the names of a layer's whiteouts."""
    folder, _, last = member.name.rpartition("/")
    if member.info.ischr() and (member.info.devmajor, member.info.devminor) == (0, 0):
        yield f"{folder}/{DELETED_BY}{last}".lstrip("/")
    if any(member.info.pax_headers.get(f"{ATTRIBUTE}{name}") == "y" for name in OPAQUE_TO_OVERLAY):
        yield f"{member.name}/{OPAQUE}"


def _status(path: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError, ValueError):
        return path.lstat()
    return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
