"""Foreign files: a container or a stranger chose what is in them, so nothing of them is believed.

Every reader of such files spends from one `Budget`, opens what it reads by `open_regular`, and takes names through
`inside`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from harness.model.errors import StillframeError

MOST_KEPT = 32 << 30
"""Bytes of one checkpoint that are unpacked to disk."""
TIMES_READ = 8
"""How often bytes are looked at, decompressed, that are unpacked once: an archive is gone through several times."""
MOST_PARTS = 1_000_000
"""Members of archives, entries of pagemaps and files of folders, together."""
MOST_SECONDS = 600.0
SLOWEST = 32 << 20
"""Bytes a second; a larger checkpoint may take longer than `MOST_SECONDS`."""
MOST_DOCUMENT = 16 << 20
"""Bytes of a file that is read into memory whole, as a pagemap is."""
LONGEST_NAME = 4096
"""Letters of a path: Linux's PATH_MAX."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
"""What is no regular file."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
"""Of open(2): nothing, below a file, a link, a socket."""


class Unreadable(StillframeError):
    """A checkpoint does not hold what the reading needs, or is made to do harm; the sentence says what."""

    exit_code = 2


class Absent(Unreadable):
    """There is no such regular file; what is there instead may be of any kind."""


class Broken(Unreadable):
    """A checkpoint is cut off, or lacks a part that its other parts refer to: whoever wrote it did not finish."""


class Budget:
    """What the reading of one checkpoint may cost; each method raises `Unreadable` where it would cost more."""

    def __init__(
        self,
        *,
        read: int = TIMES_READ * MOST_KEPT,
        kept: int = MOST_KEPT,
        parts: int = MOST_PARTS,
        seconds: float = MOST_SECONDS,
    ) -> None:
        self._limits = {"read": read, "kept": kept, "parts": parts}
        self._left = dict(self._limits)
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    @classmethod
    def of(cls, most: int) -> Budget:
        """The budget for checkpoints of which up to `most` bytes may be unpacked."""
        return cls(read=TIMES_READ * most, kept=most, seconds=max(MOST_SECONDS, most / SLOWEST))

    def read(self, size: int) -> None:
        """Account for bytes that were read."""
        self._spend("read", size, f"to read it takes {TIMES_READ} times")

    def keep(self, size: int) -> None:
        """Account for bytes that are about to be written to disk."""
        self._spend("kept", size, "it unpacks to")

    def part(self) -> None:
        """Account for a member of an archive, an entry of a pagemap or a file of a folder."""
        self._spend("parts", 1, "it has")

    def _spend(self, what: str, amount: int, told: str) -> None:
        self._left[what] -= max(0, amount)
        if self._left[what] < 0:
            bound, unit = (
                self._limits[what] // (TIMES_READ if what == "read" else 1),
                what if what == "parts" else "bytes",
            )
            raise Unreadable(
                f"{told} more than {bound:,} {unit}, and is not read any further",
                remedy="If it is yours and really so large, --max-bytes raises the bound." if unit == "bytes" else "",
            )
        if time.monotonic() > self._due:
            raise Unreadable(f"to read it takes more than {self._seconds:.0f} s, and is given up")


def told_of(path: Path, verb: str, error: StillframeError) -> StillframeError:
    """Say what is wrong with the path that somebody named; a sentence about the file itself names it once."""
    what = error.what
    if what.startswith(f"{path.name} is "):
        what = f"it is {what.removeprefix(f'{path.name} is ')}"
    return type(error)(f"{path} cannot be {verb}: {what}", remedy=error.remedy)


def reason_of(error: OSError | ValueError) -> str:
    """Say why a path cannot be used, without the path, which may be one of ours."""
    return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Give a descriptor of a regular file; anything else is neither followed nor waited for, but `Absent`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        told = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise (Absent if error.errno in _ABSENT else Unreadable)(f"{path.name} cannot be read: {told}") from error
    except ValueError as error:  # a 0 byte, or half of a pair of UTF-16
        raise Unreadable(f"{path.name!r} is a name that no file can have") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Absent(f"{path.name} is no regular file, but {KINDS.get(stat.S_IFMT(mode), 'something else')}")
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: Path, *, most: int = MOST_DOCUMENT) -> bytes:
    """Content of a regular file of at most `most` bytes."""
    with open_regular(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > most:
            raise Unreadable(f"{path.name} has {size:,} bytes, where at most {most:,} are credible")
        return pread(descriptor, size, 0)


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Bytes at `offset`, fewer only where the file ends before."""
    found = []
    while size > 0 and (data := os.pread(descriptor, size, offset)):
        found.append(data)
        size -= len(data)
        offset += len(data)
    return b"".join(found)


def inside(name: str) -> str:
    """Give a member's name relative to its archive; `Unreadable` for one that leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(name) > LONGEST_NAME:
        raise Unreadable(f"it holds a file with a name of {len(name):,} letters")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise Unreadable(f"it holds a file with the name {name[:200]!r}, which leads out of it")
    return "/".join(parts)


def everything_below(folder: Path) -> Iterator[Path]:
    """All files, links and folders below a folder; links are not looked at, let alone followed.

    `Path.rglob` asks what each link leads to, and fails on one to a name that no file can have.
    """
    for above, folders, files in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *files))


def beneath(folder: Path, name: str) -> Path:
    """Where `name` is in a folder of foreign make; of a name that leads through links a path that does not exist."""
    path = folder
    for part in name.split("/"):
        path /= part
        if path.is_symlink():
            return folder / ".wh..wh." / name  # a name that neither OCI layers nor overlayfs leave to a container
    return path
