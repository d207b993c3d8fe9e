"""The ledger as an ordinary process: it reports the changes of its files from the time when it was stopped."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import resource
import signal
import subprocess  # noqa: TID251
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import pytest

from harness.host.wait import until
from harness.model.readings import SurfaceReading, Witness
from harness.oracle.lines import LineReader, line_of
from harness.oracle.ring import (
    COUNTER_BYTES,
    MAGIC,
    RECORD,
    MemoryCounter,
    Records,
    make_records,
    mix64,
    parse_counter,
    read_ring,
    records_of,
)
from harness.workload.definitions import find
from harness.workload.messages import Beat, Failed, Message, ReadingMessage, Start, Stop, read_messages
from harness.workload.programs import compile_workload

PATIENCE = 60.0
HOLD_NS = 100_000_000
"""Longer than any gap or scan that the ledger tolerates, with the periods and rings of these tests."""
NAMES = ("added", "image", "tmpfs")
ATTEMPTS = 50
US = 1000

M = TypeVar("M", bound=Message)


@pytest.fixture(scope="session")
def ledger_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_workload(find("ledger"), tmp_path_factory.mktemp("cache"))


class Ledger:
    """A running ledger with its rings and its report folder in one folder."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        ring: int,
        period_us: int = 0,
        deleted: bool = False,
        prints: int = 0,
        stdout: int = subprocess.PIPE,
    ) -> None:
        """`deleted` adds a deleted surface with that name in second place; `prints` adds a line at every Nth tick."""
        self.ring = ring
        self.folder = folder
        self.report = folder / "report"
        self.report.mkdir(parents=True)
        options = [("--surface", name) for name in NAMES]
        if deleted:
            self.deleted.touch()
            options.insert(1, ("--deleted", self.deleted.name))
        surfaces = list(itertools.chain.from_iterable((option, f"{name}={folder / name}") for option, name in options))
        if prints:
            surfaces += ["--print", f"out={prints}"]
        argv: list[str | Path] = [
            binary,
            "--period-us",
            str(period_us),
            "--ring",
            str(ring),
            "--report",
            self.report,
            *surfaces,
        ]
        # SIGXFSZ stays ignored, so that a file size limit is an error and does not end the process
        self.process = subprocess.Popen(
            argv, stdout=stdout if prints else None, stderr=subprocess.PIPE, restore_signals=False
        )
        self.stopped_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def messages(self, kind: type[M]) -> list[M]:
        """Messages of one kind since the process was last stopped."""
        said = (message for _, message in read_messages(self.report))
        return [message for message in said if isinstance(message, kind) and message.wall_ns > self.stopped_ns]

    def hear(self, kind: type[M], wanted: Callable[[M], bool] = lambda _: True) -> M:
        return until(
            lambda: next(filter(wanted, self.messages(kind)), None), seconds=PATIENCE, what=f"a {kind.__name__}"
        )

    def hear_within(self, ticks: int, memory: MemoryCounter) -> ReadingMessage:
        """Return the first reading, which must come within few `ticks`."""

        def probe() -> ReadingMessage | None:
            passed = any(beat.n > memory.n + ticks for beat in self.messages(Beat))
            first = next(iter(self.messages(ReadingMessage)), None)
            assert first or not passed, f"nothing was reported for {ticks} ticks"
            return first

        return until(probe, seconds=PATIENCE, what="a reading")

    def await_tick(self, n: int) -> None:
        self.hear(Beat, lambda beat: beat.n >= n)

    def stop(self) -> MemoryCounter:
        """Stop the process at any instruction, and return the content of its memory."""
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: self._state() == "T", seconds=PATIENCE, what="the stop")
        self.stopped_ns = time.time_ns()
        counters = [counter for _, counter in self.counters()]
        assert len(counters) == 1
        return counters[0]

    def hold(self, pause_ns: int = HOLD_NS) -> None:
        """Wait longer than the ledger tolerates between two ticks."""
        pass_time(self.stopped_ns + pause_ns)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def counters(self) -> Iterator[tuple[int, MemoryCounter]]:
        """Every valid counter in its readable memory, with its address."""
        for start, data in self.memory():
            for at in occurrences(data, MAGIC):
                if counter := parse_counter(data, at):
                    yield start + at, counter

    def memory(self) -> Iterator[tuple[int, bytes]]:
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps.splitlines():
                span, mode, *_ = line.split()
                start, end = (int(word, 16) for word in span.split("-"))
                if mode.startswith("r"):
                    with contextlib.suppress(OSError, OverflowError):
                        memory.seek(start)
                        yield start, memory.read(end - start)

    @property
    def deleted(self) -> Path:
        return self.folder / "deleted"

    def records(self, surface: str = "image") -> Records:
        return np.frombuffer(bytearray((self.folder / surface).read_bytes()), RECORD)

    def put(self, records: Records, surface: str = "image") -> None:
        with (self.folder / surface).open("r+b") as file:
            file.write(records.tobytes())

    def offline(self, surface: str, memory: MemoryCounter) -> SurfaceReading:
        return read_ring((self.folder / surface).read_bytes(), surface=surface, nonce=memory.nonce, ring=memory.ring)

    def _state(self) -> str:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def pass_time(end_ns: int) -> None:
    until(lambda: time.time_ns() > end_ns, seconds=PATIENCE, what="the end of a pause")


