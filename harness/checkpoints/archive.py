"""Streaming readers of foreign archives: tar, plain or compressed, from engines, CRIU and people.

An archive may be a file or a member of another archive; a member is read while the outer archive is. `CHUNK` and
`MOST_HEADER` bound the memory, whatever an archive says about itself; the `Budget` bounds time and disk.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from harness.checkpoints.untrusted import Broken, Budget, Unreadable, inside, open_regular, reason_of

CHUNK = 1 << 20
MOST_HEADER = 64 << 10
"""Maximum size of a member's headers in bytes, including long names and extended attributes."""
LARGEST_WINDOW = 128 << 20
"""Bytes of memory that zstd or xz may use to decompress: zstd's own default limit."""
AGAIN = "Copy it again, or make it again."
"""Remedy for an archive that is cut off or damaged."""
COMPRESSIONS = ("gzip", "zstd", "xz", "bzip2")
"""Supported compressions of an archive."""
DELETED_BY = ".wh."
"""Prefix of a whiteout."""
OPAQUE = ".wh..wh..opq"
"""Name of the file that marks a folder of a layer as opaque: it hides the image's content of the folder."""
PARENT = "parent"
"""Name of the link to the images of an earlier level of memory (CRIU's CR_PARENT_LINK)."""

_GZIP, _ZSTD, _XZ, _BZIP2 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"
_AT_THE_START = ("truncated header", "invalid header", "bad checksum")
"""Errors of `tarfile` for a file that does not begin like an archive."""
_BROKEN = (
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    struct.error,
    EOFError,
    OverflowError,
    RecursionError,
    ValueError,
    gzip.BadGzipFile,
)


class _Forward:
    """A forward-only stream for tarfile that accounts for the bytes read and limits the headers."""

    def __init__(self, raw: BinaryIO, budget: Budget, *, seekable: bool) -> None:
        self._raw = raw
        self._budget = budget
        self._seekable = seekable
        self._position = 0
        self.header: int | None = MOST_HEADER
        """Bytes of headers that may still be read; None while tarfile reads no headers."""
        self.last = b""

    def read(self, size: int) -> bytes:
        if self.header is not None:
            self.header -= size
            if self.header < 0:
                raise Unreadable(f"it holds a member with more than {MOST_HEADER:,} bytes of headers")
        self.last = self._raw.read(size)
        self._position += len(self.last)
        self._budget.read(len(self.last))
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise Unreadable("it holds a member that begins before the one before it ends")
        if self._seekable:
            self._raw.seek(position)
            self._position = position
        self._budget.read(position - self._position)  # before the loop, to decline a member that is too long at once
        while self._position < position:
            skipped = len(self._raw.read(min(CHUNK, position - self._position)))
            if not skipped:
                raise EOFError("unexpected end of data")
            self._position += skipped
            self._budget.read(0)


