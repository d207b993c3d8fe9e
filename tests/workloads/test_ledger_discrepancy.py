"""What the ledger finds at its next tick, without a pause."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.model.readings import SurfaceReading
from harness.oracle.ring import RECORD, MemoryCounter, make_records, read_ring
from harness.workload.messages import ReadingMessage, Stop
from tests.workloads.damage import Damage, own
from tests.workloads.running_ledger import ATTEMPTS, NAMES, Ledger


def lose(back: int) -> Damage:
    """Empty the slot of the tick `back` before the next one."""

    def damage(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
        records = ledger.records()
        records[(memory.n + 1 - back) % ledger.ring] = np.zeros((), RECORD)
        ledger.put(records)
        return own(ledger, memory, memory.n - 1 if back == 1 else memory.n, holes=1)

    return damage


def foresee(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n + 1) % ledger.ring] = make_records([memory.n + 1], [memory.wall_ns + 1], memory.nonce)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n + 1)


def occupy(ledger: Ledger, memory: MemoryCounter) -> SurfaceReading:
    records = ledger.records()
    records[(memory.n + 1) % ledger.ring] = make_records([memory.n + 1], [memory.wall_ns], memory.nonce ^ 1)[0]
    ledger.put(records)
    return own(ledger, memory, memory.n, foreign=1)


@pytest.mark.parametrize(
    ("ring", "damage"),
    [
        pytest.param(4, lose(1), id="before"),
        pytest.param(4, lose(2), id="two-before"),
        pytest.param(4, lose(4), id="oldest"),
        pytest.param(4, foresee, id="future"),
        pytest.param(1024, occupy, id="empty-slot-taken"),
        pytest.param(1024, lose(2), id="two-before-in-a-young-ring"),
    ],
)
def test_a_discrepancy_is_found_at_the_next_tick(start: Callable[..., Ledger], ring: int, damage: Damage) -> None:
    """The period is so long that the damage happens between two ticks, without a gap."""
    for _ in range(ATTEMPTS):
        ledger = start(ring=ring, period_us=200_000)
        ledger.hurry()
        ledger.await_tick(5)
        memory = ledger.stop()
        expected = damage(ledger, memory)
        ledger.resume()
        reading = ledger.hear_within(3, memory)
        ledger.process.kill()
        if reading.reason == "discrepancy" and reading.n == memory.n + 1:
            break
    else:
        pytest.fail("no reading that came of the check before the next tick")
    before, found, after = reading.surfaces
    assert found == expected
    assert (before.newest, after.newest) == (memory.n + 1, memory.n)


def test_a_known_discrepancy_is_not_told_again_but_the_next_one_is(start: Callable[..., Ledger]) -> None:
    ledger = start(ring=8, period_us=20_000)
    ledger.await_tick(20)
    for _ in range(2):
        lose(2)(ledger, ledger.stop())
        ledger.resume()
        told = ledger.hear(ReadingMessage)
        ledger.await_tick(told.n + 3 * ledger.ring)
        assert [each.n for each in ledger.messages(ReadingMessage) if each.reason == "discrepancy"] in ([], [told.n])


@pytest.mark.parametrize("ring", [4, 5, 7, 64])
def test_nothing_is_reported_wrong_in_many_undisturbed_rounds(start: Callable[..., Ledger], ring: int) -> None:
    ledger = start(ring=ring, period_us=0)
    ledger.await_tick(20_000)
    assert ledger.end() == 0
    end = ledger.hear(Stop)
    for reading in ledger.messages(ReadingMessage):
        clean = [SurfaceReading(surface=name, newest=reading.n, newest_wall_ns=reading.n_wall_ns) for name in NAMES]
        assert reading.reason == "gap"
        assert list(reading.surfaces) == clean
    for name in NAMES:
        data = (ledger.folder / name).read_bytes()
        assert len(data) == ring * RECORD.itemsize
        assert read_ring(data, surface=name, nonce=int(end.nonce, 16), ring=ring).newest == end.n
