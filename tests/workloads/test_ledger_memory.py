"""What the memory of a stopped ledger holds."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.oracle.ring import COUNTER_BYTES, MAGIC, RECORD, parse_counter
from harness.workload.messages import Beat, Start
from tests.workloads.running_ledger import NAMES, Ledger


def test_memory_and_surfaces_are_within_one_tick_at_every_instruction(start: Callable[..., Ledger]) -> None:
    ledger = start(ring=4, period_us=50_000)
    nonce = ledger.hear(Start).nonce
    ledger.await_tick(ledger.ring)
    first = ledger.stop()
    ((address, _),) = ledger.counters()
    ticks = []
    for data in states(ledger, address):
        memory = parse_counter(data)
        assert memory is not None
        ticks.append(memory.n)
        held = [ledger.offline(name, memory) for name in NAMES]
        newest = [reading.newest or 0 for reading in held]
        assert (f"{memory.nonce:016x}", memory.ring) == (nonce, ledger.ring)
        assert newest == sorted(newest, reverse=True)
        assert {memory.n - tick for tick in newest} <= {0, 1}
        assert not any(reading.torn or reading.foreign or reading.holes for reading in held)
        if memory.n > first.n + 2:
            break
    assert ticks == sorted(ticks)
    assert len(ticks) > 10


def states(ledger: Ledger, address: int) -> Iterator[bytes]:
    """Execute the ledger one instruction at a time; give the counter's memory after each change of it or a surface."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    attach, step = 16, 9
    pid = ledger.process.pid
    assert ptrace(attach, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    before = None
    with contextlib.ExitStack() as files:
        memory, *rings = (
            files.enter_context(path.open("rb", buffering=0))
            for path in (Path(f"/proc/{pid}/mem"), *(ledger.folder / name for name in NAMES))
        )
        while True:
            _, status = os.waitpid(pid, 0)
            assert os.WIFSTOPPED(status)
            data = os.pread(memory.fileno(), COUNTER_BYTES, address)
            now = (data, *(os.pread(ring.fileno(), ledger.ring * RECORD.itemsize, 0) for ring in rings))
            if now != before:
                yield data
            before = now
            assert ptrace(step, pid, None, None) == 0, os.strerror(ctypes.get_errno())


def test_the_magic_is_in_memory_once_at_the_start_of_a_page(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(1)
    ledger.stop()
    ((address, _),) = ledger.counters()
    assert address % 4096 == 0
    assert sum(data.count(MAGIC) for _, data in ledger.memory()) == 1


def test_memory_knows_the_wall_clock_of_its_tick(start: Callable[..., Ledger]) -> None:
    ledger = start(period_us=0)
    begun = ledger.hear(Start)
    ledger.await_tick(100)
    memory = ledger.stop()
    ledger.resume()
    beat = ledger.hear(Beat, lambda beat: beat.n > memory.n)
    assert begun.wall_ns < memory.wall_ns < ledger.stopped_ns < beat.n_wall_ns <= beat.wall_ns
