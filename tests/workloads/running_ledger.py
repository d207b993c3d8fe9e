"""A ledger that runs as an ordinary process, with its rings and its messages in a folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess  # noqa: TID251
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from harness.host.wait import until
from harness.model.readings import SurfaceReading
from harness.oracle.ring import MAGIC, RECORD, MemoryCounter, Records, parse_counter, read_ring
from harness.workload.definitions import Memory
from harness.workload.messages import Beat, Message, ReadingMessage, read_messages

PATIENCE = 60.0
HOLD_NS = 100_000_000
"""Longer than any gap or scan that the ledger tolerates, with the periods and rings of these tests."""
NAMES = ("added", "image", "tmpfs")
ATTEMPTS = 50
PAGES = 16

M = TypeVar("M", bound=Message)


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
        grows: bool = False,
        pages: bool = False,
        application: Path | None = None,
        prints: int = 0,
        barrier: str = "",
        stdout: int = subprocess.PIPE,
    ) -> None:
        """`deleted` adds a deleted surface with that name in second place; `prints` adds a line at every Nth tick.

        `grows` adds a file that grows, between two that are written once, behind the others; `pages` adds 16 pages of
        each sort of memory, with the sort's name. `application`: folder of one, in place of the rings.
        """
        self.ring = ring
        self.folder = folder
        self.report = folder / "report"
        self.report.mkdir(parents=True)
        options = [("--surface", name) for name in NAMES]
        if deleted:
            self.deleted.touch()
            options.insert(1, ("--deleted", self.deleted.name))
        if grows:
            options += [("--sentinel", "first"), ("--append", "grows"), ("--sentinel", "last")]
        if application:
            options = [("--sentinel", "first")]
        surfaces = list(itertools.chain.from_iterable((option, f"{name}={folder / name}") for option, name in options))
        if application:
            surfaces += ["--application", f"app={application}"]
        if pages:
            surfaces += itertools.chain.from_iterable(("--pages", f"{sort}={sort}:{PAGES}") for sort in Memory)
        if prints:
            surfaces += ["--print", f"out={prints}"]
        if barrier:
            surfaces += ["--barrier", barrier]
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
            argv,
            stdout=stdout if prints else None,
            stderr=subprocess.PIPE,
            restore_signals=False,
            start_new_session=True,
        )
        self.stopped_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):  # an application ends with it
            os.killpg(self.process.pid, signal.SIGKILL)
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

    def hurry(self) -> None:
        """Let it run before other programs, if we may: on a busy machine, each wait for a processor is a gap."""
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, self.process.pid, -20)

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
