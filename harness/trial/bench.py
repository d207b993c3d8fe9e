"""A bench: a node that is ready for one participant, and the source container that its trials share.

Input: a participant and its stack's root file system. Output: everything that a trial needs to start at once: adapter,
image with the workload, versions, and a snapshot of the idle node.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.host import audit, cgroups
from harness.host.process import HOST
from harness.host.wait import until
from harness.model.cells import Cell, Participant, Scenario, Settings, SurfaceKind
from harness.model.commands import Command
from harness.model.controls import DEFAULT_WORKLOAD
from harness.model.errors import DeadlineExceeded, StageFailed, StillframeError
from harness.model.machine import Accommodation, Component
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Reading
from harness.oracle import offline
from harness.runtimes import adapter, versions
from harness.runtimes.contract import Capability, Checkpoint, Container, ContainerSpec, Contents, Mount, Runtime
from harness.stacks import builds
from harness.stacks.node import Node
from harness.trial import application
from harness.trial.corpus import IMAGE, lay_out
from harness.trial.restored import size_of
from harness.trial.source import Channel, Source, first_tick, late_in
from harness.trial.stages import Stages
from harness.workload.definitions import Workload, find
from harness.workload.image import REPORT, lay_out_image

STOP_SECONDS = 5.0
BRING_SECONDS = 60.0
LONGEST_LOG = 16 << 20
"""Bytes of a source's log after which a new source is started; the log grows by some megabytes a second."""
SHARED = frozenset({SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME, SurfaceKind.BIND})
"""Kinds of surface that a restored container would share with a running source."""


