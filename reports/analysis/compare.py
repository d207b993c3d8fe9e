"""Two runs compared, cell by cell: which cells are worse, better or different, and how sure this is.

One violation convicts: a cell that violates for the first time, after a version has changed, is a regression whatever
its p value. If nothing has changed, or the failure shows in some trials only, a difference may be chance. Then Fisher's
exact test has to prove it. Rates are compared by the same test, with Benjamini and Hochberg's control of false
discoveries over all cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from harness.model.cells import Cell, Settings
from harness.model.errors import Exit, NotComparable
from harness.model.expectations import place
from harness.model.values import Frozen
from harness.records.plan import Plan
from reports.analysis.cells import CellSummary, summarise_cell
from reports.analysis.conditions import Conditions, Difference, changes, differences
from reports.analysis.sides import Side, side_of
from reports.analysis.statistics import LEVEL, adjusted, different_p
from reports.analysis.tables import RunSummary
from reports.text import counted


class Kind(StrEnum):
    """How a cell differs, the worst first."""

    NEW = "new"
    WORSE = "worse"
    DISAPPEARED = "disappeared"
    CHANGED = "changed"
    FIXED = "fixed"
    SOMETIMES = "sometimes"


MEANINGS = {
    Kind.NEW: "violates now, and did not before",
    Kind.WORSE: "has a worse outcome, or violates more often",
    Kind.DISAPPEARED: "had a result before, and has none now",
    Kind.CHANGED: "fails in another way, fails less, or differs without a violation",
    Kind.FIXED: "violated before, and does not now",
    Kind.SOMETIMES: "differs in some trials only, or although no version has changed",
}
FOR_THE_WORSE = frozenset({Kind.NEW, Kind.WORSE, Kind.DISAPPEARED})


class CellDifference(Frozen):
    """A cell of both runs; without a kind if nothing is different."""

    cell: Cell
    kind: Kind | None
    regression: bool = Field(description="worse than before; a result that an unfinished run lacks is none")
    before: Side
    after: Side
    p: float | None = Field(description="Fisher's exact test, two-sided; null if a run has no trial to count")
    adjusted_p: float | None = Field(description="p adjusted for the number of cells (Benjamini and Hochberg)")
    conditions: tuple[Difference, ...] = Field(description="versions and machine facts that differ")
    known: str = Field(default="", description="its known issue in the second run: link and place in the file")
    pooled: CellSummary | None = Field(
        default=None, description="the trials of both runs together, if what differs shows sometimes"
    )

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
        if self.kind is Kind.SOMETIMES:
            return f"{cells} {'differs' if one else 'differ'}, which may be chance."
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
    cells: tuple[CellDifference, ...] = Field(description="cells of both runs")
    added: tuple[str, ...] = Field(description="ids of cells that only the second run has")
    left_out: tuple[str, ...] = Field(default=(), description="ids of cells that only the first run has")
    unfinished: tuple[str, ...] = Field(default=(), description="what is said of runs that did not finish")
    versions: dict[str, tuple[Difference, ...]] = Field(
        default_factory=dict, description="versions that differ, by participant, even if no outcome differs"
    )

    @property
    def findings(self) -> tuple[Change, ...]:
        """The differences, grouped by their possible cause: the worst first, then the largest group."""
        groups: dict[object, list[CellDifference]] = {}
        for each in self.cells:
            if each.kind is not None:
                alike = (each.conditions, each.was, each.after.words, each.flaky)
                key = (each.kind, () if each.kind is Kind.SOMETIMES else alike)
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
        """`UNEXPECTED` if a cell became worse, else `INCOMPLETE` if a run did not finish."""
        if self.regressions:
            return Exit.UNEXPECTED
        return Exit.INCOMPLETE if self.unfinished else Exit.EXPECTED


def compare(before: RunSummary, after: RunSummary) -> Comparison:
    """Compare the second run with the first; `NotComparable` if this means nothing."""
    _check(before, after)
    there, now = before.by_id, after.by_id
    cells = [(each, now[each.cell.id]) for each in before.cells if each.cell.id in now]
    sides = [(side_of(old), side_of(new)) for old, new in cells]
    p_values = [different_p(old.k, old.n, new.k, new.n) if old.n and new.n else None for old, new in sides]
    corrected = iter(adjusted([p for p in p_values if p is not None]))
    found = []
    for (old, new), (first, second), p in zip(cells, sides, p_values, strict=True):
        adjusted_p = next(corrected) if p is not None else None
        conditions = _changed(old, before.plan, new, after.plan)
        sure = adjusted_p is not None and adjusted_p < LEVEL
        kind = _kind(first, second, sure=sure)
        if first.outcome is None and before.unfinished:
            kind = None
        if kind is None and p is not None and p < LEVEL:
            kind = Kind.SOMETIMES  # among so many cells
        if kind and _may_be_chance(old, new, kind, sure=sure, changed=bool(conditions)):
            kind = Kind.SOMETIMES
        lacking = kind is Kind.DISAPPEARED and after.unfinished
        found.append(
            CellDifference(
                cell=old.cell,
                kind=kind,
                regression=kind in FOR_THE_WORSE and not lacking,
                before=first,
                after=second,
                p=p,
                adjusted_p=adjusted_p,
                conditions=conditions,
                known=f"{new.expectation.link} ({place(new.expectation.declared)})" if new.known else "",
                pooled=_pooled(old, new) if kind is Kind.SOMETIMES else None,
            )
        )
    versions = {
        who: changed
        for who, components in after.versions.items()
        if (changed := changes(before.versions.get(who, components), components))
    }
    return Comparison(
        before=before.plan.run,
        after=after.plan.run,
        cells=tuple(found),
        added=tuple(each for each in now if each not in there),
        left_out=tuple(each for each in there if each not in now),
        unfinished=(*_unfinished("first", before), *_unfinished("second", after)),
        versions=versions,
    )


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


def _may_be_chance(old: CellSummary, new: CellSummary, kind: Kind, *, sure: bool, changed: bool) -> bool:
    """Return whether the difference of two cells may be chance.

    It may, if the declared rate allows for it. Else it may if no test proves it, and either nothing has `changed`, or
    what differs shows in some trials only.
    """
    if kind is Kind.DISAPPEARED or not (old.telling and new.telling):
        return False
    if new.expectation.rate and new.as_expected:
        return True
    counts = _worst_of_both(old, new)
    if sure or counts is None or different_p(*counts) < LEVEL:
        return False
    shown, trials, shown_now, trials_now = counts
    some = 0 < shown < trials or (0 < shown_now < trials_now and kind is not Kind.NEW)
    return some or not changed or bool(old.expectation.rate or new.expectation.rate)


def _worst_of_both(old: CellSummary, new: CellSummary) -> tuple[int, int, int, int] | None:
    """Count the trials with the worse of both outcomes, in each run; None if the outcome is the same."""
    first, second = ([trial.verdict.outcome for trial in cell.telling] for cell in (old, new))
    worst, worst_now = (max(each, key=lambda outcome: outcome.severity) for each in (first, second))
    if worst is worst_now:
        return None
    shown = max(worst, worst_now, key=lambda outcome: outcome.severity)
    return first.count(shown), len(first), second.count(shown), len(second)


def _pooled(old: CellSummary, new: CellSummary) -> CellSummary:
    trials = [*old.telling, *new.telling]
    return summarise_cell(new.cell, trials, new.expectation, planned=len(trials), missing=0)


def _unfinished(which: str, run: RunSummary) -> Iterator[str]:
    if run.unfinished:
        lacking = sum(each.missing > 0 for each in run.cells)
        told = f"{lacking} of {counted(len(run.cells), 'cell')} {'lacks' if lacking == 1 else 'lack'} results"
        yield f"The {which} run did not finish: {told}."


def _changed(old: CellSummary, before: Plan, new: CellSummary, after: Plan) -> tuple[Difference, ...]:
    """Return the conditions of a cell that differ; none if one of the runs has no result."""
    first, second = Conditions.of_cell(old, before), Conditions.of_cell(new, after)
    return differences(first, second) if first and second else ()


def as_json(comparison: Comparison, declaration: str = "") -> str:
    """Write the comparison for programs, each cell with its id; `declaration`: entries for what shows sometimes."""
    raw = comparison.model_dump(mode="json") | {"exit_code": comparison.exit_code.value, "declaration": declaration}
    raw["findings"] = [each.model_dump(mode="json") | {"sentence": each.sentence} for each in comparison.findings]
    for one, each in zip(raw["cells"], comparison.cells, strict=True):
        one["id"] = each.cell.id
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"
