"""The contract of a runtime adapter, and the values that pass between the steps.

All folders are paths inside the node. An adapter's method either succeeds or raises `CommandFailed` or
`DeadlineExceeded`; the trial turns an error into an outcome. An adapter keeps no state of a checkpoint: it finds the
checkpoint again by its folder, its name and its container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Protocol

from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.sources import Part
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.controls import CONTROLS, DEFAULT_WORKLOAD, POD_WORKLOAD, Ground
from harness.model.machine import Component
from harness.stacks.node import Node
from harness.workload.definitions import Application, Workload

if TYPE_CHECKING:
    from harness.checkpoints.translation.translate import Order

SCENARIOS = (Scenario.PAUSED, Scenario.ABANDONED, Scenario.CONCURRENT, Scenario.GENERATIONS)
"""Scenarios of a runtime in the way that is used most."""
OF_TARGET = (Scenario.DISK_FULL, Scenario.READ_ONLY)
"""Faults of the folder that the caller names for a checkpoint."""
OF_PROGRAMS = (Scenario.KILLED_CRIU, Scenario.KILLED_RUNTIME, Scenario.KILLED_SHIM)
"""Faults of the programs that an engine starts for a container and its checkpoint."""
OF_DAEMONS = (Scenario.KILLED_SHIM, Scenario.KILLED_DAEMON)
"""Faults of an engine that is a daemon, of which nothing else is a program of its own."""


class State(StrEnum):
    """A container's state, according to its runtime."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABSENT = "absent"


@dataclass(frozen=True)
class Way:
    """One way to use a runtime: how a checkpoint reaches the restore, and which settings the user chooses."""

    name: str = ""
    """Empty for the runtime's plain way."""
    what: str = ""
    """One sentence for readers of a report."""
    policies: tuple[FreezePolicy, ...] = ()
    """Freeze policies that make sense in this way."""
    still: FreezePolicy = FreezePolicy.PAUSE
    """The freeze policy under which everything captured should be of one instant."""
    surfaces: frozenset[SurfaceKind] = frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS})
    """Kinds of surface that a container can have and that cells of this way use."""
    outside: frozenset[SurfaceKind] = frozenset({SurfaceKind.BIND, SurfaceKind.STDOUT})
    """Kinds of surface that are documented as outside a checkpoint."""
    pods: bool = False
    """Containers are in pods."""
    terminal: bool = False
    """A container can have a terminal as standard output, and the engine logs it."""
    leaves_disk: bool = False
    """The checkpoint has memory alone: the caller has to call `capture`."""
    in_place: bool = False
    """A restore needs the source container itself, after it has ended."""
    in_pod: bool = False
    """A restore needs the source's pod, which goes with its last container."""
    scenarios: tuple[Scenario, ...] = ()
    """Further scenarios that have cells in this way."""
    thorough: tuple[Scenario, ...] = ()
    """Scenarios of the full suite alone."""
    groups: tuple[Scenario, ...] = ()
    """Scenarios about containers that tick together."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    """Negative controls that can run in this way."""
    kind: str = ""
    """Kind of checkpoint; cross-restore pairs participants with the same kind. Empty: no cross-restore."""
    bridges: tuple[Scenario, ...] = ()
    """Scenarios that help another participant to restore the checkpoint."""
    form: str = ""
    """Form of an engine's archive, as `translate --to` has it: engines of other forms restore it after translation."""
    mutants: Ground | None = None
    """Group of mutants that can run in this way."""

    def carries(self, workload: Workload) -> bool:
        """Return whether a container can run the workload with all its surfaces."""
        return (
            self.surfaces.issuperset({each.kind for each in workload.surfaces} - {SurfaceKind.MEMORY})
            and (self.terminal or not workload.tty)
            and (self.pods or not workload.pods)
            and not (self.pods and workload.application)
        )

    @property
    def plain(self) -> str:
        """Name of the default workload of this way."""
        return POD_WORKLOAD if self.pods else DEFAULT_WORKLOAD


@dataclass(frozen=True)
class Mount:
    """A mount of the container besides its root file system."""

    kind: SurfaceKind
    """`tmpfs`, `named-volume`, `anonymous-volume`, `bind` or `shm`; every container has `shm` by default."""
    target: str
    """Mount point in the container."""
    source: str = ""
    """For `bind`: the folder in the node."""


@dataclass(frozen=True)
class ContainerSpec:
    """The order for a container. A restored container gets the mounts and the report folder of its source."""

    name: str
    image: str
    """Name that `Runtime.load_image` returned."""
    argv: tuple[str, ...]
    folder: str
    """Existing folder for the adapter's own files; the caller removes it after `delete`."""
    report: str
    """Existing folder of the report channel, outside every checkpoint."""
    report_mount: str
    """Mount point of the report channel in the container."""
    mounts: tuple[Mount, ...] = ()
    beside: str = ""
    """Name of a container whose pod it joins, for engines with pods."""
    prints: bool = False
    """Standard output is a surface: the engine has to keep a log of it."""
    tty: bool = False
    """Standard output is a terminal."""
    env: tuple[str, ...] = ()
    """Variables of the environment, each as `NAME=VALUE`, besides those of the runtime."""
    application: Application | None = None
    """It needs the capabilities that engines give by default, and runtimes alone do not."""

    def offered(self, *options: str) -> tuple[str, ...]:
        """Return those of a runtime's own `options` for CRIU that the application needs, as words of a command line.

        All that it needs are in CRIU's configuration files, too.
        """
        return tuple(f"--{each}" for each in (self.application.criu if self.application else ()) if each in options)


