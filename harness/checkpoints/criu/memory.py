"""Memory of processes, from CRIU's images: their pages, level by level.

`pagemap-PID.img` has a head with the number of `pages-N.img`, then an entry for each range of pages. Present pages
follow each other in that file, in the order of the entries. Other pages are zero, lazy (they never left the source), or
in the images that the link `parent` leads to.
https://github.com/checkpoint-restore/criu/blob/v4.2/images/pagemap.proto and criu/pagemap.c beside it.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.checkpoints.archive import CHUNK, PARENT
from harness.checkpoints.criu import image
from harness.checkpoints.criu.tasks import alive
from harness.checkpoints.untrusted import Absent, Broken, Budget, Unreadable, open_regular, pread

MOST_LEVELS = 64
"""Maximum number of levels of memory, including the newest."""
PAGE = 4096
PAGE_SIZES = (PAGE, 4 * PAGE, 16 * PAGE)
IN_PARENT, LAZY, PRESENT = 1 << 0, 1 << 1, 1 << 2
"""Flags of an entry (criu/include/pagemap.h); pages with another flag cannot be read here."""
OF_SHARED, OF_MEMFD = 1 << 8, 1 << 14
"""Status of a mapping (criu/include/image.h)."""


@dataclass(frozen=True)
class _Stretch:
    """The pages of one entry: their addresses, and their position."""

    start: int
    end: int
    at: int | None
    """Position in the file of pages; None if the pages are elsewhere."""
    flags: int


@dataclass(frozen=True)
class _Window:
    """A part of a file of pages, and its address in the process's memory."""

    path: Path
    at: int
    """Position in the file."""
    start: int
    """Address in memory."""
    size: int


class Memory:
    """Memory of one process."""

    def __init__(self, pid: int, windows: Sequence[_Window], missing: Sequence[str], budget: Budget) -> None:
        self.pid = pid
        self.missing = tuple(dict.fromkeys(missing))
        """Why pages are missing, as sentences."""
        self._windows = sorted(windows, key=lambda window: window.start)
        self._budget = budget

    def chunks(self, beyond: int = 0) -> Iterator[tuple[int, bytes, int]]:
        """Yield chunks without holes: address, bytes, and how many of the bytes are not part of the next chunk.

        A chunk begins at a page boundary and overlaps the next chunk by up to `beyond` bytes.
        """
        for window in self._windows:
            with open_regular(window.path) as descriptor:
                at, end = window.at, window.at + window.size
                while at < end:
                    try:
                        data_at = os.lseek(descriptor, at, os.SEEK_DATA)
                    except OSError:
                        break  # a hole up to the end
                    at = max(at, data_at - (data_at - window.at) % PAGE)
                    size = min(CHUNK, end - at)
                    if size <= 0:
                        break
                    self._budget.read(size)
                    yield window.start + at - window.at, pread(descriptor, min(size + beyond, end - at), at), size
                    at += size

    def head(self, address: int, size: int) -> bytes:
        """Return how the page at an address begins: CRIU leaves out pages of zeros.

        Raise `Unreadable` if it may be one of the pages that are missing.
        """
        at = bisect_right(self._windows, address, key=lambda window: window.start) - 1
        if at >= 0 and address < self._windows[at].start + self._windows[at].size:
            return self.read(address, size)
        if self.missing:
            raise Unreadable("; ".join(self.missing))
        return bytes(size)

    def read(self, address: int, size: int) -> bytes:
        """Return the bytes at an address; raise `Unreadable` if the images lack one of them."""
        self._budget.read(size)
        found, at = [], address
        first = max(0, bisect_right(self._windows, address, key=lambda window: window.start) - 1)
        for window in self._windows[first:]:
            if at >= address + size or not window.start <= at < window.start + window.size:
                break
            part = min(window.start + window.size, address + size) - at
            with open_regular(window.path) as descriptor:
                found.append(pread(descriptor, part, window.at + at - window.start))
            at += part
        data = b"".join(found)
        if len(data) < size:
            raise Unreadable(f"the images lack some of the {size:,} bytes at {address:#x} of process {self.pid}")
        return data