def occurrences(data: bytes, what: bytes) -> Iterator[int]:
    at = data.find(what)
    while at >= 0:
        yield at
        at = data.find(what, at + 1)


@pytest.fixture
def start(ledger_binary: Path, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """Start ledgers that end with the test."""
    with contextlib.ExitStack() as running:
        folders = (tmp_path / f"ledger-{number}" for number in itertools.count())

        def start(*, ring: int = 64, period_us: int = 1000, **options: Any) -> Ledger:
            ledger = Ledger(ledger_binary, next(folders), ring=ring, period_us=period_us, **options)
            return running.enter_context(ledger)

        yield start


# ---- at a stop


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


# ---- after a pause

CLEAN = SurfaceReading(surface="-", newest=None, newest_wall_ns=None)
"""No finding: a damage below overrides the fields that it names."""

Damage = Callable[[Ledger, MemoryCounter], SurfaceReading]
"""Changes the ring of `image` and returns the finding that the ledger must report; the newest tick is absolute."""


def reading_after(start: Callable[..., Ledger], damage: Damage) -> tuple[MemoryCounter, ReadingMessage, SurfaceReading]:
    """Damage a stopped ledger and return its report after a pause.

    Rarely the stop comes after a tick has begun and before it is counted. The ledger then finishes that tick first, and
    reports something else: try again.
    """
    for _ in range(ATTEMPTS):
        ledger = start()
        ledger.await_tick(2 * ledger.ring + 3)
        memory = ledger.stop()
        expected = damage(ledger, memory)
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        ledger.process.kill()
        if reading.n == memory.n:
            return memory, reading, expected
    raise AssertionError("the counter in the reading was never the one in memory")


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


# ---- without a pause


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


# ---- a file that was deleted


def test_a_file_that_stays_away_holds_what_memory_holds(start: Callable[..., Ledger]) -> None:
    ledger = start(period_us=0, deleted=True)
    assert ledger.hear(Start).surfaces == ("added", "deleted", "image", "tmpfs")
    assert not ledger.deleted.exists()
    ledger.await_tick(20_000)
    for _ in range(2):
        ledger.stop()
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        clean = SurfaceReading(surface="deleted", newest=reading.n, newest_wall_ns=reading.n_wall_ns)
        assert reading.reason == "gap"
        assert reading.surfaces[1] == clean
    assert not ledger.deleted.exists()


def test_a_file_that_is_there_again_holds_nothing(start: Callable[..., Ledger]) -> None:
    ledger = start(deleted=True)
    ledger.await_tick(2 * ledger.ring)
    ledger.stop()
    ledger.deleted.touch()
    ledger.hold()
    ledger.resume()
    reading = ledger.hear(ReadingMessage)
    assert reading.surfaces[1] == SurfaceReading(surface="deleted", newest=None, newest_wall_ns=None)
    assert {each.newest for each in reading.surfaces if each.surface != "deleted"} <= {reading.n, reading.n - 1}


@pytest.mark.parametrize(("period_us", "within"), [(100_000, 2), (0, 1024)], ids=["slow", "fast"])
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_file_that_comes_back_between_two_ticks_is_told_once(
    start: Callable[..., Ledger], make: Callable[[Path], None], period_us: int, within: int
) -> None:
    for _ in range(ATTEMPTS):
        ledger = start(ring=8, period_us=period_us, deleted=True)
        ledger.await_tick(2)
        memory = ledger.stop()
        make(ledger.deleted)
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        if reading.reason == "discrepancy":
            break
        ledger.process.kill()
    else:
        pytest.fail("no reading that came of the look between two ticks")
    assert reading.n <= memory.n + within
    assert reading.surfaces[1] == SurfaceReading(surface="deleted", newest=None, newest_wall_ns=None)
    ledger.await_tick(reading.n + (3000 if period_us == 0 else 2 * ledger.ring))
    assert [each.n for each in ledger.messages(ReadingMessage) if each.reason == "discrepancy"] == [reading.n]


def test_a_file_that_comes_back_again_is_told_again(start: Callable[..., Ledger]) -> None:
    ledger = start(deleted=True)
    ledger.await_tick(2 * ledger.ring)
    for there in (True, False, True):
        ledger.stop()
        ledger.deleted.touch() if there else ledger.deleted.unlink()
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "gap")
        assert reading.surfaces[1].newest == (None if there else reading.n)


