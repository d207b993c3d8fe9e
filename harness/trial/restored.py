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
from harness.model.errors import DeadlineExceeded, Lost, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading
from harness.oracle.lines import LineReader, lag
from harness.records.record import Continuation
from harness.trial.source import Channel
from harness.workload.definitions import Surface
from harness.workload.messages import Beat, Message, ReadingMessage, Start

WORD_SECONDS = 20.0
STILL_SECONDS = 2.0
"""Seconds without a tick after which a counter stands still, even on a machine that pauses processes for a while."""
LOG_SECONDS, OVERDUE_SECONDS = 10.0, 1.0
PIECE = 1 << 20
"""Bytes of a log per read."""
ENDED = "the restored container has ended by itself"


def hear(channel: Channel, group: str, wanted: Callable[[Message], bool], *, late: float) -> Message:
    """Wait for a message, but not long if no process of the container can run; `late`: as for `Silence`."""
    what = "a message of the restored workload"
    try:
        return channel.wait_for(wanted, seconds=WORD_SECONDS, what=what, group=group, late=late)
    except Lost as error:
        if any(map(cgroups.processes, cgroups.subgroups(group))):
            raise
        raise StageFailed(Stage.READ, Outcome.RESTORE_FAILED, ENDED) from error


def begun(said: Message) -> int:
    """Return when a start or a reading began; a reading that the checkpoint interrupted is of two instants."""
    if isinstance(said, ReadingMessage):
        return said.wall_ns - said.scan_ns
    return said.wall_ns if isinstance(said, Start) else 0


def see_alive(group: str, *, late: float) -> None:
    """Check that the container still runs: it may have ended after its last message. `late`: as for `Silence`."""
    with contextlib.suppress(DeadlineExceeded):
        until(lambda: any(map(_has_life, cgroups.subgroups(group))), seconds=late, what="a process")
        return
    raise StageFailed(Stage.READ, Outcome.RESTORE_FAILED, ENDED)


def _has_life(group: str) -> bool:
    return not all(map(cgroups.is_ending, cgroups.processes(group)))


def go_on(channel: Channel, since: int, ticks: int, *, period_ns: int) -> tuple[int, bool]:
    """Wait until the counter is `ticks` beyond `since`; return the newest tick, and whether it stands still there."""
    at, seen = since, time.monotonic()

    def probe() -> bool:
        nonlocal at, seen
        newest = newest_tick(channel, since)
        if newest > at:
            at, seen = newest, time.monotonic()
        return at >= since + ticks or stands()

    def stands() -> bool:
        return time.monotonic() - seen > STILL_SECONDS + 3e-9 * period_ns

    with contextlib.suppress(DeadlineExceeded):
        until(probe, seconds=WORD_SECONDS, what=f"{ticks:,} ticks of the restored workload")
    return at, at < since + ticks and stands()


def newest_tick(channel: Channel, otherwise: int) -> int:
    """Return the newest tick that was heard of."""
    return next((said.n for said in reversed(channel.listen()) if isinstance(said, Beat)), otherwise)


class Log:
    """The engine's growing log file of a container's output."""

    def __init__(self, path: Path, nonce: int, every: int) -> None:
        self._path = path
        self.size = 0
        """Bytes that were read."""
        self.lines = LineReader(nonce, every)

    def read(self) -> LineReader:
        """Read the new lines, and return the reader with everything found so far."""
        with contextlib.suppress(Absent), open_regular(self._path) as descriptor:
            size = os.fstat(descriptor).st_size  # the end is fixed: a fast writer could go on forever
            while self.size < size and (data := pread(descriptor, min(PIECE, size - self.size), self.size)):
                self.size += len(data)
                self.lines.feed(data)
        return self.lines


def size_of(log: Path | None) -> int:
    """Return the size of a log in bytes; 0 if there is none."""
    with contextlib.suppress(OSError):
        return log.lstat().st_size if log else 0
    return 0


def follow(
    log: Path | None, printed: Surface, restored: Reading, *, due: int, travels: bool, channel: Channel, size: int
) -> Continuation:
    """Read the log of a restored container until it has the line of tick `due`, or until that line is long overdue.

    It is overdue once the log has not grown while the workload on `channel` has printed twice what can be on its way.
    `log` is None if the engine keeps none; `size`: its size at the restored counter. `travels`: the checkpoint includes
    the source's log.
    """
    kept = Log(log or Path(os.devnull), int(restored.nonce, 16), printed.every)
    last_line = due - due % printed.every
    grown_at, grown = restored.counter, time.monotonic()

    def there_or_overdue() -> bool:
        nonlocal size, grown_at, grown  # the first look also tells whether it has grown up to `due`
        there, counter = (kept.read().newest or 0) >= last_line, newest_tick(channel, due)
        if kept.size > size:
            size, grown_at, grown = kept.size, counter, time.monotonic()
        overdue = time.monotonic() - grown > OVERDUE_SECONDS and counter > grown_at + 2 * lag(printed.every)
        return there or overdue

    if log:
        with contextlib.suppress(DeadlineExceeded):
            until(there_or_overdue, seconds=LOG_SECONDS, what=f"line {last_line:,} in {log}")
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
