"""What of a machine and its programs may matter for a result."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen


class Accommodation(Frozen):
    """What a node changes for a runtime because this machine lacks something; a result under it has workarounds."""

    name: str
    lacking: str = Field(description="what the machine lacks, and the evidence")
    change: str = Field(description="what is done about it")


class Component(Frozen):
    """A part whose version was read from the binary itself, in the node."""

    name: str
    version: str


class Condition(StrEnum):
    """What is true of some machines only and decides what a cell should be; features have the names that CRIU uses."""

    LACKS_MEM_DIRTY_TRACK = "kernel lacks mem_dirty_track"


class HostFacts(Frozen):
    """What of the machine may matter for a result; nothing that names it."""

    kernel: str
    architecture: str
    cgroups: str = Field(description="`v1`, `v2` or `hybrid`")
    cpus: int
    memory_gib: float
    os: str
    conditions: tuple[Condition, ...] = Field(default=(), description="those that are true of it, found by probes")