def test_a_file_to_delete_that_is_missing_ends_it(ledger_binary: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    argv: list[str | Path] = [ledger_binary, "--report", tmp_path, "--deleted", f"image={absent}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ((_, message),) = read_messages(tmp_path)
    assert isinstance(message, Failed)
    assert (message.errno, message.what) == (errno.ENOENT, "unlink image")
    assert done.returncode == 1
    assert done.stderr == f"ledger: unlink failed on {absent}: No such file or directory\n"


# ---- lines on standard output


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


# ---- life and death


def test_start_and_stop_are_told(start: Callable[..., Ledger]) -> None:
    ledger = start(ring=32, period_us=500)
    ledger.await_tick(3)
    assert ledger.end(signal.SIGINT) == 0
    numbers, messages = zip(*read_messages(ledger.report), strict=True)
    first, last = messages[0], messages[-1]
    assert isinstance(first, Start)
    assert (first.n, first.pid, first.ring, first.period_us) == (0, ledger.process.pid, 32, 500)
    assert first.surfaces == NAMES
    assert isinstance(last, Stop)
    assert last.n >= 3
    assert list(numbers) == list(range(len(numbers)))
    assert {message.nonce for message in messages} == {first.nonce}
    assert read_messages(ledger.report, after=numbers[-2]) == [(numbers[-1], last)]


def test_another_process_on_the_same_rings_tells_that_they_are_not_its_own(
    start: Callable[..., Ledger], ledger_binary: Path, tmp_path: Path
) -> None:
    old = start(ring=16)
    old.await_tick(40)
    old.end()
    nonce = old.hear(Start).nonce
    old.report.rename(tmp_path / "report")
    with Ledger(ledger_binary, old.folder, ring=16, period_us=1000) as new:
        reading = new.hear(ReadingMessage)
        assert new.hear(Start).nonce != nonce
        assert all((surface.newest, surface.foreign) == (None, 16) for surface in reading.surfaces)


def test_names_that_exist_in_the_channel_are_passed_over(ledger_binary: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    for number in range(3):
        (report / f"{number:012}").touch()
    surface = tmp_path / "only"
    argv: list[str | Path] = [ledger_binary, "--report", report, "--surface", f"only={surface}"]
    with subprocess.Popen(argv) as process:
        try:
            found = until(lambda: read_messages(report) or None, seconds=PATIENCE, what="a message")
        finally:
            process.kill()
    assert found[0][0] == 3
    assert isinstance(found[0][1], Start)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--report is missing"),
        (["--report", "R"], "--surface is missing"),
        (["--surface", "a=b"], "--report is missing"),
        (["--report"], "--report takes a folder"),
        (["--report", "R" * 4096, "--surface", "a=b"], "too long"),
        (["--report", "R", "--surface"], "NAME=PATH"),
        (["--report", "R", "--surface", "a"], "NAME=PATH"),
        (["--report", "R", "--surface", "=b"], "NAME=PATH"),
        (["--report", "R", "--surface", "a="], "NAME=PATH"),
        (["--report", "R", "--surface", 'a"=b'], "NAME=PATH"),
        (["--report", "R", "--surface", "a=b", "--surface", "a=c"], "a second surface the name a"),
        (["--report", "R", "--surface", "a=b", "--deleted", "a=c"], "--deleted gives a second surface the name a"),
        (["--report", "R", "--deleted", "a"], "--deleted takes NAME=PATH"),
        (["--report", "R", "--surface", "a=b", "--print", "a=1"], "--print gives a second surface the name a"),
        (["--report", "R", "--print", "a=0"], "--print takes NAME=N with N from 1 to 1000000, not 0"),
        (["--report", "R", "--print", "a=1000001"], "1 to 1000000, not 1000001"),
        (["--report", "R", "--print", "a=/x"], "1 to 1000000, not /x"),
        (["--report", "R", "--print", "a"], "--print takes NAME="),
        (["--report", "R", *(f"--surface=s{n}" for n in range(1))], "unknown option --surface=s0"),
        (
            ["--report", "R", *itertools.chain(*(("--surface", f"s{n}=s") for n in range(17)))],
            "exceeds the limit of 16 surfaces",
        ),
        (["--report", "R", "--surface", "a=b", "--ring", "3"], "4 to 1048576, not 3"),
        (["--report", "R", "--surface", "a=b", "--ring", "1048577"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--ring", "18446744073709551620"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--ring", "8k"], ", not 8k"),
        (["--report", "R", "--surface", "a=b", "--ring"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--period-us", "-1"], ", not -1"),
        (["--report", "R", "--surface", "a=b", "--period", "1"], "unknown option --period"),
    ],
)
def test_a_wrong_argument_is_told_in_one_sentence(
    ledger_binary: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = subprocess.run([ledger_binary, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.startswith("ledger: ")
    assert done.stderr.endswith("; see ledger --help\n")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_teaches(ledger_binary: Path) -> None:
    done = subprocess.run([ledger_binary, "--help"], capture_output=True, text=True, check=True)
    assert all(
        word in done.stdout
        for word in (
            "--period-us",
            "--ring",
            "--report",
            "--surface NAME=PATH",
            "--deleted NAME=PATH",
            "--print NAME=N",
            "Example",
        )
    )
    assert done.stderr == ""


def test_a_surface_that_cannot_be_opened_ends_it(ledger_binary: Path, tmp_path: Path) -> None:
    argv: list[str | Path] = [ledger_binary, "--report", tmp_path, "--surface", f"image={tmp_path}/absent/image"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ((_, message),) = read_messages(tmp_path)
    assert isinstance(message, Failed)
    assert (message.errno, message.what) == (errno.ENOENT, "open image")
    assert done.returncode == 1
    assert done.stderr == f"ledger: open failed on {tmp_path}/absent/image: No such file or directory\n"


def test_a_write_that_fails_ends_it(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(1)
    _, hard = resource.prlimit(ledger.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(ledger.process.pid, resource.RLIMIT_FSIZE, (RECORD.itemsize, hard))
    failed = ledger.hear(Failed)
    assert failed.errno == errno.EFBIG
    assert failed.what in {f"pwrite {name}" for name in NAMES}
    assert ledger.process.wait(PATIENCE) == 1
    assert ledger.process.stderr is not None
    assert b"pwrite failed on" in ledger.process.stderr.read()


def test_a_channel_that_is_gone_ends_it(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(1)
    ledger.report.rename(ledger.folder / "elsewhere")
    assert ledger.process.wait(PATIENCE) == 1
    assert ledger.process.stderr is not None
    assert b"symlink failed on" in ledger.process.stderr.read()
