"""What becomes of a container if the client of its live checkpoint gives up, over all moments of the call. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.model.readings import Abandoned
from harness.model.values import Frozen
from reports.analysis.cells import CellSummary

RUNNING = "running"
"""As in the contract of an adapter."""


class Sweep(Frozen):
    """The abandoned calls of a cell."""

    cell: str = Field(description="id")
    label: str = Field(description="the participant and the way")
    calls: tuple[Abandoned, ...] = Field(description="by how the client gave up, then by the part of the call")

    @property
    def harmed(self) -> int:
        """Number of calls after which the source did not go on, or its runtime did not say so."""
        return sum(each.ticking is False or each.state not in ("", RUNNING) for each in self.calls)


def sweeps(cells: Sequence[CellSummary]) -> tuple[Sweep, ...]:
    """Collect the abandoned calls of each cell that has any."""
    found = []
    for each in cells:
        calls = [trial.abandoned for trial in each.trials if trial.abandoned is not None]
        if calls:
            calls.sort(key=lambda call: (call.how, call.after_us / max(1, call.whole_us)))
            label = f"{each.cell.checkpoint} {each.cell.way}".rstrip()
            found.append(Sweep(cell=each.cell.id, label=label, calls=tuple(calls)))
    return tuple(found)
