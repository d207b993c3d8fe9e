"""Processes of workloads in a checkpoint's memory: the counter of each process, and its description of itself.

`workloads/ledger/memory.h` defines the layout. Since version 2 the description follows the counter in memory. A
process of version 1 has arguments instead, in which it replaced each `=` by a 0 byte.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.checkpoints.criu import image
from harness.checkpoints.criu.memory import PAGE, Memory, memories
from harness.checkpoints.documents import there
from harness.checkpoints.untrusted import Broken, Budget, Unreadable
from harness.oracle.ring import COUNTER_BYTES, MAGIC, MemoryCounter, mix64, parse_counter

MOST_ARGUMENTS = 256 << 10
"""Maximum length of a command line in bytes."""
MOST_DESCRIPTION = 4 * PAGE
TEXTS = 4
"""Number of texts that describe a surface."""
MOST_SURFACES = 16
"""SURFACES_MAX of the ledger's surfaces.h."""
PAGES = re.compile(r"([a-z]+):([1-9][0-9]{0,5}):([0-9a-f]{16})")
"""Sort, number and address of pages, as the ledger's surfaces.c describes them."""
RAREST = 1_000_000
"""PRINT_MAX of the ledger's options.c."""

_DESCRIPTION = struct.Struct("<QQQ")


class Form(StrEnum):
    """How a surface carries the counter, in the words of the ledger's surfaces.c."""

    RING = "ring"
    DELETED = "deleted"
    STDOUT = "stdout"
    APPENDED = "appended"
    SENTINEL = "sentinel"
    APPLICATION = "application"
    PAGES = "pages"


OPTIONS = {b"--surface": Form.RING, b"--deleted": Form.DELETED}
"""Options of ledger.c in version 1."""


class Teller(StrEnum):
    """Source of the list of a process's surfaces."""

    ITSELF = "its own description"
    ARGUMENTS = "its arguments"


class NoCounter(Unreadable):
    """The images are complete, as far as needed, but contain no workload's counter."""


@dataclass(frozen=True)
class OwnSurface:
    """A surface, described by its process."""

    form: Form
    name: str
    path: str
    """Path in the container; for standard output, the number of ticks per line, and for pages what `PAGES` matches."""
    descriptor: int | None = None
    """Number of the open descriptor, if the process gives it."""

    @property
    def every(self) -> int:
        """Ticks per line of standard output; 0 if `path` is not such a number."""
        return int(self.path) if re.fullmatch("[1-9][0-9]{0,6}", self.path) and int(self.path) <= RAREST else 0

    @property
    def pages(self) -> tuple[str, int, int]:
        """Sort, number and address of pages; nothing if `path` does not give them."""
        found = PAGES.fullmatch(self.path)
        return (found[1], int(found[2]), int(found[3], 16)) if found else ("", 0, 0)


@dataclass(frozen=True)
class Process:
    """A process of a workload."""

    pid: int
    counter: MemoryCounter
    surfaces: tuple[OwnSurface, ...]
    """In writing order."""
    told_by: Teller
    memory: Memory


def processes(images: Path, budget: Budget, *, within: Path | None = None) -> tuple[Process, ...]:
    """Find the processes of workloads in CRIU's images, in the order of their ids; raise `NoCounter` if there is none.

    Raise `Unreadable` for a process with a counter that cannot be read. `within`: folder for earlier memory levels.
    """
    found: list[Process] = []
    missing: dict[str, int] = {}
    seen = False
    for memory in memories(images, budget, within=within):
        seen = True
        own = tuple(_of_memory(images, memory, budget))
        found += own
        missing |= dict.fromkeys(() if own else memory.missing, memory.pid)
    if found and missing:
        raise Unreadable(
            "; ".join(
                f"process {pid} may be a workload, but its memory is incomplete: {why}" for why, pid in missing.items()
            )
        )
    if found:
        return tuple(found)
    why = list(missing) if seen else ["it has no pagemap"]
    raise NoCounter("; ".join(["no workload's counter in its memory pages", *why]))