def shared(images: Path, memory: Memory, budget: Budget, *, within: Path | None = None) -> Memory:
    """Return the memory that a process shares by mappings without a file, or of a memfd.

    `pagemap-shmem-N.img` has the pages of one object, from its begin. A mapping names its object, or the memfd that it
    is a mapping of. https://github.com/checkpoint-restore/criu/blob/v4.2/criu/memfd.c and criu/shmem.c.
    """
    missing: list[str] = []
    windows: list[_Window] = []
    objects = {each.inode_id: each.shmid for each in image.read_if_there(images / "memfd.img", image.MEMFDS, budget)}
    memfds = {
        each.id: objects.get(each.memfd.inode_id)
        for each in image.read_if_there(images / "files.img", image.FILES, budget)
        if each.HasField("memfd")
    }
    for mappings in image.read_if_there(images / f"mm-{memory.pid}.img", image.MAPPINGS, budget):
        for each in mappings.vmas:
            number = memfds.get(each.shmid) if each.status & OF_MEMFD else each.shmid
            name = f"pagemap-shmem-{number}.img"
            if each.status & (OF_MEMFD | OF_SHARED) and os.path.lexists(images / name):
                wanted = [(each.pgoff, each.pgoff + each.end - each.start)]
                levels = _Levels(images, within or images, budget, missing)
                windows += (
                    replace(window, start=window.start - each.pgoff + each.start)
                    for window in _windows(levels, name, wanted)
                )
    return Memory(memory.pid, windows, missing, budget)


def memories(images: Path, budget: Budget, *, within: Path | None = None) -> Iterator[Memory]:
    """Yield the memory of each process in CRIU's images, in the order of process ids.

    A page of a newer level wins over an older one. Links to parents are followed inside `within`, by default inside
    `images`.
    """
    for pid in _pids(images, budget):
        missing: list[str] = []
        windows = _merged(_windows(_Levels(images, within or images, budget, missing), f"pagemap-{pid}.img"))
        yield Memory(pid, list(windows), missing, budget)


def _pids(images: Path, budget: Budget) -> list[int]:
    """Return the processes with a pagemap: those of the tree of processes, since others are left from earlier dumps."""
    listed = frozenset(alive(images, budget))
    found = []
    try:
        with os.scandir(images) as entries:
            for entry in entries:
                budget.part()
                if match := re.fullmatch(r"pagemap-([1-9][0-9]{0,9})\.img", entry.name):
                    found.append(int(match[1]))
    except OSError as error:
        raise Unreadable(f"it is not a folder with images: {error.strerror}") from error
    return sorted(pid for pid in found if pid in listed or not listed)


class _Levels:
    """The images of a checkpoint and those of its parents."""

    def __init__(self, images: Path, within: Path, budget: Budget, missing: list[str], depth: int = 1) -> None:
        self.images = images
        self.within = within
        self.budget = budget
        self.missing = missing
        self.depth = depth

    def parent(self) -> _Levels | None:
        """Return the earlier level; if it is not available, return None and add the reason to `missing`."""
        link = self.images / PARENT
        if self.depth == MOST_LEVELS:
            raise Unreadable(f"its memory has more than {MOST_LEVELS} levels, or the levels form a circle")
        try:
            parent = link.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            self.missing.append("pages are in an earlier level of memory that is missing")
            return None
        if not parent.is_relative_to(self.within.resolve()):
            self.missing.append("pages are in an earlier level of memory outside the checkpoint, which is not followed")
            return None
        return _Levels(parent, self.within, self.budget, self.missing, self.depth + 1)


