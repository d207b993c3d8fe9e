"""Words, units and glyphs that every layout shares."""

from __future__ import annotations

import math
from collections import Counter

from harness.model.expectations import Expectation
from harness.model.model import Answer, FreezePolicy, Outcome, Scenario, Verdict
from harness.records.records import Plan, Record
from reports.analysis.cells import MEASURED, CellSummary, Exit
from reports.analysis.crossing import Bridge, Declined
from reports.analysis.freezing import FrozenPair
from reports.analysis.known import KnownIssue, state
from reports.analysis.predictions import Agreement, Missed, Predictions
from reports.analysis.statistics import LEVEL, fewest_pairs, rate_interval
from reports.analysis.tables import Column, Row, Table, counted
from reports.words.letters import shorten

MEANINGS = {
    Outcome.CONSISTENT: "restored, and each captured surface is within one tick of memory",
    Outcome.NOT_CAPTURED: "the surface is documented as outside the checkpoint; the skew is reported",
    Outcome.REFUSED: "declined early, naming the fact that differs, source unharmed",
    Outcome.UNSUPPORTED: "proved by a probe to be impossible here",
    Outcome.VACUOUS: "proves nothing: the workload was not ticking right up to the checkpoint",
    Outcome.INCONSISTENT: "memory and disk are not of one instant",
    Outcome.COLD_START: "claimed to be restored, but it is a new process",
    Outcome.CHECKPOINT_FAILED: "no checkpoint came about",
    Outcome.RESTORE_FAILED: "the checkpoint could not be restored",
    Outcome.SOURCE_HARMED: "after a live checkpoint the source is frozen, gone, not paused any more, or lost ticks",
    Outcome.CHECKPOINT_BROKEN: "called a success, and the checkpoint is cut off, incomplete or unreadable",
    Outcome.LEAKED: "processes, mounts, cgroups, namespaces, firewall rules or files were left behind",
    Outcome.HUNG: "a stage passed its deadline",
    Outcome.HARNESS_ERROR: "the fault of stillframe or of the host; says nothing about the runtime",
    Outcome.MISSING: "planned, and did not come back",
}

HOLDERS = {
    FreezePolicy.NONE: "nobody holds still",
    FreezePolicy.ENGINE: "the engine, as it thinks fit",
    FreezePolicy.PAUSE: "the runtime's pause",
    FreezePolicy.CGROUP: "the kernel's freezer",
    FreezePolicy.HOOK: "CRIU's post-dump hook",
}

SCENARIOS = {
    Scenario.LIVE: "a running container is checkpointed, runs on, and is restored",
    Scenario.PAUSED: "its user has paused the container before the checkpoint, and it has to stay paused",
    Scenario.GENERATIONS: "what was restored is checkpointed and restored again, three times in a row",
    Scenario.INCREMENTAL: "memory is dumped in rounds before the checkpoint, which is moved with all of them",
    Scenario.MAPPED: "CRIU is told, by its configuration where it restores, what the checkpoint calls external mounts",
    Scenario.TRANSLATED: "the checkpoint is translated to what the restoring side takes, before it is restored",
    Scenario.KEEP: "the checkpoint is kept, for versions to come",
    Scenario.KEPT: "the checkpoint was kept, and its container is long gone",
}

VERDICTS = {
    Exit.EXPECTED: "as expected",
    Exit.UNEXPECTED: "not as expected",
    Exit.INCOMPLETE: "incomplete",
    Exit.BLIND: "instrument blind",
}

FREEZING = (
    "Trials of the same number have the same schedule under every policy, so they are pairs. Counted are the pairs of "
    "which one trial violates and the other does not; p is that of McNemar's exact test, two-sided, of each row by "
    "itself."
)

MOST_SHOWN = 999.5
"""Larger numbers would round to four digits, so they take the next unit."""

MOST_EXACT = 0.0001
"""Smaller p values are only told to be so."""

FLAGS = {**VERDICTS, Exit.UNEXPECTED: "unexpected"}

