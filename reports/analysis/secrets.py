"""Where checkpoints put the secrets of their containers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from harness.model.readings import Secret
from harness.model.values import Frozen
from reports.analysis.cells import CellSummary


class Spread(Frozen):
    """The files in which the checkpoints of a cell have put canaries."""

    cell: str = Field(description="id")
    label: str = Field(description="the participant and the way")
    trials: int = Field(description="trials that looked for them and found any")
    files: tuple[tuple[Secret, int], ...] = Field(description="each with the number of trials that found it so")


def spreads(cells: Sequence[CellSummary]) -> tuple[Spread, ...]:
    """Collect the files of each cell that has any."""
    found = []
    for each in cells:
        told = [trial.secrets for trial in each.trials if trial.secrets]
        if told:
            counts = Counter(secret for secrets in told for secret in secrets)
            files = tuple(sorted(counts.items(), key=lambda item: item[0].place))
            found.append(Spread(cell=each.cell.id, label=each.label, trials=len(told), files=files))
    return tuple(found)
