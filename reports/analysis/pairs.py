"""The cells of each cross-restore table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.model.cells import Scenario
from reports.analysis.cells import CellSummary


def paired_in(cells: Sequence[CellSummary]) -> list[CellSummary]:
    """Return the cross-restores, and the cells in which one of their participants restores its own checkpoint."""
    questions = {
        (each.cell.workload, each.cell.scenario, each.cell.policy, each.cell.way, side)
        for each in cells
        if each.cell.restore != each.cell.checkpoint
        for side in (each.cell.checkpoint, each.cell.restore)
    }
    return [
        each
        for each in cells
        if (each.cell.workload, each.cell.scenario, each.cell.policy, each.cell.way, each.cell.checkpoint) in questions
    ]


def connected(cells: Iterable[CellSummary]) -> list[list[CellSummary]]:
    """Group the cells by scenario, workload and participants: who restores each other's checkpoints share a table.

    Plain cross-restores come first.
    """
    parts: list[tuple[set[tuple[str, ...]], list[CellSummary]]] = []
    for each in cells:
        question = (each.cell.way, each.cell.scenario, each.cell.workload)
        both = {(str(side), *question) for side in (each.cell.checkpoint, each.cell.restore)}
        joined = [part for part in parts if part[0] & both]
        parts = [part for part in parts if not part[0] & both]
        names = both.union(*(part[0] for part in joined))
        parts.append((names, [*(cell for part in joined for cell in part[1]), each]))
    return sorted((found for _, found in parts), key=lambda found: list(Scenario).index(found[0].cell.scenario))
