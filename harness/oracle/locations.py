"""Locations of a process's surfaces in a checkpoint; only the checkpoint's own mounts decide them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from harness.checkpoints.archive import members
from harness.checkpoints.criu.mounts import Mount, Mounts, bases_of, mounts_of
from harness.checkpoints.criu.open_files import OpenFile, ProcessFiles, files_of
from harness.checkpoints.disk import extract
from harness.checkpoints.untrusted import Absent, Budget, beneath, open_regular, pread
from harness.model.description import Task
from harness.oracle.processes import Form, OwnSurface, Process
from harness.oracle.ring import LARGEST_RING, RECORD

LARGEST_SURFACE = 4 * LARGEST_RING * RECORD.itemsize
"""Bytes of a surface that are read at most: more than the largest ring has."""
TMPFS = "tmpfs"
"""The kernel's name of the file system."""


@dataclass(frozen=True)
class OnDisk:
    """A file on a captured disk."""

    mount: str
    """Mount point of the disk."""
    name: str
    """Path relative to the mount point."""


@dataclass(frozen=True)
class InTmpfs:
    """A file on a tmpfs of the container, which is in CRIU's images."""

    device: int
    name: str


@dataclass(frozen=True)
class InLog:
    """Standard output, in the engine's log."""


@dataclass(frozen=True)
class InMemory:
    """Pages of the process itself."""


@dataclass(frozen=True)
class Outside:
    """Not in the checkpoint."""

    why: str


Location = OnDisk | InTmpfs | InLog | InMemory | Outside
NO_FILE = {
    Form.PAGES: "",
    Form.STDOUT: "the checkpoint does not contain the engine's log",
    Form.APPLICATION: "the files are an application's, and only the application reads them",
}


def location_of(
    surface: OwnSurface,
    where: Locations,
    disks: Collection[str],
    absent: Mapping[str, str],
    *,
    named: Collection[str] = (),
    log: bool = False,
) -> Location:
    """Return the location of a surface, from the open files and mounts of its process and the captured disks.

    `disks`: their mount points. `absent`: why a mount point is not in the checkpoint. `log`: whether the engine's log
    is. `named`: disks that the user named; they have priority over the mounts, also for a folder below a mount.
    """
    if surface.form in NO_FILE:
        return _without_file(surface.form, log=log)
    opened = where.opened.get(surface.name)
    if opened and opened.nameless:
        return Outside(f"{opened.path} was deleted while open, so its content is only in CRIU's images")
    mounts = where.mounts
    path = PurePosixPath(opened.path if opened else where.absolute(surface.path))
    mount, name = mounts.resolve(str(path)) if mounts else (None, str(path)[1:])
    point = mount.mountpoint if mount else "/"
    nearer = [each for each in (named if mounts else disks) if path.is_relative_to(each) and len(each) > len(point)]
    if nearer:
        return OnDisk(max(nearer, key=len), str(path.relative_to(max(nearer, key=len))))
    if point in disks and (mount is None or mount.external):
        return OnDisk(point, name)
    if mount and not mount.external:
        inside = mount.path_in_file_system(name) or ""
        shown = [base for base in where.bases if base.device == mount.device and _is_below(inside, base.root or "")]
        if shown:  # use its first mount
            base = max(shown, key=lambda each: len(each.root or ""))
            point, name = base.mountpoint, os.path.relpath(inside, base.root)
        elif mount.file_system == TMPFS and all(base.device != mount.device for base in where.bases):
            return OnDisk(point, name) if point in named else InTmpfs(mount.device, inside[1:])
    return OnDisk(point, name) if point in disks else Outside(_why(point, absent))


def _without_file(form: Form, *, log: bool) -> Location:
    if form is Form.PAGES:
        return InMemory()
    return InLog() if form is Form.STDOUT and log else Outside(NO_FILE[form])


def _is_below(path: str, folder: str) -> bool:
    return bool(folder) and PurePosixPath(path).is_relative_to(folder)


@dataclass(frozen=True)
class Locations:
    """The mounts and open files of a process, which give the locations of its surfaces."""

    mounts: Mounts | None = None
    """None: the process has no mount namespace of its own."""
    bases: tuple[Mount, ...] = ()
    """Mounts without content in CRIU's images: the container's root, and mounts that the restoring side provides."""
    files: ProcessFiles | None = None
    opened: Mapping[str, OpenFile] = field(default_factory=dict)
    """Open files of surfaces, by the surface's name."""

    @classmethod
    def of(cls, images: Path, process: Process, task: Task, budget: Budget) -> Locations:
        """Read them from the images; raise `Unreadable`."""
        files = files_of(images, process.pid, budget)
        opened = dict(_opened(process, files)) if files else {}
        mounts = mounts_of(images, task, budget)
        return cls(mounts, bases_of(images, budget) if mounts else (), files, opened)

    def absolute(self, path: str) -> str:
        """Return a path of the process as an absolute path from the root of its mount namespace."""
        plain = self.files.absolute(path) if self.files else os.path.normpath(f"/{path}")
        return "/" + plain.lstrip("/")


def _opened(process: Process, files: ProcessFiles) -> Iterator[tuple[str, OpenFile]]:
    """Yield the open file of each surface that gets ticks, by its descriptor, its path, or the order of opening."""
    rings = [surface for surface in process.surfaces if surface.form in (Form.RING, Form.APPENDED)]
    writable = [file for file in files.files if file.writable]
    for number, surface in enumerate(rings):
        path = files.absolute(surface.path)
        fits = [file for file in writable if surface.descriptor == file.descriptor] or [
            file for file in writable if surface.descriptor is None and file.path == path and not file.nameless
        ]
        if len(fits) != 1 and surface.descriptor is None and len(writable) == len(rings):
            fits = writable[number : number + 1]
        if len(fits) == 1:
            yield surface.name, fits[0]


def _why(mount: str, absent: Mapping[str, str]) -> str:
    option = f"--disk {'' if mount == '/' else f'{mount}='}DIR adds it"
    if mount in absent:
        return f"{absent[mount]}; {option}"
    if mount == "/":
        return f"the checkpoint does not contain the root file system; {option}"
    return f"the mount at {mount} comes from the host or another container and is outside the checkpoint; {option}"


def disk_files(places: Iterable[Location]) -> dict[str, set[str]]:
    """Return the names of the wanted files on each disk, by mount point."""
    found: dict[str, set[str]] = {}
    for place in places:
        if isinstance(place, OnDisk):
            found.setdefault(place.mount, set()).add(place.name)
    return found


def tmpfs_files(images: Path, places: Iterable[Location], budget: Budget) -> dict[InTmpfs, bytes | None]:
    """Return the content of files on a tmpfs, from the archives that CRIU has tar(1) make; None for a missing file."""
    wanted = {place for place in places if isinstance(place, InTmpfs)}
    found: dict[InTmpfs, bytes | None] = dict.fromkeys(wanted)
    for device in sorted({place.device for place in wanted}):
        names = {place.name for place in wanted if place.device == device}
        with tempfile.TemporaryDirectory(prefix="tmpfs-") as own:
            archive = images / f"tmpfs-dev-{device}.tar.gz.img"
            extract(partial(members, archive, budget), names, Path(own), budget, archive.name)
            for name in names:
                with contextlib.suppress(Absent), open_regular(beneath(Path(own), name)) as descriptor:
                    found[InTmpfs(device, name)] = pread(descriptor, LARGEST_SURFACE, 0)
    return found
