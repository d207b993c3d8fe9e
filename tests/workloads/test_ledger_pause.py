"""What the ledger reports after a pause."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from harness.model.readings import SurfaceReading, Witness
from harness.oracle.ring import RECORD, MemoryCounter, make_records
from harness.workload.messages import Beat, Message, ReadingMessage, Start, read_messages
from tests.workloads.damage import (
    Damage,
    ahead,
    backwards,
    behind,
    behind_but_for_the_last_write,
    cut_off,
    emptied,
    emptied_but_for_the_last_write,
    far_ahead,
    foreign_nonce,
    lost,
    nothing,
    torn,
    wrong_slot,
)
from tests.workloads.running_ledger import ATTEMPTS, HOLD_NS, NAMES, Ledger, pass_time


def reading_after(start: Callable[..., Ledger], damage: Damage) -> tuple[MemoryCounter, ReadingMessage, SurfaceReading]:
    """Damage a stopped ledger and return its report after a pause.

    Rarely the stop comes inside a tick: before it is counted, or before its record is in every ring. The ledger then
    finishes that tick first, and reports something else: try again.
    """
    for _ in range(ATTEMPTS):
        ledger = start()
        ledger.await_tick(2 * ledger.ring + 3)
        memory = ledger.stop()
        between_ticks = ledger.offline(NAMES[-1], memory).newest == memory.n
        expected = damage(ledger, memory)
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        ledger.process.kill()
        if between_ticks and reading.n == memory.n:
            return memory, reading, expected
    raise AssertionError("the ledger never stopped between two ticks")


@pytest.mark.parametrize(
    "damage",
    [
        nothing,
        ahead,
        far_ahead,
        behind,
        behind_but_for_the_last_write,
        emptied,
        emptied_but_for_the_last_write,
        cut_off,
        torn,
        foreign_nonce,
        wrong_slot,
        lost,
        backwards,
    ],
)
def test_what_happened_to_a_surface_is_what_is_reported(start: Callable[..., Ledger], damage: Damage) -> None:
    memory, reading, expected = reading_after(start, damage)
    clean = [
        SurfaceReading(surface=name, newest=memory.n, newest_wall_ns=memory.wall_ns) for name in ("added", "tmpfs")
    ]
    assert reading.surfaces == (clean[0], expected, clean[1])
    assert reading.n_wall_ns == memory.wall_ns
    assert reading.nonce == f"{memory.nonce:016x}"


def test_an_older_copy_of_a_real_ring_is_behind(start: Callable[..., Ledger]) -> None:
    ledger = start(period_us=0, ring=512)
    ledger.await_tick(2000)
    memory = ledger.stop()
    copy, newest = ledger.records(), ledger.offline("image", memory).newest
    ledger.resume()
    ledger.await_tick(memory.n + 2000)
    ledger.stop()
    ledger.put(copy)
    ledger.hold()
    ledger.resume()
    surface = ledger.hear(ReadingMessage).surfaces[1]
    assert surface.newest == newest
    assert (surface.torn, surface.foreign, surface.holes, surface.backwards) == (0, 0, 0, 0)


def test_the_pause_itself_is_measured_and_the_counter_soon_moves(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(10)
    memory = ledger.stop()
    ledger.hold()
    ledger.resume()
    reading = ledger.hear(ReadingMessage)
    first = ledger.hear(Beat, lambda beat: beat.n > reading.n)
    assert reading.reason == "gap"
    assert min(reading.gap_ns, first.gap_ns) >= HOLD_NS
    assert reading.n >= memory.n
    ledger.hear(Beat, lambda beat: beat.n > first.n and beat.gap_ns < first.gap_ns)


@pytest.mark.parametrize("kind", [Start, ReadingMessage])
def test_beats_are_close_together_at_first(start: Callable[..., Ledger], kind: type[Message]) -> None:
    """Only if the machine gives the ledger enough time, which happens at least once."""

    def beats_in_the_time_of_one() -> int:
        ledger = start()
        if kind is ReadingMessage:
            usual_ns = ledger.hear(Start).wall_ns + 300_000_000
            ledger.hear(Beat, lambda beat: beat.wall_ns > usual_ns)
            ledger.stop()
            ledger.hold()
            ledger.resume()
        end_ns = ledger.hear(kind).wall_ns + 100_000_000
        ledger.hear(Beat, lambda beat: beat.wall_ns > end_ns)
        ledger.process.kill()
        return sum(beat.wall_ns < end_ns for beat in ledger.messages(Beat))

    assert any(beats_in_the_time_of_one() > 4 for _ in range(ATTEMPTS))


def test_a_scan_that_was_interrupted_is_made_again(start: Callable[..., Ledger]) -> None:
    """The ring is so large that its scan can be stopped halfway, after the scan of `added`."""
    ledger = start(ring=1 << 20)
    ledger.await_tick(10)
    for _ in range(ATTEMPTS):
        ledger.stop()
        pause_ns = ledger.stopped_ns
        ledger.hold()
        ledger.resume()
        pass_time(time.time_ns() + 40_000_000)
        memory = ledger.stop()
        readings = [message for _, message in read_messages(ledger.report) if isinstance(message, ReadingMessage)]
        if not any(reading.wall_ns > pause_ns for reading in readings):
            break
        ledger.resume()
    else:
        pytest.fail("no scan could be interrupted")
    future = memory.n + 7
    with (ledger.folder / "added").open("r+b") as file:
        file.seek(future * RECORD.itemsize)
        file.write(make_records([future], [memory.wall_ns], memory.nonce).tobytes())
    ledger.hold(10 * HOLD_NS)
    ledger.resume()
    assert ledger.hear(ReadingMessage).surfaces[0].newest == future


def test_a_reading_becomes_one_of_the_vocabulary(start: Callable[..., Ledger]) -> None:
    memory, message, _ = reading_after(start, nothing)
    reading = message.to_reading(Witness.RESTORED)
    assert (reading.witness, reading.nonce) == (Witness.RESTORED, f"{memory.nonce:016x}")
    assert (reading.counter, reading.counter_wall_ns) == (memory.n, memory.wall_ns)
    assert reading.surfaces == message.surfaces
