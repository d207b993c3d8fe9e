"""What was read out of a checkpoint without restoring it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.description import Description, Task
from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, Skew
from harness.model.values import Frozen, Whole

INSPECTION_VERSION = 3
"""From 3 on an inspection has several checkpoints, and each several processes."""


class Finding(StrEnum):
    """What an inspection came to, best first."""

    CONSISTENT = "consistent"
    NOTHING_TO_COMPARE = "nothing-to-compare"
    INCOMPLETE = "incomplete"
    INCONSISTENT = "inconsistent"


class InspectedProcess(Frozen):
    """A process of a workload in a checkpoint, and whether its memory and its surfaces are of one instant."""

    pid: Whole = Field(description="as the process itself sees it")
    name: str = Field(description="as the process calls itself; empty where the images do not tell it")
    told_by: str = Field(description="what tells which surfaces it has: `its own description`, or `its arguments`")
    finding: Finding
    reason: str
    reading: Reading
    skews: tuple[Skew, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    absent: dict[str, str] = Field(
        default_factory=dict, description="surfaces that are not in the checkpoint, and so were not compared: why"
    )


class InspectedCheckpoint(Frozen):
    """A checkpoint: what it tells of itself, its processes, and what became of those of workloads."""

    where: str = Field(default="", description="in what was inspected; empty where it is all that there is")
    layout: str = Field(
        description="how it is laid out: `archive` of an engine, `image` of containerd, `criu`, or `sandbox` of gVisor"
    )
    description: Description = Field(default=Description(), description="what the checkpoint tells of itself")
    finding: Finding
    reason: str
    workloads: tuple[InspectedProcess, ...] = ()
    tasks: tuple[Task, ...] = Field(default=(), description="all processes, parents first")


class Inspection(Frozen):
    """Checkpoints of anybody's making, read without a restore."""

    schema_version: int = INSPECTION_VERSION
    path: str = Field(description="as it was given")
    finding: Finding = Field(description="the worst of all checkpoints")
    checkpoints: tuple[InspectedCheckpoint, ...]
