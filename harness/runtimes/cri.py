"""Engines behind CRI, as the kubelet drives them: containerd and CRI-O. Each container has a pod of its own.

A checkpoint is an archive of memory and writable layer. A restore is a container whose image is the archive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from harness.checkpoints.documents import CONFIG, SPEC
from harness.checkpoints.sources import Archive
from harness.checkpoints.untrusted import Absent, Broken, Budget
from harness.cri.codes import NOT_FOUND, RUNNING, UNIMPLEMENTED
from harness.cri.engines import ENGINES, SANDBOX, SANDBOX_ENTRY, WORKLOAD, Engine
from harness.host import cgroups
from harness.host.wait import until
from harness.model.cells import FAULTS, FreezePolicy, Scenario, SurfaceKind
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed, StillframeError
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Stage
from harness.runtimes import cri_requests, criu_configuration, criu_log, image_archive, shim, versions
from harness.runtimes.contract import (
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
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node

if TYPE_CHECKING:
    from harness.checkpoints.translation.translate import Order
    from harness.cri.client import Client

CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
NOTICE_SECONDS = 10.0
CONTAINERENV = "/run/.containerenv"
"""File that Podman and CRI-O mount into each container."""
SURFACES = frozenset(
    {SurfaceKind.ADDED, SurfaceKind.IMAGE, SurfaceKind.DELETED, SurfaceKind.BIND, SurfaceKind.SHM, SurfaceKind.STDOUT}
)


def _ways(engine: str, form: str, *policies: FreezePolicy) -> tuple[Way, ...]:
    """Return the two ways to restore: in a new pod, under all `policies`, and in the pod of the source."""
    common = Way(
        what="an archive by CheckpointContainer, restored by CreateContainer in a new pod",
        policies=policies,
        still=FreezePolicy.ENGINE,
        pods=True,
        surfaces=SURFACES,
        outside=frozenset({SurfaceKind.BIND, SurfaceKind.SHM}),
        scenarios=(Scenario.ABANDONED, Scenario.CONCURRENT, Scenario.GENERATIONS, Scenario.POD_FROZEN),
        thorough=(*FAULTS, Scenario.SECRETS),
        groups=(Scenario.GROUP, Scenario.GROUP_AT_ONCE, Scenario.POD),
        controls=("fresh-start", "stopped-workload"),
        kind=f"archive of {engine} for CRI",
        form=form,
    )
    what = "the same, restored in the pod of the source"
    alone = (FreezePolicy.ENGINE,)
    same = replace(common, name="same-pod", what=what, policies=alone, in_pod=True, kind="", form="")
    return common, replace(same, scenarios=(), thorough=(), groups=(), controls=())


class Cri:
    """Adapter for CRI; subclasses name the engine and the OCI runtime."""

    name: ClassVar[str]
    engine: ClassVar[Engine]
    program: ClassVar[str]
    """The OCI runtime."""
    ways: ClassVar[tuple[Way, ...]]

    _client: Client

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way

    @property
    def _programs(self) -> dict[str, str]:
        return {**self.engine.programs, self.program: "--version"}

    def capabilities(self) -> tuple[Capability, ...]:
        """Check that all programs are installed, and ask CRIU whether it works on this kernel."""
        try:
            for program, option in (*self._programs.items(), *((tool, "--version") for tool in self.engine.tools)):
                self.node.ask([program, option])
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def prepare(self) -> None:
        """Configure CRIU and the engine, start the engine, and wait until it answers."""
        criu_configuration.configure(self.node, self.program)
        self.node.write(cri_requests.HOSTS, "127.0.0.1 localhost\n")
        path = self.node.run(["sh", "-c", f"command -v {self.program}"]).stdout.strip()
        if self.engine.shimmed:
            path = shim.runtime(self.node, self.program, path)
        daemon = self.engine.start(self.node, self.program, path)
        self._connect(daemon)
        daemon.await_answer(self._client.answers, seconds=RESTORE_SECONDS)

    def _connect(self, daemon: Daemon | None = None) -> None:
        from harness.cri.client import Client  # noqa: PLC0415  # grpc is slow to load

        self._client = Client(self.node, daemon, self.engine.socket)

    def components(self) -> tuple[Component, ...]:
        """Read the versions from the binaries."""
        programs = {**self._programs, "criu": "--version"}
        found = {program: versions.of_program(self.node, program, flag=option) for program, option in programs.items()}
        return tuple(Component(name=name, version=version) for name, version in found.items())

    def load_image(self, folder: str, name: str = WORKLOAD) -> str:
        """Give the engine the image, and one for the process that holds a pod: the same, but for what it runs."""
        for each, config in ((SANDBOX, {"Entrypoint": [SANDBOX_ENTRY]}), (name, {"Cmd": ["/ledger"]})):
            archive = image_archive.write(self.node, folder, each, **config)
            self.engine.load(self.node, archive, each)
            self.node.remove(archive, again=True)
            if self.engine.pulls:
                self._client.call("PullImage", image={"image": each})
        return name

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer in a new pod, or in that of another container."""
        if spec.beside:
            return self._begin(spec, self._pod_of(spec.beside), spec.beside, spec.image, {})
        return self._begin_in_a_pod(spec, spec.image, {})

    def _begin_in_a_pod(self, spec: ContainerSpec, image: str, paths: Mapping[str, list[str]]) -> Container:
        pod = self._pod(spec.name)
        with self._pod_removed_on_failure(pod, spec.name):
            return self._begin(spec, pod, spec.name, image, paths)

    def known(self, spec: ContainerSpec) -> Container:
        """Ask the engine, also one that somebody else has started, for the identity behind the name."""
        if "_client" not in vars(self):
            self._connect()
        return self._container(spec, self._listed(spec.name).id, spec.name)

    def _listed(self, who: str) -> Any:
        """Find a container by its name or its id."""
        for each in self._client.call("ListContainers").containers:
            if who in (each.metadata.name, each.id):
                return each
        raise CommandFailed(f"{self.name} on {self.node.stack} has no container {who}", runtime=True)

    def state(self, container: Container) -> State:
        """Ask the engine for the container's state; CRI has no word for a paused one."""
        try:
            return State.RUNNING if self._runs(container) else State.STOPPED
        except CommandFailed as error:
            if error.code == NOT_FOUND:
                return State.ABSENT
            raise

    def _runs(self, container: Container) -> bool:
        status = self._client.call("ContainerStatus", container_id=container.id).status
        return bool(status.state == RUNNING)

    def pause(self, container: Container) -> None:
        """Freeze the container with the engine's own command, since CRI has none."""
        self.node.run(self.engine.pause(self.program, container.id), runtime=True)

    def resume(self, container: Container) -> None:
        """Undo `pause`, or thaw what the engine has left frozen."""
        *first, last = self.engine.resume(self.program, container.id)
        for command in first:
            with contextlib.suppress(CommandFailed):
                self.node.run(command, runtime=True)
                return
        self.node.run(last, runtime=True)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Take memory and layer in one call, which leaves the container running."""
        container = checkpoint.container
        if self.node.path(checkpoint.archive).exists():  # both engines write over a file, and leave the rest of it
            raise CommandFailed(f"{checkpoint.archive} on {self.node.stack} already exists")
        with self._supported(), criu_log.explained(self.node, self.engine.logs(container.id)[0]):
            self._client.call(
                "CheckpointContainer",
                seconds=CHECKPOINT_SECONDS,
                container_id=container.id,
                location=checkpoint.archive,
            )

    @contextlib.contextmanager
    def _supported(self) -> Iterator[None]:
        """Tell a method that the engine does not have, as containerd before 2.0, from one that fails."""
        try:
            yield
        except CommandFailed as error:
            if error.code == UNIMPLEMENTED:
                raise StageFailed(Stage.CHECKPOINT, Outcome.UNSUPPORTED, str(error)) from error
            raise

    def checkpoint_pod(self, containers: Sequence[Container], folder: str, *, seconds: float) -> None:
        """Have the engine take containers of one pod together; only their ids are looked at."""
        pod = self._pod_of(containers[0].id)
        ids = [each.id for each in containers]
        with self._supported():
            self._client.call(
                "CheckpointPod", seconds=seconds, pod_sandbox_id=pod, output_path=folder, container_ids=ids
            )

    def restore_pod(self, folder: str, specs: Sequence[ContainerSpec]) -> tuple[Container, ...]:
        """Have the engine restore a pod, and check that it names each container once."""
        pod = specs[0].name
        made = self._client.call(
            "RestorePod",
            seconds=RESTORE_SECONDS,
            checkpoint_path=folder,
            config=self._pod_config(pod),
            container_configs=[cri_requests.container(spec, spec.image, {}) for spec in specs],
        )
        wanted = [spec.name for spec in specs]
        ids = {each.name: each.container_id for each in made.restored_containers if each.container_id}
        if sorted(ids) != sorted(wanted) or len({*ids.values()}) < len(made.restored_containers):
            said = ", ".join(f"{each.name} {each.container_id}" for each in made.restored_containers)
            if made.pod_sandbox_id:
                self._remove_pod(made.pod_sandbox_id, self.node.freezer(pod))
            raise CommandFailed(f"RestorePod of {' and '.join(wanted)} returned {said or 'no container'}", runtime=True)
        return tuple(self._container(spec, ids[spec.name], pod) for spec in specs)

    def begin(self, container: Container) -> None:
        """Start a container that was created or restored."""
        self._client.call("StartContainer", seconds=RESTORE_SECONDS, container_id=container.id)

    def capture(self, checkpoint: Checkpoint) -> None:
        """Do nothing: the checkpoint already has the disk."""

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Unpack the archive."""
        from harness.checkpoints.layouts import Exported  # noqa: PLC0415  # brings protobuf, which is slow to load

        folder = self.node.path(checkpoint.folder)
        try:
            archive = Archive(self.node.path(checkpoint.archive), folder / "parts", Budget())
        except Absent as error:
            raise Broken(f"the engine has written no archive: {error}") from error
        for name in (CONFIG, SPEC):
            if name not in archive.files:
                raise Broken(f"{name} is missing")
        opened = Exported().lay_open(archive, "", pages=True)
        disks = {
            mount: disk.take(None, folder / f"disk-{number}")
            for number, (mount, disk) in enumerate(opened.disks.items())
        }
        images = opened.images or opened.within
        return Contents(f"/{images.relative_to(self.node.path('/'))}", disks, opened.log)

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore in a new pod, or beside the source."""
        described = cri_requests.specification(self.node.path(checkpoint.archive))
        spec = replace(spec, mounts=(*spec.mounts, *self._foreign_mounts(spec, described)))
        paths = {field: described["linux"].get(name) or [] for field, name in cri_requests.PATHS.items()}
        with criu_log.explained(self.node, self.engine.logs("*")[1]):
            if self.way.name == "same-pod":
                pod = self._pod_of(checkpoint.container.id)
                return self._begin(spec, pod, checkpoint.container.name, checkpoint.archive, paths)
            return self._begin_in_a_pod(spec, checkpoint.archive, paths)

    def _foreign_mounts(self, spec: ContainerSpec, described: dict[str, Any]) -> Iterator[Mount]:
        """Give what another engine has mounted into the container, and this one does not mount by itself."""
        if self.way.form == "containerd" and CONTAINERENV in {each.get("destination") for each in described["mounts"]}:
            self.node.write(f"{spec.folder}/containerenv", "")
            yield Mount(SurfaceKind.BIND, CONTAINERENV, f"{spec.folder}/containerenv")

    def translation(self, checkpoint: Checkpoint) -> Order:  # noqa: ARG002
        """Name the image by its digest, if it came from a registry: containerd pulls it again at a restore."""
        from harness.checkpoints.translation.translate import Order  # noqa: PLC0415  # brings protobuf

        digests = self._client.call("ImageStatus", image={"image": WORKLOAD}).image.repo_digests
        return Order(self.way.form, image=next(iter(digests), ""))

    def log(self, container: Container) -> str:
        """Return the file of the container's log, as the engine names it."""
        return str(self._client.call("ContainerStatus", container_id=container.id).status.log_path)

    def discard(self, checkpoint: Checkpoint) -> None:
        """Do nothing: the archive is in the checkpoint's folder."""

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the container's first process with the engine's own command, since CRI has none."""
        self.node.run(self.engine.signal(self.program, container.id, name), runtime=True)

    def kill(self, container: Container) -> None:
        """End the container's processes and wait until the kernel shows none."""
        group = str(self.node.path(container.cgroup))
        if cgroups.processes(group) and cgroups.frozen(group):
            self.resume(container)
        end(container.name, group, lambda: self._client.call("StopContainer", container_id=container.id, timeout=0))

    def delete(self, container: Container) -> None:
        """Remove the container, and its pod unless that has another one."""
        pod = self._pod_of(container.id)
        with contextlib.suppress(DeadlineExceeded):  # while containerd notices an end, it cannot stop the container
            until(lambda: not self._runs(container), seconds=NOTICE_SECONDS, what="the end of a container")
        self._client.call("StopContainer", container_id=container.id, timeout=0)
        self._client.call("RemoveContainer", container_id=container.id)
        if not any(each.pod_sandbox_id == pod for each in self._client.call("ListContainers").containers):
            self._remove_pod(pod, container.cgroup.rpartition("/")[0])

    def _pod(self, name: str) -> str:
        """Start a pod, and return its id."""
        return str(self._client.call("RunPodSandbox", config=self._pod_config(name)).pod_sandbox_id)

    def _pod_config(self, name: str) -> dict[str, Any]:
        config = cri_requests.pod(name)
        self.node.make(config["log_directory"])
        return config

    def _begin(self, spec: ContainerSpec, pod: str, name: str, image: str, paths: Mapping[str, list[str]]) -> Container:
        """Create and start a container in the pod with that `name`; `paths`: masked and read-only ones."""
        made = self._client.call(
            "CreateContainer",
            seconds=RESTORE_SECONDS,
            pod_sandbox_id=pod,
            config=cri_requests.container(spec, image, paths),
            sandbox_config=self._pod_config(name),
        ).container_id
        try:
            self.begin(self._container(spec, made, name))
        except StillframeError:
            for method in ("StopContainer", "RemoveContainer"):
                with contextlib.suppress(StillframeError):
                    self._client.call(method, container_id=made)
            raise
        return self._container(spec, made, name)

    def _container(self, spec: ContainerSpec, identity: str, pod: str) -> Container:
        return Container(spec, self.node.freezer(f"{pod}/{self.engine.prefix}{identity}"), id=identity)

    def _pod_of(self, who: str) -> str:
        return str(self._listed(who).pod_sandbox_id)

    def _remove_pod(self, pod: str, group: str) -> None:
        """Remove a pod, and its group, which belongs to whoever has named it: for the kubelet's pods, the kubelet."""
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            self._client.call(method, pod_sandbox_id=pod)
        if self.node.path(group).exists():
            self.node.do(["rmdir", group], self.node.path(group).rmdir)

    @contextlib.contextmanager
    def _pod_removed_on_failure(self, pod: str, name: str) -> Iterator[None]:
        try:
            yield
        except StillframeError:
            with contextlib.suppress(StillframeError):
                self._remove_pod(pod, self.node.freezer(name))
            raise


class CriContainerdRunc(Cri):
    """containerd behind CRI, on runc."""

    name = "cri/containerd/runc"
    ways = _ways("containerd", "containerd", FreezePolicy.ENGINE, FreezePolicy.PAUSE, FreezePolicy.CGROUP)
    engine = ENGINES["containerd"]
    program = "runc"


class CriContainerdCrun(Cri):
    """containerd behind CRI, on crun."""

    name = "cri/containerd/crun"
    ways = _ways("containerd", "containerd", FreezePolicy.ENGINE, FreezePolicy.PAUSE, FreezePolicy.CGROUP)
    engine = ENGINES["containerd"]
    program = "crun"


class CriCrioRunc(Cri):
    """CRI-O on runc."""

    name = "cri/crio/runc"
    ways = _ways("CRI-O", "crio", FreezePolicy.ENGINE, FreezePolicy.CGROUP)
    engine = ENGINES["crio"]
    program = "runc"


class CriCrioCrun(Cri):
    """CRI-O on crun."""

    name = "cri/crio/crun"
    ways = _ways("CRI-O", "crio", FreezePolicy.ENGINE, FreezePolicy.CGROUP)
    engine = ENGINES["crio"]
    program = "crun"
