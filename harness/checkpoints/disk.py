"""Captured files of a mount: what a file holds, and whether one was deleted.

What differs from an image says of a deleted file that it is: by `.wh.NAME` (OCI image specification, layer.md), by a
device node 0:0 (overlayfs), by an opaque folder, or in a list beside it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.archive import Member, save
from harness.checkpoints.sources import Folder, Source
from harness.checkpoints.untrusted import beneath, inside

DELETED_BY = ".wh."
"""Prefix of a whiteout."""
OPAQUE = ".wh..wh..opq"
"""What stands in a folder of a layer under which nothing of the image shows."""
OPAQUE_TO_OVERLAY = ("trusted.overlay.opaque", "user.overlay.opaque")
"""Attributes of such a folder in overlayfs (Documentation/filesystems/overlayfs.rst)."""


@dataclass(frozen=True)
class CapturedFiles:
    """Captured files in a folder, of which nothing is to be believed."""

    folder: Path
    whole: bool = False
    """It holds all files of the mount, and not only what differs from an image."""
    deleted: frozenset[str] = frozenset()
    """Names of a list of what was deleted, relative to the mount."""

    def file(self, name: str) -> Path:
        """Where the file is; a path that does not exist if it was deleted."""
        return beneath(self.folder, OPAQUE if name in self.deleted else name)

    def lacks(self, name: str) -> bool:
        """Whether it says that the file was deleted."""
        if self.whole:
            return not os.path.lexists(beneath(self.folder, name))
        if name in self.deleted:
            return True
        above = list(_above(name))
        there = _status(beneath(self.folder, name))
        if there is not None and not _is_whiteout(there):
            return False
        return any(map(self._marked, (name, *above))) or any(map(self._opaque, above))

    def _marked(self, name: str) -> bool:
        path = beneath(self.folder, name)
        found = _status(path)
        marked = _status(path.with_name(f"{DELETED_BY}{path.name}")) is not None
        return name in self.deleted or marked or (found is not None and _is_whiteout(found))

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
    """Captured files of a mount where they lie: a folder or an archive of a source."""

    source: Source
    name: str
    whole: bool = False
    deleted: frozenset[str] = frozenset()

    def take(self, names: Collection[str] | None, to: Path) -> CapturedFiles:
        """Lay files of these names open, or all, and what says of one that it was deleted.

        An archive is read to its end, so that one that is cut off is noticed.
        """
        if isinstance(self.source, Folder) and self.name in self.source.folders:
            return CapturedFiles(self.source.path / self.name, self.whole, self.deleted)
        to.mkdir(parents=True, exist_ok=True)
        wanted = None if names is None else {mark for name in names for mark in _marks(name)}
        if self.name:
            for member in self.source.members_of(self.name):
                if member.name and (wanted is None or member.name in wanted):
                    save(member, to, self.source.budget)
                for mark in _marks_of(member):
                    if wanted is None or mark in wanted:
                        (to / mark).parent.mkdir(parents=True, exist_ok=True)
                        (to / mark).touch()
        return CapturedFiles(to, self.whole, self.deleted)


def listed_names(names: Collection[str]) -> frozenset[str]:
    """Names of a list of what was deleted, relative; `Unreadable` for one that leads out of the mount."""
    return frozenset(filter(None, (inside(name.lstrip("/")) for name in names)))


def _above(name: str) -> Iterator[str]:
    """Folders that the file is in, the nearest first, without the mount itself."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _marks(name: str) -> Iterator[str]:
    """Names that say something about a file."""
    for each in (name, *_above(name)):
        folder, _, last = each.rpartition("/")
        yield each
        yield f"{folder}/{DELETED_BY}{last}".lstrip("/")
        yield f"{each}/{OPAQUE}"


def _marks_of(member: Member) -> Iterator[str]:
    """What a member says as overlayfs does it, in the words of a layer."""
    folder, _, last = member.name.rpartition("/")
    if member.info.ischr() and (member.info.devmajor, member.info.devminor) == (0, 0):
        yield f"{folder}/{DELETED_BY}{last}".lstrip("/")
    if any(member.info.pax_headers.get(f"SCHILY.xattr.{name}") == "y" for name in OPAQUE_TO_OVERLAY):
        yield f"{member.name}/{OPAQUE}"


def _status(path: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError, ValueError):
        return path.lstat()
    return None


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
