"""Two runs compared, cell by cell: which cells are worse, better or different, and how sure this is.

One violation convicts, so a cell that violates for the first time is a regression, whatever its p value. The statistics
compare rates: Fisher's exact test for each cell, with Benjamini and Hochberg's control of false discoveries over all
cells.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum

from pydantic import Field

from harness.model.cells import Cell, Settings
from harness.model.errors import Exit, NotComparable
from harness.model.expectations import place
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import MEASURED, NO_EVIDENCE, CellSummary
from reports.analysis.conditions import Conditions, Difference, changes, differences
from reports.analysis.statistics import LEVEL, adjusted, different_p
from reports.analysis.tables import RunSummary, counted
from reports.text import shorten

NUMBERS = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f]*\d)[0-9a-f]{6,}\b|\d+", re.IGNORECASE)
SILENT = NO_EVIDENCE | {Outcome.VACUOUS}


class Kind(StrEnum):
    """How a cell differs, the worst first."""

    NEW = "new"
    WORSE = "worse"
    DISAPPEARED = "disappeared"
    CHANGED = "changed"
    FIXED = "fixed"


MEANINGS = {
    Kind.NEW: "violates now, and did not before",
    Kind.WORSE: "has a worse outcome, or violates more often",
    Kind.DISAPPEARED: "had a result before, and has none now",
    Kind.CHANGED: "fails in another way, fails less, or differs without a violation",
    Kind.FIXED: "violated before, and does not now",
}
FOR_THE_WORSE = frozenset({Kind.NEW, Kind.WORSE, Kind.DISAPPEARED})
NOT_PART = "not part of this run"


class Side(Frozen):
    """A cell in one of the two runs: `n` trials prove something, and `k` of them violate."""

    outcome: Outcome | None = Field(description="the worst outcome of a trial; null if no trial has a result")
    signatures: tuple[str, ...] = Field(description="anomalies or reasons of the trials with this outcome, no numbers")
    n: int
    k: int
    asked: bool = Field(default=True, description="whether the run has this cell")

    @property
    def words(self) -> str:
        """Outcome and signature, the same for cells that fail in the same way."""
        return " ".join(filter(None, (self.outcome or self._nothing, *map(shorten, self.signatures[:1]))))

    @property
    def _nothing(self) -> str:
        return "no result" if self.asked else NOT_PART

    @property
    def flaky(self) -> bool:
        """Whether it violates sometimes."""
        return 0 < self.k < self.n

    def __str__(self) -> str:
        if self.outcome is None:
            return self._nothing
        counts = f"{self.k}/{self.n}" if self.n else ""
        return " ".join(filter(None, (self.outcome, counts, *map(shorten, self.signatures[:1]))))


class CellDifference(Frozen):
    """A cell of both runs; without a kind if nothing is different."""

    cell: Cell
    kind: Kind | None
    regression: bool = Field(description="worse than before, and worse than an expected rate allows")
    before: Side
    after: Side
    p: float | None = Field(description="Fisher's exact test, two-sided; null if a run has no trial to count")
    adjusted_p: float | None = Field(description="p adjusted for the number of cells (Benjamini and Hochberg)")
    conditions: tuple[Difference, ...] = Field(description="versions and machine facts that differ")
    known: str = Field(default="", description="its known issue in the second run: link and place in the file")

    @property
    def was(self) -> str:
        """The state before; for a cell that disappeared only `with a result`, whatever the result was."""
        return "with a result" if self.kind is Kind.DISAPPEARED else self.before.words

    @property
    def flaky(self) -> bool:
        """Whether it violates sometimes in the second run, but not in the first."""
        return self.after.flaky and not self.before.flaky


class Change(Frozen):
    """Cells that differ in the same way, under the same changes: they probably have one cause."""

    kind: Kind
    conditions: tuple[Difference, ...] = Field(description="versions and machine facts that differ")
    before: str = Field(description="outcome and signature")
    after: str = Field(description="outcome and signature")
    flaky: bool = Field(description="some trials of the second run violate, and some do not")
    cells: tuple[str, ...] = Field(description="ids")
    gone: tuple[str, ...] = Field(description="known issues that these cells no longer show: links and places in files")

    @property
    def sentence(self) -> str:
        """The changes, their effect, and what to do."""
        cells, one = counted(len(self.cells), "cell"), len(self.cells) == 1
        if self.after == NOT_PART:
            return f"{cells} {'was' if one else 'were'} {NOT_PART}."
        if self.kind is Kind.DISAPPEARED:
            return f"{cells} {'has' if one else 'have'} no result now."
        what = ", ".join(map(str, self.conditions)) or "no known change in versions or machine"
        told = f"{what}: {cells}: {self.before} -> {self.after}{', sometimes' if self.flaky else ''}."
        if self.gone:
            told += f" Narrow or delete the known issue: {', '.join(self.gone)}."
        return told


class Comparison(Frozen):
    """All cells of both runs."""

    before: str = Field(description="id of the first run")
    after: str = Field(description="id of the second run, which is compared with the first")
    level: float = Field(default=LEVEL, description="rates differ if the adjusted p is below this level")
    cells: tuple[CellDifference, ...]
    added: tuple[str, ...] = Field(description="ids of cells that only the second run has")
    versions: dict[str, tuple[Difference, ...]] = Field(
        default_factory=dict, description="versions that differ, by participant, even if no outcome differs"
    )

    @property
    def findings(self) -> tuple[Change, ...]:
        """The differences, grouped by their possible cause: the worst first, then the largest group."""
        groups: dict[object, list[CellDifference]] = {}
        for each in self.cells:
            if each.kind is not None:
                key = (each.kind, each.conditions, each.was, each.after.words, each.flaky)
                groups.setdefault(key, []).append(each)
        found = (
            Change(
                kind=one.kind,
                conditions=one.conditions,
                before=one.was,
                after=one.after.words,
                flaky=one.flaky,
                cells=tuple(sorted(each.cell.id for each in those)),
                gone=tuple(sorted({each.known for each in those if each.known and each.kind is Kind.FIXED})),
            )
            for those in groups.values()
            if (one := those[0]).kind is not None
        )
        return tuple(sorted(found, key=lambda each: (list(Kind).index(each.kind), -len(each.cells), each.cells)))

    @property
    def upgrades(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Versions that differ, in words, with their participants."""
        found: dict[str, tuple[str, ...]] = {}
        for who, changed in self.versions.items():
            told = ", ".join(map(str, changed))
            found[told] = (*found.get(told, ()), who)
        return tuple(found.items())

    @property
    def regressions(self) -> tuple[CellDifference, ...]:
        """The cells that became worse."""
        return tuple(each for each in self.cells if each.regression)

    @property
    def exit_code(self) -> Exit:
        """`UNEXPECTED` if a cell became worse."""
        return Exit.UNEXPECTED if self.regressions else Exit.EXPECTED