_MILD = {Outcome.NOT_CAPTURED, Outcome.REFUSED}
_VOID = {Outcome.UNSUPPORTED, Outcome.VACUOUS, Outcome.HARNESS_ERROR, Outcome.MISSING}


def tone(outcome: Outcome) -> str:
    """Tint an outcome: `good`, `mild`, `void` (says nothing) or `bad`."""
    if outcome is Outcome.CONSISTENT:
        return "good"
    return "mild" if outcome in _MILD else "void" if outcome in _VOID else "bad"


def glyph(outcome: Outcome) -> str:
    """Choose the sign beside the word, for those who do not see colours."""
    return {"good": "✓", "mild": "◇", "void": "?", "bad": "✗"}[tone(outcome)]


def title(table: Table) -> str:
    """Name a table: `workload ledger`, or `surfaces and scenarios` for several questions side by side."""
    if not (table.by_policy or table.by_pair):
        return "surfaces" if all(each.scenario is Scenario.LIVE for each in table.columns) else "surfaces and scenarios"
    first = table.columns[0]
    asked = "" if first.scenario is Scenario.LIVE else f"scenario {first.scenario}: "
    if table.by_pair:
        return f"{asked}who restores what whom has checkpointed: workload {first.workload}"
    return f"{asked}workload {first.workload}"


