"""The offline reading: counter out of CRIU's pages, rings out of the captured file system, without a restore."""

from __future__ import annotations

import mmap
import os
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.model import Reading, SurfaceReading, Witness
from harness.oracle.ring import MemoryCounter, find_counter, read_ring


class Unreadable(Exception):
    """The images do not hold what the reading needs; the sentence says what."""


@dataclass(frozen=True)
class File:
    """A ring in a captured file."""

    path: Path


@dataclass(frozen=True)
class InTmpfs:
    """A ring in one of CRIU's archives of tmpfs, by the file's name."""

    name: str


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


Place = File | InTmpfs | Deleted


def read(images: Path, places: Mapping[str, Place]) -> Reading:
    """Read memory from `images` and each surface, in writing order, from its place. Raises `Unreadable`."""
    counter = _memory(images)
    archived = _from_tmpfs(images, {place.name for place in places.values() if isinstance(place, InTmpfs)})
    surfaces: list[SurfaceReading] = []
    for name, place in places.items():
        if isinstance(place, Deleted):
            surfaces.append(_deletion(name, place, surfaces, counter))
        else:
            data = archived[place.name] if isinstance(place, InTmpfs) else _regular(place.path)
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
    """Content of a regular file, empty where there is none; the container may have put anything in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _memory(images: Path) -> MemoryCounter:
    for path in sorted(images.glob("pages-*.img")):
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
                counter = find_counter(pages)
        if counter is not None:
            return counter
    raise Unreadable(f"no workload's counter in the memory pages of {images.name}")


def _from_tmpfs(images: Path, names: set[str]) -> dict[str, bytes]:
    """CRIU archives each tmpfs as `tmpfs-dev-N.tar.gz.img`, made by tar(1)."""
    found = dict.fromkeys(names, b"")
    for path in sorted(images.glob("tmpfs-dev-*.tar.gz.img")) if names else ():
        try:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isreg() and name in found:
                        content = archive.extractfile(member)
                        found[name] = content.read() if content else b""
        except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
            raise Unreadable(f"{path.name} is no whole archive: {error}") from error
    return found
