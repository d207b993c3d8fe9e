"""Open files of a process, from CRIU's images, with the paths that the kernel gives.

The path that a process uses may lead through symbolic links, be relative, or begin at another root. CRIU records the
real path of each open file: `fdinfo-N.img` has the descriptors, `files.img` the paths from the root of the mount
namespace, `fs-PID.img` the root and the working directory, `remap-fpath.img` the files without a name.
https://github.com/checkpoint-restore/criu/tree/v4.2: images/regfile.proto, criu/files-reg.c.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.criu.mounts import external_of
from harness.checkpoints.untrusted import Budget

REGULAR = 1
"""Number of the kind "regular file" (fd_types in images/fdinfo.proto)."""


@dataclass(frozen=True)
class OpenFile:
    """A regular file that a process has open."""

    descriptor: int
    path: str
    """Path from the root of the mount namespace."""
    writable: bool
    nameless: bool
    """True if the file was deleted, so that its content is in CRIU's images."""


@dataclass(frozen=True)
class ProcessFiles:
    """Root, working directory and open files of a process."""

    root: str
    """The root of the process, as a path from the root of its mount namespace."""
    cwd: str
    files: tuple[OpenFile, ...]
    """Open files in the order of their descriptors."""

    def absolute(self, path: str) -> str:
        """Return a path of the process as a path from the root of the mount namespace."""
        return os.path.normpath(f"{self.root}/{path}" if path.startswith("/") else f"{self.cwd}/{path}")


def files_of(images: Path, pid: int, budget: Budget) -> ProcessFiles | None:
    """Read the open files of a process; None if the images do not contain them, as before CRIU 3.4."""
    if not os.path.lexists(images / "files.img"):
        return None
    known = {
        entry.id: entry.reg for entry in image.read(images / "files.img", image.FILES, budget) if entry.type == REGULAR
    }
    folders = next(image.read_if_there(images / f"fs-{pid}.img", image.FOLDERS, budget), None)
    ids = next(image.read_if_there(images / f"ids-{pid}.img", image.IDS, budget), None)
    inventory = next(image.read_if_there(images / "inventory.img", image.INVENTORY, budget), None)
    if folders is None or ids is None or inventory is None:
        return None
    nameless = {each.orig_id for each in image.read_if_there(images / "remap-fpath.img", image.REMAPS, budget)}
    table = images / f"fdinfo-{ids.files_id if inventory.fdinfo_per_id else pid}.img"
    opened = (
        OpenFile(
            entry.fd,
            _path(known, entry.id),
            bool(known[entry.id].flags & os.O_ACCMODE),
            entry.id in nameless,
        )
        for entry in image.read_if_there(table, image.DESCRIPTORS, budget)
        if entry.type == REGULAR and entry.id in known and stat.S_ISREG(known[entry.id].mode or stat.S_IFREG)
    )
    return ProcessFiles(
        _path(known, folders.root_id),
        _path(known, folders.cwd_id),
        tuple(sorted(opened, key=lambda file: file.descriptor)),
    )


@dataclass(frozen=True)
class FileOutside:
    """A file that processes use, on a mount whose content the restoring side provides."""

    path: str
    """Path from the root of the mount namespace."""
    mount: str
    """Mount point."""
    size: int | None
    """Size in bytes, which CRIU compares; None: not a regular file."""


def files_outside(images: Path, budget: Budget) -> tuple[FileOutside, ...]:
    """Return what processes have opened, mapped, executed or entered on external mounts, except devices.

    The mount points themselves are not part of it, nor what was deleted: its content is in the images.
    """
    mounts = {mount.number: mount.mountpoint for mount in external_of(images, budget)}
    nameless = {each.orig_id for each in image.read_if_there(images / "remap-fpath.img", image.REMAPS, budget)}
    found: dict[str, FileOutside] = {}
    for each in image.read_if_there(images / "files.img", image.FILES, budget):
        if each.type == REGULAR and each.reg.mnt_id in mounts and each.id not in nameless:
            path, mount = "/" + os.fsdecode(each.reg.name).lstrip("/"), mounts[each.reg.mnt_id]
            kind = stat.S_IFMT(each.reg.mode) or stat.S_IFREG
            if path != mount and kind not in (stat.S_IFCHR, stat.S_IFBLK):
                found[path] = FileOutside(path, mount, each.reg.size if kind == stat.S_IFREG else None)
    return tuple(found[path] for path in sorted(found))


def _path(known: Mapping[int, Any], number: int) -> str:
    """Return the path of a file; "/" if the file is not described."""
    return "/" + os.fsdecode(known[number].name).lstrip("/") if number in known else "/"