def glossary(words: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """List the names in ids by what they mean, ways as rows spell them: `docker/runc commit`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, meaning in words.items():
        found[meaning] = (*found.get(meaning, ()), name.replace("+", " "))
    return found


def heading(column: Column) -> str:
    """Name a column by its policy, its workload, or its scenario and workload."""
    if column.policy or column.restore:
        return column.policy or column.restore
    return column.workload if column.scenario is Scenario.LIVE else f"{column.scenario}: {column.workload}"


def meaning(column: Column) -> str:
    """Tell what a column is about: who holds still, or which surfaces are read."""
    if column.restore:
        return "restores"
    return HOLDERS[column.policy] if column.policy else ", ".join(column.surfaces)


def scenarios(table: Table) -> dict[Scenario, str]:
    """Explain what a table asks besides the plain question."""
    asked = {column.scenario for column in table.columns} - {Scenario.LIVE}
    return {scenario: told for scenario, told in SCENARIOS.items() if scenario in asked}


def row_summary(row: Row) -> str:
    """Sum a row up in words: `3 of 4 consistent, 1 other as expected`, the rest by how it is to be taken."""
    cells = [each for each in row.entries if each]
    good = sum(mark(each) == "" for each in cells)
    others = Counter(mark(each) for each in cells if mark(each))
    how = {"expected": "other as expected", "known": "known to be wrong"}
    told = (f"{count} {how.get(each, each)}" for each, count in others.items())
    return ", ".join((f"{good} of {len(cells)} consistent", *told))


def marks(numbers: tuple[int, ...]) -> str:
    """Point to footnotes: ` [1,3]`, empty where there is none."""
    return f" [{','.join(map(str, numbers))}]" if numbers else ""


def entry(cell: CellSummary) -> str:
    """Put a cell in one line: `inconsistent 5/5 disk-ahead, order-broken +45.2 ms`."""
    return f"{cell.outcome} {detail(cell)}"


def detail(cell: CellSummary) -> str:
    """Tell what follows the outcome: how many of how many, in which way, by how much, or why."""
    told = _measured(cell, ", ".join(cell.anomalies))
    if cell.outcome in MEASURED or cell.outcome in (Outcome.CONSISTENT, Outcome.MISSING):
        return told
    return f"{told}: {shorten(first_reason(cell))}"


def brief(cell: CellSummary, *, bound: bool = True) -> str:
    """Tell of the same what fits into a table: no reason, the first of the anomalies, the bound if wanted."""
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
    """Tell why the first trial of the cell's outcome ended as it did."""
    reasons = (trial.verdict.reason for trial in cell.trials if trial.verdict.outcome is cell.outcome)
    return next(reasons, "did not come back")


def expectation(told: Expectation) -> str:
    """Tell what a cell should be: `hung in 5.0-40.0 % of the trials`, `unsupported (kernel lacks mem_dirty_track)`."""
    part = f"in {interval(*told.rate)} of the trials" if told.rate else ""
    return " ".join(filter(None, (told.outcome, told.anomaly, part, told.when and f"({told.when})")))


def mark(cell: CellSummary) -> str:
    """Tell how an entry is to be taken: `unexpected`, `known`, `expected`; empty for one that is simply clean."""
    if not cell.as_expected:
        return FLAGS[cell.exit_code]
    if cell.known:
        return "known"
    return "" if cell.outcome is Outcome.CONSISTENT else "expected"


def flag(cell: CellSummary) -> str:
    """Tell in which way a cell is not as expected: `unexpected, should be consistent`."""
    told = f"{FLAGS[cell.exit_code]}, should be {expectation(cell.expectation)}"
    if not cell.expectation.link:
        return told
    return f"{told}: {state(cell.expectation, cell.outcome, as_expected=cell.as_expected)}"


def deadline(issue: KnownIssue) -> str:
    """Tell who has to act, and until when a known issue counts as known."""
    told = issue.expectation
    day = f"review was due by {told.review}" if told.overdue else f"to be reviewed by {told.review}"
    return "; ".join(filter(None, (f"to be acted on by {told.owner}" if told.owner else "", day)))


def found(verdict: Verdict) -> str:
    """List what a trial found, worst first: `leaked, inconsistent`."""
    return ", ".join(verdict.found)


def freeze_effect(pair: FrozenPair) -> str:
    """Tell in words what a comparison of pairs proves."""
    if pair.p is None:
        return "no pair differs"
    if not pair.differs:
        return "no difference is proved" if pair.pairs >= fewest_pairs() else "too few pairs to prove a difference"
    return "held still, fewer trials violate" if pair.only_without > pair.only_with else "held still, more violate"


def freezing_line(pairs: tuple[FrozenPair, ...]) -> str:
    """Put all comparisons of pairs in one line; empty where there are none."""
    if not pairs:
        return ""
    only_without, only_with = sum(each.only_without for each in pairs), sum(each.only_with for each in pairs)
    return (
        f"freezing, paired: {counted(len(pairs), 'comparison')}, {counted(sum(each.pairs for each in pairs), 'pair')}: "
        f"{only_without} violate only without a freeze, {only_with} only with one; "
        f"{freezing_proved(pairs)}"
    )


def freezing_proved(pairs: tuple[FrozenPair, ...]) -> str:
    """Tell in how many comparisons a difference is proved, or that there are too few pairs for it."""
    if all(each.pairs < fewest_pairs() for each in pairs):
        return f"none has the {fewest_pairs()} pairs that it takes to prove a difference"
    fewer = sum(each.differs and each.only_without > each.only_with for each in pairs)
    more = sum(each.differs for each in pairs) - fewer
    return f"with p < {LEVEL}, fewer violate held still in {fewer}, more in {more}"


def grade(each: Declined) -> str:
    """Tell how well a restore was declined: `early, naming crun and runc, source unharmed, nothing left behind`."""
    return ", ".join(
        (
            "early" if each.early else "late",
            f"naming {', '.join(each.named)}" if each.named else "naming nothing that differs",
            "source unharmed" if each.unharmed else "source harmed",
            "nothing left behind" if each.clean else "something left behind",
        )
    )


def would(each: Declined) -> str:
    """Tell whether it was right to decline."""
    if not each.would:
        return "over no bridge that was tried"
    return f"over a bridge {len(each.would)} of {len(each.cells)} restore consistently"


def bridge(each: Bridge) -> str:
    """Tell what a bridge comes to: `translated: opens 30 of 30 pairs that do not restore as they are`."""
    asked = len(each.opened) + len(each.closed)
    told = f"{each.name}: opens {len(each.opened)} of {asked} pairs that do not restore as they are"
    return f"{told}, and breaks {len(each.broken)}" if each.broken else told


def score_of(found: Predictions) -> str:
    """Put the score of predictions in one line: `right in 180 of 187 cells (96.2 %), false yes 0, false no 3`."""
    share = percent(found.right / found.cells) if found.cells else "none"
    told = f"right in {found.right} of {counted(found.cells, 'cell')} ({share})"
    numbers = (len(found.of(answer)) for answer in Answer)
    return ", ".join(
        (told, *(f"{what} {n}" for what, n in zip(("false yes", "false no", "unknown"), numbers, strict=True)))
    )


def agreement_of(found: Agreement) -> str:
    """Tell how often two readings of a checkpoint agree."""
    told = f"`stillframe inspect` and the oracle agree on {found.agreed} of {counted(found.checkpoints, 'checkpoint')}"
    return told if found.agreed == found.checkpoints else f"{told}; they differ on"


def missed(each: Missed) -> str:
    """Tell what was predicted and why, and what came about: `said no, since ...; it was consistent`."""
    since = f", since {'; '.join(each.reasons)}" if each.reasons else ""
    return f"said {each.answer}{since}; it was {each.outcome}: {each.reason}"


def p_value(p: float | None) -> str:
    """Write a p value with two digits; a dash where there was nothing to test."""
    return "-" if p is None else "<0.0001" if p < MOST_EXACT else f"{p:.2g}"


def source_notes(trial: Record) -> tuple[str, ...]:
    """Tell what the source showed after its live checkpoint; of what went without saying, only what went wrong."""
    source = trial.source
    notes = {
        "stopped ticking": source.ticking is False,
        "left frozen": bool(source.frozen),
        "other nonce": source.same_nonce is False,
        f"lost {source.lost_ticks} ticks": bool(source.lost_ticks),
        "pause undone": source.kept_pause is False,
        "stayed paused": source.kept_pause is True,
        "does not end when asked": source.stops is False,
        "ended when asked": source.stops is True,
    }
    return tuple(note for note, true in notes.items() if true)


def extent(plan: Plan) -> str:
    """Tell how much was planned: `24 cells, 5 trials each`, `24 cells, up to 59 trials each`."""
    rounds = sorted({plan.rounds_of(cell) for cell in plan.cells}) or [plan.rounds]
    each = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0])
    most = "up to " if plan.rate is not None and len(rounds) == 1 else ""
    return f"{counted(len(plan.cells), 'cell')}, {most}{each} {'trial' if each == '1' else 'trials'} each"


