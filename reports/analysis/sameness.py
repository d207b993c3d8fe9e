"""Whether what was restored is the same container: what differs, for whom, and what of it is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from harness.model.expectations import place
from harness.model.known.differences import KnownDifference
from harness.model.known.signatures import covers
from harness.model.readings import Difference, Sameness
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CellSummary


class Seen(Frozen):
    """A difference of one row, in the trials that compared it."""

    difference: Difference
    trials: int = Field(description="trials that show it")
    cells: tuple[str, ...] = Field(description="ids of the cells that show it")
    known: KnownDifference | None = Field(description="what declares it; null: nothing does")

    @property
    def convicts(self) -> bool:
        """Whether nothing explains it: neither a declaration nor a workaround of this machine."""
        return self.known is None and not self.difference.workaround


class Same(Frozen):
    """One row: who restored whose checkpoints, in one way."""

    label: str
    trials: int = Field(description="trials that compared the source with the restored container")
    facts: int = Field(description="most facts that one of them compared")
    seen: tuple[Seen, ...]
    uncompared: tuple[str, ...] = Field(description="what no trial could compare, and why")


class KnownDifferenceSummary(Frozen):
    """A known difference, and the cells of a run that should show it."""

    known: KnownDifference
    shown: tuple[str, ...] = Field(description="ids of the cells that show it")
    absent: tuple[str, ...] = Field(description="ids of the cells that were compared and do not show it")

    @property
    def unlike(self) -> bool:
        """Whether somebody has to act on its entry."""
        return bool(self.absent) or self.known.overdue


def rows(plan: Plan, cells: Iterable[CellSummary]) -> tuple[Same, ...]:
    """Return a row for each pair of participants and way with a comparison, in the order of the cells."""
    by_label: dict[str, list[CellSummary]] = {}
    for each in cells:
        by_label.setdefault(each.label, []).append(each)
    made = (_row(plan, label, of_label) for label, of_label in by_label.items())
    return tuple(each for each in made if each.trials or each.uncompared)


def known_differences(plan: Plan, cells: Sequence[CellSummary]) -> tuple[KnownDifferenceSummary, ...]:
    """Return the known differences that this run's trials could show."""
    found = []
    for known in plan.differences:
        covered = [each for each in cells if covers(known.match, each.cell.id) and any(_comparisons(each.trials))]
        shown = tuple(each.cell.id for each in covered if _shows(known, each))
        absent = tuple(each.cell.id for each in covered if each.cell.id not in shown)
        if covered:
            found.append(KnownDifferenceSummary(known=known, shown=shown, absent=absent))
    return tuple(found)


def demanded_of(each: KnownDifferenceSummary) -> str:
    """Say what to do about an entry; empty if there is nothing to do."""
    at = place(each.known.declared)
    if each.known.overdue:
        return f"review was due by {each.known.review_by}; check it again, then move `review-by` in {at}"
    if each.absent and not each.shown:
        return f"it does not show any more; delete {at}"
    if each.absent:
        return f"it does not show in {', '.join(each.absent)}; narrow `match` in {at}"
    return ""


def _comparisons(trials: Iterable[Record]) -> list[Sameness]:
    return [each.sameness for each in trials if each.sameness and each.sameness.compared]


def _shows(known: KnownDifference, cell: CellSummary) -> bool:
    told = (each for sameness in _comparisons(cell.trials) for each in sameness.altered)
    return any(known.explains(cell.cell.id, each) for each in told)


def _row(plan: Plan, label: str, cells: Sequence[CellSummary]) -> Same:
    trials: dict[Difference, int] = {}
    where: dict[Difference, dict[str, None]] = {}
    uncompared: dict[str, None] = {}
    compared = [(each.cell.id, one) for each in cells for one in _comparisons(each.trials)]
    for name, sameness in compared:
        for each in sameness.differences:
            trials[each] = trials.get(each, 0) + 1
            where.setdefault(each, {})[name] = None
    for cell in cells:
        for trial in cell.trials:
            uncompared |= dict.fromkeys(trial.sameness.uncompared if trial.sameness else ())
    return Same(
        label=label,
        trials=len(compared),
        facts=max((sameness.compared for _, sameness in compared), default=0),
        seen=tuple(
            Seen(difference=each, trials=count, cells=tuple(where[each]), known=_known(plan, [*where[each]], each))
            for each, count in sorted(trials.items(), key=lambda item: not item[0].less_confined)
        ),
        uncompared=tuple(uncompared),
    )


def _known(plan: Plan, cells: Sequence[str], difference: Difference) -> KnownDifference | None:
    """Return what declares a difference in all these cells."""
    return next(
        (each for each in plan.differences if all(each.explains(cell, difference) for cell in cells)),
        None,
    )
