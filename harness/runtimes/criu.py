"""CRIU alone, on a process tree in its own namespaces: the lowest layer of most other adapters.

There is no runtime: util-linux makes the namespaces, and the kernel's freezer is the pause. The tree shares the node's
network namespace, which has only a loopback device.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from typing import ClassVar

from harness.host import cgroups
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.errors import CommandFailed, StillframeError
from harness.model.machine import Component
from harness.runtimes import criu_configuration, criu_log, versions
from harness.runtimes.contract import (
    OF_TARGET,
    SCENARIOS,
    Capability,
    Checkpoint,
    Container,
    ContainerSpec,
    Mount,
    State,
    Way,
)
from harness.runtimes.ending import end, let_go
from harness.runtimes.layers import LayersOfOurs
from harness.stacks.node import Node

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
NAMESPACES = ("--mount", "--pid", "--fork", "--ipc", "--uts")

FIRST_PROCESS = """#!/bin/sh
# Process 1 of {name}; unshare(1) starts it. It builds its root, changes to it, and becomes the workload.
exec 2> {folder}/start.log
trap 'mv {folder}/start.log {folder}/failed' EXIT
set -e
read -r pid rest < /proc/self/stat  # its number in the node: /proc is still the node's
echo 0 > {cgroup}/cgroup.procs
cd {folder}/rootfs
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
mknod -m 666 dev/null c 1 3
mkdir dev/shm
mount -t tmpfs -o mode=1777 shm dev/shm
{mounts}
mount --move . /  # like switch_root(8): CRIU begins at the topmost mount
echo "$pid" > {folder}/pid.new
mv {folder}/pid.new {folder}/pid
exec {env}setsid chroot . {command} < dev/null > dev/null 2>&1
"""


class Criu(LayersOfOurs):
    """Adapter for the command line of CRIU."""

    name: ClassVar[str] = "criu"
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="CRIU alone on a process tree in its own namespaces; the harness keeps image and writable layer",
            policies=(FreezePolicy.NONE, FreezePolicy.CGROUP, FreezePolicy.HOOK),
            still=FreezePolicy.HOOK,
            surfaces=frozenset(SurfaceKind)
            - {SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME, SurfaceKind.STDOUT},
            leaves_disk=True,
            scenarios=SCENARIOS,
            thorough=(*OF_TARGET, Scenario.SECRETS),
            kind="CRIU images of a process tree",
            bridges=(Scenario.TRANSLATED,),
        ),
    )

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way

    def capabilities(self) -> tuple[Capability, ...]:
        """Ask CRIU whether it works on this kernel."""
        try:
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def prepare(self) -> None:
        """Configure CRIU; there is no daemon."""
        criu_configuration.configure(self.node)

    def components(self) -> tuple[Component, ...]:
        """Read the version of CRIU from the binary."""
        return (Component(name="criu", version=versions.of_program(self.node, "criu")),)

    def start(self, spec: ContainerSpec) -> Container:
        """Start a process tree with an empty writable layer."""
        script = f"{spec.folder}/start"
        with self._undone_on_failure(spec), self._rooted(spec, upper=None):
            self.node.write(script, _first_process(spec, self.node.freezer(spec.name)))
            self.node.run(["setsid", "--fork", "unshare", *NAMESPACES, "sh", script], detached=True)
            told = f"until [ -e {spec.folder}/pid ] || [ -e {spec.folder}/failed ]; do sleep 0.01; done"
            self.node.run(["sh", "-c", told], deadline=START_SECONDS)
            if self.node.path(f"{spec.folder}/failed").exists():
                said = self.node.read(f"{spec.folder}/failed")
                raise CommandFailed(f"{script} failed: {said.strip()}", stderr=said)
        return self._container(spec)

    def known(self, spec: ContainerSpec) -> Container:
        """All of it follows from the name."""
        return self._container(spec)

    def state(self, container: Container) -> State:
        """Ask the kernel for the state, because there is no runtime."""
        group = str(self.node.path(container.cgroup))
        frozen = cgroups.frozen(group)
        if frozen is None:
            return State.ABSENT
        if not cgroups.processes(group):
            return State.STOPPED
        return State.PAUSED if frozen else State.RUNNING

    def pause(self, container: Container) -> None:
        """Freeze the control group: CRIU has no pause, and a task stopped by SIGSTOP would be restored stopped."""
        self.node.freeze(container.cgroup, frozen=True)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self.node.freeze(container.cgroup, frozen=False)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the container's memory and leave it running, or frozen if it was frozen."""
        container = checkpoint.container
        log = f"{checkpoint.folder}/dump.log"
        self.node.make(checkpoint.images)
        external = [f"mnt[{mount.target}]:{mount.target}" for mount in _binds(container.spec)]
        # CRIU waits forever for a frozen task unless --freeze-cgroup lets it thaw the task for a moment (criu#2572).
        # Use the option only then: freezing takes 100 ms, and never ends on version 1 with a stopped task (criu#1905).
        frozen = ("--freeze-cgroup", container.cgroup) if self.state(container) is State.PAUSED else ()
        with self._explained(log):
            argv = [
                *("criu", "dump", "--leave-running", "--images-dir", checkpoint.images, "--log-file", log),
                *("--manage-cgroups=ignore", *frozen),
                *(word for each in external for word in ("--external", each)),
            ]
            tree = f"--tree $(cat {container.spec.folder}/pid)"
            self._sh(f"exec {shlex.join(argv)} {tree}", deadline=CHECKPOINT_SECONDS)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore a new process tree from the images and the captured layer, beside the source."""
        log = f"{spec.folder}/restore.log"
        external = [f"mnt[{mount.target}]:{mount.source}" for mount in _binds(spec)]
        criu = [
            *("criu", "restore", "--restore-detached", "--pidfile", f"{spec.folder}/pid"),
            *("--images-dir", checkpoint.images, "--log-file", log),
            *("--root", self._root(spec), "--manage-cgroups=ignore"),
            *(word for each in external for word in ("--external", each)),
        ]
        # With manage-cgroups=ignore, the tree starts in CRIU's own group.
        joined = f'echo 0 > {self.node.freezer(spec.name)}/cgroup.procs && exec "$@"'
        with self._undone_on_failure(spec), self._rooted(spec, upper=checkpoint.upper), self._explained(log):
            self.node.run(["sh", "-c", joined, "sh", *criu], deadline=RESTORE_SECONDS, runtime=True)
        return self._container(spec)

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the tree's first process."""
        self._sh(f"kill -{name} $(cat {container.spec.folder}/pid)")

    def kill(self, container: Container) -> None:
        """End all processes in the group and wait; an aborted restore may leave no first process."""
        let_go(self, container)
        every = f"kill -KILL $(cat {container.cgroup}/cgroup.procs)"
        end(container.name, str(self.node.path(container.cgroup)), lambda: self.node.run(["sh", "-c", every]))

    def _sh(self, line: str, *, deadline: float = START_SECONDS) -> None:
        """Run a shell line that reads the process id from its file: in a replay the id is another one."""
        self.node.run(["sh", "-c", line], deadline=deadline, runtime=True)

    def delete(self, container: Container) -> None:
        """Remove the group; the mounts ended with their namespace."""
        self.node.do(["rmdir", container.cgroup], self.node.path(container.cgroup).rmdir)

    def _container(self, spec: ContainerSpec) -> Container:
        return Container(spec, self.node.freezer(spec.name), upper=self._upper(spec))

    @contextlib.contextmanager
    def _rooted(self, spec: ContainerSpec, *, upper: str | None) -> Iterator[None]:
        """Make the tree's group, and mount its root until the tree has its own mount."""
        self.node.make(self.node.freezer(spec.name))
        self._mount_root(spec, upper=upper)
        try:
            yield
        finally:
            self.node.run(["umount", self._root(spec)])

    @contextlib.contextmanager
    def _undone_on_failure(self, spec: ContainerSpec) -> Iterator[None]:
        """End the remains of a tree whose start or restore failed."""
        try:
            yield
        except StillframeError:
            with contextlib.suppress(StillframeError, OSError):
                container = self._container(spec)
                self.kill(container)
                self.delete(container)
            raise

    def _explained(self, log: str) -> contextlib.AbstractContextManager[None]:
        """Attach the errors in CRIU's log to a failure, or else the log's last lines."""
        return criu_log.explained(self.node, log, otherwise=lambda: self.node.read(log))


def _binds(spec: ContainerSpec) -> tuple[Mount, ...]:
    """Return the mounts from outside the tree: the report channel, and folders of the node."""
    binds = (mount for mount in spec.mounts if mount.kind is SurfaceKind.BIND)
    return (*binds, Mount(SurfaceKind.BIND, spec.report_mount, spec.report))


def _first_process(spec: ContainerSpec, cgroup: str) -> str:
    tmpfs = (mount.target for mount in spec.mounts if mount.kind is SurfaceKind.TMPFS)
    lines = [["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", f".{target}"] for target in tmpfs]
    lines += [["mount", "--bind", mount.source, f".{mount.target}"] for mount in _binds(spec)]
    return FIRST_PROCESS.format(
        name=spec.name,
        folder=spec.folder,
        cgroup=cgroup,
        mounts="\n".join(map(shlex.join, lines)),
        env=f"env {shlex.join(spec.env)} " if spec.env else "",
        command=shlex.join(spec.argv),
    )
