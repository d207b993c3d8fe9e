"""The common part of the raw OCI runtimes: bundles, and runc's command line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from harness.model.cells import FreezePolicy, Scenario, SurfaceKind
from harness.model.commands import Command
from harness.model.controls import Ground
from harness.model.errors import CommandFailed, StillframeError
from harness.model.machine import Component
from harness.runtimes import criu_configuration, criu_log
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
from harness.runtimes.ending import end
from harness.runtimes.layers import LayersOfOurs
from harness.stacks.node import Node

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
NOT_MOUNTED = 32
"""Exit code of umount(8) for `mount failed`, which includes `not mounted`."""
KIND = "CRIU images and a layer"
UNMASKED = "unmasked"
OF_DOCKER = [
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
]
"""Capabilities of a container, unless somebody says otherwise (moby, daemon/pkg/oci/caps/defaults.go)."""
OF_ENGINES = {SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME, SurfaceKind.STDOUT}
"""Kinds of surface that only an engine has."""


class OciRuntime(LayersOfOurs):
    """Adapter for a runtime with runc's command line; a subclass names the program and overrides what differs."""

    name: ClassVar[str]
    of_criu: ClassVar[tuple[str, ...]] = ("file-locks", "tcp-established")
    """Options of CRIU that the runtime has itself, for a checkpoint and a restore."""
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="the runtime alone; the harness keeps image and writable layer, as an engine would",
            policies=(FreezePolicy.NONE, FreezePolicy.PAUSE, FreezePolicy.CGROUP, FreezePolicy.HOOK),
            surfaces=frozenset(SurfaceKind) - OF_ENGINES,
            leaves_disk=True,
            scenarios=(*SCENARIOS, Scenario.INCREMENTAL),
            thorough=(Scenario.KILLED_CRIU, *OF_TARGET, Scenario.SECRETS),
            groups=(Scenario.GROUP,),
            kind=KIND,
            bridges=(Scenario.MAPPED, Scenario.TRANSLATED),
            mutants=Ground.FOLDERS,
        ),
        Way(
            name=UNMASKED,
            what="the same without masked paths in the container's specification",
            policies=(FreezePolicy.PAUSE,),
            leaves_disk=True,
            controls=(),
            kind=KIND,
        ),
    )

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way
        self._defaults: dict[str, Any] | None = None

    def prepare(self) -> None:
        """Configure CRIU; there is no daemon."""
        criu_configuration.configure(self.node, self.name)
        self.node.without_controllers("no-resources", change="linux.resources of the specification is empty")

    def _argv(self, *arguments: str) -> list[str]:
        return [self.name, "--root", f"/run/{self.name}", *arguments]

    def _call(
        self, *arguments: str, deadline: float = START_SECONDS, detached: bool = False, cwd: str = "/"
    ) -> Command:
        return self.node.run(self._argv(*arguments), deadline=deadline, detached=detached, cwd=cwd, runtime=True)

    def _begin(self, _: Container, *arguments: str, deadline: float = START_SECONDS) -> None:
        """Call the runtime to start the processes of a new container."""
        # Detached: the container inherits the streams, and CRIU refuses descriptors from outside the container.
        self._call(*arguments, deadline=deadline, detached=True)

    def components(self) -> tuple[Component, ...]:
        """Read the versions of the runtime and of CRIU from the binaries."""
        programs = ((self.name, f"{self.name} version "), ("criu", "Version: "))
        return tuple(Component(name=name, version=self._version(name, before)) for name, before in programs)

    def _version(self, program: str, before: str) -> str:
        said = self.node.ask([program, "--version"]).stdout
        if not said.startswith(before):
            raise CommandFailed(f"{program} --version printed {said[:80]!r}, which does not begin with {before!r}")
        return said.splitlines()[0].removeprefix(before).strip()

    def capabilities(self) -> tuple[Capability, ...]:
        """Check that the runtime is installed, and ask CRIU whether it works on this kernel."""
        try:
            self.node.ask([self.name, "--version"])
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer."""
        container = self._container(spec)
        with self._undone_on_failure(container):
            self._lay_out(container, upper=None)
            self._begin(container, "--log", self._log(container), "run", *self._bundled(spec), spec.name)
        return container

    def known(self, spec: ContainerSpec) -> Container:
        """All of it follows from the name."""
        return self._container(spec)

    def state(self, container: Container) -> State:
        """Ask the runtime for the container's state."""
        try:
            said = self._call("state", container.name).stdout
        except CommandFailed as error:
            if any(words in error.stderr.lower() for words in ("does not exist", "no such file or directory")):
                return State.ABSENT
            raise
        try:
            return State(json.loads(said)["status"])
        except (ValueError, KeyError, TypeError) as error:
            what = f"{self.name} state {container.name} printed no state: {said!r}"
            raise CommandFailed(what, runtime=True) from error

    def pause(self, container: Container) -> None:
        """Freeze the container with the runtime's own command."""
        self._call("pause", container.name)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self._call("resume", container.name)

    def _explained(self, *criu: str, own: str) -> contextlib.AbstractContextManager[None]:
        """Attach the errors in CRIU's log to a failure, or else the last lines of the runtime's own log."""
        return criu_log.explained(self.node, *criu, otherwise=lambda: self._text(own))

    def _text(self, log: str) -> str:
        """Return the text of the runtime's log."""
        return self.node.read(log)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the container's memory and leave it running."""
        self._dump(checkpoint, "--leave-running", checkpoint.images, upon=checkpoint.earlier[-1:])

    def pre_dump(self, checkpoint: Checkpoint) -> None:
        """Write the container's memory, or its changes since the previous level."""
        *before, level = checkpoint.earlier
        self._dump(checkpoint, "--pre-dump", f"{checkpoint.folder}/{level}", upon=tuple(before[-1:]))

    def _dump(self, checkpoint: Checkpoint, kind: str, images: str, *, upon: tuple[str, ...]) -> None:
        work = checkpoint.work
        self.node.make(images, work)  # crun does not make them
        own = f"{checkpoint.folder}/{self.name}.log"
        parent = [word for level in upon for word in ("--parent-path", f"../{level}")]
        with self._explained(f"{work}/dump.log", own=own):
            self._call(
                *("--log", own, "checkpoint", kind, "--image-path", images, *parent),
                *checkpoint.container.spec.offered(*self.of_criu),
                *("--work-path", work, checkpoint.container.name),
                deadline=CHECKPOINT_SECONDS,
            )

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore a new container from the images and the captured layer, beside the source."""
        container = self._container(spec)
        work = f"{spec.folder}/criu"
        with self._undone_on_failure(container, f"{work}/restore.log"):
            self._lay_out(container, upper=checkpoint.upper if self.way.leaves_disk else None)
            self._begin(
                container,
                *("--log", self._log(container), "restore", *self._bundled(spec)),
                *("--image-path", checkpoint.images, "--work-path", work, *spec.offered(*self.of_criu), spec.name),
                deadline=RESTORE_SECONDS,
            )
        return container

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the container's first process."""
        self._call("kill", container.name, name)

    def kill(self, container: Container) -> None:
        """End the container's processes and wait until the kernel shows none."""
        end(container.name, str(self.node.path(container.cgroup)), lambda: self.signal(container, "KILL"))

    def delete(self, container: Container) -> None:
        """Remove the container and everything that was made for it."""
        self._call("delete", "--force", container.name)
        self._clear_away(container)

    def _clear_away(self, container: Container) -> None:
        self.node.run(["umount", self._root(container.spec)], accept=(0, NOT_MOUNTED))

    def _log(self, container: Container) -> str:
        return f"{container.spec.folder}/{self.name}.log"

    def _bundled(self, spec: ContainerSpec) -> tuple[str, ...]:
        return ("--detach", "--bundle", spec.folder)

    @contextlib.contextmanager
    def _undone_on_failure(self, container: Container, *criu: str) -> Iterator[None]:
        """After a failed start or restore, read the logs and then remove the container's remains."""
        try:
            with self._explained(*criu, own=self._log(container)):
                yield
        except StillframeError:
            with contextlib.suppress(CommandFailed):
                self._call("delete", "--force", container.name)
            with contextlib.suppress(CommandFailed):
                self._clear_away(container)
            raise

    def _container(self, spec: ContainerSpec) -> Container:
        return Container(spec, self.node.freezer(spec.name), upper=self._upper(spec))

    def _lay_out(self, container: Container, *, upper: str | None) -> None:
        """Make the bundle: the root and the specification."""
        spec = container.spec
        self._mount_root(spec, upper=upper)
        self.node.make(f"{spec.folder}/criu")
        self.node.write(f"{spec.folder}/config.json", json.dumps(self._config(spec), indent=1) + "\n")

    def _config(self, spec: ContainerSpec) -> dict[str, Any]:
        """Return the runtime's own default specification, with as few changes as possible."""
        config = self._default_config()
        config["process"] |= {"terminal": False, "args": list(spec.argv)}
        if spec.env:
            config["process"]["env"] = [*config["process"].get("env", ()), *spec.env]
        if spec.application:
            config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), OF_DOCKER)
        config["root"] |= {"path": "rootfs", "readonly": False}
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] not in ("sysfs", "cgroup")]
        config["mounts"] += [_mount(mount) for mount in spec.mounts if mount.kind is not SurfaceKind.SHM]
        config["mounts"].append(_mount(Mount(SurfaceKind.BIND, spec.report_mount, spec.report)))
        config["linux"]["cgroupsPath"] = f"/{spec.name}"
        if self.way.name == UNMASKED:
            config["linux"]["maskedPaths"] = []
        if not self.node.has_controllers():
            config["linux"]["resources"] = {}
        return config

    def _default_config(self) -> dict[str, Any]:
        if self._defaults is None:
            folder = f"{self.node.storage}/spec-{self.name}"
            self.node.make(folder)
            self._call("spec", cwd=folder)
            self._defaults = json.loads(self.node.path(f"{folder}/config.json").read_text(encoding="utf-8"))
        copied: dict[str, Any] = json.loads(json.dumps(self._defaults))
        return copied


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.kind is SurfaceKind.TMPFS:
        options = ["nosuid", "nodev", "mode=755"]
        return {"destination": mount.target, "type": "tmpfs", "source": "tmpfs", "options": options}
    return {"destination": mount.target, "type": "bind", "source": mount.source, "options": ["rbind", "rw"]}
