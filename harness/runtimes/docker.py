"""Docker: a daemon, which uses containerd and an OCI runtime; driven through the engine's own SDK.

Docker deletes a checkpoint with its container, so the adapter moves it to the caller's folder. A checkpoint holds
memory alone. The writable layer stays in the engine's store, unless it is also committed to an image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.checkpoints.disk import CapturedFiles
from harness.host import cgroups
from harness.host.wait import until
from harness.model.cells import KILLS, FreezePolicy, Scenario, SurfaceKind
from harness.model.errors import CommandFailed, DeadlineExceeded, StillframeError
from harness.model.machine import Component
from harness.runtimes import criu_configuration, criu_log, image_archive, shim, versions
from harness.runtimes.contract import (
    OF_DAEMONS,
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
from harness.runtimes.ending import let_go
from harness.runtimes.gvisor import panic_log
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node

if TYPE_CHECKING:
    from harness.runtimes.docker_client import JournalledClient

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
KILL_SECONDS = 20.0
COLLECTION_SECONDS = 10.0  # containerd collects at most a fiftieth of the time: 50 ms put the next off by 2.5 s

SOCKET = "/run/docker.sock"
STORE = f"{Node.storage}/docker"
CONTAINERS = f"{STORE}/containers"
BLOBS = f"{STORE}/containerd/daemon/io.containerd.content.v1.content/blobs/sha256"
NAMESPACES = "/run/docker/netns"
BUNDLES = "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby"
LOGS = "/var/log/criu"
"""Folder for CRIU's log of a restore, which would otherwise be deleted with the container."""
RUNTIME = "tested"
"""Name of the OCI runtime in the engine's configuration; its own name may be in use."""

ROOT = frozenset({SurfaceKind.ADDED, SurfaceKind.IMAGE, SurfaceKind.DELETED})
OUTSIDE = frozenset({SurfaceKind.BIND, SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME, SurfaceKind.STDOUT})
EVERY = frozenset(SurfaceKind) - {SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME}
MOST: dict[str, Any] = {"surfaces": EVERY, "terminal": True, "scenarios": SCENARIOS}
MOUNTED = {SurfaceKind.TMPFS: "tmpfs", SurfaceKind.BIND: "bind"}
"""What the engine calls the kinds of mounts."""
UNREAD = ("fresh-start", "garbage-image", "stopped-workload")
"""Controls that need no files of a captured disk."""
BY_WHOM = (FreezePolicy.ENGINE, FreezePolicy.PAUSE)
ANYBODY = (*BY_WHOM, FreezePolicy.CGROUP)

IN_PLACE = Way(
    what="memory alone, restored into the same container",
    policies=BY_WHOM,
    outside=OUTSIDE | ROOT,
    in_place=True,
    controls=UNREAD,
)
COMMITTED = Way(
    name="commit",
    what="memory, then the writable layer committed to an image, restored into a new container of that image",
    policies=BY_WHOM,
    outside=OUTSIDE,
    leaves_disk=True,
    controls=UNREAD,
)
SANDBOX = Way(
    what="memory and root file system, restored into a new container",
    policies=BY_WHOM,
    still=FreezePolicy.ENGINE,
    outside=OUTSIDE,
    controls=UNREAD,
)


def _on_host(way: Way, **changes: Any) -> Way:
    """Return the same way without a network namespace, which Docker 28 cannot restore (moby#50750)."""
    name = f"{way.name}-host" if way.name else "host"
    return dataclasses.replace(way, name=name, what=f"{way.what}; on the host's network", **changes)


