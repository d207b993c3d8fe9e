"""What each cell is expected to be, and why, when that is not `consistent`."""

from __future__ import annotations

from pydantic import Field

from harness.model import Anomaly, Cell, FreezePolicy, Frozen, Outcome


class Expectation(Frozen):
    """The outcome that every trial of a cell should have."""

    outcome: Outcome
    anomaly: Anomaly | None = None
    reason: str
    control: bool = Field(
        default=False, description="a positive control: any other outcome means that the instrument is blind"
    )


STILL = Expectation(outcome=Outcome.CONSISTENT, reason="memory and disk are taken while the container is held still")
MOVING = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="nobody holds the container still between the dump and the capture, so the disk must run ahead",
    control=True,
)

CONTROLS: dict[str, Outcome] = {
    "fresh-start": Outcome.COLD_START,
    "ring-byte": Outcome.INCONSISTENT,
    "garbage-image": Outcome.RESTORE_FAILED,
    "stopped-workload": Outcome.VACUOUS,
}
"""What must be among the findings where a negative control broke something on purpose, by the control's name."""


def expected(cell: Cell) -> Expectation:
    """Say what `cell` should be: a raw runtime without any freeze is the standing positive control."""
    return MOVING if cell.policy is FreezePolicy.NONE else STILL
