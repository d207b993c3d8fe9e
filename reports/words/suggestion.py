"""A new failure as an entry for `scenarios/expectations`: narrow, and without facts that only a person knows. Pure.

Link and owner are empty, and a file with such an entry is refused. So pasting alone makes no known issue.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence

import tomlkit
from tomlkit.items import Table

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import CLEAN, MEASURED, NO_EVIDENCE, CellSummary
from reports.analysis.compare import Comparison
from reports.analysis.sides import NUMBERS
from reports.analysis.statistics import rate_interval
from reports.analysis.tables import RunSummary
from reports.text import one_line, shorten
from reports.words.cells import first_reason

REVIEW_DAYS = 182
"""Half a year until the review."""

LONGEST_SIGNATURE = 120
NUMBER = "[0-9a-fx]+"


class Shape(Frozen):
    """The facts that cells of one entry share."""

    outcome: Outcome
    anomaly: str
    signature: str
    besides: tuple[Outcome, ...]
    sometimes: bool


def suggested(run: RunSummary) -> str:
    """Write the entries for all failing cells without a known issue; empty if there are none."""
    return _entries(run.cells, run.plan.created_ns)


def declaring(comparison: Comparison) -> str:
    """Write the entries for what shows sometimes in two runs and is no known issue; empty if there is nothing."""
    pooled = [each.pooled for each in comparison.cells if each.pooled]
    return _entries(pooled, max((trial.end_ns for each in pooled for trial in each.trials), default=0))


def _entries(cells: Iterable[CellSummary], now_ns: int) -> str:
    groups: dict[Shape, list[CellSummary]] = {}
    for each in cells:
        if is_new(each):
            groups.setdefault(_shape(each), []).append(each)
    entries = tomlkit.aot()
    today = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC).date()
    for shape, those in groups.items():
        for sharing in _sharing(shape, those):
            entries.append(_entry(shape, sharing, today))
    if not groups:
        return ""
    document = tomlkit.document()
    document.append("expectation", entries)
    return tomlkit.dumps(document)


def is_new(cell: CellSummary) -> bool:
    """Whether a cell fails and has no known issue."""
    failed = cell.outcome not in CLEAN | NO_EVIDENCE
    return cell.exit_code is Exit.UNEXPECTED and failed and not cell.expectation.link


def signature(trials: Iterable[Record]) -> str:
    """Return a regular expression for the reasons of all these trials, with any number in place of each number."""
    said = dict.fromkeys(_pattern(one_line(trial.verdict.reason)) for trial in trials)
    return "|".join(said) if all(said) else ""


def _shape(cell: CellSummary) -> Shape:
    shown = [trial for trial in cell.trials if trial.verdict.outcome is cell.outcome]
    return Shape(
        outcome=cell.outcome,
        anomaly=next(iter(shown[0].verdict.anomalies), "") if cell.outcome is Outcome.INCONSISTENT else "",
        signature="" if cell.outcome in MEASURED else signature(shown),
        besides=tuple(each for each in cell.counts if each not in CLEAN and each is not cell.outcome),
        sometimes=len(shown) < cell.n,
    )


def _sharing(shape: Shape, cells: Sequence[CellSummary]) -> Iterator[Sequence[CellSummary]]:
    """Return the cells of each entry: all in one, unless their common rate would fit any cell."""
    apart = shape.sometimes and _rate(shape, cells) == (0, 1)
    yield from [[each] for each in cells] if apart else [cells]


def _entry(shape: Shape, cells: Sequence[CellSummary], today: dt.date) -> Table:
    entry = tomlkit.table()
    ids = [tomlkit.string(each.cell.id) for each in cells]
    match = tomlkit.array()
    match.extend(ids)
    entry["match"] = match.multiline(len(ids) > 1)
    entry["outcome"] = shape.outcome.value
    if shape.anomaly:
        entry["anomaly"] = str(shape.anomaly)
    if shape.signature:
        entry["signature"] = shape.signature
    if shape.besides:
        entry["besides"] = [each.value for each in shape.besides]
    if shape.sometimes:
        entry["rate"] = list(_rate(shape, cells))
    entry["reason"] = shorten(first_reason(cells[0]))
    for name, wanted in (("link", "the upstream discussion"), ("owner", "who has to act")):
        entry[name] = tomlkit.string("")
        entry[name].comment(wanted)
    entry["added"] = today
    entry["review-by"] = today + dt.timedelta(days=REVIEW_DAYS)
    return entry


def _rate(shape: Shape, cells: Iterable[CellSummary]) -> tuple[float, float]:
    """Return a rate interval that covers the trials of every cell."""
    intervals = [rate_interval(each.counts[shape.outcome], each.n) for each in cells]
    low, high = min(each[0] for each in intervals), max(each[1] for each in intervals)
    return int(low * 100) / 100, min(1.0, int(high * 100 + 1) / 100)


def _pattern(reason: str) -> str:
    cut = reason[:LONGEST_SIGNATURE]
    if len(reason) > LONGEST_SIGNATURE:
        cut = cut.rpartition(" ")[0] or cut
    return NUMBER.join(_escaped(NUMBERS.split(cut)))


def _escaped(parts: Iterable[str]) -> Iterator[str]:
    yield from (re.sub(r"\\([ #&~-])", r"\1", re.escape(part)) for part in parts)
