"""Where in a checkpoint the surfaces of a process are: the checkpoint's own mounts tell it, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.checkpoints.archive import members
from harness.checkpoints.mounts import Mounts
from harness.checkpoints.untrusted import Budget
from harness.oracle.processes import Form, OwnSurface
from harness.oracle.ring import LARGEST_RING, RECORD

LARGEST_SURFACE = LARGEST_RING * RECORD.itemsize
"""Bytes of the largest ring."""
TMPFS = "tmpfs"
"""As the kernel calls it."""


@dataclass(frozen=True)
class OnDisk:
    """A file on a disk that was captured."""

    mount: str
    """Mount point of the disk."""
    name: str
    """Relative to it."""


@dataclass(frozen=True)
class InTmpfs:
    """A file on a tmpfs of the container's own, which is in CRIU's images."""

    device: int
    name: str


@dataclass(frozen=True)
class InLog:
    """Standard output, in the log that the engine keeps."""


@dataclass(frozen=True)
class Outside:
    """Not in the checkpoint."""

    why: str


Place = OnDisk | InTmpfs | InLog | Outside


def place_of(surface: OwnSurface, mounts: Mounts | None, disks: Collection[str], absent: Mapping[str, str]) -> Place:
    """Say where a surface is, by the mounts of its process, if there are any, and the mount points that were captured.

    `absent`: why the files of a mount point are not in the checkpoint. A disk that somebody has named for a folder
    below a mount counts before that mount.
    """
    if surface.form is Form.STDOUT:
        return InLog()
    path = PurePosixPath(os.path.normpath("/" + surface.path.lstrip("/")))
    mount, name = mounts.resolve(str(path)) if mounts else (None, str(path)[1:])
    point = mount.mountpoint if mount else "/"
    nearer = [each for each in disks if path.is_relative_to(each) and len(each) > len(point)]
    if nearer:
        return OnDisk(max(nearer, key=len), str(path.relative_to(max(nearer, key=len))))
    if point in disks:
        return OnDisk(point, name)
    inside = mount.path_in_file_system(name) if mount and not mount.external else None
    root = mounts.root.path_in_file_system("") if mounts else None
    if mount and mounts and inside and root and mount.device == mounts.root.device:
        point, name = "/", os.path.relpath(inside, root)  # a folder of the root is mounted here
    elif mount and inside and mount.file_system == TMPFS:
        return InTmpfs(mount.device, inside[1:])
    return OnDisk(point, name) if point in disks and not name.startswith("..") else Outside(_why(point, absent))


def _why(mount: str, absent: Mapping[str, str]) -> str:
    option = f"--disk {'' if mount == '/' else f'{mount}='}DIR adds it"
    if mount in absent:
        return f"{absent[mount]}; {option}"
    if mount == "/":
        return f"the root file system is not in it; {option}"
    return f"what is mounted at {mount} is of the host or of another container, outside of the checkpoint; {option}"


def files_of(places: Iterable[Place]) -> dict[str, set[str]]:
    """Names of the files that are asked for of each disk, by mount point."""
    found: dict[str, set[str]] = {}
    for place in places:
        if isinstance(place, OnDisk):
            found.setdefault(place.mount, set()).add(place.name)
    return found


def tmpfs_files(images: Path, places: Iterable[Place], budget: Budget) -> dict[InTmpfs, bytes | None]:
    """Content of files in the archives that CRIU has tar(1) make of a tmpfs; None for one that is not there."""
    wanted = {place for place in places if isinstance(place, InTmpfs)}
    found: dict[InTmpfs, bytes | None] = dict.fromkeys(wanted)
    for device in sorted({place.device for place in wanted}):
        for member in members(images / f"tmpfs-dev-{device}.tar.gz.img", budget):
            place = InTmpfs(device, member.name)
            if place in wanted and member.info.isreg():
                budget.keep(min(member.info.size, LARGEST_SURFACE))
                found[place] = b"".join(member.chunks(LARGEST_SURFACE))
    return found
