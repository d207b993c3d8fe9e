"""Open regular files and list folders that are foreign, within limits."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MOST_DOCUMENT = 16 << 20
"""Maximum size in bytes of what is read into memory as a whole: a document, or a line; as JSON it takes many times as
much."""
MOST_ENTRIES = 100_000
"""Maximum number of entries of a folder."""
MOST_LINKS = 40
"""Links that a path may lead over: path_resolution(7)."""
KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class WrongKind(OSError):
    """A path names something else; `kind` says what."""

    def __init__(self, path: Path, mode: int, wanted: str) -> None:
        self.kind = KINDS.get(stat.S_IFMT(mode), "something else")
        super().__init__(errno.EINVAL, f"it is {self.kind}, not {wanted}", str(path))


def open_regular(path: Path) -> int:
    """Return a descriptor of a regular file; `WrongKind` for anything else, without following or waiting for it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise WrongKind(path, path.lstat().st_mode, KINDS[stat.S_IFREG]) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise WrongKind(path, mode, KINDS[stat.S_IFREG])
    return descriptor


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file of at most `MOST_DOCUMENT` bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(MOST_DOCUMENT + 1)
    if len(content) > MOST_DOCUMENT:
        raise OSError(errno.EFBIG, f"it has more than {MOST_DOCUMENT:,} bytes", str(path))
    return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file, as hexadecimal digits; `WrongKind` for anything else."""
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_root(root: Path, inside: str) -> Path:
    """Return the path below `root` that `inside` leads to where `root` is the root: no link leads out of it.

    Parts that do not exist are kept. `OSError` for a loop of links.
    """
    found: list[str] = []
    left, links = inside.split("/")[::-1], 0
    while left:
        part = left.pop()
        if part == "..":
            found = found[:-1]
        if part in ("", ".", ".."):
            continue
        try:
            target = str(root.joinpath(*found, part).readlink())
        except OSError:  # it is no link
            found.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), inside)
        if target.startswith("/"):
            found = []
        left += target.split("/")[::-1]
    return root.joinpath(*found)


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a regular file, each with its end and of at most `MOST_DOCUMENT` bytes."""
    with os.fdopen(open_regular(path), "rb") as file:
        number = 0
        while line := file.readline(MOST_DOCUMENT + 1):
            number += 1
            if len(line) > MOST_DOCUMENT:
                raise OSError(errno.EFBIG, f"line {number} has more than {MOST_DOCUMENT:,} bytes", str(path))
            yield line


def line_at(path: Path, offset: int) -> bytes:
    """Return the line of a regular file that begins at `offset`."""
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(offset)
        return file.readline(MOST_DOCUMENT)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder in name order; `WrongKind` if it is something else or a link."""
    mode = folder.lstat().st_mode
    if not stat.S_ISDIR(mode):
        raise WrongKind(folder, mode, KINDS[stat.S_IFDIR])
    found: list[os.DirEntry[str]] = []
    with os.scandir(folder) as every:
        for each in every:
            found.append(each)
            if len(found) > MOST_ENTRIES:
                raise OSError(errno.EFBIG, f"it has more than {MOST_ENTRIES:,} entries", str(folder))
    return sorted(found, key=lambda each: each.name)


def link_in(folder: Path) -> Path | None:
    """Return the folder if it is a link, or a link to a folder that is in it; None if there is none."""
    if folder.is_symlink():
        return folder
    below = (Path(above, name) for above, folders, _ in os.walk(folder) for name in folders)
    return next((path for path in below if path.is_symlink()), None)


def is_there(path: Path) -> bool:
    """Return whether there is anything at a path, even a link that leads nowhere; `OSError` if that cannot be known."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
