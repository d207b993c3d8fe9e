"""Podman: a checkpoint holds memory, writable layer and volumes, in an archive or in an image.

There is no daemon: every command finds the containers in the store. The adapter does not clean up what podman or its
runtime leaves behind, for example after a failed restore: the leak audit has to find it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from harness.checkpoints.sources import Archive, Folder, Source
from harness.checkpoints.untrusted import Budget
from harness.host import cgroups
from harness.model.cells import CgroupVersion, FreezePolicy, Scenario, SurfaceKind
from harness.model.commands import Command
from harness.model.controls import Ground
from harness.model.errors import CommandFailed, StillframeError
from harness.model.machine import Component
from harness.runtimes import criu_configuration, criu_log, image_archive, versions
from harness.runtimes.contract import (
    OF_PROGRAMS,
    OF_TARGET,
    SCENARIOS,
    Capability,
    Checkpoint,
    Container,
    ContainerSpec,
    Contents,
    Mount,
    State,
    Way,
)
from harness.runtimes.ending import end
from harness.stacks.node import Node

if TYPE_CHECKING:
    from harness.checkpoints.translation.translate import Order

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0

STORE = f"{Node.storage}/podman"
STORAGE = f"""[storage]
driver = "overlay"
graphroot = "{STORE}/root"
runroot = "{STORE}/run"
"""
UNLIMITED = """[containers]
pids_limit = 0
"""
OF_CRIU = ("file-locks", "tcp-established")
"""Options of CRIU that podman has itself."""
CGROUPS = "libpod_parent"
"""Parent of the containers' groups when podman makes them itself, without systemd."""
VOLUMES = frozenset({SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME})


