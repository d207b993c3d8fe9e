"""The result of reading a checkpoint without a restore."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.description import Description, Task
from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, Skew
from harness.model.values import Frozen, Whole

INSPECTION_VERSION = 3
"""Since version 3 an inspection has several checkpoints, and each checkpoint has several processes."""


class Finding(StrEnum):
    """The result of an inspection, best first."""

    CONSISTENT = "consistent"
    NOTHING_TO_COMPARE = "nothing-to-compare"
    INCOMPLETE = "incomplete"
    INCONSISTENT = "inconsistent"


class InspectedProcess(Frozen):
    """A workload's process in a checkpoint, and whether its memory and its surfaces are of one instant."""

    pid: Whole = Field(description="pid that the process itself sees")
    name: str = Field(description="name that the process gives itself; empty if the images do not contain it")
    told_by: str = Field(description="source of the list of its surfaces: `its own description`, or `its arguments`")
    finding: Finding
    reason: str
    reading: Reading
    skews: tuple[Skew, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    absent: dict[str, str] = Field(
        default_factory=dict, description="surfaces that were not compared because the checkpoint lacks them: why"
    )


class InspectedCheckpoint(Frozen):
    """A checkpoint: what it says about itself, its processes, and the findings about workloads."""

    where: str = Field(default="", description="its place in the inspected file or folder; empty if it is all of it")
    layout: str = Field(
        description="form: `archive` of an engine, `image` of containerd, `criu`, or `sandbox` of gVisor"
    )
    description: Description = Field(default=Description(), description="what the checkpoint says about itself")
    finding: Finding
    reason: str
    workloads: tuple[InspectedProcess, ...] = ()
    tasks: tuple[Task, ...] = Field(default=(), description="all processes, parents first")


class Inspection(Frozen):
    """Checkpoints from any source, read without a restore."""

    schema_version: int = INSPECTION_VERSION
    path: str = Field(description="path as given on the command line")
    finding: Finding = Field(description="worst finding of all checkpoints")
    checkpoints: tuple[InspectedCheckpoint, ...]
