"""Damage to the ring of `image` while the ledger is stopped, and what the ledger must report of it."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from harness.model.readings import SurfaceReading
from harness.oracle.ring import RECORD, MemoryCounter, Records, make_records, records_of
from tests.workloads.running_ledger import Ledger

US = 1000

CLEAN = SurfaceReading(surface="-", newest=None, newest_wall_ns=None)
"""No finding: a damage below overrides the fields that it names."""

Damage = Callable[[Ledger, MemoryCounter], SurfaceReading]
"""Changes the ring of `image` and returns the finding that the ledger must report; the newest tick is absolute."""


def own(ledger: Ledger, memory: MemoryCounter, newest: int, **found: int) -> SurfaceReading:
    wall = int(ledger.records()["wall_ns"][newest % ledger.ring])
    return SurfaceReading(surface="image", newest=newest, newest_wall_ns=wall, **found)


def nothing(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    return own(ledger, memory, memory.n)


def ahead(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    future = np.arange(memory.n + 1, memory.n + 8)
    records[future % ledger.ring] = make_records(future, memory.wall_ns + (future - memory.n) * US, memory.nonce)
    ledger.put(records)
    return SurfaceReading(surface="image", newest=memory.n + 7, newest_wall_ns=memory.wall_ns + 7 * US)


def far_ahead(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    """The ring is ahead by more than its length, and the process finished its own write over one of the records."""
    newest, wall_ns = memory.n + 3 * ledger.ring + 7, memory.wall_ns + 1000 * US
    records = np.frombuffer(bytearray(records_of(memory.nonce, newest, ledger.ring, wall_ns)), RECORD)
    records[memory.n % ledger.ring] = make_records([memory.n], [memory.wall_ns], memory.nonce)[0]
    ledger.put(records)
    return SurfaceReading(surface="image", newest=newest, newest_wall_ns=wall_ns)


def rewound(ledger: Ledger, memory: MemoryCounter, ticks: int) -> Records:
    """Rewind the ring by `ticks`: the older records are back in the slots of the newest ones."""
    records = ledger.records()
    restored = np.arange(memory.n - ticks + 1, memory.n + 1) - ledger.ring
    oldest = int(records["wall_ns"][(memory.n + 1) % ledger.ring])
    walls = oldest - (memory.n + 1 - ledger.ring - restored) * US
    records[restored % ledger.ring] = make_records(restored, walls, memory.nonce)
    return records


def behind(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    ledger.put(rewound(ledger, memory, 20))
    return own(ledger, memory, memory.n - 20)


def behind_but_for_the_last_write(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = rewound(ledger, memory, 20)
    records[memory.n % ledger.ring] = make_records([memory.n], [memory.wall_ns], memory.nonce)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n - 20)


def emptied(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    ledger.put(np.zeros(ledger.ring, RECORD))
    return CLEAN.model_copy(update={"surface": "image"})


def emptied_but_for_the_last_write(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = np.zeros(ledger.ring, RECORD)
    records[memory.n % ledger.ring] = make_records([memory.n], [memory.wall_ns], memory.nonce)[0]
    ledger.put(records)
    return CLEAN.model_copy(update={"surface": "image"})


def cut_off(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    os.truncate(ledger.folder / "image", 0)
    return CLEAN.model_copy(update={"surface": "image"})


def torn(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records["wall_ns"][(memory.n - 5) % ledger.ring] ^= np.uint64(1)
    ledger.put(records)
    return own(ledger, memory, memory.n, torn=1, holes=1)


def foreign_nonce(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n - 5) % ledger.ring] = make_records([memory.n - 5], [memory.wall_ns], memory.nonce ^ 1)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n, foreign=1, holes=1)


def wrong_slot(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n - 5) % ledger.ring] = make_records([memory.n + 9], [memory.wall_ns], memory.nonce)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n, foreign=1, holes=1)


def lost(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n - 5) % ledger.ring] = np.zeros((), RECORD)
    ledger.put(records)
    return own(ledger, memory, memory.n, holes=1)


def backwards(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n - 5) % ledger.ring] = make_records([memory.n - 5], [memory.wall_ns], memory.nonce)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n, backwards=1)
