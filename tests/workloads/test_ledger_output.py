"""A surface that is standard output."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable

import numpy as np
import pytest

from harness.host.wait import until
from harness.oracle.lines import LineReader, line_of
from harness.oracle.ring import mix64
from harness.workload.messages import Failed, ReadingMessage, Start
from tests.workloads.running_ledger import HOLD_NS, NAMES, PATIENCE, Ledger, pass_time


def taken(ledger: Ledger) -> bytes:
    """Return the printed lines that the test has not read yet."""
    assert ledger.process.stdout is not None
    descriptor = ledger.process.stdout.fileno()
    os.set_blocking(descriptor, False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while data := os.read(descriptor, 1 << 16):
            found.append(data)
    return b"".join(found)


@pytest.mark.parametrize("every", [1, 7])
def test_a_line_is_printed_at_every_tick_or_at_every_nth(start: Callable[..., Ledger], every: int) -> None:
    ledger = start(prints=every)
    ledger.await_tick(100)
    memory = ledger.stop()
    newest = ledger.offline(NAMES[-1], memory).newest
    last = taken(ledger).splitlines(keepends=True)
    printed = range(every, memory.n + 1, every)
    expected = [line_of(memory.nonce, n) for n in printed]
    assert last in (expected, expected[:-1] if expected and printed[-1] == memory.n else expected)
    assert newest is not None
    assert len(last) * every <= newest, "it is printed after the rings"


def test_lines_go_on_after_a_stop_as_if_nothing_had_been(start: Callable[..., Ledger]) -> None:
    ledger = start(prints=1, period_us=100)
    ledger.await_tick(50)
    reader = LineReader(int(ledger.hear(Start).nonce, 16))
    for _ in range(5):
        memory = ledger.stop()
        reader.feed(taken(ledger))
        assert reader.newest in (memory.n - 1, memory.n)
        ledger.hold()
        ledger.resume()
        ledger.await_tick(memory.n + 50)
    found = reader.reading("out")
    assert (reader.first, found.holes, found.repeated, found.torn, found.foreign) == (1, 0, 0, 0, 0)


def test_nobody_who_reads_slowly_misses_a_line(start: Callable[..., Ledger]) -> None:
    """The ledger waits for room in the pipe; neither memory nor rings run ahead of the output."""
    ledger = start(prints=1, period_us=0, ring=4096)
    ledger.hear(Start)
    blocked = until(lambda: stands(ledger), seconds=PATIENCE, what="a pipe that is full")
    memory = ledger.stop()
    assert memory.n == blocked
    assert {ledger.offline(name, memory).newest for name in NAMES} == {memory.n}
    reader = LineReader(memory.nonce)
    reader.feed(taken(ledger))
    assert reader.newest == memory.n - 1
    ledger.resume()

    def read() -> bool:
        reader.feed(taken(ledger))
        return (reader.newest or 0) > 3 * blocked

    until(read, seconds=PATIENCE, what="more lines")
    found = reader.reading("out")
    assert (reader.first, found.holes, found.repeated, found.torn) == (1, 0, 0, 0)


def stands(ledger: Ledger) -> int | None:
    """Return the ledger's counter once it has not moved for a while."""
    before = [counter.n for _, counter in ledger.counters()]
    pass_time(time.time_ns() + HOLD_NS)
    after = [counter.n for _, counter in ledger.counters()]
    return after[0] if after == before and any(after) else None


def test_it_ends_when_it_is_asked_to_although_nobody_reads(start: Callable[..., Ledger]) -> None:
    ledger = start(prints=1, period_us=0)
    until(lambda: stands(ledger), seconds=PATIENCE, what="a pipe that is full")
    assert ledger.end() == 0


def test_a_terminal_gets_the_same_lines(start: Callable[..., Ledger]) -> None:
    ours, theirs = os.openpty()
    try:
        ledger = start(prints=1, stdout=theirs)
        nonce = int(ledger.hear(Start).nonce, 16)
        ledger.await_tick(20)
        said = b""
        while said.count(b"\n") < 20:
            said += os.read(ours, 4096)
        assert said.startswith(b"".join(line_of(nonce, n) for n in range(1, 21)).replace(b"\n", b"\r\n"))
    finally:
        os.close(ours)
        os.close(theirs)


def test_its_memory_says_that_it_prints_and_how_often(start: Callable[..., Ledger]) -> None:
    ledger = start(prints=7)
    ledger.await_tick(1)
    ledger.stop()
    ((address, _),) = ledger.counters()
    data = next(data[address - begin :] for begin, data in ledger.memory() if begin <= address < begin + len(data))
    _, size, check = np.frombuffer(data[104:128], np.uint64)
    told = data[128 : 128 + int(size)]
    assert told.split(b"\0")[-5:] == [b"stdout", b"out", b"7", b"1", b""]
    assert told.count(b"ring\0") == len(NAMES)
    found = 0
    for byte in told:
        found = mix64(found ^ byte)
    assert found == check


def test_a_reading_says_nothing_of_what_the_program_cannot_read(start: Callable[..., Ledger]) -> None:
    ledger = start(prints=1)
    assert ledger.hear(Start).surfaces == (*NAMES, "out")
    ledger.await_tick(10)
    ledger.stop()
    ledger.hold()
    ledger.resume()
    assert [surface.surface for surface in ledger.hear(ReadingMessage).surfaces] == list(NAMES)


def test_a_reader_that_is_gone_ends_it(start: Callable[..., Ledger]) -> None:
    ledger = start(prints=1)
    ledger.await_tick(1)
    assert ledger.process.stdout is not None
    ledger.process.stdout.close()
    failed = ledger.hear(Failed)
    assert (failed.errno, failed.what) == (errno.EPIPE, "write out")
    assert ledger.process.wait(PATIENCE) == 1
    ledger.process.stdout = None
