"""What a proof of the instrument is: something is broken on purpose, and what the oracle has to say of it.

The canary and the negative controls are here; the mutants are in `harness.model.mutants`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model.model import Anomaly, Cell, Control, ControlKind, Outcome, Scenario

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
