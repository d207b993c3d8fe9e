"""Who took part in a run, and in which cells. Pure."""

from __future__ import annotations

from typing import NamedTuple

from harness.model.outcomes import Outcome
from reports.analysis.cells import CellSummary, Exit, prevailing
from reports.analysis.tables import RunSummary, counted
from reports.paths import participant_page


class Participant(NamedTuple):
    """Who took part, and in what."""

    name: str
    cells: tuple[CellSummary, ...]

    @property
    def path(self) -> str:
        """Place of its page."""
        return participant_page(self.name)

    @property
    def known(self) -> int:
        """How many of its cells are wrong in a known way."""
        return sum(each.known and each.as_expected for each in self.cells)

    @property
    def exit_code(self) -> Exit:
        """What its cells come to, whatever the others do."""
        return prevailing({Exit.EXPECTED, *(each.exit_code for each in self.cells)})

    @property
    def sentence(self) -> str:
        """How its cells came out, in words."""
        unexpected = sum(not each.as_expected for each in self.cells)
        good = sum(each.outcome is Outcome.CONSISTENT for each in self.cells)
        told = f"{good} of {counted(len(self.cells), 'cell')} consistent, {self.known} wrong in a known way"
        return f"{told}, {unexpected} not as expected"


def participants(run: RunSummary) -> tuple[Participant, ...]:
    """List who checkpoints or restores, in the order of the cells, with the cells that they have a part in."""
    found: dict[str, list[CellSummary]] = {}
    for each in run.cells:
        for side in dict.fromkeys((str(each.cell.checkpoint), str(each.cell.restore))):
            found.setdefault(side, []).append(each)
    return tuple(Participant(name, tuple(cells)) for name, cells in found.items())
