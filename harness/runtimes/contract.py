"""What a runtime is asked to do, and the values that pass between the steps.

All folders are paths inside the node. A runtime either does what it is asked or raises `CommandFailed` or
`DeadlineExceeded`; which outcome that means is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from harness.model import Component
from harness.stacks.node import Node


class State(StrEnum):
    """What a runtime says of a container."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABSENT = "absent"


@dataclass(frozen=True)
class ContainerSpec:
    """A container to be: the image's folder, the program, and what is mounted into it."""

    name: str
    image: str
    argv: tuple[str, ...]
    report_mount: str
    """Where in the container the report channel is; it is outside of any checkpoint."""
    tmpfs_mounts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A container that was started or restored."""

    spec: ContainerSpec
    report: str
    """Folder of the report channel."""
    cgroup: str
    """Its folder in the hierarchy of the freezer."""
    upper: str
    """Its writable layer."""

    @property
    def name(self) -> str:
        """Name that the runtime knows it by."""
        return self.spec.name


@dataclass(frozen=True)
class Checkpoint:
    """Memory on disk: the folder of CRIU's images."""

    images: str


@dataclass(frozen=True)
class Captured:
    """A checkpoint with the writable layer that belongs to it."""

    checkpoint: Checkpoint
    upper: str


@dataclass(frozen=True)
class Capability:
    """Something that a runtime can or cannot do here, proved by a probe."""

    name: str
    available: bool
    evidence: str = field(compare=False)


class Runtime(Protocol):
    """An adapter, bound to one node."""

    name: str
    node: Node

    def components(self) -> tuple[Component, ...]:
        """Versions of all parts that take part, read from the binaries."""

    def capabilities(self) -> tuple[Capability, ...]:
        """Probe what it can do here; `checkpoint` is always among them."""

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer."""

    def state(self, container: Container) -> State:
        """Ask the runtime for the container's state."""

    def pause(self, container: Container) -> None:
        """Freeze it by the runtime's own command."""

    def resume(self, container: Container) -> None:
        """Undo `pause`."""

    def live_checkpoint(self, container: Container, folder: str) -> Checkpoint:
        """Write its memory below `folder` and leave it running."""

    def restore(self, captured: Captured, spec: ContainerSpec) -> Container:
        """Make a new container out of a checkpoint and its writable layer, beside the source."""

    def kill(self, container: Container) -> None:
        """End its processes; a container that has ended already is fine."""

    def delete(self, container: Container) -> None:
        """Remove it and all that was made for it."""