def _of_memory(images: Path, memory: Memory, budget: Budget) -> Iterator[Process]:
    addresses = list(_signed_pages(memory))
    if len(addresses) > 1:
        raise Unreadable(f"process {memory.pid} has {len(addresses)} counters of a workload, but must have one")
    for address in addresses:
        head = memory.read(address, COUNTER_BYTES)
        counter = parse_counter(head, 0)
        if counter is None:
            raise Unreadable(f"process {memory.pid} has a workload's counter that is damaged or has an unknown version")
        if counter.version == 1:
            teller, surfaces = Teller.ARGUMENTS, tuple(_by_arguments(images, memory, budget))
        else:
            teller, surfaces = Teller.ITSELF, tuple(_by_description(memory, address))
        if len({surface.name for surface in surfaces}) < len(surfaces):
            raise Unreadable(f"process {memory.pid} has two surfaces with the same name")
        yield Process(memory.pid, counter, surfaces, teller, memory)


def _signed_pages(memory: Memory) -> Iterator[int]:
    """Yield the addresses of pages that begin with the magic."""
    for start, data, own in memory.chunks():
        at = data.find(MAGIC, 0, own)
        while at >= 0:
            if at % PAGE == 0:
                yield start + at
            at = data.find(MAGIC, at + 1, own)


def _by_description(memory: Memory, address: int) -> Iterator[OwnSurface]:
    at = address + COUNTER_BYTES
    _, size, check = _DESCRIPTION.unpack(memory.read(at, _DESCRIPTION.size))
    if not 0 < size <= MOST_DESCRIPTION:
        raise Unreadable(f"process {memory.pid} does not describe its surfaces")
    told = memory.read(at + _DESCRIPTION.size, size)
    words = told.split(b"\0")
    if _checked(told) != check or words.pop() != b"" or len(words) % TEXTS or len(words) > TEXTS * MOST_SURFACES:
        raise Unreadable(f"process {memory.pid} has a damaged description of its surfaces")
    for form, name, path, descriptor in zip(*(words[each::TEXTS] for each in range(TEXTS)), strict=True):
        if form.decode(errors="replace") not in list(Form):
            raise Unreadable(f"process {memory.pid} has a surface of an unknown kind: {form[:40]!r}")
        if not re.fullmatch(rb"[0-9]{0,9}", descriptor):
            raise Unreadable(f"process {memory.pid} has a surface with an invalid descriptor: {descriptor[:40]!r}")
        number = int(descriptor) if descriptor else None
        found = OwnSurface(Form(form.decode()), name.decode(errors="replace"), os.fsdecode(path), number)
        if (found.form is Form.STDOUT and not found.every) or (found.form is Form.PAGES and not all(found.pages)):
            raise Unreadable(f"process {memory.pid} has a damaged description of its surfaces")
        yield found


def _checked(text: bytes) -> int:
    check = 0
    for byte in text:
        check = mix64(check ^ byte)
    return check


def _by_arguments(images: Path, memory: Memory, budget: Budget) -> Iterator[OwnSurface]:
    """Read the surfaces from the arguments of a version 1 process; `mm-PID.img` has their address (images/mm.proto)."""
    name = f"mm-{memory.pid}.img"
    if not there(images, name):
        raise Unreadable(f"{name} is missing, so the surfaces of process {memory.pid} are unknown")
    said = next(image.read(images / name, image.MEMORY, budget), None)
    if said is None:
        raise Broken(f"{name} is empty")
    size = said.mm_arg_end - said.mm_arg_start
    if not 0 < size <= MOST_ARGUMENTS:
        raise Unreadable(f"{name} says that the arguments have {size:,} bytes")
    words = iter(memory.read(said.mm_arg_start, size).split(b"\0"))
    count = 0
    for word in words:
        if word in OPTIONS:
            count += 1
            surface, path = next(words, b""), next(words, b"")
            if not surface or not path or count > MOST_SURFACES:
                raise Unreadable(f"the arguments of process {memory.pid} are not those of a workload")
            yield OwnSurface(OPTIONS[word], surface.decode(errors="replace"), os.fsdecode(path))
    if not count:
        raise Unreadable(f"the arguments of process {memory.pid} name no surface")
