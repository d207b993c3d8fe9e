"""What runc and crun have in common: bundles, and the command line of the OCI runtimes.

A raw runtime does not know images or writable layers. Here the harness does what an engine does: an overlay over the
image's folder is the container's root, and its upper folder is captured beside the checkpoint.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from harness.errors import CommandFailed, StillframeError
from harness.host import cgroups
from harness.host.wait import until
from harness.model import Command, Component
from harness.runtimes import criu_log
from harness.runtimes.contract import Capability, Captured, Checkpoint, Container, ContainerSpec, State
from harness.stacks.node import Node

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
KILL_SECONDS = 20.0
NOT_MOUNTED = 32
"""Exit code of umount(8) for `mount failed`, which covers what is not mounted."""
CRIU_CONFIGURATION = "/etc/criu/default.conf"


class OciRuntime:
    """Adapter for a runtime with runc's command line; subclasses name the program and its peculiarities."""

    name: str

    def __init__(self, node: Node) -> None:
        self.node = node
        self._defaults: dict[str, Any] | None = None
        self._configure_criu()

    def _configure_criu(self) -> None:
        """Keep CRIU away from cgroups: it would rebuild every v1 hierarchy of the host that it can see."""
        self.node.write(f"/etc/criu/{self.name}.conf", "manage-cgroups=ignore\n")
        roots = [
            f"cgroup-root={controller}:/\n"
            for line in self.node.path("/proc/1/cgroup").read_text(encoding="utf-8").splitlines()
            for controller in filter(None, line.split(":")[1].split(","))
        ]
        self.node.write(CRIU_CONFIGURATION, "".join(roots))

    def _call(
        self, *arguments: str, deadline: float = START_SECONDS, detached: bool = False, cwd: str = "/"
    ) -> Command:
        argv = [self.name, "--root", f"/run/{self.name}", *arguments]
        return self.node.run(argv, deadline=deadline, detached=detached, cwd=cwd, runtime=True)

    def components(self) -> tuple[Component, ...]:
        """Read the versions of the runtime and of CRIU from the binaries."""
        programs = ((self.name, f"{self.name} version "), ("criu", "Version: "))
        return tuple(Component(name=name, version=self._version(name, before)) for name, before in programs)

    def _version(self, program: str, before: str) -> str:
        said = self.node.run([program, "--version"]).stdout
        if not said.startswith(before):
            raise CommandFailed(f"{program} --version says {said[:80]!r}, which does not begin with {before!r}")
        return said.splitlines()[0].removeprefix(before).strip()

    def capabilities(self) -> tuple[Capability, ...]:
        """Ask CRIU whether it can work on this kernel."""
        try:
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer."""
        container = self._container(spec)
        with self._undone_on_failure(container):
            self._lay_out(container, upper=None)
            # Detached: the container inherits the streams, and CRIU refuses descriptors from outside.
            self._call("--log", self._log(container), "run", *self._bundled(spec), spec.name, detached=True)
        return container

    def state(self, container: Container) -> State:
        """Ask the runtime for the container's state."""
        try:
            said = self._call("state", container.name).stdout
        except CommandFailed as error:
            if any(words in error.stderr for words in ("does not exist", "No such file or directory")):
                return State.ABSENT
            raise
        try:
            return State(json.loads(said)["status"])
        except (ValueError, KeyError, TypeError) as error:
            what = f"{self.name} state {container.name} gave no state but {said!r}"
            raise CommandFailed(what, runtime=True) from error

    def pause(self, container: Container) -> None:
        """Freeze it by the runtime's own command."""
        self._call("pause", container.name)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self._call("resume", container.name)

    @contextlib.contextmanager
    def _explained(self, *, criu: str | None, own: str) -> Iterator[None]:
        """Attach to a failure what CRIU's log says of errors, or else the last lines of the runtime's own log."""
        try:
            yield
        except CommandFailed as error:
            told = criu_log.telling_lines(self._text(criu)) if criu else ()
            error.log = told or tuple(self._text(own).splitlines()[-criu_log.KEPT :])
            raise

    def _text(self, log: str) -> str:
        try:
            return self.node.path(log).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def live_checkpoint(self, container: Container, folder: str) -> Checkpoint:
        """Write its memory below `folder` and leave it running."""
        images, work = f"{folder}/images", f"{folder}/work"
        self.node.run(["mkdir", "-p", images, work])  # crun does not
        own = f"{folder}/{self.name}.log"
        with self._explained(criu=f"{work}/dump.log", own=own):
            self._call(
                *("--log", own, "checkpoint", "--leave-running"),
                *("--image-path", images, "--work-path", work, container.name),
                deadline=CHECKPOINT_SECONDS,
            )
        return Checkpoint(images)

    def restore(self, captured: Captured, spec: ContainerSpec) -> Container:
        """Make a new container out of a checkpoint and its writable layer, beside the source."""
        container = self._container(spec)
        work = f"{self._folder(spec)}/criu"
        with self._undone_on_failure(container, criu=f"{work}/restore.log"):
            self._lay_out(container, upper=captured.upper)
            self._call(
                *("--log", self._log(container), "restore", *self._bundled(spec)),
                *("--image-path", captured.checkpoint.images, "--work-path", work, spec.name),
                deadline=RESTORE_SECONDS,
                detached=True,
            )
        return container

    def kill(self, container: Container) -> None:
        """End its processes and wait until the kernel says that they are gone."""
        group = str(self.node.path(container.cgroup))
        if cgroups.processes(group):
            self._call("kill", container.name, "KILL")
            until(lambda: not cgroups.processes(group), seconds=KILL_SECONDS, what=f"the end of {container.name}")

    def delete(self, container: Container) -> None:
        """Remove it and all that was made for it."""
        self._call("delete", "--force", container.name)
        self._clear_away(container)

    def _clear_away(self, container: Container) -> None:
        folder = self._folder(container.spec)
        self.node.run(["umount", f"{folder}/rootfs"], accept=(0, NOT_MOUNTED))
        self.node.remove(folder)

    def _folder(self, spec: ContainerSpec) -> str:
        return f"{self.node.storage}/containers/{spec.name}"

    def _log(self, container: Container) -> str:
        return f"{self._folder(container.spec)}/{self.name}.log"

    def _bundled(self, spec: ContainerSpec) -> tuple[str, ...]:
        return ("--detach", "--bundle", self._folder(spec))

    @contextlib.contextmanager
    def _undone_on_failure(self, container: Container, *, criu: str | None = None) -> Iterator[None]:
        """Remove what was made for a container that did not come to be, after its logs were read."""
        try:
            with self._explained(criu=criu, own=self._log(container)):
                yield
        except StillframeError:
            with contextlib.suppress(CommandFailed):
                self._call("delete", "--force", container.name)
            with contextlib.suppress(CommandFailed):
                self._clear_away(container)
            raise

    def _container(self, spec: ContainerSpec) -> Container:
        folder = self._folder(spec)
        return Container(spec, f"{folder}/report", self.node.freezer(spec.name), f"{folder}/upper")

    def _lay_out(self, container: Container, *, upper: str | None) -> None:
        """Make the bundle: an overlay over the image's folder, and the specification."""
        spec, folder = container.spec, self._folder(container.spec)
        self.node.run(["mkdir", "-p", *(f"{folder}/{name}" for name in ("rootfs", "work", "report", "criu"))])
        if upper is None:
            self.node.run(["mkdir", container.upper])
        else:
            self.node.run(["cp", "--archive", upper, container.upper])
        layers = f"lowerdir={spec.image},upperdir={container.upper},workdir={folder}/work"
        self.node.run(["mount", "-t", "overlay", "overlay", "-o", layers, f"{folder}/rootfs"])
        self.node.write(f"{folder}/config.json", json.dumps(self._config(container), indent=1) + "\n")

    def _config(self, container: Container) -> dict[str, Any]:
        """Take the runtime's own default specification, with as few changes as the experiment needs."""
        config = self._default_config()
        spec = container.spec
        config["process"] |= {"terminal": False, "args": list(spec.argv)}
        config["root"] |= {"path": "rootfs", "readonly": False}
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] not in ("sysfs", "cgroup")]
        config["mounts"] += [
            {"destination": where, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]}
            for where in spec.tmpfs_mounts
        ]
        config["mounts"].append(
            {"destination": spec.report_mount, "type": "bind", "source": container.report, "options": ["rbind", "rw"]}
        )
        config["linux"] |= {"resources": {}, "cgroupsPath": f"/{spec.name}"}
        return config

    def _default_config(self) -> dict[str, Any]:
        if self._defaults is None:
            folder = f"{self.node.storage}/spec-{self.name}"
            self.node.run(["mkdir", "-p", folder])
            self._call("spec", cwd=folder)
            self._defaults = json.loads(self.node.path(f"{folder}/config.json").read_text(encoding="utf-8"))
        copied: dict[str, Any] = json.loads(json.dumps(self._defaults))
        return copied
