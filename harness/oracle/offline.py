"""The offline reading: counter out of CRIU's pages, rings out of the captured file system, without a restore."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.archive import members
from harness.checkpoints.untrusted import Absent, Budget, Unreadable, open_regular, pread
from harness.model import Reading, SurfaceReading, Witness
from harness.oracle.pages import processes
from harness.oracle.ring import LARGEST_RING, RECORD, MemoryCounter, read_ring

__all__ = ["Deleted", "File", "Held", "InTmpfs", "Place", "Unreadable", "in_tmpfs", "read", "reading_of"]

LARGEST_SURFACE = LARGEST_RING * RECORD.itemsize
"""Bytes of the largest ring."""


@dataclass(frozen=True)
class File:
    """A ring in a captured file."""

    path: Path


@dataclass(frozen=True)
class InTmpfs:
    """A ring in one of CRIU's archives of tmpfs, by the file's name."""

    name: str


@dataclass(frozen=True)
class Held:
    """A ring that was read already."""

    data: bytes


@dataclass(frozen=True)
class Deleted:
    """A file that has to be marked as deleted in a captured layer."""

    path: Path

    @property
    def marked(self) -> bool:
        """Whether it is, as an OCI layer or as overlayfs does it."""
        if self.path.with_name(f".wh.{self.path.name}").exists():
            return True
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


Place = File | InTmpfs | Held | Deleted


def read(images: Path, places: Mapping[str, Place]) -> Reading:
    """Read memory from `images` and each surface, in writing order, from its place. Raises `Unreadable`."""
    budget = Budget()
    counter = processes(images, budget)[0].counter
    archived = in_tmpfs(images, {place.name for place in places.values() if isinstance(place, InTmpfs)}, budget)
    held = {
        name: Held(archived.get(place.name, b"")) if isinstance(place, InTmpfs) else place
        for name, place in places.items()
    }
    return reading_of(counter, held)


def reading_of(counter: MemoryCounter, places: Mapping[str, File | Held | Deleted]) -> Reading:
    """Hold the surfaces, in writing order, against the counter."""
    surfaces: list[SurfaceReading] = []
    for name, place in places.items():
        if isinstance(place, Deleted):
            surfaces.append(_deletion(name, place, surfaces, counter))
        else:
            data = place.data if isinstance(place, Held) else _regular(place.path)
            surfaces.append(read_ring(data, surface=name, nonce=counter.nonce, ring=counter.ring))
    return Reading(
        witness=Witness.OFFLINE,
        nonce=f"{counter.nonce:016x}",
        counter=counter.n,
        counter_wall_ns=counter.wall_ns,
        surfaces=tuple(surfaces),
    )


def _deletion(name: str, place: Deleted, before: list[SurfaceReading], counter: MemoryCounter) -> SurfaceReading:
    """A deletion has no ticks of its own: done, it is as new as what was written before it, undone it is nothing."""
    if not place.marked:
        return SurfaceReading(surface=name, newest=None, newest_wall_ns=None)
    if before:
        return SurfaceReading(surface=name, newest=before[-1].newest, newest_wall_ns=before[-1].newest_wall_ns)
    return SurfaceReading(surface=name, newest=counter.n, newest_wall_ns=counter.wall_ns)


def _regular(path: Path) -> bytes:
    """Ring in a regular file, empty where there is none; the container may have put anything in its place."""
    try:
        with open_regular(path) as descriptor:
            return pread(descriptor, LARGEST_SURFACE, 0)
    except Absent:
        return b""


def in_tmpfs(images: Path, names: set[str], budget: Budget) -> dict[str, bytes]:
    """Rings by the names of their files, out of the archives that CRIU has tar(1) make: `tmpfs-dev-N.tar.gz.img`."""
    found = {}
    for path in sorted(images.glob("tmpfs-dev-*.tar.gz.img")) if names else ():
        for member in members(path, budget):
            if member.info.isreg() and member.name in names:
                found[member.name] = b"".join(member.chunks(LARGEST_SURFACE))
    return found