class _Decompressed(io.RawIOBase):
    """Concatenated xz or bzip2 streams with a bound on memory, which the modules' own files lack."""

    def __init__(self, file: BinaryIO, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> None:
        self._file = file
        self._new = new
        self._one = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            rest = b""
            if self._one.eof:
                rest = self._one.unused_data or self._file.read(CHUNK)
                if not rest.strip(b"\0"):
                    return 0
                self._one = self._new()
            elif self._one.needs_input:
                rest = self._file.read(CHUNK)
                if not rest:
                    raise EOFError("compressed data ends before its own end")
            try:
                data = self._one.decompress(rest, len(buffer))
            except OSError as error:  # bz2 raises it for damaged data
                raise ValueError(str(error)) from error
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Within(io.RawIOBase):
    """The content of a member; if it ends too early, the outer archive gets the blame."""

    def __init__(self, content: IO[bytes], archive: str) -> None:
        self._content = content
        self._archive = archive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _explained(self._archive):
            data = self._content.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Tar(tarfile.TarFile):
    """A TarFile that keeps no list of the members it has read."""

    members: list[tarfile.TarInfo]

    def next(self) -> tarfile.TarInfo | None:
        stream = cast("_Forward", self.fileobj)
        stream.header = MOST_HEADER
        found = super().next()
        stream.header = None
        self.members = []
        if sum(len(key) + len(str(value)) for key, value in self.pax_headers.items()) > MOST_HEADER:
            raise Unreadable(f"it holds more than {MOST_HEADER:,} bytes of global headers")
        return found


@dataclass(frozen=True)
class Member:
    """A member of an archive during the reading; its content can be read once, before the next member."""

    name: str
    """Relative path without `.` and `..`."""
    info: tarfile.TarInfo
    _tar: tarfile.TarFile
    _archive: str

    def chunks(self, most: int | None = None) -> Iterator[bytes]:
        """Yield the content of a regular file, at most its first `most` bytes."""
        with _explained(self._archive):
            content = self._tar.extractfile(self.info)
            left = self.info.size if most is None else min(most, self.info.size)
            while content is not None and left > 0:
                chunk = content.read(min(CHUNK, left))
                if not chunk:
                    raise EOFError("unexpected end of data")
                left -= len(chunk)
                yield chunk

    def members(self, budget: Budget) -> Iterator[Member]:
        """Yield the members of this member, which is an archive itself."""
        with _explained(self._archive):
            content = self._tar.extractfile(self.info)
        if content is None:
            raise Broken(f"{self.name} is not an archive, because it is not a regular file")
        file = cast("io.BufferedReader", io.BufferedReader(_Within(content, self._archive)))
        yield from _members(file, self.name.rpartition("/")[2], budget, seekable=False)


def members(path: Path, budget: Budget) -> Iterator[Member]:
    """Yield the members of an archive, in order; raise `Broken` if it is cut off, `Unreadable` for a name outside."""
    with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        yield from _members(file, path.name, budget, seekable=True)


def _members(file: io.BufferedReader, name: str, budget: Budget, *, seekable: bool) -> Iterator[Member]:
    with _explained(name):
        content, as_it_is = _content(file)
        stream = _Forward(content, budget, seekable=seekable and as_it_is)
        tar = _Tar(fileobj=cast("BinaryIO", stream))
        for info in iter(tar.next, None):
            budget.part()
            yield Member(inside(info.name), info, tar, name)
        if stream.last.strip(b"\0") or len(stream.last) != tarfile.BLOCKSIZE:
            raise EOFError("the mark of its end is missing")
        while not as_it_is and (rest := content.read(CHUNK)):  # up to the checksum of the compressed data
            budget.read(len(rest))


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Name the archive in its errors; other errors pass unchanged."""
    try:
        yield
    except _BROKEN as error:
        said = str(error) if isinstance(error, tarfile.ReadError) else ""
        if said == "empty file":
            raise Broken(f"{name} is empty, or cut off before its first file", remedy=AGAIN) from error
        if said in _AT_THE_START:
            raise Broken(
                f"{name} is not a tar archive, plain or compressed by {', '.join(COMPRESSIONS)}",
                remedy="Name an archive of a checkpoint, or the folder with its images.",
            ) from error
        raise Broken(f"{name} is not a complete archive: {error or type(error).__name__}", remedy=AGAIN) from error
    except Broken:
        raise
    except Unreadable as error:
        raise Unreadable(f"{name} is declined: {error.what}", remedy=error.remedy) from error


def plain(path: Path, to: Path, budget: Budget) -> Path:
    """Decompress an archive into the new file `to`, and return it; return `path` if it is not compressed."""
    with (
        open_regular(path) as descriptor,
        os.fdopen(descriptor, "rb", closefd=False) as file,
        _explained(path.name),
    ):
        content, as_it_is = _content(file)
        if as_it_is:
            return path
        with to.open("xb") as out:
            while chunk := content.read(CHUNK):
                budget.read(len(chunk))
                budget.keep(len(chunk))
                out.write(chunk)
    return to


def _content(file: io.BufferedReader) -> tuple[BinaryIO, bool]:
    """Return the decompressed content of a file, and whether the file was not compressed."""
    magic = file.peek(8)
    if magic.startswith(_GZIP):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file)), False
    if magic.startswith(_ZSTD):
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        reader = cast("io.RawIOBase", decompressor.stream_reader(file, read_across_frames=True, closefd=False))
    elif magic.startswith(_XZ):
        reader = _Decompressed(file, lambda: lzma.LZMADecompressor(memlimit=LARGEST_WINDOW))
    elif magic.startswith(_BZIP2):
        reader = _Decompressed(file, bz2.BZ2Decompressor)
    else:
        return file, True
    return cast("BinaryIO", io.BufferedReader(reader)), False


def unpack(
    archive: Path,
    folder: Path,
    budget: Budget | None = None,
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    most: int | None = None,
    modes: bool = False,
) -> None:
    """Unpack the `wanted` regular files of an archive, of each file at most its first `most` bytes.

    `modes`: also create folders, and set the permissions from the archive.

    Whiteouts of OCI layers are regular files, too. Links to earlier levels of memory are created last, so that no file
    is written through a link; nothing else is created. `folder` must be free of foreign links.
    """
    budget = budget or Budget()
    folder.mkdir(parents=True, exist_ok=True)
    links: dict[Path, str] = {}
    permissions: dict[Path, int] = {}
    for member in members(archive, budget):
        if not member.name or not wanted(member.name):
            continue
        if member.info.issym() and member.name.rpartition("/")[2] == PARENT:
            links[folder / member.name] = member.info.linkname
        elif member.info.isreg():
            save(member, folder, budget, most)
        elif member.info.isdir() and modes:
            with _told(folder / member.name):
                (folder / member.name).mkdir(parents=True, exist_ok=True)
        else:
            continue
        permissions[folder / member.name] = member.info.mode & 0o777
    for path, mode in permissions.items() if modes else ():
        path.chmod(mode)
    for path in sorted(links, key=lambda path: -len(path.parts)):  # so that no link is created through another link
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(links[path])


def save(member: Member, folder: Path, budget: Budget, most: int | None = None) -> None:
    """Write a member, if it is a file or a folder, under its name below a folder that is free of foreign links.

    Some applications need their empty folders, and cannot read their own files without them.
    """
    if member.info.isdir():
        with _told(folder / member.name):
            (folder / member.name).mkdir(parents=True, exist_ok=True)
    if not member.info.isreg():
        return
    budget.keep(member.info.size if most is None else min(most, member.info.size))
    with _made(folder / member.name) as file:
        for chunk in member.chunks(most):
            file.write(chunk)
    with contextlib.suppress(OSError, OverflowError):  # a time that no file can have
        os.utime(folder / member.name, (member.info.mtime, member.info.mtime))


@contextlib.contextmanager
def _made(path: Path) -> Iterator[BinaryIO]:
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # the last member of a name counts
        file = path.open("xb")
    with file:
        yield file


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file that cannot be created."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path.name[:200]!r} cannot be unpacked: {reason_of(error)}") from error
