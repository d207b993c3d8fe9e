"""Files that a process has open, out of CRIU's images: where they are by the kernel's own word.

A path that a process was given may lead through symbolic links, be relative, or be meant from another root. CRIU writes
down where each open file is: `fdinfo-N.img` has the descriptors, `files.img` the paths from the root of the mount
namespace, `fs-PID.img` the root and the working directory, `remap-fpath.img` which files have lost their name.
https://github.com/checkpoint-restore/criu/tree/v4.2: images/regfile.proto, criu/files-reg.c.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget

REGULAR = 1
"""Kind of a descriptor (fd_types in images/fdinfo.proto)."""


@dataclass(frozen=True)
class OpenFile:
    """A regular file that a process has open."""

    descriptor: int
    path: str
    """From the root of the mount namespace."""
    writable: bool
    nameless: bool
    """It was deleted, and its content is in CRIU's images."""


@dataclass(frozen=True)
class ProcessFiles:
    """Where a process stands, and what it has open."""

    root: str
    """Its own root, from that of its mount namespace."""
    cwd: str
    files: tuple[OpenFile, ...]
    """By descriptor."""

    def absolute(self, path: str) -> str:
        """A path of the process as it is seen from the root of the mount namespace."""
        return os.path.normpath(f"{self.root}/{path}" if path.startswith("/") else f"{self.cwd}/{path}")


def files_of(images: Path, pid: int, budget: Budget) -> ProcessFiles | None:
    """Read the open files of a process; None where the images do not tell them, as those of CRIU before 3.4."""
    if not os.path.lexists(images / "files.img"):
        return None
    known = {
        entry.id: entry.reg for entry in image.read(images / "files.img", image.FILES, budget) if entry.type == REGULAR
    }
    folders = next(_read(images / f"fs-{pid}.img", image.FOLDERS, budget), None)
    ids = next(_read(images / f"ids-{pid}.img", image.IDS, budget), None)
    inventory = next(_read(images / "inventory.img", image.INVENTORY, budget), None)
    if folders is None or ids is None or inventory is None:
        return None
    nameless = {each.orig_id for each in _read(images / "remap-fpath.img", image.REMAPS, budget)}
    table = images / f"fdinfo-{ids.files_id if inventory.fdinfo_per_id else pid}.img"
    opened = (
        OpenFile(
            entry.fd,
            _path(known, entry.id),
            bool(known[entry.id].flags & os.O_ACCMODE),
            entry.id in nameless,
        )
        for entry in _read(table, image.DESCRIPTORS, budget)
        if entry.type == REGULAR and entry.id in known and stat.S_ISREG(known[entry.id].mode or stat.S_IFREG)
    )
    return ProcessFiles(
        _path(known, folders.root_id),
        _path(known, folders.cwd_id),
        tuple(sorted(opened, key=lambda file: file.descriptor)),
    )


def _path(known: Mapping[int, Any], number: int) -> str:
    """Path of a file; the root of the namespace where it is not described."""
    return "/" + os.fsdecode(known[number].name).lstrip("/") if number in known else "/"


def _read(path: Path, kind: image.Kind, budget: Budget) -> Iterator[Any]:
    """Messages of an image that CRIU leaves out where it would be empty."""
    return image.read(path, kind, budget) if os.path.lexists(path) else iter(())
