"""Checks that a restored container's log goes on where the checkpoint's memory does, with no line lost or repeated.

Memory at the cut has a counter c, and the process has printed line c or not yet. So the next line is c or c + 1,
whether it follows the lines from the checkpoint or begins a new log.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, Witness
from harness.records.record import Continuation

FINISHED_TICKS = 2
"""Ticks by which a restored workload's first counter may be ahead of the cut: the workload first finishes its tick."""


def breaks(log: Continuation, cut: Reading) -> Iterator[tuple[Anomaly, str]]:
    """Yield each anomaly of the log with a description; `cut`: the reading with the checkpoint's counter."""
    if not log.kept:
        return
    newest = log.surface.newest or 0
    earliest = cut.counter - (FINISHED_TICKS if cut.witness is Witness.RESTORED else 0)
    if log.first is not None and log.first > _line(log, cut.counter + 1):
        yield Anomaly.RECORD_LOST, f"the first line is {log.first:,}"
    if log.first is not None and log.first < _line(log, earliest) and not log.travels:
        yield Anomaly.RECORD_REPEATED, f"the first line is {log.first:,}"
    if log.due - max(newest, cut.counter) > log.surface.lag:
        ends = f"the last line is {newest:,}" if newest else "there is no line"
        yield Anomaly.RECORD_LOST, f"{ends}, but the counter is at {log.due:,}"
    if log.lost:
        yield Anomaly.RECORD_LOST, f"{_counted(log.surface.holes)} missing, first at {_span(log.lost)}"
    if log.again:
        yield Anomaly.RECORD_REPEATED, f"{_counted(log.surface.repeated)} repeated, first at {_span(log.again)}"
    if log.surface.torn:
        yield Anomaly.TORN, f"{_counted(log.surface.torn)} damaged"


def _line(log: Continuation, tick: int) -> int:
    """Return the first tick that has a line, at or after `tick`."""
    return -(-tick // log.every) * log.every


def _counted(number: int) -> str:
    return f"{number:,} line{'s are' if number > 1 else ' is'}"


def _span(ticks: tuple[int, int]) -> str:
    first, last = ticks
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
