"""The offline reading: the counter from CRIU's pages and the surfaces from the captured files, without a restore."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints import completeness
from harness.checkpoints.criu.memory import PAGE, shared
from harness.checkpoints.criu.tasks import tasks
from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.sources import Part
from harness.checkpoints.untrusted import Absent, Budget, Unreadable, open_regular, pread
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.oracle.lines import FILLED_SINCE, LINE, UNFILLED, read_lines
from harness.oracle.locations import (
    LARGEST_SURFACE,
    InLog,
    InTmpfs,
    Location,
    Locations,
    OnDisk,
    Outside,
    location_of,
    tmpfs_files,
)
from harness.oracle.processes import Form, OwnSurface, Process, processes
from harness.oracle.ring import RECORD, MemoryCounter, is_sentinel, read_appended, read_ring

SHARED = ("shared", "memfd")
"""Sorts of pages that CRIU keeps in images of their own."""


def read(
    images: Path,
    disks: Mapping[str, CapturedFiles],
    log: Part | None = None,
    *,
    nonce: str = "",
    outside: Collection[str] = (),
) -> tuple[Reading, ...]:
    """Read a complete checkpoint: return a reading of each workload, the one of `nonce` first.

    `disks`: by mount point; `log`: the engine's log; `outside`: names of surfaces that are documented as outside the
    checkpoint. A surface that is not captured, but not in `outside` either, holds nothing. Raise `Unreadable`.
    """
    budget = Budget()
    sizes = {path.name: path.lstat().st_size for path in images.iterdir()}
    completeness.check(images, sizes, budget, followed=images.parent)
    named = {task.pid: task for task in tasks(images, budget)}
    found = []
    captured = Captured(images, disks, budget, log, images.parent)
    for process in processes(images, budget, within=images.parent):
        where = Locations.of(images, process, named[process.pid], budget)
        places = {
            surface.name: location_of(surface, where, disks, {}, log=log is not None) for surface in process.surfaces
        }
        inside = {
            name: place for name, place in places.items() if name not in outside or not isinstance(place, Outside)
        }
        found.append(reading_of(process, inside, captured))
    return tuple(sorted(found, key=lambda reading: reading.nonce != nonce))


@dataclass(frozen=True)
class Captured:
    """The unpacked parts of a checkpoint besides its memory pages."""

    images: Path
    disks: Mapping[str, CapturedFiles]
    """Captured files by mount point."""
    budget: Budget
    log: Part | None = None
    """The engine's log of standard output."""
    within: Path | None = None
    """Folder for earlier memory levels."""


def reading_of(process: Process, places: Mapping[str, Location], captured: Captured) -> Reading:
    """Read the counter of a process and its surfaces, in writing order.

    `places`: locations of the surfaces to read, by name. A surface that is not at its place, or outside, holds nothing.
    """
    held = tmpfs_files(captured.images, places.values(), captured.budget)
    counter = process.counter
    surfaces: list[SurfaceReading] = []
    for surface in process.surfaces:
        place = places.get(surface.name)
        if place is None or surface.form is Form.APPLICATION:  # only the application knows its files
            continue
        if surface.form is Form.STDOUT:
            surfaces.append(_printed(surface, counter, captured.log if isinstance(place, InLog) else None))
        elif surface.form is Form.PAGES:
            surfaces.append(_paged(surface, process, captured))
        elif surface.form is Form.DELETED:
            surfaces.append(_done(surface.name, counter, done=_is_gone(place, captured, held)))
        else:
            data = _content(place, captured, held)
            if surface.form is Form.SENTINEL:
                surfaces.append(_done(surface.name, counter, done=is_sentinel(data, nonce=counter.nonce)))
            elif surface.form is Form.APPENDED:
                if len(data) == LARGEST_SURFACE:  # the rest is not known, and no fault of the checkpoint
                    raise Unreadable(f"{surface.name} has {LARGEST_SURFACE:,} bytes or more, and is read up to there")
                surfaces.append(read_appended(data, surface=surface.name, nonce=counter.nonce))
            else:
                surfaces.append(read_ring(data, surface=surface.name, nonce=counter.nonce, ring=counter.ring))
    return Reading(
        witness=Witness.OFFLINE,
        nonce=f"{counter.nonce:016x}",
        counter=counter.n,
        counter_wall_ns=counter.wall_ns,
        surfaces=tuple(surfaces),
    )


def _paged(surface: OwnSurface, process: Process, captured: Captured) -> SurfaceReading:
    sort, count, address = surface.pages
    memory = process.memory
    if sort in SHARED:
        memory = shared(captured.images, memory, captured.budget, within=captured.within)
    records = b"".join(memory.head(address + number * PAGE, RECORD.itemsize) for number in range(count))
    return read_ring(records, surface=surface.name, nonce=process.counter.nonce, ring=count)


def _printed(surface: OwnSurface, counter: MemoryCounter, log: Part | None) -> SurfaceReading:
    chunks = log.chunks() if log else ()
    length = LINE if counter.version >= FILLED_SINCE else UNFILLED
    return read_lines(chunks, surface=surface.name, nonce=counter.nonce, every=surface.every, length=length)


def _content(place: Location, captured: Captured, held: Mapping[InTmpfs, bytes | None]) -> bytes:
    if isinstance(place, InTmpfs):
        return held[place] or b""
    return _regular(captured.disks[place.mount].file(place.name)) if isinstance(place, OnDisk) else b""


def _is_gone(place: Location, captured: Captured, held: Mapping[InTmpfs, bytes | None]) -> bool:
    if isinstance(place, InTmpfs):
        return held[place] is None
    return isinstance(place, OnDisk) and captured.disks[place.mount].lacks(place.name)


def _done(name: str, counter: MemoryCounter, *, done: bool) -> SurfaceReading:
    """Return the reading of what is done once, at the start: it is as new as memory, or else it has no tick."""
    if done:
        return SurfaceReading(surface=name, newest=counter.n, newest_wall_ns=counter.wall_ns, lag=0)
    return SurfaceReading(surface=name, newest=None, newest_wall_ns=None, lag=0)


def _regular(path: Path) -> bytes:
    """Return the content of a regular file, empty if there is none; the container controls what is at the path."""
    try:
        with open_regular(path) as descriptor:
            return pread(descriptor, LARGEST_SURFACE, 0)
    except Absent:
        return b""