def _windows(levels: _Levels, name: str, wanted: Sequence[tuple[int, int]] | None = None) -> Iterator[_Window]:
    path = levels.images / name
    if wanted is not None and not os.path.lexists(path):
        levels.missing.append(f"{path.name} is missing in an earlier level of memory")
        return
    pages, stretches = _stretches(path, levels.budget)
    elsewhere = []
    for stretch, start, end in _common(stretches, wanted):
        if stretch.at is not None:
            at = stretch.at + start - stretch.start
            yield _Window(pages, at, start, end - start)
        elif stretch.flags & IN_PARENT:
            elsewhere.append((start, end))
        elif stretch.flags & LAZY:
            levels.missing.append("pages are lazy, so they are still in the source")
    if elsewhere and (parent := levels.parent()):
        yield from _windows(parent, name, elsewhere)


def _common(
    stretches: Sequence[_Stretch], wanted: Sequence[tuple[int, int]] | None
) -> Iterator[tuple[_Stretch, int, int]]:
    """Intersect two sorted sequences of address ranges."""
    if wanted is None:
        yield from ((stretch, stretch.start, stretch.end) for stretch in stretches)
        return
    at = 0
    for start, end in wanted:
        while at < len(stretches) and stretches[at].end <= start:
            at += 1
        here = at
        while here < len(stretches) and stretches[here].start < end:
            yield stretches[here], max(start, stretches[here].start), min(end, stretches[here].end)
            here += 1


def _stretches(path: Path, budget: Budget) -> tuple[Path, list[_Stretch]]:
    """Read a pagemap: return its file of pages, and the ranges of pages by address."""
    said = image.read(path, image.PAGEMAP, budget)
    head = next(said, None)
    if head is None:
        raise Unreadable(f"{path.name} has no head")
    pages = path.with_name(f"pages-{head.pages_id}.img")
    told = list(said)
    if any(each.HasField("blocks") for each in told):  # CRIU's images/pagemap.proto from 4.3 on
        raise Unreadable(f"{path.name} has compressed pages, an option since CRIU 4.3 that cannot be read here")
    entries = [entry_of(each) for each in told]
    if any(flags & ~(IN_PARENT | LAZY | PRESENT) for _, _, flags in entries):
        raise Unreadable(f"{path.name} has pages with an unknown flag, for example for compression")
    page = _page_size(pages, sum(count for _, count, flags in entries if flags & PRESENT))
    found, at = [], 0
    for address, count, flags in entries:
        present = bool(flags & PRESENT)
        found.append(_Stretch(address, address + count * page, at if present else None, flags))
        at += count * page * present
    found.sort(key=lambda stretch: stretch.start)
    if any(later.start < earlier.end for earlier, later in pairwise(found)):
        raise Unreadable(f"{path.name} has the same page twice")
    return pages, found


def entry_of(entry: Any) -> tuple[int, int, int]:
    """Return address, number of pages and flags; older images have fewer fields, which CRIU completes like this."""
    flags = entry.flags | IN_PARENT if entry.in_parent else entry.flags if entry.HasField("flags") else PRESENT
    return entry.vaddr, entry.nr_pages if entry.HasField("nr_pages") else entry.compat_nr_pages, flags


def _page_size(pages: Path, count: int) -> int:
    """Return the page size that fits the length of the file of pages; images do not contain the size."""
    if count == 0:
        return PAGE
    try:
        with open_regular(pages) as descriptor:
            size = os.fstat(descriptor).st_size
    except Absent as error:
        raise Broken(f"{error.what}, but should hold {count:,} page{'s' if count > 1 else ''}") from error
    if size < count * PAGE:
        raise Broken(f"{pages.name} is compressed or cut off: it has {size:,} bytes for {count:,} pages")
    return next((each for each in PAGE_SIZES if size == count * each), PAGE)


def _merged(windows: Iterable[_Window]) -> Iterator[_Window]:
    """Join windows that follow each other both in the file and in memory."""
    last: _Window | None = None
    for window in windows:
        if last and (last.path, last.at + last.size, last.start + last.size) == (window.path, window.at, window.start):
            last = replace(last, size=last.size + window.size)
        else:
            if last:
                yield last
            last = window
    if last:
        yield last
