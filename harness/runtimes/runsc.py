"""runsc, the OCI runtime of gVisor: the checkpoint is its own, of a kernel in user space, and CRIU has no part in it.

Where the root file system has an overlay inside the sandbox, that is memory and part of every checkpoint. The overlay
mode all:memory covers bind mounts too, and with them the channel on which a workload is heard: root:memory stands for
it.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import ClassVar

from harness.checkpoints.disk import CapturedFiles
from harness.host import cgroups
from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.errors import CommandFailed
from harness.model.machine import Component
from harness.runtimes.contract import Capability, Checkpoint, Container, ContainerSpec, Contents, State, Way
from harness.runtimes.oci import CHECKPOINT_SECONDS, START_SECONDS, OciRuntime

RETURNS_SINCE = 20240101
"""Releases before end the container to leave it running, restore it, wait in the foreground until it ends again, and
then remove whatever container has its name: 20221219 does, 20240729 does not."""
RESTARTED = """\
echo 0 > {group}/cgroup.procs || exit
before=$({state}) || exit
{checkpoint} </dev/null >/dev/null 2>{stderr} &
while kill -0 $! 2>/dev/null; do
    case $({state} 2>/dev/null) in
        "$before") ;;
        *'"status": "running"'*) kill -KILL $!; exit 0 ;; # or it would remove what the next checkpoint has restored
    esac
    sleep 0.01
done
wait $!
"""
"""Shell script that takes a checkpoint by such a release and comes back when the container runs again."""
FATAL = re.compile(r'\{"msg":("(?:[^"\\]|\\.)*"),"level":"error","time":"[^"]*"\}')
"""How runsc logs an error that ends it, with no line end."""
WITHIN = frozenset(
    {SurfaceKind.ADDED, SurfaceKind.IMAGE, SurfaceKind.DELETED, SurfaceKind.TMPFS, SurfaceKind.SHM, SurfaceKind.BIND}
)
UNREAD = ("fresh-start", "garbage-image", "stopped-workload")
"""Controls that do not ask for files of the captured disk."""


class Runsc(OciRuntime):
    """Adapter for runsc, raw."""

    name = "runsc"
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="root file system under an overlay inside the sandbox, backed by a file (root:self, the default)",
            policies=(FreezePolicy.ENGINE, FreezePolicy.PAUSE),
            still=FreezePolicy.ENGINE,
            surfaces=WITHIN,
            scenarios=(Scenario.PAUSED, Scenario.GENERATIONS),
            controls=UNREAD,
        ),
        Way(
            name="overlay-memory",
            what="root file system under an overlay inside the sandbox, backed by memory (root:memory)",
            policies=(FreezePolicy.ENGINE,),
            still=FreezePolicy.ENGINE,
            controls=UNREAD,
            kind="gVisor's image",
        ),
        Way(
            name="overlay-none",
            what="root file system outside of the sandbox; the harness keeps the writable layer, as an engine would",
            policies=(FreezePolicy.ENGINE, FreezePolicy.PAUSE),
            still=FreezePolicy.PAUSE,
            leaves_disk=True,
            controls=UNREAD,
        ),
        Way(
            name="ptrace",
            what="the platform ptrace instead of systrap",
            policies=(FreezePolicy.ENGINE,),
            still=FreezePolicy.ENGINE,
            controls=UNREAD,
        ),
    )
    OVERLAYS: ClassVar[dict[str, str]] = {"overlay-memory": "root:memory", "overlay-none": "none"}
    _flags: tuple[str, ...] = ()
    _returns = True

    def _argv(self, *arguments: str) -> list[str]:
        return [self.name, "--root", "/run/runsc", *self._flags, *arguments]

    def capabilities(self) -> tuple[Capability, ...]:
        """Let a sandbox of this way run a program; older releases know neither systrap nor all modes of the overlay."""
        try:
            dated = re.search(r"\d{8}", self._version("runsc", "runsc version "))
            self._returns = dated is None or int(dated[0]) >= RETURNS_SINCE
            known = "systrap" in self.node.run(["runsc", "flags"]).stderr
            platform = "systrap" if known and self.way.name != "ptrace" else "ptrace"
            self._flags = (f"--platform={platform}", f"--overlay2={self.OVERLAYS.get(self.way.name, 'root:self')}")
            probe = self.node.run(["runsc", "--network=none", "--ignore-cgroups", *self._flags, "do", "true"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=shlex.join(probe.argv)),)

    def prepare(self) -> None:
        """Keep runsc away from what is not the sandbox's; there is no daemon."""
        self._flags = ("--network=none", "--ignore-cgroups", *self._flags)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore in a sandbox of its own."""
        try:
            return super().restore(checkpoint, spec)
        except CommandFailed as error:
            error.late = any("restoring container" in line for line in error.log)  # said by the sandbox
            raise

    def components(self) -> tuple[Component, ...]:
        """Read the version from the binary; platform and overlay are as it was told."""
        told = dict(flag.removeprefix("--").partition("=")[::2] for flag in self._flags)
        return (
            Component(name="runsc", version=self._version("runsc", "runsc version ")),
            Component(name="platform", version=told["platform"]),
            Component(name="overlay", version=told["overlay2"]),
        )

    def _begin(self, container: Container, *arguments: str, deadline: float = START_SECONDS) -> None:
        self.node.run(["mkdir", "-p", container.cgroup])
        argv = _inside(container, self._argv(*arguments))
        self.node.run(argv, deadline=deadline, detached=True, runtime=True)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write its memory, and the root file system where that is memory, and leave it running."""
        if self._returns:
            super().live_checkpoint(checkpoint)
            return
        name, stderr = checkpoint.container.name, f"{checkpoint.folder}/stderr"  # a panic is told nowhere else
        self.node.make(checkpoint.images)
        options = ("--leave-running", "--image-path", checkpoint.images)
        script = RESTARTED.format(
            group=checkpoint.container.cgroup,
            state=shlex.join(self._argv("state", name)),
            checkpoint=shlex.join(self._argv("--log", "/dev/null", "checkpoint", *options, name)),
            stderr=stderr,
        )
        with self._explained(own=stderr):
            self.node.run(["sh", "-c", script], deadline=CHECKPOINT_SECONDS, runtime=True)
        self.node.remark("checkpoint --leave-running has restarted the container and did not return: it was ended")

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """The format is gVisor's own: what is in it is known from a restore."""
        return Contents(None, {"/": CapturedFiles(self.node.path(checkpoint.upper))} if self.way.leaves_disk else {})

    def kill(self, container: Container) -> None:
        """End it; one that is paused takes no signal."""
        alive = cgroups.processes(str(self.node.path(container.cgroup)))
        if alive and self.state(container) is State.PAUSED:
            self.resume(container)
        super().kill(container)

    def _text(self, log: str) -> str:
        """Errors as text, without the stacks of goroutines that come with some."""
        said = FATAL.sub(lambda error: f"{json.loads(error[1])}\n", super()._text(log))
        return re.sub(r"\n+goroutine .*", "", said, flags=re.DOTALL)

    def _clear_away(self, container: Container) -> None:
        super()._clear_away(container)
        if self.node.path(container.cgroup).exists():
            self.node.run(["rmdir", container.cgroup])


def _inside(container: Container, argv: list[str]) -> list[str]:
    """The same command in the container's group: with --ignore-cgroups a sandbox stays where it is started."""
    script = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
    return ["sh", "-c", script, container.cgroup, *argv]
