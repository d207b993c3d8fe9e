"""What becomes of a container whose live checkpoint is broken off: its client gives up, or something fails. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.model.cells import Scenario
from harness.model.readings import Abandoned, Fault
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


class Faulted(Frozen):
    """The live checkpoints of a cell in the middle of which something failed."""

    cell: str = Field(description="id")
    label: str = Field(description="the participant and the way")
    scenario: Scenario = Field(description="what failed")
    calls: tuple[Fault, ...] = Field(description="in the order of their trials")
    violations: int = Field(description="trials that show a violation, then or at the checkpoint that followed")


def sweeps(cells: Sequence[CellSummary]) -> tuple[Sweep, ...]:
    """Collect the abandoned calls of each cell that has any."""
    return tuple(
        Sweep(
            cell=each.cell.id,
            label=each.label,
            calls=tuple(sorted(calls, key=lambda call: (call.how, call.after_us / max(1, call.whole_us)))),
        )
        for each in cells
        if (calls := [trial.abandoned for trial in each.trials if trial.abandoned is not None])
    )


def faulted(cells: Sequence[CellSummary]) -> tuple[Faulted, ...]:
    """Collect the faults of each cell that has any; what could not be played is not among them."""
    return tuple(
        Faulted(
            cell=each.cell.id,
            label=each.label,
            scenario=each.cell.scenario,
            calls=tuple(trial.fault for trial in trials if trial.fault is not None),
            violations=sum(trial.verdict.outcome.violates is True for trial in trials),
        )
        for each in cells
        if (trials := [trial for trial in each.trials if trial.fault is not None])
    )
