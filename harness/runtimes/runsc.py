"""runsc, the OCI runtime of gVisor: the checkpoint is its own, of a kernel in user space, and CRIU has no part in it.

Where the root file system has an overlay inside the sandbox, that is memory and part of every checkpoint. The overlay
mode all:memory covers bind mounts too, and with them the channel on which a workload is heard: root:memory stands for
it.
"""

from __future__ import annotations

from typing import ClassVar

from harness.errors import CommandFailed
from harness.host.wait import until
from harness.model import Component, FreezePolicy, Scenario, SurfaceKind
from harness.runtimes.contract import Capability, Checkpoint, Container, Contents, State, Way
from harness.runtimes.oci import CHECKPOINT_SECONDS, START_SECONDS, OciRuntime
from harness.stacks.node import Daemon

RETURNS_SINCE = 20240101
"""Releases before keep `checkpoint --leave-running` in the foreground until the container ends: 20221219 does, 20240729
does not."""
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
    _release = 0

    def _argv(self, *arguments: str) -> list[str]:
        return [self.name, "--root", "/run/runsc", *self._flags, *arguments]

    def capabilities(self) -> tuple[Capability, ...]:
        """Let a sandbox of this way run a program; older releases know neither systrap nor modes of the overlay."""
        try:
            self._release = int(self._version("runsc", "runsc version ").partition("~")[2].partition(".")[0] or 0)
            platform = "ptrace" if self.way.name == "ptrace" or not self._knows("--platform=systrap") else "systrap"
            self._flags = (f"--platform={platform}", f"--overlay2={self.OVERLAYS.get(self.way.name, 'root:self')}")
            self.node.run(self._do(*self._flags))
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=" ".join(self._do(*self._flags))),)

    @staticmethod
    def _do(*flags: str) -> list[str]:
        return ["runsc", "--network=none", "--ignore-cgroups", *flags, "do", "true"]

    def _knows(self, *flags: str) -> bool:
        try:
            self.node.run(self._do(*flags))
        except CommandFailed as error:
            if error.code == 127:  # noqa: PLR2004  # there is no such program
                raise
            return False
        return True

    def prepare(self) -> None:
        """Keep runsc away from what is not the sandbox's; there is no daemon."""
        self._flags = ("--network=none", "--ignore-cgroups", *self._flags)

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
        if self._release >= RETURNS_SINCE:
            super().live_checkpoint(checkpoint)
            return
        container, log = checkpoint.container, f"{checkpoint.folder}/runsc.log"
        self.node.run(["mkdir", "-p", checkpoint.images])
        line = ("--log", log, "checkpoint", "--leave-running", "--image-path", checkpoint.images, container.name)
        with self._explained(criu=None, own=log):
            restarted = self.node.launch(_inside(container, self._argv(*line)))
            until(
                lambda: self._restarted(restarted, checkpoint),
                seconds=CHECKPOINT_SECONDS,
                what=f"the checkpoint of {container.name}",
            )

    def _restarted(self, command: Daemon, checkpoint: Checkpoint) -> bool:
        """Whether the container runs again; the command goes on, as the parent of what it has started."""
        if command.ended:
            raise CommandFailed(f"checkpoint of {checkpoint.container.name} has ended, and so has it", runtime=True)
        images = self.node.path(checkpoint.images)
        return (images / "checkpoint.img").exists() and self.state(checkpoint.container) is State.RUNNING

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """The format is gVisor's own: what is in it is known from a restore."""
        return Contents(None, {"/": checkpoint.upper} if self.way.leaves_disk else {})

    def _clear_away(self, container: Container) -> None:
        super()._clear_away(container)
        if self.node.path(container.cgroup).exists():
            self.node.run(["rmdir", container.cgroup])


def _inside(container: Container, argv: list[str]) -> list[str]:
    """The same command in the container's group: with --ignore-cgroups a sandbox stays where it is started."""
    script = 'echo 0 > "$0/cgroup.procs" && exec "$@" </dev/null >/dev/null 2>&1'
    return ["sh", "-c", script, container.cgroup, *argv]
