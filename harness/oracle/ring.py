"""Rings of records, and the counter in memory, as bytes: reads and makes them.

`workloads/ledger/memory.h` defines the layout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.model.readings import SurfaceReading

Ticks = NDArray[np.uint64]
Records = NDArray[np.void]

RECORD = np.dtype([("n", "<u8"), ("wall_ns", "<u8"), ("nonce", "<u8"), ("check", "<u8")])
MAGIC = b"STILLFRAMELEDGER"
LARGEST_RING = 1 << 20
_HEAD = struct.Struct("<16sIIQQ")
_BITS = (1 << 64) - 1
VERSIONS = (1, 2, 3)
"""Known versions of the memory layout.

Since version 2 a process's description of itself follows its records; since version 3 its lines on standard output have
one length.
"""

COUNTER_BYTES = _HEAD.size + 2 * RECORD.itemsize
"""Bytes of the counter in memory, including its two records."""


@dataclass(frozen=True)
class MemoryCounter:
    """The counter in memory, with the wall clock of its tick, and the workload's nonce, ring size and version."""

    n: int
    wall_ns: int
    nonce: int
    ring: int
    version: int = VERSIONS[-1]


def records_of(nonce: int, newest: int, ring: int, wall_ns: int, *, step_ns: int = 1000) -> bytes:
    """Make a ring that holds all ticks up to `newest`, which happened at `wall_ns`; `step_ns`: time between ticks."""
    ticks = np.arange(max(1, newest - ring + 1), newest + 1, dtype=np.uint64)
    slots = np.zeros(ring, RECORD)
    slots[ticks % np.uint64(ring)] = make_records(ticks, wall_ns - (newest - ticks.astype(np.int64)) * step_ns, nonce)
    return slots.tobytes()


def make_records(n: ArrayLike, wall_ns: ArrayLike, nonce: int) -> Records:
    """Make valid records, one per tick in `n`."""
    records = np.zeros(np.shape(n), RECORD)
    records["n"], records["wall_ns"], records["nonce"] = n, wall_ns, nonce
    records["check"] = _check(records)
    return records


def read_ring(data: bytes, *, surface: str, nonce: int, ring: int) -> SurfaceReading:
    """Judge the bytes of a surface that was captured at the same moment as memory; `ring`: its size in records.

    Missing bytes at the end of a file count as empty slots.
    """
    size = ring * RECORD.itemsize
    slots = np.frombuffer(data[:size].ljust(size, b"\0"), RECORD)
    position = np.arange(ring, dtype=np.uint64)
    filled = slots != np.zeros((), RECORD)
    whole = filled & (slots["check"] == _check(slots))
    n: Ticks = slots["n"]
    own = whole & (slots["nonce"] == np.uint64(nonce)) & (n != 0) & (n % np.uint64(ring) == position)
    newest = int(n[own].max(initial=0))
    expected = np.uint64(newest) - np.arange(min(newest, ring), dtype=np.uint64)[::-1]
    order = expected % np.uint64(ring)
    present = own[order] & (n[order] == expected)
    wall: Ticks = slots["wall_ns"][order]
    backwards = present[:-1] & present[1:] & (wall[1:] < wall[:-1])
    return SurfaceReading(
        surface=surface,
        newest=newest or None,
        newest_wall_ns=int(slots["wall_ns"][newest % ring]) if newest else None,
        torn=int(np.count_nonzero(filled & ~whole)),
        foreign=int(np.count_nonzero(whole & ~own)),
        holes=int(np.count_nonzero(~present)),
        backwards=int(np.count_nonzero(backwards)),
    )


def read_appended(data: bytes, *, surface: str, nonce: int) -> SurfaceReading:
    """Judge the bytes of a file to which each tick appended its record, captured at the same moment as memory."""
    records = np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)
    whole = (records != np.zeros((), RECORD)) & (records["check"] == _check(records))
    own = whole & (records["nonce"] == np.uint64(nonce)) & (records["n"] != 0)
    n: Ticks = records["n"][own]
    before = np.concatenate(([np.uint64(0)], np.maximum.accumulate(n)[:-1])) if len(n) else n
    new = n > before
    wall: Ticks = records["wall_ns"][own][new]
    newest = int(n.max(initial=0))
    return SurfaceReading(
        surface=surface,
        newest=newest or None,
        newest_wall_ns=int(wall[-1]) if newest else None,
        torn=int(np.count_nonzero(~whole)) + (len(data) % RECORD.itemsize != 0),
        foreign=int(np.count_nonzero(whole & ~own)),
        holes=newest - int(np.count_nonzero(new)),
        backwards=int(np.count_nonzero(wall[1:] < wall[:-1])),
        repeated=int(np.count_nonzero(~new)),
    )


def is_sentinel(data: bytes, *, nonce: int) -> bool:
    """Return whether a file has what the workload wrote at its start, its record of tick 0, and nothing else."""
    if len(data) != RECORD.itemsize:
        return False
    (record,) = np.frombuffer(data, RECORD)
    return bool(record == make_records([0], [record["wall_ns"]], nonce)[0])


def parse_counter(pages: bytes, at: int = 0) -> MemoryCounter | None:
    """Read the counter whose magic is at `at`; None if it is incomplete, invalid or of an unknown version."""
    if at + COUNTER_BYTES > len(pages):
        return None
    _, version, ring, nonce, n = _HEAD.unpack_from(pages, at)
    start = at + _HEAD.size + (n & 1) * RECORD.itemsize
    (record,) = np.frombuffer(pages[start : start + RECORD.itemsize], RECORD)
    valid = version in VERSIONS and 0 < ring <= LARGEST_RING and nonce != 0
    valid &= bool(record == make_records([n], [record["wall_ns"]], nonce)[0])
    if not valid:
        return None
    return MemoryCounter(n=n, wall_ns=int(record["wall_ns"]), nonce=nonce, ring=ring, version=version)


def _check(records: Records) -> Ticks:
    return mixed(mixed(mixed(records["n"]) ^ records["wall_ns"]) ^ records["nonce"])


def mix64(x: int) -> int:
    """Return splitmix64's finalizer of a number."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _BITS
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _BITS
    return x ^ (x >> 31)


def mixed(x: Ticks) -> Ticks:
    """Return splitmix64's finalizer of many numbers; it is bijective, so a change of one field always shows."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
