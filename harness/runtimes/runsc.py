"""runsc, the OCI runtime of gVisor: a kernel in user space that writes its own checkpoints, without CRIU.

An overlay inside the sandbox over the root file system is memory, and so part of every checkpoint. The overlay mode
all:memory would also cover bind mounts, and so the workload's report channel; root:memory is used instead.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import ClassVar

from harness.checkpoints.disk import CapturedFiles
from harness.host import cgroups
from harness.model.cells import FreezePolicy, SurfaceKind
from harness.model.errors import CommandFailed
from harness.model.machine import Component
from harness.runtimes.contract import (
    OF_TARGET,
    SCENARIOS,
    Capability,
    Checkpoint,
    Container,
    ContainerSpec,
    Contents,
    State,
    Way,
)
from harness.runtimes.gvisor import panic_log
from harness.runtimes.oci import CHECKPOINT_SECONDS, START_SECONDS, OciRuntime

RETURNS_SINCE = 20240101
"""First release whose `checkpoint --leave-running` returns. Older ones end the container, restore it, wait until it
ends again, and then remove any container with its name: 20221219 does this, 20240729 does not."""
RESTARTED = """\
echo 0 > {group}/cgroup.procs || exit
before=$({state}) || exit
{checkpoint} </dev/null >/dev/null 2>{stderr} &
while kill -0 $! 2>/dev/null; do
    case $({state} 2>/dev/null) in
        "$before") ;;
        *'"status": "running"'*) kill -KILL $!; exit 0 ;; # otherwise it removes the next one
    esac
    sleep 0.01
done
wait $!
"""
"""Shell script that takes a checkpoint with an older release and returns when the container runs again."""
FATAL = re.compile(r'\{"msg":("(?:[^"\\]|\\.)*"),"level":"error","time":"[^"]*"\}')
"""An error that ends runsc, as in its log, without a line end."""
WITHIN = frozenset(
    {SurfaceKind.ADDED, SurfaceKind.IMAGE, SurfaceKind.DELETED, SurfaceKind.TMPFS, SurfaceKind.SHM, SurfaceKind.BIND}
)
UNREAD = ("fresh-start", "garbage-image", "stopped-workload")
"""Controls that need no files of a captured disk."""


class Runsc(OciRuntime):
    """Adapter for runsc without an engine."""

    name = "runsc"
    of_criu = ()
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="root file system under an overlay inside the sandbox, backed by a file (root:self, the default)",
            policies=(FreezePolicy.ENGINE, FreezePolicy.PAUSE),
            still=FreezePolicy.ENGINE,
            surfaces=WITHIN,
            scenarios=SCENARIOS,
            thorough=OF_TARGET,
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
            what="root file system outside the sandbox; the harness keeps the writable layer, as an engine would",
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
        """Run a program in a sandbox of this way; older releases lack systrap and some modes of the overlay."""
        try:
            dated = re.search(r"\d{8}", self._version("runsc", "runsc version "))
            self._returns = dated is None or int(dated[0]) >= RETURNS_SINCE
            known = "systrap" in self.node.ask(["runsc", "flags"]).stderr
            platform = "systrap" if known and self.way.name != "ptrace" else "ptrace"
            self._flags = (f"--platform={platform}", f"--overlay2={self.OVERLAYS.get(self.way.name, 'root:self')}")
            probe = self.node.ask(["runsc", "--network=none", "--ignore-cgroups", *self._flags, "do", "true"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=shlex.join(probe.argv)),)

    def prepare(self) -> None:
        """Keep runsc away from the node's network and cgroups, and have panics logged; there is no daemon."""
        self._flags = ("--network=none", "--ignore-cgroups", panic_log(self.node), *self._flags)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore in a new sandbox."""
        try:
            return super().restore(checkpoint, spec)
        except CommandFailed as error:
            error.late = any("restoring container" in line for line in error.log)  # the sandbox's message
            raise

    def components(self) -> tuple[Component, ...]:
        """Read the version from the binary; platform and overlay are those of the command line."""
        told = dict(flag.removeprefix("--").partition("=")[::2] for flag in self._flags)
        return (
            Component(name="runsc", version=self._version("runsc", "runsc version ")),
            Component(name="platform", version=told["platform"]),
            Component(name="overlay", version=told["overlay2"]),
        )

    def _begin(self, container: Container, *arguments: str, deadline: float = START_SECONDS) -> None:
        self.node.make(container.cgroup)
        argv = _inside(container, self._argv(*arguments))
        self.node.run(argv, deadline=deadline, detached=True, runtime=True)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write memory, with the root file system if its overlay is inside the sandbox; leave the container running."""
        if self._returns:
            super().live_checkpoint(checkpoint)
            return
        name, stderr = checkpoint.container.name, f"{checkpoint.folder}/stderr"  # the only place for a panic
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
        self.node.remark("checkpoint --leave-running restarted the container and did not return; it was killed")

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Return the writable layer alone: gVisor's own format shows its content only in a restore."""
        return Contents(None, {"/": CapturedFiles(self.node.path(checkpoint.upper))} if self.way.leaves_disk else {})

    def kill(self, container: Container) -> None:
        """End the container, after a resume if it is paused: a paused container takes no signal."""
        alive = cgroups.processes(str(self.node.path(container.cgroup)))
        if alive and self.state(container) is State.PAUSED:
            self.resume(container)
        super().kill(container)

    def _text(self, log: str) -> str:
        """Return the log's errors as text, without stacks of goroutines."""
        said = FATAL.sub(lambda error: f"{json.loads(error[1])}\n", super()._text(log))
        return re.sub(r"\n+goroutine .*", "", said, flags=re.DOTALL)

    def _clear_away(self, container: Container) -> None:
        super()._clear_away(container)
        if self.node.path(container.cgroup).exists():
            self.node.do(["rmdir", container.cgroup], self.node.path(container.cgroup).rmdir)


def _inside(container: Container, argv: list[str]) -> list[str]:
    """Return the command, run in the container's group: with --ignore-cgroups a sandbox stays in the caller's group."""
    script = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
    return ["sh", "-c", script, container.cgroup, *argv]
