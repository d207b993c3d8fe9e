"""Archives of foreign make, streamed: tar, plain or compressed, as engines, CRIU and people write them.

An archive may be a file, or a member of another one, which is then read where it goes by. Memory is bounded by `CHUNK`
and `MOST_HEADER`, whatever an archive says of itself; time and disk by the `Budget`.
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
"""Bytes of a member's headers, long names and extended attributes included."""
LARGEST_WINDOW = 128 << 20
"""Bytes that decompression by zstd or xz may hold in memory: zstd's own default for what it takes unasked."""
AGAIN = "Copy it again, or make it anew."
"""What to do about an archive that is cut off or damaged."""
COMPRESSIONS = ("gzip", "zstd", "xz", "bzip2")
"""By which an archive may be compressed."""
DELETED_BY = ".wh."
"""Prefix of a whiteout."""
OPAQUE = ".wh..wh..opq"
"""What stands in a folder of a layer under which nothing of the image shows."""
PARENT = "parent"
"""Name of the link to the images of an earlier level of memory (CRIU's CR_PARENT_LINK)."""

_GZIP, _ZSTD, _XZ, _BZIP2 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"
_AT_THE_START = ("truncated header", "invalid header", "bad checksum")
"""What `tarfile` says of a file that does not begin as an archive does."""
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
    """A stream that tarfile reads from: only forward, with an account, and with a limit on headers."""

    def __init__(self, raw: BinaryIO, budget: Budget, *, seekable: bool) -> None:
        self._raw = raw
        self._budget = budget
        self._seekable = seekable
        self._position = 0
        self.header: int | None = MOST_HEADER
        """Bytes that may still be read at once, as long as it is headers that are read."""
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
        self._budget.read(position - self._position)  # at once: a member that is too long is declined by its header
        while self._position < position:
            skipped = len(self._raw.read(min(CHUNK, position - self._position)))
            if not skipped:
                raise EOFError("unexpected end of data")
            self._position += skipped
            self._budget.read(0)


class _Decompressed(io.RawIOBase):
    """Streams of xz or bzip2, one after the other, with a bound on memory that the modules' own files lack."""

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
            except OSError as error:  # what bz2 raises for damaged data
                raise ValueError(str(error)) from error
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Within(io.RawIOBase):
    """Content of a member; that it ends too early is the fault of the archive around it."""

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
    """Keeps no list of the members that went by."""

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
    """A member of an archive while it goes by; its content can be taken once, before the next one."""

    name: str
    """Relative, without `.` and `..`."""
    info: tarfile.TarInfo
    _tar: tarfile.TarFile
    _archive: str

    def chunks(self, most: int | None = None) -> Iterator[bytes]:
        """Content of a regular file, of no more than its first `most` bytes."""
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
        """Members of the archive that this member is."""
        with _explained(self._archive):
            content = self._tar.extractfile(self.info)
        if content is None:
            raise Broken(f"{self.name} is no archive, but no regular file")
        file = cast("io.BufferedReader", io.BufferedReader(_Within(content, self._archive)))
        yield from _members(file, self.name.rpartition("/")[2], budget, seekable=False)


def members(path: Path, budget: Budget) -> Iterator[Member]:
    """Members of an archive, in its order; `Unreadable` if it is none or leads out of itself, `Broken` if cut off."""
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
        while not as_it_is and (rest := content.read(CHUNK)):  # up to the checksum of what is compressed
            budget.read(len(rest))


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say of what is wrong with an archive which one it is; what goes wrong outside of it passes."""
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
    """Decompress an archive into the new file `to`; one that is not compressed is given as it is."""
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
    """Content of a file, decompressed, and whether it was not compressed."""
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
    """Take the regular files out of an archive that are `wanted`, of each at most its first `most` bytes.

    With `modes` they get the permissions that the archive says, and folders are made, too.

    Whiteouts of OCI layers are such files. Nothing else is made but the links to earlier levels of memory, and those
    only when all files are written, so that none is written through a link. `folder` has to be free of foreign links.
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
    for path in sorted(links, key=lambda path: -len(path.parts)):  # so that no link is made through another one
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(links[path])


def save(member: Member, folder: Path, budget: Budget, most: int | None = None) -> None:
    """Write a member that is a regular file below a folder that is free of foreign links, under its name."""
    if not member.info.isreg():
        return
    budget.keep(member.info.size if most is None else min(most, member.info.size))
    with _made(folder / member.name) as file:
        for chunk in member.chunks(most):
            file.write(chunk)


@contextlib.contextmanager
def _made(path: Path) -> Iterator[BinaryIO]:
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # the last one of a name is the one that counts
        file = path.open("xb")
    with file:
        yield file


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of what cannot be made what that is."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path.name[:200]!r} cannot be unpacked: {reason_of(error)}") from error
