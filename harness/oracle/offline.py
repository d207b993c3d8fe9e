"""The offline reading: counter out of CRIU's pages, rings out of the captured file system, without a restore."""

from __future__ import annotations

import mmap
import os
import stat
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from harness.model import Reading, Witness
from harness.oracle.ring import MemoryCounter, find_counter, read_ring


class Unreadable(Exception):
    """The images do not hold what the reading needs; the sentence says what."""


def read(images: Path, files: Mapping[str, Path], tmpfs: Mapping[str, str]) -> Reading:
    """Read memory from `images` and each surface: `files` gives rings by path, `tmpfs` by name in an archived tmpfs.

    Surfaces are in writing order: first all of `files`, then all of `tmpfs`. Raises `Unreadable`.
    """
    counter = _memory(images)
    rings = {name: _regular(path) for name, path in files.items()}
    rings |= _from_tmpfs(images, tmpfs)
    return Reading(
        witness=Witness.OFFLINE,
        nonce=f"{counter.nonce:016x}",
        counter=counter.n,
        counter_wall_ns=counter.wall_ns,
        surfaces=tuple(
            read_ring(data, surface=name, nonce=counter.nonce, ring=counter.ring) for name, data in rings.items()
        ),
    )


def _regular(path: Path) -> bytes:
    """Content of a regular file, empty where there is none; the container may have put anything in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


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


def _from_tmpfs(images: Path, wanted: Mapping[str, str]) -> dict[str, bytes]:
    """CRIU archives each tmpfs as `tmpfs-dev-N.tar.gz.img`, made by tar(1)."""
    found = dict.fromkeys(wanted, b"")
    for path in sorted(images.glob("tmpfs-dev-*.tar.gz.img")):
        try:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    for surface, name in wanted.items():
                        if member.isreg() and member.name.removeprefix("./") == name:
                            content = archive.extractfile(member)
                            found[surface] = content.read() if content else b""
        except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
            raise Unreadable(f"{path.name} is no whole archive: {error}") from error
    return found
