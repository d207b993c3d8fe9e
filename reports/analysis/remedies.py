"""Where the same question is consistent in the same run: with other versions, or with a bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness.model.cells import Cell
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from reports.analysis.cells import CellSummary
from reports.analysis.tables import RunSummary


class Remedy(Frozen):
    """A consistent cell beside one that fails."""

    cell: str = Field(description="id of the consistent cell")
    bridge: str = Field(description="the bridge that makes the difference; empty: the versions do")
    versions: tuple[Component, ...] = Field(default=(), description="its versions that the failing cell does not have")


def remedies(cell: CellSummary, run: RunSummary) -> Iterator[Remedy]:
    """Yield the consistent cells that differ from a failing cell in their stack, or in a bridge, and nothing else."""
    for each in run.cells:
        if each.outcome is not Outcome.CONSISTENT or each is cell:
            continue
        if _question(each.cell) == _question(cell.cell):
            own = set(cell.versions)
            yield Remedy(cell=each.cell.id, bridge="", versions=tuple(one for one in each.versions if one not in own))
        elif _pair(each.cell) == _pair(cell.cell) and each.cell.restore != each.cell.checkpoint:
            yield Remedy(cell=each.cell.id, bridge=each.cell.way if each.cell.scenario.as_it_is else each.cell.scenario)


def _question(cell: Cell) -> tuple[object, ...]:
    """Return what a cell asks, without its stack; a cross-restore has two stacks, so it is like no other cell."""
    stacks = (cell.checkpoint.stack, cell.restore.stack) if cell.checkpoint != cell.restore else ()
    return (cell.scenario, cell.workload, cell.policy, cell.way, cell.checkpoint.runtime, cell.restore.runtime, *stacks)


def _pair(cell: Cell) -> tuple[object, ...]:
    return cell.workload, cell.policy, cell.checkpoint, cell.restore