class Docker:
    """Adapter for the Docker engine; subclasses name the OCI runtime."""

    name: ClassVar[str]
    program: ClassVar[str]
    ways: ClassVar[tuple[Way, ...]] = (
        IN_PLACE,
        _on_host(IN_PLACE),
        COMMITTED,
        _on_host(COMMITTED, **MOST, thorough=(*KILLS, Scenario.SECRETS), groups=(Scenario.GROUP,), policies=ANYBODY),
    )
    by_criu: ClassVar[bool] = True

    _client: JournalledClient

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way

    def capabilities(self) -> tuple[Capability, ...]:
        """Check that all programs are installed, and ask CRIU whether it works on this kernel."""
        try:
            for program in ("dockerd", "containerd", "containerd-shim-runc-v2"):
                self.node.ask([program, "-v"])
            said = self.node.ask([self.program, "--version"])
            if self.by_criu:
                said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def prepare(self) -> None:
        """Configure CRIU and the engine, start the engine, and wait until it answers."""
        if self.by_criu:
            criu_configuration.configure(self.node, self.program)
            self.node.make(LOGS)
        path = self.node.run(["sh", "-c", f"command -v {self.program}"]).stdout.strip()
        configuration = {
            "experimental": True,  # checkpoints are experimental
            "data-root": STORE,
            "storage-driver": "overlay2",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],  # a node has no systemd
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "runtimes": {RUNTIME: self._runtime(path)},
        }
        self.node.write("/etc/docker/daemon.json", json.dumps(configuration, indent=1) + "\n")
        daemon = self.node.launch(["dockerd"])
        self._connect(daemon)
        daemon.await_answer(self._client.answers, seconds=START_SECONDS)

    def _connect(self, daemon: Daemon | None = None) -> None:
        from harness.runtimes.docker_client import JournalledClient  # noqa: PLC0415  # the SDK is slow to load

        self._client = JournalledClient(self.node, daemon, SOCKET, timeout=START_SECONDS)

    def _runtime(self, path: str) -> dict[str, Any]:
        """Return the entry for the OCI runtime at `path` in the engine's configuration."""
        return {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": path, "CriuWorkPath": LOGS}}

    def components(self) -> tuple[Component, ...]:
        """Ask the engine for its own version and containerd's, and read the others from the binaries."""
        parts = {part["Name"]: part["Version"] for part in self._client.version()["Components"]}
        found = {"docker": parts["Engine"], "containerd": parts["containerd"]}
        for program in (self.program, "criu") if self.by_criu else (self.program,):
            found[program] = versions.of_program(self.node, program)
        found["storage-driver"] = self._client.info()["Driver"]
        return tuple(Component(name=name, version=version) for name, version in found.items())

    def load_image(self, folder: str, name: str = image_archive.NAME) -> str:
        """Load the image from an archive."""
        archive = image_archive.write(self.node, folder, name)
        with self.node.path(archive).open("rb") as data:
            self._client.load_image(data)
        self.node.remove(archive, again=True)
        return name

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer."""
        container = self._create(spec, spec.image)
        with self._undone_on_failure(container):
            self._client.start(container.name)
        return container

    def known(self, spec: ContainerSpec) -> Container:
        """Ask the engine, also one that somebody else has started, for the identity behind the name."""
        if "_client" not in vars(self):
            self._connect()
        return self._container(spec, self._client.inspect_container(spec.name)["Id"])

    def state(self, container: Container) -> State:
        """Ask the engine for the container's state."""
        try:
            said = self._client.inspect_container(container.name)["State"]["Status"]
        except CommandFailed as error:
            if "No such container" in error.stderr:
                return State.ABSENT
            raise
        return {"running": State.RUNNING, "paused": State.PAUSED}.get(said, State.STOPPED)

    def pause(self, container: Container) -> None:
        """Freeze the container with the engine's own request."""
        self._client.pause(container.name)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self._client.unpause(container.name)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the container's memory, leave it running, and move the files out of dockerd's own mount."""
        name, source = checkpoint.name, checkpoint.container
        with criu_log.explained(self.node, f"{BUNDLES}/{source.id}/criu-dump.log"):
            self._client.post(
                self._client.at(f"/containers/{source.name}/checkpoints"),
                json={"CheckpointID": name, "Exit": False},
                timeout=CHECKPOINT_SECONDS,
            )
        moved = ["sh", "-c", f"mv {CONTAINERS}/*/checkpoints/{name} {checkpoint.images}"]
        own = self.node.path(f"{CONTAINERS}/{source.id}/checkpoints/{name}")
        try:
            self.node.do(moved, lambda: shutil.move(own, self.node.path(checkpoint.images)))
        except CommandFailed as error:
            if own.exists():
                raise
            raise CommandFailed(f"{name} went with its container, which was deleted meanwhile", runtime=True) from error

    def capture(self, checkpoint: Checkpoint) -> None:
        """Commit the writable layer to an image, without the engine's own pause for a commit."""
        self._client.commit(checkpoint.container.name, repository=checkpoint.name, pause=False)

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Return CRIU's images (None for gVisor), and a committed layer as its folder in the engine's store."""
        disks = {}
        if self.way.leaves_disk:
            upper = self._client.inspect_image(checkpoint.name)["GraphDriver"]["Data"]["UpperDir"]
            disks["/"] = CapturedFiles(self.node.path(upper))
        return Contents(checkpoint.images if self.by_criu else None, disks)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Start the source container from the checkpoint, or a new container from checkpoint and image."""
        if self.way.in_place:
            self._start_from(checkpoint, checkpoint.container)
            return checkpoint.container
        container = self._create(spec, checkpoint.name if self.way.leaves_disk else spec.image)
        with self._undone_on_failure(container):
            self._start_from(checkpoint, container)
        return container

    def _start_from(self, checkpoint: Checkpoint, container: Container) -> None:
        """Copy the checkpoint to the engine's own folder, since it declines any other (moby#37344), and start."""
        mine = f"""$(grep -l '"Name":"/{container.name}"' {CONTAINERS}/*/config.v2.json)"""
        put = f"to=$(dirname {mine})/checkpoints && mkdir -p $to && cp -a {checkpoint.images} $to/{checkpoint.name}"
        images = self.node.path(checkpoint.images)
        to = self.node.path(f"{CONTAINERS}/{container.id}/checkpoints/{checkpoint.name}")
        self.node.do(["sh", "-c", put], lambda: shutil.copytree(images, to, symlinks=True))
        collected = f'while [ -n "$(ls {BLOBS})" ]; do sleep 0.01; done'
        self.node.do(["timeout", str(COLLECTION_SECONDS), "sh", "-c", collected], self._await_collection)
        with shim.restoring(self.node, f"{LOGS}/restore.log"):
            self._client.post(
                self._client.at(f"/containers/{container.name}/start"),
                params={"checkpoint": checkpoint.name},
                timeout=RESTORE_SECONDS,
            )

    def _await_collection(self) -> None:
        """Wait a while until containerd has collected its old copy: before it declines the checkpoint (moby#42900)."""
        blobs = self.node.path(BLOBS)
        with contextlib.suppress(DeadlineExceeded):
            until(lambda: not any(blobs.glob("*")), seconds=COLLECTION_SECONDS, what="the end of a collection")

    def log(self, container: Container) -> str:
        """Return the file of the log driver json-file."""
        return f"{CONTAINERS}/{container.id}/{container.id}-json.log"

    def discard(self, checkpoint: Checkpoint) -> None:
        """Remove the committed image; memory is in the checkpoint's folder."""
        if self.way.leaves_disk:
            try:
                self._client.remove_image(checkpoint.name)
            except CommandFailed as error:
                if "No such image" not in error.stderr:
                    raise

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the container's first process with the engine's own request."""
        self._client.kill(container.name, signal=name)

    def kill(self, container: Container) -> None:
        """End the container and wait until the engine reports its end."""
        let_go(self, container)
        try:
            self._client.kill(container.name)
        except CommandFailed as error:
            if "is not running" not in error.stderr:
                raise
        self._client.wait(container.name, timeout=KILL_SECONDS)

    def delete(self, container: Container) -> None:
        """Remove the container, a remaining group, and the network namespace's file, which Docker keeps a minute."""
        self._client.remove_container(container.name, force=True)
        self.node.do(["find", NAMESPACES, "-type", "f", "-fstype", "tmpfs", "-delete"], self._remove_bare_namespaces)
        group = self.node.path(container.cgroup)
        if group.exists():
            self.node.do(["find", container.cgroup, "-type", "d", "-delete"], lambda: _remove_groups(group))

    def _remove_bare_namespaces(self) -> None:
        """Remove the files on which no network namespace is mounted any more."""
        folder = self.node.path(NAMESPACES)
        if folder.exists():
            device = folder.stat().st_dev
            for path in folder.iterdir():
                if path.stat().st_dev == device:
                    path.unlink()

    def _create(self, spec: ContainerSpec, image: str) -> Container:
        mounts = (*spec.mounts, Mount(SurfaceKind.BIND, spec.report_mount, spec.report))
        host = self._client.host_config(
            [(MOUNTED[each.kind], each.source, each.target) for each in mounts if each.kind is not SurfaceKind.SHM],
            logs=spec.prints,
            runtime=RUNTIME,
            network_mode="host" if self.way.name.endswith("host") else "none",
        )
        said = self._client.create_container(
            image, list(spec.argv), name=spec.name, host_config=host, detach=True, tty=spec.tty, environment=[*spec.env]
        )
        return self._container(spec, said["Id"])

    def _container(self, spec: ContainerSpec, identity: str) -> Container:
        return Container(spec, self.node.freezer(f"docker/{identity}"), id=identity)

    @contextlib.contextmanager
    def _undone_on_failure(self, container: Container) -> Iterator[None]:
        """Remove a container that failed to start."""
        try:
            yield
        except StillframeError:
            with contextlib.suppress(StillframeError):
                self.delete(container)
            raise


def _remove_groups(top: Path) -> None:
    for group in cgroups.subgroups(str(top)):
        Path(group).rmdir()


class DockerRunc(Docker):
    """Docker on runc."""

    name = "docker/runc"
    program = "runc"


class DockerCrun(Docker):
    """Docker on crun, with a script between containerd and crun."""

    name = "docker/crun"
    program = "crun"

    def _runtime(self, path: str) -> dict[str, Any]:
        self.node.make("/run/crun/.empty-directory")  # otherwise a checkpoint leaves it behind (crun#2239)
        return super()._runtime(shim.runtime(self.node, self.program, path))


RUNSC = "/usr/local/bin/runsc-in-a-group"
IN_A_GROUP = """#!/bin/sh
for last; do
    case $last in create | restore) begins=yes ;; esac
done
if [ -n "$begins" ]; then
    mkdir -p {group}/"$last"
    echo 0 >{group}/"$last"/cgroup.procs
fi
exec {runsc} --ignore-cgroups "$@"
"""


class DockerRunsc(Docker):
    """Docker on gVisor; a checkpoint holds memory and the root file system."""

    name = "docker/runsc"
    program = "runsc"
    ways: ClassVar[tuple[Way, ...]] = (SANDBOX, _on_host(SANDBOX, **MOST, thorough=OF_DAEMONS))
    by_criu = False

    def _runtime(self, path: str) -> dict[str, Any]:
        # No network: if every network namespace has net.core.rmem_default, runsc takes any of them for the root one.
        options = ["--platform=systrap", "--network=none", panic_log(self.node)]
        if self.node.has_controllers():
            return {"path": path, "runtimeArgs": options}
        script = IN_A_GROUP.format(group=self.node.freezer("docker"), runsc=" ".join((path, *options)))
        self.node.write(RUNSC, script, mode=0o755)
        self.node.accommodate(
            "ignore-cgroups",
            lacking="the memory controller in the node's cgroup hierarchy",
            change="--ignore-cgroups; a script before runsc puts the sandbox into its group",
        )
        return {"path": RUNSC}