class Podman:
    """Adapter for podman's command line; subclasses name the OCI runtime."""

    name: ClassVar[str]
    program: ClassVar[str]
    """The OCI runtime."""
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="an exported archive of memory, writable layer and volumes, imported under another name",
            policies=(FreezePolicy.ENGINE, FreezePolicy.CGROUP),
            still=FreezePolicy.CGROUP,
            surfaces=frozenset(SurfaceKind),
            outside=frozenset({SurfaceKind.BIND}),
            terminal=True,
            scenarios=SCENARIOS,
            thorough=(*OF_PROGRAMS, *OF_TARGET, Scenario.SECRETS),
            groups=(Scenario.GROUP,),
            controls=("fresh-start", "garbage-image", "stopped-workload"),
            kind="exported archive of Podman",
            bridges=(Scenario.TRANSLATED,),
            form="podman",
            mutants=Ground.ARCHIVES,
        ),
        Way(
            name="image",
            what="the same as an image in the engine's own store",
            policies=(FreezePolicy.ENGINE, FreezePolicy.CGROUP),
            still=FreezePolicy.CGROUP,
            controls=(),
        ),
    )

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way

    def _podman(self, *arguments: str, deadline: float = START_SECONDS) -> Command:
        argv = ["podman", "--runtime", self.program, *arguments]
        return self.node.run(argv, deadline=deadline, runtime=True)

    def capabilities(self) -> tuple[Capability, ...]:
        """Check that podman and its helpers are installed, and ask CRIU whether it works on this kernel."""
        try:
            for argv in (["podman", "help"], [self.program, "--version"], ["conmon", "--version"]):
                self.node.ask(argv)  # since 6.0, podman declines every command under cgroups version 1
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def prepare(self) -> None:
        """Configure CRIU and podman; there is no daemon."""
        criu_configuration.configure(self.node, self.program)
        self.node.write("/etc/containers/storage.conf", STORAGE)
        change = "pids_limit = 0 in containers.conf"
        if self.node.version is CgroupVersion.V2 and self.node.without_controllers("no-pids-limit", change=change):
            self.node.write("/etc/containers/containers.conf", UNLIMITED)

    def components(self) -> tuple[Component, ...]:
        """Ask podman for the versions that it finds, and the binary for CRIU's version."""
        said = json.loads(self._podman("info", "--format", "json").stdout)
        host = said["host"]
        told = {
            "podman": said["version"]["Version"],
            "conmon": host["conmon"]["version"],
            self.program: host["ociRuntime"]["version"],
            "criu": self.node.ask(["criu", "--version"]).stdout,
            "netavark": host["networkBackendInfo"].get("version", ""),
        }
        found = [Component(name=name, version=versions.number(text)) for name, text in told.items() if text]
        return (*found, Component(name="storage-driver", version=said["store"]["graphDriverName"]))

    def load_image(self, folder: str, name: str = image_archive.NAME) -> str:
        """Load the image from an archive."""
        archive = image_archive.write(self.node, folder, name)
        self._podman("load", "--quiet", "--input", archive)
        self.node.remove(archive, again=True)
        return name

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer."""
        return self._begin(spec, network="none")

    def _begin(self, spec: ContainerSpec, network: str) -> Container:
        mounts = (*spec.mounts, Mount(SurfaceKind.BIND, spec.report_mount, spec.report))
        options = [word for mount in mounts for word in _mount_option(mount, spec.name)]
        with self._undone_on_failure(spec):
            said = self._podman(
                *("run", "--detach", "--pull", "never", "--name", spec.name, "--network", network),
                *(("--log-driver", "k8s-file") if spec.prints else ()),
                *(("--tty",) if spec.tty else ()),
                *(f"--env={each}" for each in spec.env),
                *(*options, spec.image, *spec.argv),
            )
        return self._container(spec, said.stdout.split()[-1])

    def known(self, spec: ContainerSpec) -> Container:
        """Ask podman for the identity behind the name."""
        return self._container(spec, self._inspect(spec.name, "{{.Id}}"))

    def state(self, container: Container) -> State:
        """Ask podman for the container's state."""
        try:
            said = self._inspect(container.name, "{{.State.Status}}")
        except CommandFailed as error:
            if "no such container" in error.stderr:
                return State.ABSENT
            raise
        return {"running": State.RUNNING, "paused": State.PAUSED}.get(said, State.STOPPED)

    def pause(self, container: Container) -> None:
        """Freeze the container with `podman pause`."""
        self._podman("pause", container.name)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self._podman("unpause", container.name)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Take memory and disk in one command, and leave the container running."""
        to = ("--create-image", _image(checkpoint)) if self._by_image else ("--export", checkpoint.archive)
        with self._explained("dump.log", checkpoint.container.id):
            self._podman(
                *("container", "checkpoint", "--leave-running", *to),
                *(() if self._by_image else ("--compress", "none")),
                *checkpoint.container.spec.offered(*OF_CRIU),
                checkpoint.container.name,
                deadline=CHECKPOINT_SECONDS,
            )

    def capture(self, checkpoint: Checkpoint) -> None:
        """Do nothing: the checkpoint already has the disk."""

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Unpack the archives in the checkpoint; an image's layer is already a folder in the store."""
        from harness.checkpoints.layouts import Exported  # noqa: PLC0415  # brings protobuf, which is slow to load

        folder, budget = self.node.path(checkpoint.folder), Budget()
        source: Source
        if self._by_image:
            image = ("image", "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", _image(checkpoint))
            source = Folder(self.node.path(self._podman(*image).stdout.strip()), budget)
        else:
            source = Archive(self.node.path(checkpoint.archive), folder / "parts", budget)
        opened = Exported().lay_open(source, "", pages=True)
        disks = {
            mount: disk.take(None, folder / f"disk-{number}")
            for number, (mount, disk) in enumerate(opened.disks.items())
        }
        images = opened.images or opened.within
        return Contents(f"/{images.relative_to(self.node.path('/'))}", disks, opened.log)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore a new container from the checkpoint, which determines its mounts."""
        out_of = (_image(checkpoint),) if self._by_image else ("--import", checkpoint.archive)
        with self._undone_on_failure(spec), self._explained("restore.log"):
            argv = ("container", "restore", *spec.offered(*OF_CRIU), "--name", spec.name, *out_of)
            said = self._podman(*argv, deadline=RESTORE_SECONDS)
        return self._container(spec, said.stdout.split()[-1])

    def translation(self, checkpoint: Checkpoint) -> Order:
        """Export a container like that of the checkpoint as the template; both are on the node's network."""
        from harness.checkpoints.translation.translate import Order  # noqa: PLC0415  # brings protobuf

        name, template = f"{checkpoint.name}-template", f"{checkpoint.folder}/template.tar"
        spec = replace(checkpoint.container.spec, name=name, image=image_archive.NAME)
        self.node.make(spec.report)
        like = self._begin(spec, network="host")
        try:
            export = ("container", "checkpoint", "--export", template, "--compress", "none", name)
            self._podman(*export, deadline=CHECKPOINT_SECONDS)
        finally:
            self.delete(like)
        return Order(self.way.form, template=self.node.path(template))

    def log(self, container: Container) -> str:
        """Return the file of the log driver k8s-file, which is part of the checkpoint."""
        return f"{STORE}/root/overlay-containers/{container.id}/userdata/ctr.log"

    def discard(self, checkpoint: Checkpoint) -> None:
        """Remove the checkpoint image; an archive is in the checkpoint's folder."""
        if self._by_image:
            self._podman("rmi", "--ignore", _image(checkpoint))

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the container's first process with `podman kill`."""
        self._podman("kill", "--signal", name, container.name)

    def kill(self, container: Container) -> None:
        """End the container's processes and wait until the kernel shows none."""
        group = str(self.node.path(container.cgroup))
        if cgroups.processes(group) and cgroups.frozen(group):
            self.resume(container)  # version 1 of the freezer holds even a killed process
        end(container.name, group, lambda: self.signal(container, "KILL"))

    def delete(self, container: Container) -> None:
        """Remove the container and all its volumes; `rm --volumes` leaves volumes from an archive."""
        volumes: list[str] = []
        if VOLUMES.intersection(mount.kind for mount in container.spec.mounts):
            names = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
            volumes = self._inspect(container.name, names).split()
        self._podman("rm", "--force", "--time", "0", container.name)
        if volumes:
            self._podman("volume", "rm", *volumes)

    @property
    def _by_image(self) -> bool:
        return self.way.name == "image"

    def _inspect(self, name: str, what: str) -> str:
        return self._podman("container", "inspect", "--format", what, name).stdout.strip()

    def _container(self, spec: ContainerSpec, identity: str) -> Container:
        return Container(spec, self.node.freezer(f"{CGROUPS}/libpod-{identity}"), id=identity)

    @contextlib.contextmanager
    def _undone_on_failure(self, spec: ContainerSpec) -> Iterator[None]:
        """Remove the remains of a container whose start or restore failed."""
        try:
            yield
        except StillframeError:
            with contextlib.suppress(StillframeError):
                self.delete(Container(spec, cgroup=""))
            raise

    def _explained(self, log: str, identity: str = "*") -> contextlib.AbstractContextManager[None]:
        """Attach the errors in CRIU's log to a failure; podman keeps the log beside the container."""
        return criu_log.explained(self.node, f"{STORE}/root/overlay-containers/{identity}/userdata/{log}")


class PodmanRunc(Podman):
    """Podman on runc."""

    name = "podman/runc"
    program = "runc"


class PodmanCrun(Podman):
    """Podman on crun."""

    name = "podman/crun"
    program = "crun"


def _mount_option(mount: Mount, name: str) -> tuple[str, ...]:
    match mount.kind:
        case SurfaceKind.TMPFS:
            return ("--tmpfs", mount.target)
        case SurfaceKind.BIND:
            return ("--volume", f"{mount.source}:{mount.target}")
        case SurfaceKind.NAMED_VOLUME:
            return ("--volume", f"{name}{mount.target.replace('/', '-')}:{mount.target}")
        case SurfaceKind.ANONYMOUS_VOLUME:
            return ("--volume", mount.target)
        case _:
            return ()


def _image(checkpoint: Checkpoint) -> str:
    return f"localhost/{checkpoint.name}"
