"""Pages of memory as surfaces of a running ledger."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.checkpoints.criu.memory import PAGE
from harness.model.readings import SurfaceReading
from harness.oracle.processes import PAGES as DESCRIBED
from harness.oracle.ring import COUNTER_BYTES, RECORD, MemoryCounter, make_records
from harness.workload.definitions import Memory
from harness.workload.messages import ReadingMessage, Start
from tests.workloads.running_ledger import PAGES, Ledger

SORTS = tuple(map(str, Memory))
PREFIX = 24
"""Bytes between the counter and its description."""


def told(ledger: Ledger) -> tuple[int, dict[str, SurfaceReading]]:
    """Counter and surfaces that it finds after a pause."""
    ledger.hold()
    ledger.resume()
    reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "gap")
    return reading.n, {each.surface: each for each in reading.surfaces if each.surface in SORTS}


def place(ledger: Ledger, sort: str, slot: int) -> int:
    """Address of a page, as the ledger describes it."""
    ((address, _),) = ledger.counters()
    with Path(f"/proc/{ledger.process.pid}/mem").open("rb", buffering=0) as memory:
        words = (
            os.pread(memory.fileno(), 4 * PAGE - 128, address + COUNTER_BYTES + PREFIX)
            .decode(errors="replace")
            .split("\0")
        )
    found = DESCRIBED.fullmatch(words[words.index(sort, words.index("pages")) + 1])
    assert found is not None
    assert (found[1], int(found[2])) == (sort, PAGES)
    return int(found[3], 16) + slot * PAGE


def damage(ledger: Ledger, memory: MemoryCounter, sort: str, how: str) -> None:
    """Change the page of the tick five before the counter."""
    n = memory.n - 5
    at = place(ledger, sort, n % PAGES)
    with Path(f"/proc/{ledger.process.pid}/mem").open("r+b", buffering=0) as content:
        record = np.frombuffer(os.pread(content.fileno(), RECORD.itemsize, at), RECORD)[0]
        assert record["n"] == n
        made = {
            "older": make_records([n - PAGES], [record["wall_ns"] - 1000], memory.nonce).tobytes(),
            "zero": bytes(RECORD.itemsize),
            "torn": record.tobytes()[:-1] + bytes([record.tobytes()[-1] ^ 1]),
            "foreign": make_records([n], [record["wall_ns"]], memory.nonce ^ 1).tobytes(),
        }[how]
        os.pwrite(content.fileno(), made, at)


def test_all_sorts_of_pages_hold_what_memory_holds(start: Callable[..., Ledger]) -> None:
    ledger = start(pages=True)
    assert ledger.hear(Start).surfaces[-len(SORTS) :] == SORTS
    ledger.await_tick(3 * PAGES)
    for _ in range(2):
        ledger.stop()
        n, found = told(ledger)
        assert {name: each.newest for name, each in found.items()} == dict.fromkeys(SORTS, n)
        assert not any(each.torn or each.foreign or each.holes or each.backwards for each in found.values())


@pytest.mark.parametrize(
    ("how", "field"), [("older", "holes"), ("zero", "holes"), ("torn", "torn"), ("foreign", "foreign")]
)
@pytest.mark.parametrize("sort", SORTS)
def test_one_page_among_many_is_noticed(start: Callable[..., Ledger], sort: str, how: str, field: str) -> None:
    ledger = start(pages=True, period_us=2000)
    ledger.await_tick(3 * PAGES)
    memory = ledger.stop()
    damage(ledger, memory, sort, how)
    _, found = told(ledger)
    assert getattr(found[sort], field) == 1
    assert not any(each.torn or each.foreign or each.holes for name, each in found.items() if name != sort)


@pytest.mark.parametrize("ticks", [0, 1, PAGES - 1, PAGES, PAGES + 1])
def test_a_ring_of_pages_is_whole_before_and_after_its_first_round(start: Callable[..., Ledger], ticks: int) -> None:
    ledger = start(pages=True, period_us=100_000)
    ledger.await_tick(max(1, ticks))
    ledger.stop()
    ledger.hold(400_000_000)
    ledger.resume()
    reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "gap")
    assert all(each.newest == reading.n and not each.holes for each in reading.surfaces)