def skew(ticks: float | None, microseconds: float | None) -> str:
    """Tell a distance from memory as time, in ticks where there is no clock, empty where nothing is known."""
    if microseconds is not None:
        return duration(microseconds, signed=True)
    return f"{ticks_text(ticks)} ticks" if ticks is not None else ""


def ticks_text(ticks: float | None) -> str:
    """Write a count of ticks with its sign; `empty` when the surface held nothing to compare."""
    return "empty" if ticks is None else f"{ticks:+,.0f}" if ticks else "0"


def duration(microseconds: float, *, signed: bool = False) -> str:
    """Write three digits and the unit that fits: `45.2 ms`."""
    for size, unit in ((1.0, "µs"), (1e3, "ms"), (1e6, "s")):
        value = microseconds / size
        if abs(value) < MOST_SHOWN or unit == "s":
            break
    digits = f"{value:.3g}" if abs(value) < MOST_SHOWN else f"{value:.0f}"
    return f"{'+' if signed and value > 0 else ''}{digits} {unit}"


def percent(rate: float) -> str:
    """Write a bound in per cent, rounded up, since a bound rounded down would be none."""
    return f"{math.ceil(rate * 1000 - 1e-9) / 10:.1f} %"


def interval(low: float, high: float) -> str:
    """Write an interval of rates in per cent, rounded outwards: `0.4-11.6 %`."""
    return f"{math.floor(low * 1000 + 1e-9) / 10:.1f}-{percent(high)}"