@dataclass
class Bench:
    """A node with one participant's runtime and the image; `Bench.open` makes it."""

    key: tuple[Participant, str]
    """Participant and way."""
    node: Node
    runtime: Runtime
    workload: Workload
    """Workload of the next container; the image has the programs and files of all workloads."""
    settings: Settings
    capabilities: tuple[Capability, ...]
    image: str = ""
    components: tuple[Component, ...] = ()
    setup: tuple[Command, ...] = ()
    idle: audit.Snapshot = audit.NOTHING
    """Snapshot of the node without a container."""
    source: Source | None = None
    corpus: Path | None = None
    """Folder of the corpus."""
    binaries: Mapping[str, Path] = field(default_factory=dict)
    roots: Mapping[str, Path | str] = field(default_factory=dict)
    images: dict[str, tuple[str, tuple[Command, ...]]] = field(default_factory=dict)
    """Images of applications that are loaded, by workload, with the commands that loaded them."""
    canaries: tuple[str, str] | None = None
    """A variable of the environment, as `NAME=VALUE`, and an argument of each container that is started."""
    readied: tuple[Command, ...] = ()
    """The commands that made it ready for the workload, besides `setup`."""
    _names: int = 0
    _quiet: audit.Snapshot | None = None
    """Snapshot after a trial that has left nothing, beside a source that still runs."""

    @staticmethod
    def key_of(cell: Cell) -> tuple[Participant, str]:
        """Return the key of the bench for the cell's source; a kept checkpoint has only the restoring bench."""
        return (cell.restore if cell.scenario is Scenario.KEPT else cell.checkpoint), cell.way

    @staticmethod
    def far_key_of(cell: Cell) -> tuple[Participant, str]:
        """Return the key of the bench that restores the cell's checkpoint."""
        return cell.restore, cell.way

    @classmethod
    def open(
        cls,
        key: tuple[Participant, str],
        lower: Path,
        binaries: Mapping[str, Path],
        settings: Settings,
        corpus: Path | None = None,
        *,
        roots: Mapping[str, Path | str] = {},  # nobody changes it
    ) -> Bench:
        """Start the node and prepare it; the image comes from the corpus if the corpus has one.

        `roots`: root file system of each application's image, or why there is none.
        """
        who, way = key
        node = Node(who.stack, lower, name=who.runtime.replace("/", "-"), version=settings.cgroups)
        try:
            runtime = adapter(who.runtime, way)(node)
            bench = cls(key, node, runtime, find(DEFAULT_WORKLOAD), settings, runtime.capabilities())
            bench.corpus, bench.binaries, bench.roots = corpus, binaries, roots
            if bench.lacking:
                return bench
            runtime.prepare()
            bench.components = builds.components(node, (*runtime.components(), *versions.of_system(node)))
            folder = bench.image_folder
            if corpus and (corpus / IMAGE).exists():
                lay_out(corpus / IMAGE, node.path(folder))
            else:
                lay_out_image(node.path(folder), binaries, settings.ring)
            bench.image = runtime.load_image(folder)
            for name in ("checkpoints", "containers"):
                node.path(f"{node.storage}/{name}").mkdir()
            bench.setup = tuple(node.journal.commands)
        except BaseException:
            node.end()
            raise
        return bench

    @property
    def lacking(self) -> tuple[Capability, ...]:
        """Capabilities that the runtime lacks here, as probes have shown."""
        return tuple(one for one in self.capabilities if not one.available)

    @property
    def accommodations(self) -> tuple[Accommodation, ...]:
        """The workarounds for the runtime on this machine."""
        return tuple(self.node.accommodations.values())

    @property
    def outside(self) -> frozenset[str]:
        """Names of the surfaces that are documented as outside a checkpoint."""
        kinds = self.runtime.way.outside
        return frozenset(surface.name for surface in self.workload.surfaces if surface.kind in kinds)

    @property
    def spends_source(self) -> bool:
        """Whether the source must end before a restore: the restored container takes its place or shares a folder."""
        way = self.runtime.way
        shared = SHARED | {SurfaceKind.SHM} if way.in_pod else SHARED
        return way.in_place or any(surface.kind in shared for surface in self.workload.surfaces)

    @property
    def warm(self) -> bool:
        """Whether `idle` was taken."""
        return self.idle is not audit.NOTHING

    def warm_up(self, stages: Stages) -> None:
        """Once: run a container, so that the runtime makes its lasting files (a state folder), and take `idle`."""
        if self.warm:
            return
        before = len(stages.journal.commands)
        with stages.at(Stage.START):
            self.remove(self.start("first"))
        del stages.journal.commands[before:]  # the trial does not need them
        self.idle = audit.of_node(self.node.pid)

    def use(self, workload: Workload) -> None:
        """Make it ready for containers of another workload; raise `EnvironmentUnfit` if it has no image."""
        if workload != self.workload or (workload.application and workload.name not in self.images):
            self.workload = workload
            self.readied = () if self.lacking else application.ready(self)

    @property
    def image_folder(self) -> str:
        """Folder in the node with the content of the workload's image."""
        return f"{self.node.storage}/image" + f"-{self.workload.name}" * bool(self.workload.application)

    def close(self) -> None:
        """End the node and everything in it."""
        self.source = None
        self.node.end()

    def new_folder(self, kind: str, role: str) -> str:
        """Return a folder with an unused name."""
        self._names += 1
        return f"{self.node.storage}/{kind}/{role}-{self._names}"

    def start(self, role: str, *, number: int = 0, beside: Container | None = None) -> Container:
        """Start container `number` of the workload; with the mounts of the one `beside` it, and in its pod."""
        folder = self.new_folder("containers", role)
        mounts = (
            beside.spec.mounts
            if beside
            else tuple(
                Mount(kind, where, f"{folder}/shared{where}" if kind is SurfaceKind.BIND else "")
                for kind, where in self.workload.mounts
            )
        )
        spec = ContainerSpec(
            name=Path(folder).name,
            image=self.images.get(self.workload.name, (self.image,))[0],
            argv=self.workload.argv(
                f"/{self.workload.program}",
                REPORT,
                period_us=self.settings.period_us,
                ring=self.settings.ring,
                number=number,
                canary=self.canaries[1] if self.canaries else "",
            ),
            env=self.canaries[:1] if self.canaries else (),
            folder=folder,
            report=f"{folder}/report",
            report_mount=REPORT,
            mounts=mounts,
            beside=beside.name if beside else "",
            prints=self.workload.printed is not None,
            tty=self.workload.tty,
            application=self.workload.application,
        )
        self.node.make(spec.report, *(mount.source for mount in mounts if mount.source))
        return self._made(spec, lambda: self.runtime.start(spec))

    def checkpoint_of(self, container: Container) -> Checkpoint:
        """Return a `Checkpoint` value for `container`, with a new folder; nothing is taken yet."""
        return Checkpoint(container, self.new_folder("checkpoints", "checkpoint"))

    def bring(self, checkpoint: Checkpoint, origin: Bench) -> Checkpoint:
        """Copy a checkpoint's files, and nothing else, from another node."""
        here = replace(checkpoint, folder=self.new_folder("checkpoints", "brought"))
        source, target = origin.node.path(checkpoint.folder), self.node.path(here.folder)
        HOST.run(["cp", "--archive", str(source), str(target)], deadline=BRING_SECONDS)
        return here

    def restore(self, checkpoint: Checkpoint) -> Container:
        """Restore with the mounts and the report folder of the source, as engines do."""
        origin = checkpoint.container.spec
        if self.runtime.way.in_place:
            self._empty_report(origin)
            return self.runtime.restore(checkpoint, origin)
        spec = self.clone_of(origin)
        return self._made(spec, lambda: self.runtime.restore(checkpoint, spec))

    def clone_of(self, origin: ContainerSpec) -> ContainerSpec:
        """Return the order for a restored container, with a new folder and the emptied report folder of its source."""
        self._empty_report(origin)
        folder = self.new_folder("containers", "clone")
        self.node.make(folder)
        return replace(origin, name=Path(folder).name, folder=folder)

    def _empty_report(self, spec: ContainerSpec) -> None:
        self.node.remove(spec.report, again=True)
        self.node.make(spec.report)

    def _made(self, spec: ContainerSpec, make: Callable[[], Container]) -> Container:
        try:
            return make()
        except BaseException:
            self.node.remove(spec.folder)
            raise

    def remove(self, container: Container) -> None:
        """End and delete a container."""
        self.runtime.kill(container)
        self.runtime.delete(container)
        self.node.remove(container.spec.folder)
        if self.source is not None:
            self._link_again(self.source.container.spec)

    def _link_again(self, spec: ContainerSpec) -> None:
        """Link the source's report folder again at the path that its clone's report folder had."""
        heard, report = self.node.path(f"{spec.folder}/heard"), self.node.entry(spec.report)
        if heard.exists():
            shutil.rmtree(report, ignore_errors=True)
            report.unlink(missing_ok=True)
            report.symlink_to(f"{spec.folder}/heard")

    def adopt(self, container: Container, nonce: str) -> Source:
        """Make a running container a source, and move its report folder: its clone needs the same path."""
        own, report = f"{container.spec.folder}/heard", container.spec.report
        self.node.do(["mv", report, own], lambda: self.node.entry(report).rename(self.node.path(own)))
        # for a runtime that restarts the source
        self.node.do(["ln", "-s", own, report], lambda: self.node.entry(report).symlink_to(own))
        group = str(self.node.path(container.cgroup))
        channel, crashes = Channel(self.node.path(own)), dict(self.node.crash_logs)
        return Source(container, channel, nonce, group, late_in(self.node), crashes_before=crashes)

    def channel(self, container: Container) -> Channel:
        """Return the report channel of a container that is not a source."""
        return Channel(self.node.path(container.spec.report))

    def frozen(self, container: Container) -> bool:
        """Ask the kernel whether the container is frozen, by its own group or by the node's group in the v1 freezer."""
        groups = [str(self.node.path(container.cgroup)), *audit.groups_of(self.node.pid)]
        return any(cgroups.frozen(group) for group in groups)

    def read_offline(self, contents: Contents, nonce: str) -> tuple[Reading, ...]:
        """Read a checkpoint without a restore: one reading per workload process, the one with `nonce` first."""
        images = self.node.path(contents.images or "")
        return offline.read(images, contents.disks, contents.log, nonce=nonce, outside=self.outside)

    def running_source(self, stages: Stages) -> Source:
        """Return the source container, starting it and waiting for its first tick if needed."""
        if self.source is None:
            self._quiet = None
            before = len(stages.journal.commands)
            with stages.at(Stage.START):
                container = self.start("source")
                with self._or_removed(container):
                    group = str(self.node.path(container.cgroup))
                    self.source = self.adopt(container, first_tick(self.channel(container), group).nonce)
            self.source.commands = tuple(stages.journal.commands[before:])
        return self.source

    @contextlib.contextmanager
    def _or_removed(self, container: Container) -> Iterator[None]:
        """Remove a container that never ticks."""
        try:
            yield
        except StillframeError:
            with contextlib.suppress(StillframeError):
                self.remove(container)
            with self.blaming_a_crash():
                raise

    @contextlib.contextmanager
    def blaming_a_crash(self) -> Iterator[None]:
        """Where a source does not tick and its runtime has crashed, give that as the reason."""
        try:
            yield
        except StillframeError as error:
            if crashes := self.node.crashes():
                raise StageFailed(Stage.START, Outcome.CHECKPOINT_FAILED, crashes[0]) from error
            raise

    @property
    def outgrown(self) -> bool:
        """Whether the engine's log of the source is so long that reading it would dominate the next trial."""
        log = self.runtime.log(self.source.container) if self.source and self.source.container.spec.prints else ""
        return size_of(self.node.path(log) if log else None) > LONGEST_LOG

    def stop_source(self) -> bool:
        """Ask the source to end and return whether it does; kill it in any case."""
        if self.source is None:
            return True
        self.runtime.signal(self.source.container, "TERM")
        answered = self.source.ends(seconds=STOP_SECONDS)
        self.runtime.kill(self.source.container)
        self.source.ended = True
        if not (self.runtime.way.in_place or self.runtime.way.in_pod):
            self._delete(self.source)
        return answered

    def drop_source(self) -> None:
        """End and delete the source container, if there is one."""
        if self.source is not None:
            source, self.source = self.source, None
            if not source.ended:
                self.runtime.kill(source.container)
            self._delete(source)
            self.node.remove(source.container.spec.folder)

    def _delete(self, source: Source) -> None:
        if not source.deleted:
            self.runtime.delete(source.container)
            source.deleted = True

    def baseline(self) -> audit.Snapshot:
        """Return everything in the node before a trial: the last trial has looked, if it left nothing."""
        return self._quiet or self.snapshot()

    def snapshot(self) -> audit.Snapshot:
        """Return everything in the node, without the processes of the source."""
        group = self.source.container.cgroup.removeprefix(self.node.freezer("")) if self.source else ""
        return audit.of_node(self.node.pid, alive=f"/{group}" if group else "")

    def quiet_leaks(self, before: audit.Snapshot, *, seconds: float) -> tuple[str, ...]:
        """Return everything in the node that is not in `before`; wait up to `seconds` until nothing is.

        What two looks find without a process that could remove it stays, and is not waited for. A snapshot lists the
        processes first; the kernel itself removes links, some time after their namespace.
        """
        found: tuple[str, ...] = ()

        def quiet() -> bool:
            nonlocal found
            last, found = found, self._leaks(before)
            lasting = not self.node.daemons and not any(leak.startswith(("process ", "link ")) for leak in found)
            return not found or (lasting and found == last)

        with contextlib.suppress(DeadlineExceeded):
            until(quiet, seconds=seconds, what="silence")
        return found

    def _leaks(self, before: audit.Snapshot) -> tuple[str, ...]:
        now = self.snapshot()
        found = self.node.without_revived(now.leaks(before))
        self._quiet = None if found or self.source is None else now
        if self.source is None:
            return found
        alive = self.source.container  # the runtime's files about it are not leaks
        kept = [f"/{name}/" for name in (alive.name, alive.id) if name]
        return tuple(leak for leak in found if not (leak.startswith("file ") and any(one in leak for one in kept)))
