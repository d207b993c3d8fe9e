"""The last change of a cell from good to bad, or back, and what changed with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.model.errors import Exit
from harness.model.values import Frozen
from harness.records.plan import Plan
from reports.analysis.cells import CLEAN, SILENT, CellSummary
from reports.analysis.conditions import Conditions, Difference, differences
from reports.analysis.tables import RunSummary


class Turn(Frozen):
    """A cell's present state, and the run that began it."""

    good: bool
    tried: int = Field(description="runs with a result of this cell")
    since: Plan = Field(description="the first run of the present state")
    before: Plan | None = Field(description="the last run of the other state; null: no run had it")
    changes: tuple[Difference, ...] = Field(description="versions and machine facts that changed in between")


def good(cell: CellSummary) -> bool:
    """Whether a cell is clean, or fails by design."""
    return cell.outcome in CLEAN or (cell.as_expected and not cell.expectation.link)


def turn(past: Sequence[tuple[RunSummary, CellSummary | None]]) -> Turn | None:
    """Find the last change in a cell's past, oldest first; None if no run says anything, as a blind run does not."""
    seen = ((run, cell) for run, cell in past if run.conclusion.exit_code is not Exit.BLIND)
    told = [(run.plan, cell) for run, cell in seen if cell is not None and cell.outcome not in SILENT]
    if not told:
        return None
    now = good(told[-1][1])
    begin = max((number for number, (_, cell) in enumerate(told, 1) if good(cell) is not now), default=0)
    (since, first), other = told[begin], told[begin - 1] if begin else None
    return Turn(
        good=now,
        tried=len(told),
        since=since,
        before=other[0] if other else None,
        changes=differences(Conditions.of_cell(other[1], other[0]), Conditions.of_cell(first, since)) if other else (),
    )
