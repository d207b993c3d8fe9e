"""Participants of a run and their cells. Pure."""

from __future__ import annotations

from typing import NamedTuple

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis.cells import CellSummary, prevailing
from reports.analysis.tables import RunSummary, counted
from reports.paths import participant_page


class Participant(NamedTuple):
    """A participant and its cells."""

    name: str
    cells: tuple[CellSummary, ...]

    @property
    def path(self) -> str:
        """Path of its page."""
        return participant_page(self.name)

    @property
    def known(self) -> int:
        """Number of cells that show their known issue."""
        return sum(each.known and each.as_expected for each in self.cells)

    @property
    def exit_code(self) -> Exit:
        """Exit code of its cells alone."""
        return prevailing({Exit.EXPECTED, *(each.exit_code for each in self.cells)})

    @property
    def sentence(self) -> str:
        """Results of its cells, in words."""
        unexpected = sum(not each.as_expected for each in self.cells)
        good = sum(each.outcome is Outcome.CONSISTENT for each in self.cells)
        told = f"{good} of {counted(len(self.cells), 'cell')} consistent, {counted(self.known, 'known issue')}"
        return f"{told}, {unexpected} not as expected"


def participants(run: RunSummary) -> tuple[Participant, ...]:
    """List the participants in the order of the cells, each with the cells in which it checkpoints or restores."""
    found: dict[str, list[CellSummary]] = {}
    for each in run.cells:
        for side in dict.fromkeys((str(each.cell.checkpoint), str(each.cell.restore))):
            found.setdefault(side, []).append(each)
    return tuple(Participant(name, tuple(cells)) for name, cells in found.items())
