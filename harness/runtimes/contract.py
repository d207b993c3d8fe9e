"""What a runtime is asked to do, and the values that pass between the steps.

All folders are paths inside the node. A runtime either does what it is asked or raises `CommandFailed` or
`DeadlineExceeded`; which outcome that means is decided elsewhere. Adapters carry no memory of a checkpoint: what they
need to find it again follows from its folder, its name and its container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import ClassVar, Protocol

from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.sources import Part
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.controls import CONTROLS, Ground
from harness.model.machine import Component
from harness.stacks.node import Node
from harness.workload.definitions import Workload


class State(StrEnum):
    """What a runtime says of a container."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABSENT = "absent"


@dataclass(frozen=True)
class Way:
    """One way to use a runtime: how a checkpoint travels to the restore, and settings that are the user's choice."""

    name: str = ""
    """Empty for the runtime's plain way."""
    what: str = ""
    """One sentence for people."""
    policies: tuple[FreezePolicy, ...] = ()
    """Freeze policies that make sense in this way."""
    still: FreezePolicy = FreezePolicy.PAUSE
    """Of these, the one under which all that is captured should be of one instant."""
    surfaces: frozenset[SurfaceKind] = frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS})
    """Kinds of surface that a container can have, and that are tried in this way."""
    outside: frozenset[SurfaceKind] = frozenset({SurfaceKind.BIND, SurfaceKind.STDOUT})
    """Kinds of surface that are documented as outside of its checkpoints."""
    terminal: bool = False
    """A container can have a terminal as its standard output, if the engine keeps a log of that."""
    leaves_disk: bool = False
    """The checkpoint is of memory alone: the caller has to call `capture`."""
    in_place: bool = False
    """A restore needs the source's own, ended container."""
    scenarios: tuple[Scenario, ...] = ()
    """Further questions that are asked in this way."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    """Negative controls that can be played on it."""
    kind: str = ""
    """What its checkpoints are; participants of one kind are asked to restore each other's. Empty: nobody else's."""
    bridges: tuple[Scenario, ...] = ()
    """What is tried besides so that they do."""
    mutants: Ground | None = None
    """Which mutants can be played on it."""

    def carries(self, workload: Workload) -> bool:
        """Whether a container can run it, with all of its surfaces."""
        return self.surfaces.issuperset(each.kind for each in workload.surfaces) and (self.terminal or not workload.tty)


@dataclass(frozen=True)
class Mount:
    """A folder of the container that is not on its root file system."""

    kind: SurfaceKind
    """`tmpfs`, `named-volume`, `anonymous-volume`, `bind` or `shm`; the last is there without being asked for."""
    target: str
    """Where in the container."""
    source: str = ""
    """For `bind`: the folder in the node."""


@dataclass(frozen=True)
class ContainerSpec:
    """A container to be. A restored one gets the mounts and the report folder that its source had."""

    name: str
    image: str
    """As `Runtime.load_image` named it."""
    argv: tuple[str, ...]
    folder: str
    """A folder of its own that exists, for whatever an adapter has to keep; the caller removes it after `delete`."""
    report: str
    """Existing folder of the report channel; it is outside of any checkpoint."""
    report_mount: str
    """Where in the container it is bind-mounted."""
    mounts: tuple[Mount, ...] = ()
    prints: bool = False
    """Its standard output is a surface: the engine has to keep a log of it."""
    tty: bool = False
    """Its standard output is a terminal."""


@dataclass(frozen=True)
class Container:
    """A container that was started or restored."""

    spec: ContainerSpec
    cgroup: str
    """Its folder in the hierarchy of the freezer; all its processes are in it or below."""
    upper: str = ""
    """Its writable layer, where the checkpoint leaves that to the caller as a folder."""
    id: str = ""
    """The engine's own name for it."""

    @property
    def name(self) -> str:
        """Name that the runtime knows it by."""
        return self.spec.name


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of `container`. Of its content, as much as the runtime permits is below `folder`."""

    container: Container
    folder: str
    earlier: tuple[str, ...] = ()
    """Names of folders, below its own, with levels of memory that were dumped before it, each upon the one before."""

    @property
    def name(self) -> str:
        """Unique in the node; for engines that want a name."""
        return PurePosixPath(self.folder).name

    @property
    def images(self) -> str:
        """Folder for CRIU's images, of runtimes that are given one."""
        return f"{self.folder}/images"

    @property
    def archive(self) -> str:
        """File for all of it, of engines that export one."""
        return f"{self.folder}/checkpoint.tar"

    @property
    def upper(self) -> str:
        """Folder for the captured writable layer, of runtimes that leave it to the caller."""
        return f"{self.folder}/upper"


@dataclass(frozen=True)
class Contents:
    """A checkpoint laid open, for the reading without a restore."""

    images: str | None
    """Folder with CRIU's images; None where memory cannot be read without a restore."""
    disks: Mapping[str, CapturedFiles]
    """By mount point; that of `/` holds only what differs from the image."""
    log: Part | None = None
    """The engine's log of the container's standard output, if the checkpoint has it."""


@dataclass(frozen=True)
class Capability:
    """Something that a runtime can or cannot do here, proved by a probe."""

    name: str
    available: bool
    evidence: str = field(compare=False)


class PreDumps(Protocol):
    """A runtime that dumps memory in rounds, each of what has changed since the one before."""

    def pre_dump(self, checkpoint: Checkpoint) -> None:
        """Dump the last of the `earlier` levels of a checkpoint to be; the container runs on."""


class Runtime(Protocol):
    """An adapter, bound to one node and one way. `__init__(node, way)` starts nothing."""

    name: ClassVar[str]
    ways: ClassVar[tuple[Way, ...]]
    """All ways to use it, the plain one first."""
    node: Node
    way: Way

    def capabilities(self) -> tuple[Capability, ...]:
        """Probe what it can do here, `checkpoint` first; asked before anything else. Programs that lack are a no."""

    def prepare(self) -> None:
        """Write configuration and start daemons, and wait until they answer."""

    def components(self) -> tuple[Component, ...]:
        """Versions of all parts that take part, read from the binaries."""

    def load_image(self, folder: str) -> str:
        """Make an image whose only layer is the content of `folder`; gives the name for `ContainerSpec.image`."""

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer; nothing is left of one that did not come to be."""

    def state(self, container: Container) -> State:
        """Ask the runtime for the container's state."""

    def pause(self, container: Container) -> None:
        """Freeze it by the runtime's own command."""

    def resume(self, container: Container) -> None:
        """Undo `pause`."""

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Take it, and leave the container running. Its folder exists."""

    def capture(self, checkpoint: Checkpoint) -> None:
        """Add the disk to a checkpoint of memory; only where the way `leaves_disk`."""

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Lay open what the checkpoint holds, below its folder if anything has to be unpacked.

        Raises `Unreadable`, and `Broken` for a checkpoint that the runtime called a success and that is not whole.
        """

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Make a container out of the checkpoint, `in_place` the old one again; nothing is left of a failed one."""

    def log(self, container: Container) -> str:
        """The file in which the engine keeps what a running container `prints`; empty where it keeps nothing."""

    def discard(self, checkpoint: Checkpoint) -> None:
        """Remove what the checkpoint made outside of its folder; one that never came to be is fine."""

    def signal(self, container: Container, name: str) -> None:
        """Send `TERM` or the like to its first process by the runtime's own command."""

    def kill(self, container: Container) -> None:
        """End its processes, also when paused, and wait for it; a container that has ended already is fine."""

    def delete(self, container: Container) -> None:
        """Remove it, its volumes and all that was made for it."""
