"""Trials in which something is broken on purpose, and what the oracle must say about each.

The canary and the negative controls are declared here, the mutants in `harness.model.mutants`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import Field, field_validator

from harness.model.cells import Cell, Scenario
from harness.model.invalid import regular_expression
from harness.model.outcomes import Anomaly, Outcome, Verdict
from harness.model.values import Frozen, Word


class ControlKind(StrEnum):
    """The part of a trial in the instrument's own proof."""

    CANARY = "canary"
    CONTROL = "control"
    MUTANT = "mutant"
    NEUTRAL = "neutral"


class Control(Frozen):
    """A trial in which something is broken on purpose, and what it must find; or its harmless neighbour."""

    name: Word
    cell: Cell
    kind: ControlKind = ControlKind.CONTROL
    what: str = Field(default="", description="what the trial changes, in words")
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the verdict's reason must match")

    _pattern = field_validator("signature")(regular_expression)

    @property
    def id(self) -> str:
        """The name in records; `NAME.neutral` for a neighbour."""
        return f"{self.name}.neutral" if self.kind is ControlKind.NEUTRAL else self.name

    def seen_in(self, verdict: Verdict) -> bool:
        """Return whether a verdict detects the control; a harness error counts only if the control expects one."""
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
GROUP_WORKLOAD = "pair"
"""Workload of the scenarios about several containers."""
POD_WORKLOAD = "added-file"
"""The default workload where a container cannot have a tmpfs of its own."""


class Ground(StrEnum):
    """What a mutant needs from a participant."""

    FOLDERS = "folders"
    """Checkpoints are folders, and the harness calls the program by its name."""
    ARCHIVES = "archives"
    """A checkpoint is an archive that the engine's own command exports."""


@dataclass(frozen=True)
class Proof:
    """What a control must find; `neutral` says what its harmless neighbour does, and is empty if it has none."""

    name: str
    what: str
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = ""
    """Regular expression that the verdict's reason must match."""
    neutral: str = ""
    workload: str = DEFAULT_WORKLOAD
    scenario: Scenario = Scenario.LIVE
    beside: str = ""
    """The neighbour's workload, if it is a different one."""
    ground: Ground = Ground.FOLDERS

    def control(self, cell: Cell, kind: ControlKind) -> Control:
        """Return the control for a cell."""
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
        """Return its neutral neighbour for a cell."""
        return Control(
            name=self.name, cell=cell, kind=ControlKind.NEUTRAL, what=self.neutral, outcome=Outcome.CONSISTENT
        )


CANARY = Proof(
    "canary",
    "nothing holds the container still, and the oracle judges the cell as if something did",
    Outcome.INCONSISTENT,
    Anomaly.DISK_AHEAD,
)
CANARY_OF_A_GROUP = replace(
    CANARY,
    what="two containers are checkpointed one after the other, and judged as if something held them still together",
    anomaly=Anomaly.CONTAINERS_DISAGREE,
    workload=GROUP_WORKLOAD,
    scenario=Scenario.GROUP,
)
"""Where no cell can be the canary."""
CONTROLS = {
    proof.name: proof
    for proof in (
        Proof("fresh-start", "a newly started container poses as the restored one", Outcome.COLD_START),
        Proof("ring-byte", "one byte of a captured record is changed", Outcome.INCONSISTENT, Anomaly.TORN),
        Proof("garbage-image", "the checkpoint's inventory is overwritten", Outcome.RESTORE_FAILED),
        Proof("stopped-workload", "the workload stops ticking long before the checkpoint", Outcome.VACUOUS),
    )
}
REWRITTEN = "the same image is written again as it is"
OF_SAMENESS = (
    Proof(
        "capability-dropped",
        "the restored process lacks a capability",
        Outcome.ALTERED,
        signature="effective capabilities of process 1",
        neutral=REWRITTEN,
    ),
    Proof(
        "limit-lowered",
        "the restored process may open a file less",
        Outcome.ALTERED,
        signature="resource limit open files of process 1",
        neutral=REWRITTEN,
    ),
    Proof(
        "mount-writable",
        "a read-only mount is restored writable",
        Outcome.ALTERED,
        signature="less confined: mount /proc/sys of process 1",
        neutral=REWRITTEN,
    ),
    Proof(
        "offset-moved",
        "a descriptor is restored with another offset",
        Outcome.ALTERED,
        signature="offset of descriptor [0-9]+ of process 1",
        neutral=REWRITTEN,
    ),
)
OF_STATE = (
    Proof(
        "memory-page-older",
        "one page among many comes from earlier, and the counter's does not",
        Outcome.INCONSISTENT,
        Anomaly.RECORD_LOST,
        neutral="padding in the same page is changed",
        workload="memory",
    ),
    Proof(
        "file-renamed-back",
        "a file that is replaced at each tick is an older one again",
        Outcome.INCONSISTENT,
        Anomaly.DAMAGED,
        signature="recovered reading",
        neutral="the file is replaced by a copy of itself, with another inode and time",
        workload="state-files",
    ),
    Proof(
        "pipe-message-lost",
        "one of the messages on their way through a pipe is missing",
        Outcome.INCONSISTENT,
        Anomaly.DAMAGED,
        signature="restored reading",
        neutral="the image of the pipes is replaced by a copy of itself",
        workload="state-channels",
    ),
    *OF_SAMENESS,
)
UNFILTERED = Proof(
    "archive-unfiltered",
    "the restored process has no filter of system calls",
    Outcome.ALTERED,
    signature="less confined: seccomp",
    neutral="the archive is written again as it is",
)
LOOPBACK_DOWN = Proof(
    "loopback-down",
    "the restored container's loopback interface is down",
    Outcome.UNFIT,
    signature="cannot go on: .*the loopback interface is down",
    neutral="it is down for a moment, and up again",
    workload="state-interface",
)
APART = Proof(
    "held-apart",
    "two containers that tick together are held still one after the other, and go on in between",
    Outcome.INCONSISTENT,
    Anomaly.CONTAINERS_DISAGREE,
    neutral="the second container is checkpointed first, while both are held still",
    workload=GROUP_WORKLOAD,
    scenario=Scenario.GROUP,
)
APPLIED = tuple(
    replace(proof, workload="journal")
    for proof in (
        Proof(
            "application-advanced",
            "a fresh application finds ticks from the future in the captured files",
            Outcome.INCONSISTENT,
            Anomaly.DISK_AHEAD,
            signature="recovered reading",
            neutral="the same file is replaced by a copy of itself, with another inode and time",
        ),
        Proof(
            "application-holed",
            "a fresh application finds a tick missing in the captured files",
            Outcome.INCONSISTENT,
            Anomaly.DAMAGED,
            signature="recovered reading",
            neutral="the same file is replaced by a copy of itself, with another inode and time",
        ),
        Proof(
            "application-overwritten",
            "somebody writes into a file of the restored application while it runs on",
            Outcome.INCONSISTENT,
            Anomaly.DAMAGED,
            signature="afterwards reading",
            neutral="the file of the restored application gets another time",
        ),
        Proof(
            "application-killed",
            "the restored application is killed, and the container lives on",
            Outcome.UNFIT,
            signature="cannot go on: drive has ended",
            neutral="the restored application gets a signal that does nothing",
        ),
    )
)
"""Mutants of an application; they are in every full proof, whatever suite is run."""
