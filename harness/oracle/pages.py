"""Memory out of CRIU's images: which pages a process had, level by level, and the counter in them.

`pagemap-PID.img` is two magic words, then messages that each follow their size: one head with the number of the
`pages-N.img`, then an entry per stretch of pages. Pages that are present lie in that file one after the other, in the
order of entries; the others are zero, lazy (they never left the source), or those of the images that the link `parent`
leads to. https://github.com/checkpoint-restore/criu/blob/v4.2/images/pagemap.proto and criu/pagemap.c beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.checkpoints import criu_image
from harness.checkpoints.archive import CHUNK, PARENT
from harness.checkpoints.untrusted import Budget, Unreadable, open_regular, pread
from harness.oracle.ring import MAGIC, MemoryCounter, find_counter

MOST_LEVELS = 64
"""Levels of memory that are followed, the newest included."""
PAGE = 4096
PAGE_SIZES = (PAGE, 4 * PAGE, 16 * PAGE)
IN_PARENT, PRESENT = 1 << 0, 1 << 2
"""Flags of an entry."""

_ARGUMENT = re.compile(rb"(--surface|--deleted)\0([a-z0-9-]{1,32})=(/[^\0]{0,4095})\0")
_LONGEST_ARGUMENT = 2 * PAGE
_MOST_ARGUMENTS = 64


class NoCounter(Unreadable):
    """The images are whole, as far as they are needed, and no counter of a workload is in them."""


@dataclass(frozen=True)
class Process:
    """A process of one of our workloads: its counter, and the options about surfaces of its command line."""

    counter: MemoryCounter
    options: frozenset[tuple[str, str, str]]
    """Option, name and path; empty where its arguments are not in its memory."""


@dataclass(frozen=True)
class _Stretch:
    """Pages of one entry: addresses, and where they are."""

    start: int
    end: int
    at: int | None
    """Position in the file of pages, None where they are not in it."""
    in_parent: bool


@dataclass(frozen=True)
class _Window:
    """A stretch of a file of pages that is memory of the process."""

    path: Path
    start: int
    end: int


def processes(images: Path, budget: Budget, *, within: Path | None = None) -> tuple[Process, ...]:
    """Find the processes of workloads in CRIU's images, by their ids; `NoCounter` if there is none.

    A page of a newer level wins over an older one. Parents are followed as long as they are inside of `within`, or
    else inside of `images`.
    """
    found: list[Process] = []
    missing: list[str] = []
    pids = _pids(images, budget)
    for pid in pids:
        memory = _merged(_windows(_Levels(images, within or images, budget, missing), pid))
        found += _in_memory(list(memory), budget)
    if found:
        return tuple(found)
    why = list(dict.fromkeys(missing)) if pids else ["it has no pagemap"]
    raise NoCounter("; ".join([f"no workload's counter in the memory pages of {images.name}", *why]))


def _pids(images: Path, budget: Budget) -> list[int]:
    found = []
    try:
        with os.scandir(images) as entries:
            for entry in entries:
                budget.part()
                if match := re.fullmatch(r"pagemap-([0-9]{1,10})\.img", entry.name):
                    found.append(int(match[1]))
    except OSError as error:
        raise Unreadable(f"{images.name} is no folder with images: {error.strerror}") from error
    return sorted(found)


class _Levels:
    """The images of a checkpoint and those of its parents."""

    def __init__(self, images: Path, within: Path, budget: Budget, missing: list[str], depth: int = 1) -> None:
        self.images = images
        self.within = within
        self.budget = budget
        self.missing = missing
        self.depth = depth

    def parent(self) -> _Levels | None:
        """The level before, or None with a word in `missing`."""
        link = self.images / PARENT
        if self.depth == MOST_LEVELS:
            raise Unreadable(f"its memory has more than {MOST_LEVELS} levels, or they go round in a circle")
        try:
            parent = link.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            self.missing.append(f"pages are in a parent of {self.images.name} that is not there")
            return None
        if not parent.is_relative_to(self.within.resolve()):
            self.missing.append(f"the parent of {self.images.name} is outside of {self.within.name}, and not followed")
            return None
        return _Levels(parent, self.within, self.budget, self.missing, self.depth + 1)


def _windows(levels: _Levels, pid: int, wanted: Sequence[tuple[int, int]] | None = None) -> Iterator[_Window]:
    path = levels.images / f"pagemap-{pid}.img"
    if wanted is not None and not os.path.lexists(path):
        levels.missing.append(f"{path.name} is not in {levels.images.name}")
        return
    pages, stretches = _stretches(path, levels.budget)
    elsewhere = []
    for stretch, start, end in _common(stretches, wanted):
        if stretch.at is not None:
            at = stretch.at + start - stretch.start
            yield _Window(pages, at, at + end - start)
        elif stretch.in_parent:
            elsewhere.append((start, end))
    if elsewhere and (parent := levels.parent()):
        yield from _windows(parent, pid, elsewhere)


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
    """Read a pagemap: its file of pages, and what is where, by address."""
    said = criu_image.read(path, criu_image.PAGEMAP, budget)
    head = next(said, None)
    if head is None:
        raise Unreadable(f"{path.name} has no head")
    pages = path.with_name(f"pages-{head.pages_id}.img")
    entries = [_entry(each) for each in said]
    page = _page_size(pages, sum(count for _, count, flags in entries if flags & PRESENT))
    found, at = [], 0
    for address, count, flags in entries:
        present = bool(flags & PRESENT)
        found.append(_Stretch(address, address + count * page, at if present else None, bool(flags & IN_PARENT)))
        at += count * page * present
    found.sort(key=lambda stretch: stretch.start)
    if any(later.start < earlier.end for earlier, later in pairwise(found)):
        raise Unreadable(f"{path.name} has the same page twice")
    return pages, found


def _entry(entry: Any) -> tuple[int, int, int]:
    """Address, pages and flags, as CRIU completes those of older images, which have fewer fields."""
    flags = entry.flags | IN_PARENT if entry.in_parent else entry.flags if entry.HasField("flags") else PRESENT
    return entry.vaddr, entry.nr_pages if entry.HasField("nr_pages") else entry.compat_nr_pages, flags


def _page_size(pages: Path, count: int) -> int:
    """Images do not tell the size of a page: it is that by which the file is as long as its pages."""
    if count == 0:
        return PAGE
    with open_regular(pages) as descriptor:
        size = os.fstat(descriptor).st_size
    if size < count * PAGE:
        raise Unreadable(f"{pages.name} is compressed or cut off: it has {size:,} bytes for {count:,} pages")
    return next((each for each in PAGE_SIZES if size == count * each), PAGE)


def _merged(windows: Iterable[_Window]) -> Iterator[_Window]:
    """Join windows that follow each other in a file."""
    last: _Window | None = None
    for window in windows:
        if last and (last.path, last.end) == (window.path, window.start):
            last = _Window(last.path, last.start, window.end)
        else:
            if last:
                yield last
            last = window
    if last:
        yield last


def _in_memory(windows: Sequence[_Window], budget: Budget) -> list[Process]:
    """Look for the counter at the start of every page, and for options; a process has one counter."""
    counter: MemoryCounter | None = None
    options: set[tuple[str, str, str]] = set()
    for window in windows:
        for data, own in _chunks(window, budget):
            at = data.find(MAGIC, 0, own)
            while at >= 0 and not counter:
                counter = None if at % PAGE else find_counter(data[at : at + PAGE])
                at = data.find(MAGIC, at + 1, own)
            for match in _ARGUMENT.finditer(data):
                if len(options) < _MOST_ARGUMENTS:
                    option, name, path = (group.decode(errors="replace") for group in match.groups())
                    options.add((option, name, path))
    return [Process(counter, frozenset(options))] if counter else []


def _chunks(window: _Window, budget: Budget) -> Iterator[tuple[bytes, int]]:
    """Bytes of a window without its holes, from page starts; the number tells how many are not in the next chunk."""
    with open_regular(window.path) as descriptor:
        at = window.start
        while at < window.end:
            try:
                data_at = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError:
                return  # nothing but a hole up to the end
            at = max(at, data_at - data_at % PAGE)
            size = min(CHUNK, window.end - at)
            if size <= 0:
                return
            budget.read(size)
            yield pread(descriptor, min(size + _LONGEST_ARGUMENT, window.end - at), at), size
            at += size