def compare(before: RunSummary, after: RunSummary) -> Comparison:
    """Compare the second run with the first; `NotComparable` if this means nothing."""
    _check(before, after)
    there, now = before.by_id, after.by_id
    cells = [(each, now.get(each.cell.id)) for each in before.cells]
    sides = [(_side(old), _side(new) if new else _side(None)) for old, new in cells]
    p_values = [different_p(old.k, old.n, new.k, new.n) if old.n and new.n else None for old, new in sides]
    corrected = iter(adjusted([p for p in p_values if p is not None]))
    found = []
    for (old, new), (first, second), p in zip(cells, sides, p_values, strict=True):
        adjusted_p = next(corrected) if p is not None else None
        kind = _kind(first, second, sure=adjusted_p is not None and adjusted_p < LEVEL)
        allowed = new is not None and new.expectation.rate is not None and new.as_expected
        found.append(
            CellDifference(
                cell=old.cell,
                kind=kind,
                regression=kind in FOR_THE_WORSE and not allowed,
                before=first,
                after=second,
                p=p,
                adjusted_p=adjusted_p,
                conditions=_changed(old, before.plan, new, after.plan) if new else (),
                known=f"{new.expectation.link} ({place(new.expectation.declared)})" if new and new.known else "",
            )
        )
    added = tuple(each for each in now if each not in there)
    versions = {
        who: changed
        for who, components in after.versions.items()
        if (changed := changes(before.versions.get(who, components), components))
    }
    return Comparison(before=before.plan.run, after=after.plan.run, cells=tuple(found), added=added, versions=versions)


