"""Trials in which something is broken on purpose, and what the oracle has to say of each.

The canary and the negative controls are declared here; the mutants are in `harness.model.mutants`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Anomaly, Outcome, Verdict
from harness.model.values import Frozen


class ControlKind(StrEnum):
    """What part a trial has in the instrument's own proof."""

    CANARY = "canary"
    CONTROL = "control"
    MUTANT = "mutant"
    NEUTRAL = "neutral"


class Control(Frozen):
    """A trial in which something is broken on purpose, and what must be found; or the harmless neighbour of one."""

    name: str
    cell: Cell
    kind: ControlKind = ControlKind.CONTROL
    what: str = Field(default="", description="what is done, in words")
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the verdict's reason has to match")

    @property
    def id(self) -> str:
        """Its name, as in records: of a neighbour `NAME.neutral`."""
        return f"{self.name}.neutral" if self.kind is ControlKind.NEUTRAL else self.name

    def seen_in(self, verdict: Verdict) -> bool:
        """Whether a verdict says what it has to say; a breakdown of our own is no detection unless it is the point."""
        if self.kind is ControlKind.NEUTRAL:
            return verdict.outcome is Outcome.CONSISTENT
        broke_down = verdict.outcome is Outcome.HARNESS_ERROR is not self.outcome
        return (
            self.outcome in verdict.found
            and not broke_down
            and (self.anomaly is None or self.anomaly in verdict.anomalies)
            and bool(re.search(self.signature, verdict.reason))
        )


DEFAULT_WORKLOAD = "ledger"


class Ground(StrEnum):
    """What a mutant needs of a participant."""

    FOLDERS = "folders"
    """Checkpoints are folders, and the program is called by name."""
    ARCHIVES = "archives"
    """A checkpoint is an archive that the engine has exported by its own command."""


@dataclass(frozen=True)
class Proof:
    """What must be found; `neutral` says what the harmless neighbour does, empty where there is none."""

    name: str
    what: str
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = ""
    """Regular expression that the verdict's reason has to match."""
    neutral: str = ""
    workload: str = DEFAULT_WORKLOAD
    scenario: Scenario = Scenario.LIVE
    beside: str = ""
    """The neighbour's workload, where it is another."""
    ground: Ground = Ground.FOLDERS

    def control(self, cell: Cell, kind: ControlKind) -> Control:
        """The trial of it on a cell."""
        return Control(
            name=self.name,
            cell=cell,
            kind=kind,
            what=self.what,
            outcome=self.outcome,
            anomaly=self.anomaly,
            signature=self.signature,
        )

    def neighbour(self, cell: Cell) -> Control:
        """The trial of its neutral neighbour."""
        return Control(
            name=self.name, cell=cell, kind=ControlKind.NEUTRAL, what=self.neutral, outcome=Outcome.CONSISTENT
        )


CANARY = Proof(
    "canary",
    "nobody holds the container still, and the cell is judged as if somebody did",
    Outcome.INCONSISTENT,
    Anomaly.DISK_AHEAD,
)
CONTROLS = {
    proof.name: proof
    for proof in (
        Proof("fresh-start", "a container that was started anew poses as the restored one", Outcome.COLD_START),
        Proof("ring-byte", "one byte of a captured record is changed", Outcome.INCONSISTENT, Anomaly.TORN),
        Proof("garbage-image", "the checkpoint's inventory is overwritten", Outcome.RESTORE_FAILED),
        Proof("stopped-workload", "the workload has stopped ticking long before the checkpoint", Outcome.VACUOUS),
    )
}
