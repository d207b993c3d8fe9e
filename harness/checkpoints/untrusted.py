"""Foreign files: a container or a stranger chose their content, so nothing in them is trusted.

Every reader of foreign files spends from one `Budget`, opens files with `open_regular`, and checks names with `inside`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.foreign import files as foreign
from harness.foreign.files import MOST_DOCUMENT, WrongKind
from harness.model.errors import StillframeError

MOST_KEPT = 32 << 30
"""Maximum number of bytes that one checkpoint may unpack to."""
TIMES_READ = 8
"""Bytes that may be read, after decompression, per byte that is unpacked: an archive is read several times."""
MOST_PARTS = 1_000_000
"""Maximum number of archive members, pagemap entries and files in folders, together."""
MOST_SECONDS = 600.0
SLOWEST = 32 << 20
"""Bytes per second; at this speed a larger checkpoint may take longer than `MOST_SECONDS`."""
LONGEST_NAME = 4096
"""Maximum length of a path: Linux's PATH_MAX."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Errors of open(2): no such file, a file as a folder."""


class Unreadable(StillframeError):
    """A checkpoint lacks what the reading needs, or is hostile; the sentence says what is wrong."""

    exit_code = 2


class Absent(Unreadable):
    """There is no regular file of this name; there may be something else."""


class Broken(Unreadable):
    """A checkpoint is cut off, or lacks a part that its other parts refer to: its writer did not finish."""


class Budget:
    """The limits for the reading of one checkpoint; each method raises `Unreadable` beyond a limit.

    `remedy` is for too many bytes. `waiting` is called at each step, and what it raises ends the reading.
    """

    def __init__(
        self,
        *,
        read: int = TIMES_READ * MOST_KEPT,
        kept: int = MOST_KEPT,
        parts: int = MOST_PARTS,
        seconds: float = MOST_SECONDS,
        remedy: str = "If you trust it and it really is that large, raise --max-bytes.",
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._remedy, self._waiting = remedy, waiting
        self._limits = {"read": read, "kept": kept, "parts": parts}
        self._left = dict(self._limits)
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    @classmethod
    def of(cls, most: int, **how: Any) -> Budget:
        """Return the budget for a checkpoint that may unpack to `most` bytes."""
        return cls(read=TIMES_READ * most, kept=most, seconds=max(MOST_SECONDS, most / SLOWEST), **how)

    def read(self, size: int) -> None:
        """Account for bytes that were read."""
        self._spend("read", size, f"its reading takes more than {TIMES_READ} times")

    def keep(self, size: int) -> None:
        """Account for bytes that are about to be written to disk."""
        self._spend("kept", size, "it unpacks to more than")

    def part(self) -> None:
        """Account for a member of an archive, an entry of a pagemap or a file of a folder."""
        self._spend("parts", 1, "it has more than")

    def _spend(self, what: str, amount: int, told: str) -> None:
        self._waiting()
        self._left[what] -= max(0, amount)
        if self._left[what] < 0:
            bound, unit = (
                self._limits[what] // (TIMES_READ if what == "read" else 1),
                what if what == "parts" else "bytes",
            )
            raise Unreadable(
                f"{told} {bound:,} {unit}, which is the limit",
                remedy=self._remedy if unit == "bytes" else "",
            )
        if time.monotonic() > self._due:
            raise Unreadable(f"its reading takes more than {self._seconds:.0f} s, which is the limit")


def told_of(path: Path, verb: str, error: StillframeError) -> StillframeError:
    """Return the error with the user's path in its sentence; a sentence about the file itself names it only once."""
    what = error.what
    if what.startswith(f"{path.name} is "):
        what = f"it is {what.removeprefix(f'{path.name} is ')}"
    return type(error)(f"{path} cannot be {verb}: {what}", remedy=error.remedy)


def reason_of(error: OSError | ValueError) -> str:
    """Return why a path cannot be used, without the path, which may be internal."""
    return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Give a descriptor of a regular file; raise `Absent` for anything else, without following or waiting for it."""
    try:
        descriptor = foreign.open_regular(path)
    except WrongKind as error:
        raise Absent(f"{path.name} is {error.kind}, not a regular file") from error
    except OSError as error:
        told = f"{path.name} cannot be read: {error.strerror}"
        raise (Absent if error.errno in _ABSENT else Unreadable)(told) from error
    except ValueError as error:  # a 0 byte, or a lone surrogate
        raise Unreadable(f"{path.name!r} is not a possible file name") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: Path, *, most: int = MOST_DOCUMENT) -> bytes:
    """Return the content of a regular file; raise `Unreadable` if it has more than `most` bytes."""
    with open_regular(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > most:
            raise Unreadable(f"{path.name} has {size:,} bytes, more than the limit of {most:,}")
        return pread(descriptor, size, 0)


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read `size` bytes at `offset`, fewer only if the file ends before."""
    found = []
    while size > 0 and (data := os.pread(descriptor, size, offset)):
        found.append(data)
        size -= len(data)
        offset += len(data)
    return b"".join(found)


def inside(name: str) -> str:
    """Return a member's name relative to its archive; raise `Unreadable` for a name that leads outside."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(name) > LONGEST_NAME:
        raise Unreadable(f"it holds a file with a name of {len(name):,} letters")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise Unreadable(f"it holds a file with the name {name[:200]!r}, which leads outside of it")
    return "/".join(parts)


def everything_below(folder: Path) -> Iterator[Path]:
    """Yield all files, links and folders below a folder, without following links.

    `Path.rglob` looks up the target of each link, and fails if the target is not a possible file name.
    """
    for above, folders, files in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *files))


def beneath(folder: Path, name: str) -> Path:
    """Return the path of `name` in a foreign folder; if links are on the way, a path that does not exist."""
    path = folder
    for part in name.split("/"):
        path /= part
        if path.is_symlink():
            return folder / ".wh..wh." / name  # reserved by OCI layers and overlayfs, so no container can create it
    return path
