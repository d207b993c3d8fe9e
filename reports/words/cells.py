"""A cell's result in words."""

from __future__ import annotations

from harness.model.outcomes import Outcome
from harness.model.readings import Abandoned, Concurrent, GivesUp
from harness.records.record import Record
from reports.analysis.cells import MEASURED, CellSummary
from reports.analysis.known import KnownIssue, state
from reports.analysis.statistics import rate_interval
from reports.text import counted, shorten
from reports.words.numbers import duration, interval, percent, skew
from reports.words.outcomes import FLAGS, expectation

GIVES_UP = {GivesUp.DEADLINE: "gave up at its deadline", GivesUp.KILLED: "was killed"}


def entry(cell: CellSummary) -> str:
    """Describe a cell in one line: `inconsistent 5/5 disk-ahead, order-broken +45.2 ms`."""
    return f"{cell.outcome} {detail(cell)}"


def detail(cell: CellSummary) -> str:
    """Return the text after the outcome: counts, anomalies and skew, or the reason."""
    told = _measured(cell, ", ".join(cell.anomalies))
    if cell.outcome in MEASURED or cell.outcome in (Outcome.CONSISTENT, Outcome.MISSING):
        return told
    return f"{told}: {shorten(first_reason(cell))}"


def brief(cell: CellSummary, *, bound: bool = True) -> str:
    """Return the short form for a table: no reason, the first anomaly, the bound if wanted."""
    if cell.outcome is Outcome.CONSISTENT and not bound:
        return f"0/{cell.n}"
    return _measured(cell, *cell.anomalies[:1], bound=bound)


def _measured(cell: CellSummary, *anomalies: str, bound: bool = True) -> str:
    if cell.outcome is Outcome.CONSISTENT:
        return f"0/{cell.n} (<{percent(cell.rate_bound or 1.0)})"
    count = cell.counts.get(cell.outcome, 0)
    told = f"{cell.missing} of {cell.planned}" if cell.outcome is Outcome.MISSING else f"{count}/{cell.n}"
    if bound and cell.outcome.violates and count < cell.n:
        told += f" ({interval(*rate_interval(count, cell.n))})"
    for outcome, number in reversed(cell.findings.items()):
        if outcome not in (cell.outcome, Outcome.CONSISTENT):
            told += f", {outcome} {number}"
    if Outcome.INCONSISTENT in cell.findings or cell.outcome in MEASURED:
        told = " ".join(filter(None, (told, *anomalies, skew(cell.skew_ticks, cell.skew_us))))
    return told


def first_reason(cell: CellSummary) -> str:
    """Return the reason of the first trial that has the cell's outcome."""
    reasons = (trial.verdict.reason for trial in cell.trials if trial.verdict.outcome is cell.outcome)
    return next(reasons, "no result came back")


def mark(cell: CellSummary) -> str:
    """Return how to take a cell: `unexpected`, `known`, `expected`; empty for a clean cell."""
    if not cell.as_expected:
        return FLAGS[cell.exit_code]
    if cell.known or cell.crashed:
        return "known"
    return "" if cell.outcome is Outcome.CONSISTENT else "expected"


def flag(cell: CellSummary) -> str:
    """Say how a cell differs from its expectation: `unexpected, should be consistent`."""
    told = f"{FLAGS[cell.exit_code]}, should be {expectation(cell.expectation)}"
    if not cell.expectation.link:
        return told
    return f"{told}: {state(cell.expectation, cell.outcome, as_expected=cell.as_expected)}"


def deadline(issue: KnownIssue) -> str:
    """Name the owner of a known issue and the date of its review."""
    told = issue.expectation
    day = f"review was due by {told.review}" if told.overdue else f"review by {told.review}"
    return "; ".join(filter(None, (f"owner: {told.owner}" if told.owner else "", day)))


def source_notes(trial: Record) -> tuple[str, ...]:
    """List how the source behaved after its live checkpoint; leave out facts that are always so in a good trial."""
    source = trial.source
    notes = {
        "stopped ticking": source.ticking is False,
        "left frozen": bool(source.frozen),
        "other nonce": source.same_nonce is False,
        f"lost {counted(source.lost_ticks or 0, 'tick')}": bool(source.lost_ticks),
        "no longer paused": source.kept_pause is False,
        "stayed paused": source.kept_pause is True,
        "does not stop when asked": source.stops is False,
        "stopped when asked": source.stops is True,
    }
    told = tuple(note for note, true in notes.items() if true)
    earlier = (f"the client of an earlier checkpoint {gave_up(trial.abandoned)}",) if trial.abandoned else ()
    if trial.fault is not None:
        earlier = (f"during an earlier checkpoint, {trial.fault.what}",)
    return (*(f"asked for at once: {came_of(each)}" for each in trial.concurrent), *earlier, *told)


def came_of(request: Concurrent) -> str:
    """Say what came of a request: `checkpoint, done, archive whole`."""
    if request.declined:
        return f"{request.what}, declined: {shorten(request.declined)}"
    return f"{request.what}, done, archive {request.archive}" if request.archive else f"{request.what}, done"


def gave_up(call: Abandoned) -> str:
    """Say how and when a client gave up: `gave up at its deadline, after 99 ms of 217 ms`."""
    return f"{GIVES_UP[call.how]}, after {duration(call.after_us)} of {duration(call.whole_us)}"