def _check(before: RunSummary, after: RunSummary) -> None:
    for name in Settings.model_fields:
        old, new = getattr(before.plan.settings, name), getattr(after.plan.settings, name)
        if old != new:
            what = f"{before.plan.run} ran with {name} {old}, but {after.plan.run} ran with {name} {new}"
            raise NotComparable(what, remedy="Compare runs with the same settings.")
    for run in (before, after):
        if run.conclusion.exit_code is Exit.BLIND:
            what = f"the instrument's own proof failed in {run.plan.run}, so no result of it counts"
            raise NotComparable(what, remedy="Compare another run.")
    if not before.by_id.keys() & after.by_id.keys():
        what = f"{before.plan.run} and {after.plan.run} have no cell in common"
        raise NotComparable(what, remedy="Compare runs of the same cells.")


def _kind(before: Side, after: Side, *, sure: bool) -> Kind | None:
    """Name the difference; `sure`: the test proves that the rates differ."""
    if after.outcome is None:
        return Kind.DISAPPEARED if before.outcome is not None else None
    if after.k and not before.k:
        return Kind.NEW
    if before.outcome is None:
        return None
    if before.k and not after.k and after.n:
        return Kind.FIXED
    more = after.outcome.severity - before.outcome.severity
    if more > 0 or (sure and after.k / after.n > before.k / before.n):
        return Kind.WORSE
    other = bool(before.k) and set(before.signatures).isdisjoint(after.signatures)
    return Kind.CHANGED if more < 0 or sure or other else None


def _side(cell: CellSummary | None) -> Side:
    trials = [trial for trial in cell.trials if trial.verdict.outcome not in SILENT] if cell else []
    worst = max((trial.verdict.outcome for trial in trials), key=lambda each: each.severity, default=None)
    said = [trial.verdict.outcome.violates for trial in trials]
    return Side(
        outcome=worst,
        signatures=tuple(sorted({_signature(trial) for trial in trials if trial.verdict.outcome is worst})),
        n=len(said) - said.count(None),
        k=said.count(True),
        asked=cell is not None,
    )


def _signature(trial: Record) -> str:
    """Return why a trial has its outcome: its anomalies, or its stage and reason without numbers."""
    verdict = trial.verdict
    if verdict.outcome in MEASURED:
        return ", ".join(sorted(verdict.anomalies))
    return "" if verdict.outcome is Outcome.CONSISTENT else f"{verdict.stage or ''}: {NUMBERS.sub('#', verdict.reason)}"


def _changed(old: CellSummary, before: Plan, new: CellSummary, after: Plan) -> tuple[Difference, ...]:
    """Return the conditions of a cell that differ; none if one of the runs has no result."""
    first, second = _conditions(old, before), _conditions(new, after)
    return differences(first, second) if first and second else ()


def _conditions(cell: CellSummary, plan: Plan) -> set[Conditions]:
    return {Conditions.of(trial, plan) for trial in cell.trials if trial.verdict.outcome not in SILENT}


def as_json(comparison: Comparison) -> str:
    """Write the comparison for programs, each cell with its id."""
    raw = comparison.model_dump(mode="json") | {"exit_code": comparison.exit_code.value}
    raw["findings"] = [each.model_dump(mode="json") | {"sentence": each.sentence} for each in comparison.findings]
    for one, each in zip(raw["cells"], comparison.cells, strict=True):
        one["id"] = each.cell.id
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"
