"""A bench: a node made ready for one participant, and the source container that its trials share.

In comes a participant with its stack's root file system, out comes a place where a trial can start at once: adapter,
image with the workload, versions, and what the node looks like when nothing is going on.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.cycle.stages import Stages
from harness.errors import DeadlineExceeded
from harness.host import audit, cgroups
from harness.host.wait import until
from harness.model import Command, Component, Participant, Settings, Stage
from harness.runtimes import adapter
from harness.runtimes.contract import Capability, Captured, Container, ContainerSpec, Runtime
from harness.stacks.node import Node
from harness.workload import RECORD_BYTES, Beat, Message, Start, SurfaceKind, Workload, read_messages

BINARY = "/ledger"
REPORT = "/report"
IMAGE_FOLDERS = ("proc", "sys", "dev", "tmp", REPORT)
READY_SECONDS = 30.0


class Channel:
    """What one container has said on its report channel, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = -1
        self.heard: list[Message] = []

    def listen(self) -> list[Message]:
        """Read what is new, and give everything heard so far."""
        for number, message in read_messages(self._folder, self._last):
            self._last = number
            self.heard.append(message)
        return self.heard

    def first(self, wanted: Callable[[Message], bool]) -> Message | None:
        """The first message, also of those heard before, for which `wanted` holds."""
        return next((said for said in self.listen() if wanted(said)), None)

    def wait_for(self, wanted: Callable[[Message], bool], *, seconds: float, what: str) -> Message:
        """Wait for `first` to find one."""
        return until(lambda: self.first(wanted), seconds=seconds, what=what)


@dataclass
class Source:
    """The running container that is checkpointed, again and again while it is well."""

    container: Container
    channel: Channel
    nonce: str
    commands: tuple[Command, ...]
    """How it was made, for the replay of any trial that uses it."""

    def tick_after(self, wall_ns: int) -> Message:
        """Wait until it says that it has ticked after `wall_ns`."""
        return self.channel.wait_for(
            lambda said: isinstance(said, Beat) and said.n_wall_ns > wall_ns,
            seconds=READY_SECONDS,
            what="a tick of the source",
        )


