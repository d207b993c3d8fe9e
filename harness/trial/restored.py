"""What a restored container reports: its first message, its progress, and its lines in the engine's log."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from harness.checkpoints.untrusted import Absent, open_regular, pread
from harness.host import cgroups
from harness.host.wait import until
from harness.model.errors import DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading
from harness.oracle.lines import LineReader
from harness.records.record import Continuation
from harness.trial.source import Channel
from harness.workload.definitions import Surface
from harness.workload.messages import Beat, Message, ReadingMessage, Start

WORD_SECONDS = 20.0
LATE_SECONDS = 2.0
"""Seconds that a runtime may take to put processes into their group."""
STILL_SECONDS = 3.0
"""Seconds without a tick after which a counter stands still, even on a machine that pauses processes for a while."""
LOG_SECONDS = 10.0
PIECE = 1 << 20
"""Bytes of a log per read."""
ENDED = "the restored container has ended by itself"


def hear(channel: Channel, group: str, wanted: Callable[[Message], bool]) -> Message:
    """Wait for a message, but not long if the container has no processes."""
    patience = time.monotonic() + LATE_SECONDS

    def probe() -> Message | None:
        alive = time.monotonic() < patience or bool(cgroups.processes(group))
        said = channel.first(wanted)
        if said is None and not alive:
            raise StageFailed(Stage.READ, Outcome.RESTORE_FAILED, ENDED)
        return said

    return until(probe, seconds=WORD_SECONDS, what="a message of the restored workload")


def begun(said: Message) -> int:
    """Return when a start or a reading began; a reading that the checkpoint interrupted is of two instants."""
    if isinstance(said, ReadingMessage):
        return said.wall_ns - said.scan_ns
    return said.wall_ns if isinstance(said, Start) else 0


def see_alive(group: str) -> None:
    """Check that the container still runs: it may have ended after its last message."""
    with contextlib.suppress(DeadlineExceeded):
        until(lambda: any(map(_has_life, cgroups.subgroups(group))), seconds=LATE_SECONDS, what="a process")
        return
    raise StageFailed(Stage.READ, Outcome.RESTORE_FAILED, ENDED)


def _has_life(group: str) -> bool:
    return not all(map(cgroups.is_ending, cgroups.processes(group)))


def go_on(channel: Channel, since: int, ticks: int, *, period_ns: int) -> tuple[int, bool]:
    """Wait until the counter is `ticks` beyond `since`; return the newest tick, and whether it stands still there."""
    at, seen = since, time.monotonic()

    def probe() -> bool:
        nonlocal at, seen
        newest = max((said.n for said in channel.listen() if isinstance(said, Beat)), default=since)
        if newest > at:
            at, seen = newest, time.monotonic()
        return at >= since + ticks or stands()

    def stands() -> bool:
        return time.monotonic() - seen > STILL_SECONDS + 3e-9 * period_ns

    with contextlib.suppress(DeadlineExceeded):
        until(probe, seconds=WORD_SECONDS, what=f"{ticks:,} ticks of the restored workload")
    return at, at < since + ticks and stands()


class Log:
    """The engine's growing log file of a container's output."""

    def __init__(self, path: Path, nonce: int, every: int) -> None:
        self._path = path
        self._offset = 0
        self.lines = LineReader(nonce, every)

    def read(self) -> LineReader:
        """Read the new lines, and return the reader with everything found so far."""
        with contextlib.suppress(Absent), open_regular(self._path) as descriptor:
            size = os.fstat(descriptor).st_size  # the end is fixed: a fast writer could go on forever
            while self._offset < size and (data := pread(descriptor, min(PIECE, size - self._offset), self._offset)):
                self._offset += len(data)
                self.lines.feed(data)
        return self.lines


def follow(log: Path | None, printed: Surface, restored: Reading, *, due: int, travels: bool) -> Continuation:
    """Read the log of a restored container until it has the line of tick `due`, or until that line is long overdue.

    `log` is None if the engine keeps none. `travels`: the checkpoint includes the source's log.
    """
    kept = Log(log or Path(os.devnull), int(restored.nonce, 16), printed.every)
    last_line = due - due % printed.every
    with contextlib.suppress(DeadlineExceeded):
        until(
            lambda: not log or (kept.read().newest or 0) >= last_line,
            seconds=LOG_SECONDS,
            what=f"line {last_line:,} in {log}",
        )
    found = kept.lines
    return Continuation(
        surface=found.reading(printed.name),
        every=printed.every,
        kept=log is not None,
        travels=travels,
        first=found.first,
        lost=found.lost,
        again=found.again,
        due=due,
    )