@dataclass(frozen=True)
class Container:
    """A container that was started or restored."""

    spec: ContainerSpec
    cgroup: str
    """Control group in the freezer's hierarchy; all processes of the container are in it or below it."""
    upper: str = ""
    """Folder of the writable layer, for runtimes that leave the layer to the caller."""
    id: str = ""
    """The engine's own name for the container."""

    @property
    def name(self) -> str:
        """Name of the container in its runtime."""
        return self.spec.name


WORK = "work"
"""Name of `Checkpoint.work` in the folder of the checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of `container`. As much of its content as the runtime permits is below `folder`."""

    container: Container
    folder: str
    earlier: tuple[str, ...] = ()
    """Folders below `folder` with earlier levels of memory, each based on the previous one."""

    @property
    def name(self) -> str:
        """Name that is unique in the node, for engines that need one."""
        return PurePosixPath(self.folder).name

    @property
    def work(self) -> str:
        """Folder in which CRIU works and logs, for runtimes that take one."""
        return f"{self.folder}/{WORK}"

    @property
    def images(self) -> str:
        """Folder for CRIU's images, for runtimes that take one."""
        return f"{self.folder}/images"

    @property
    def archive(self) -> str:
        """File for the whole checkpoint, for engines that export an archive."""
        return f"{self.folder}/checkpoint.tar"

    @property
    def upper(self) -> str:
        """Folder for the captured writable layer, for runtimes that leave the layer to the caller."""
        return f"{self.folder}/upper"


@dataclass(frozen=True)
class Contents:
    """The parts of a checkpoint, for the offline reading."""

    images: str | None
    """Folder with CRIU's images; None if memory cannot be read without a restore."""
    disks: Mapping[str, CapturedFiles]
    """Captured files by mount point; those of `/` are only the differences from the image."""
    log: Part | None = None
    """The engine's log of the container's standard output, if the checkpoint has one."""


@dataclass(frozen=True)
class Capability:
    """An ability that a runtime has or lacks here, as a probe has shown."""

    name: str
    available: bool
    evidence: str = field(compare=False)


class Translating(Protocol):
    """A runtime that restores translated archives of other engines: its ways have a `form`."""

    def translation(self, checkpoint: Checkpoint) -> Order:
        """Return what `translate` has to know for this engine; files go into the checkpoint's folder."""


class TakesPods(Protocol):
    """A runtime that takes and restores the containers of a pod together, by CRI's `CheckpointPod` and `RestorePod`."""

    def checkpoint_pod(self, containers: Sequence[Container], folder: str, *, seconds: float) -> None:
        """Take a checkpoint of containers of one pod into an empty folder within `seconds`; they run on."""

    def restore_pod(self, folder: str, specs: Sequence[ContainerSpec]) -> tuple[Container, ...]:
        """Restore all containers of the checkpoint in a new pod; none runs before `begin`."""

    def begin(self, container: Container) -> None:
        """Let a restored container go on."""


class PreDumps(Protocol):
    """A runtime that dumps memory in rounds; each round has the changes since the previous one."""

    def pre_dump(self, checkpoint: Checkpoint) -> None:
        """Dump the last of the checkpoint's `earlier` levels; the container runs on."""


class Runtime(Protocol):
    """An adapter, bound to one node and one way. `__init__(node, way)` starts nothing."""

    name: ClassVar[str]
    ways: ClassVar[tuple[Way, ...]]
    """All ways to use the runtime, the plain way first."""
    node: Node
    way: Way

    def capabilities(self) -> tuple[Capability, ...]:
        """Probe the abilities here, `checkpoint` first, before anything else; a missing program means not available."""

    def prepare(self) -> None:
        """Write configuration and start daemons, and wait until they answer."""

    def components(self) -> tuple[Component, ...]:
        """Return the versions of all components, read from the binaries."""

    def load_image(self, folder: str, name: str = ...) -> str:
        """Make an image whose only layer is the content of `folder`; return the name for `ContainerSpec.image`.

        `name`: what it is called, where that can be chosen.
        """

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer; a failed start leaves nothing behind."""

    def known(self, spec: ContainerSpec) -> Container:
        """The container of that name, which somebody else has started by the same commands."""

    def state(self, container: Container) -> State:
        """Ask the runtime for the container's state."""

    def pause(self, container: Container) -> None:
        """Freeze the container with the runtime's own command."""

    def resume(self, container: Container) -> None:
        """Undo `pause`."""

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Take the checkpoint and leave the container running; the checkpoint's folder exists."""

    def capture(self, checkpoint: Checkpoint) -> None:
        """Add the disk to a checkpoint of memory; only for ways with `leaves_disk`."""

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Return the parts of the checkpoint, unpacked below its folder if necessary.

        Raises `Unreadable`; raises `Broken` if the runtime reported success but the checkpoint is incomplete.
        """

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore a new container, or the source itself if `in_place`; a failed restore leaves nothing behind."""

    def log(self, container: Container) -> str:
        """Return the file in which the engine logs a running container's output; empty if it keeps no log."""

    def discard(self, checkpoint: Checkpoint) -> None:
        """Remove the checkpoint's remains outside its folder; a failed checkpoint is fine."""

    def signal(self, container: Container, name: str) -> None:
        """Send a signal such as `TERM` to the container's first process with the runtime's own command."""

    def kill(self, container: Container) -> None:
        """End the container's processes, even if it is paused, and wait; an ended container is fine."""

    def delete(self, container: Container) -> None:
        """Remove the container, its volumes and everything else that was made for it."""