@dataclass
class Bench:
    """A node with one participant's runtime and the image; `Bench.open` makes it."""

    participant: Participant
    node: Node
    runtime: Runtime
    workload: Workload
    settings: Settings
    capabilities: tuple[Capability, ...]
    components: tuple[Component, ...] = ()
    setup: tuple[Command, ...] = ()
    idle: audit.Snapshot = audit.NOTHING
    """What the node holds when nothing is going on."""
    source: Source | None = None
    _names: int = 0

    @classmethod
    def open(cls, participant: Participant, lower: Path, workload: Workload, binary: Path, settings: Settings) -> Bench:
        """Start the node and make it ready."""
        node = Node(participant.stack, lower, name=participant.runtime, version=settings.cgroups)
        try:
            runtime = adapter(participant.runtime)(node)
            bench = cls(participant, node, runtime, workload, settings, runtime.capabilities())
            if bench.lacking:
                return bench
            bench.components = runtime.components()
            build_image(node, workload, binary, settings)
            for folder in ("checkpoints", "containers"):
                node.path(f"{node.storage}/{folder}").mkdir()
            bench.setup = tuple(node.journal.commands)
            bench._warm_up()
        except BaseException:
            node.end()
            raise
        return bench

    @property
    def lacking(self) -> tuple[Capability, ...]:
        """What a probe found that the runtime cannot do here."""
        return tuple(one for one in self.capabilities if not one.available)

    def _warm_up(self) -> None:
        """Let the runtime make once what it keeps for all containers, such as its state folder, before looking."""
        container = self.runtime.start(self.spec("first"))
        self.runtime.kill(container)
        self.runtime.delete(container)
        self.idle = audit.of_node(self.node.pid)

    def close(self) -> None:
        """End the node and everything in it."""
        self.source = None
        self.node.end()

    def spec(self, role: str) -> ContainerSpec:
        """A container of the workload under a name that was not used yet."""
        self._names += 1
        tmpfs = [surface for surface in self.workload.surfaces if surface.kind is SurfaceKind.TMPFS]
        return ContainerSpec(
            name=f"{role}-{self._names}",
            image=self.image,
            argv=self.workload.argv(BINARY, REPORT, period_us=self.settings.period_us, ring=self.settings.ring),
            report_mount=REPORT,
            tmpfs_mounts=tuple(str(Path(surface.path).parent) for surface in tmpfs),
        )

    @property
    def image(self) -> str:
        """The image's folder in the node."""
        return f"{self.node.storage}/image"

    def channel(self, container: Container) -> Channel:
        """The report channel of a container."""
        return Channel(self.node.path(container.report))

    def frozen(self, container: Container) -> bool:
        """Ask the kernel whether the container is frozen, by its own group or by the node's in the v1 freezer."""
        groups = [str(self.node.path(container.cgroup)), *audit.groups_of(self.node.pid)]
        return any(cgroups.frozen(group) for group in groups)

    def rings(self, captured: Captured) -> tuple[dict[str, Path], dict[str, str]]:
        """Where the rings of a checkpoint are: files by surface, and names inside CRIU's archives of tmpfs."""
        files, tmpfs = {}, {}
        for surface in self.workload.surfaces:
            if surface.kind is SurfaceKind.TMPFS:
                tmpfs[surface.name] = Path(surface.path).name
            else:
                taken = self.node.path(f"{captured.upper}{surface.path}")
                pristine = self.node.path(f"{self.image}{surface.path}")
                files[surface.name] = taken if taken.exists() else pristine
        return files, tmpfs

    def running_source(self, stages: Stages) -> Source:
        """The source container, started if there is none, ticking."""
        if self.source is None:
            before = len(stages.journal.commands)
            with stages.at(Stage.START):
                container = self.runtime.start(self.spec("source"))
                channel = self.channel(container)
                start = channel.wait_for(
                    lambda said: isinstance(said, Start), seconds=READY_SECONDS, what="the workload's first message"
                )
                channel.wait_for(
                    lambda said: isinstance(said, Beat) and said.n > 0, seconds=READY_SECONDS, what="the first tick"
                )
            made = tuple(stages.journal.commands[before:])
            self.source = Source(container, channel, start.nonce, made)
        return self.source

    def drop_source(self) -> None:
        """End and delete the source container."""
        if self.source is not None:
            container, self.source = self.source.container, None
            self.runtime.kill(container)
            self.runtime.delete(container)

    def quiet_leaks(self, before: audit.Snapshot, *, seconds: float) -> tuple[str, ...]:
        """What the node holds beyond `before`, given a moment for processes that are just ending."""
        found: tuple[str, ...] = ()

        def quiet() -> bool:
            nonlocal found
            found = self._leaks(before)
            return not found

        with contextlib.suppress(DeadlineExceeded):
            until(quiet, seconds=seconds, what="silence")
        return found

    def _leaks(self, before: audit.Snapshot) -> tuple[str, ...]:
        found = audit.of_node(self.node.pid).leaks(before)
        if self.source is None:
            return found
        kept = f"/{self.source.container.name}/"  # what a runtime notes about a container that is still alive
        return tuple(leak for leak in found if not (leak.startswith("file ") and kept in leak))


def build_image(node: Node, workload: Workload, binary: Path, settings: Settings) -> None:
    """Lay out the image's folder in the node: the static binary, empty folders, and the rings that an image has."""
    image = f"{node.storage}/image"
    parents = [str(Path(surface.path).parent) for surface in workload.surfaces]
    for name in (*IMAGE_FOLDERS, *parents):
        node.path(f"{image}/{name.lstrip('/')}").mkdir(parents=True, exist_ok=True)
    shutil.copy(binary, node.path(f"{image}{BINARY}"))
    for surface in workload.surfaces:
        if surface.kind is SurfaceKind.IMAGE:
            node.path(f"{image}{surface.path}").write_bytes(bytes(settings.ring * RECORD_BYTES))
