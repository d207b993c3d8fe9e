"""containerd, driven by its own client `ctr`; the engine's shim runs the containers and calls runc.

A checkpoint is an image in the engine's store, with memory in one blob and the writable layer in another. `ctr` pauses
the container around both, but the client library does not. Two more ways therefore build a checkpoint image from
parts that are taken one after the other.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from harness.checkpoints.archive import members, unpack
from harness.checkpoints.carriers import LAYER, MEMORY
from harness.checkpoints.disk import CapturedFiles, extract
from harness.checkpoints.untrusted import Broken, Budget, beneath, inside
from harness.host import cgroups
from harness.host.wait import until
from harness.model.cells import CgroupVersion, FreezePolicy, Scenario, SurfaceKind
from harness.model.commands import Command
from harness.model.errors import CommandFailed, StillframeError
from harness.model.machine import Component
from harness.runtimes import criu_configuration, criu_log, image_archive, shim, versions
from harness.runtimes.contract import (
    OF_PROGRAMS,
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
from harness.runtimes.ending import end, let_go
from harness.stacks.node import Node

START_SECONDS = 30.0
CHECKPOINT_SECONDS = 60.0
RESTORE_SECONDS = 60.0
TURN_SECONDS = 10.0
TURN_NS = 1_000_000
"""Time on a processor that is enough for some hundred ticks."""

STORE = f"{Node.storage}/containerd"
BLOBS = f"{STORE}/io.containerd.content.v1.content/blobs/sha256"
WORK = f"{STORE}/io.containerd.runtime.v2.task/default"
BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/default"
SNAPSHOTTER = "overlayfs"
CONFIGURATION = f"""version = 2
root = "{STORE}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.nri.v1.nri",
]
[debug]
level = "warn"
"""

COMPOSE = "/usr/local/bin/compose-checkpoint"
COMPOSER = r"""#!/bin/sh
# compose-checkpoint CONTAINER IMAGE SNAPSHOTTER: make an archive of a checkpoint image from the file `layer` and the
# folder `images`, in the format of `ctr containers checkpoint` (container_checkpoint_opts.go of containerd).
set -e
add() {
    digest=$(sha256sum "$2" | cut -d ' ' -f 1)
    parts=$parts${parts:+,}$(printf '{"mediaType": "%s", "digest": "sha256:%s", "size": %d}' \
        "$1" "$digest" "$(stat -c %s "$2")")
    mv "$2" "layout/blobs/sha256/$digest"
}
byte() {
    printf "\\$(printf %o "$1")"
}
mkdir -p layout/blobs/sha256
tar --create --file memory --directory images .
ctr containers info --spec "$1" > spec
size=$(stat -c %s spec)
{
    # A protobuf message with two fields: a type name of 54 bytes, and a value whose length takes three bytes.
    printf '\n\066types.containerd.io/opencontainers/runtime-spec/1/Spec\022'
    byte $((size % 128 + 128))
    byte $((size / 128 % 128 + 128))
    byte $((size / 16384))
    cat spec
} > config
add application/vnd.oci.image.layer.v1.tar+gzip layer
add application/vnd.containerd.container.criu.checkpoint.criu.tar memory
add application/vnd.containerd.container.checkpoint.config.v1+proto config
cat > layout/index.json << END
{"schemaVersion": 2, "manifests": [$parts], "annotations": {
    "org.opencontainers.image.ref.name": "$2",
    "io.containerd.checkpoint.snapshotter": "$3",
    "io.containerd.checkpoint.runtime": "io.containerd.runc.v2"
}}
END
echo '{"imageLayoutVersion": "1.0.0"}' > layout/oci-layout
tar --create --file archive.tar --directory layout .
"""


class Containerd:
    """Adapter for `ctr`."""

    name: ClassVar[str] = "containerd"
    ways: ClassVar[tuple[Way, ...]] = (
        Way(
            what="a checkpoint image of memory and writable layer, under one pause by ctr",
            policies=(FreezePolicy.ENGINE,),
            still=FreezePolicy.ENGINE,
            surfaces=frozenset(SurfaceKind) - {SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME},
            scenarios=SCENARIOS,
            thorough=(*OF_PROGRAMS, Scenario.KILLED_DAEMON, Scenario.SECRETS),
            controls=("fresh-start", "stopped-workload"),
        ),
        Way(
            name="client-order",
            what="the order of containerd's client library, without a pause: the writable layer first, then memory",
            policies=(FreezePolicy.NONE,),
            still=FreezePolicy.NONE,
            controls=(),
        ),
        Way(
            name="task",
            what="memory by `ctr tasks checkpoint`, then the writable layer by `ctr snapshots diff`",
            policies=(FreezePolicy.NONE, FreezePolicy.PAUSE),
            leaves_disk=True,
            scenarios=(Scenario.PAUSED, Scenario.GENERATIONS),
            controls=(),
        ),
    )

    def __init__(self, node: Node, way: Way) -> None:
        self.node = node
        self.way = way
        self._unlimited = False

    def _ctr(self, *arguments: str, deadline: float = START_SECONDS) -> Command:
        return self.node.run(["ctr", *arguments], deadline=deadline, runtime=True)

    def capabilities(self) -> tuple[Capability, ...]:
        """Check that all programs are installed, and ask CRIU whether it works on this kernel."""
        try:
            for program in ("containerd", "ctr", "containerd-shim-runc-v2", "runc"):
                self.node.ask([program, "-v"])
            said = self.node.run(["criu", "check"])
        except CommandFailed as error:
            return (Capability("checkpoint", available=False, evidence=str(error)),)
        return (Capability("checkpoint", available=True, evidence=said.stdout.strip()),)

    def prepare(self) -> None:
        """Configure CRIU and the engine, start the engine, and wait until it answers."""
        criu_configuration.configure(self.node, "runc")
        if self.node.version is CgroupVersion.V2:
            self._unlimited = self.node.without_controllers("no-cpu-shares", change="ctr run --cpu-shares 0")
        if self.way.name:
            self.node.write(COMPOSE, COMPOSER, mode=0o755)
        self.node.make("/run/containerd/fifo")  # otherwise the first restore creates it
        self.node.write("/etc/containerd/config.toml", CONFIGURATION)
        self.node.launch(["containerd"]).await_answer(
            lambda: self.node.run(["ctr", "version"], accept=range(256)).exit_code == 0, seconds=START_SECONDS
        )

    def components(self) -> tuple[Component, ...]:
        """Read the versions from the binaries; the snapshotter is the one in `ctr run`."""
        flags = {"containerd": "-v", "containerd-shim-runc-v2": "-v", "runc": "--version", "criu": "--version"}
        found = {program: versions.of_program(self.node, program, flag=flag) for program, flag in flags.items()}
        found["storage-driver"] = SNAPSHOTTER
        return tuple(Component(name=name, version=version) for name, version in found.items())

    def load_image(self, folder: str, name: str = image_archive.NAME) -> str:
        """Import the image from an archive."""
        archive = image_archive.write(self.node, folder, name)
        self._ctr("images", "import", archive)
        self.node.remove(archive, again=True)
        return name

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container with an empty writable layer, in a control group with the container's name.

        ctr's default group is part of the container's specification and so of its checkpoints. A restored container
        would have to share that group with its source, which runc permits only up to 1.1.
        """
        mounts = (*spec.mounts, Mount(SurfaceKind.BIND, spec.report_mount, spec.report))
        given = [_option(mount) for mount in mounts if mount.kind is not SurfaceKind.SHM]
        options = [word for option in given for word in ("--mount", option)]
        if self._unlimited:
            options += ["--cpu-shares", "0"]
        container = self._container(spec)
        with self._undone_on_failure(container):
            options += ["--log-uri", f"file://{spec.folder}/log"] if spec.prints else ["--null-io"]
            options += [f"--env={each}" for each in spec.env]
            options += ["--detach", "--snapshotter", SNAPSHOTTER, "--cgroup", ""]
            self._ctr("run", *options, spec.image, spec.name, *spec.argv)
        return container

    def _container(self, spec: ContainerSpec) -> Container:
        return Container(spec, self.node.freezer(spec.name))

    def known(self, spec: ContainerSpec) -> Container:
        """All of it follows from the name."""
        return self._container(spec)

    def state(self, container: Container) -> State:
        """Return the state of the container's task; a container without a task has stopped."""
        tasks = dict(line.split()[::2] for line in self._ctr("tasks", "list").stdout.splitlines())
        if container.name not in tasks:
            known = self._ctr("containers", "list", "--quiet").stdout.split()
            return State.STOPPED if container.name in known else State.ABSENT
        return {"RUNNING": State.RUNNING, "PAUSED": State.PAUSED}.get(tasks[container.name], State.STOPPED)

    def pause(self, container: Container) -> None:
        """Freeze the container with `ctr tasks pause`."""
        self._ctr("tasks", "pause", container.name)

    def resume(self, container: Container) -> None:
        """Undo `pause`."""
        self._ctr("tasks", "resume", container.name)

    def live_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Take memory and layer under one pause, or memory alone, or both one after the other."""
        name = checkpoint.container.name
        with criu_log.explained(self.node, f"{BUNDLES}/{name}/criu-dump.log"):
            if not self.way.name:
                whole = ("containers", "checkpoint", "--rw", "--task", name, checkpoint.name)
                self._ctr(*whole, deadline=CHECKPOINT_SECONDS)
            elif self.way.leaves_disk:
                self._take_memory(checkpoint)
            else:
                self._take_layer(checkpoint)
                self._await_a_turn(checkpoint.container)
                self._take_memory(checkpoint)
                self._compose(checkpoint)

    def _take_memory(self, checkpoint: Checkpoint) -> None:
        memory = ("tasks", "checkpoint", "--image-path", checkpoint.images, checkpoint.container.name)
        self._ctr(*memory, deadline=CHECKPOINT_SECONDS)

    def _take_layer(self, checkpoint: Checkpoint) -> None:
        diff = f"ctr snapshots --snapshotter {SNAPSHOTTER} diff {checkpoint.container.name} > {checkpoint.folder}/layer"
        self.node.run(["sh", "-c", diff], deadline=CHECKPOINT_SECONDS, runtime=True)

    def _await_a_turn(self, container: Container) -> None:
        """Wait until the container has run: between two commands the scheduler may not run it."""
        group = str(self.node.path(container.cgroup))
        begun = _on_processor_ns(group)
        until(
            lambda: _on_processor_ns(group) - begun > TURN_NS,
            seconds=TURN_SECONDS,
            what=f"a turn of {container.name} on a processor",
        )

    def _compose(self, checkpoint: Checkpoint) -> None:
        container, archive = checkpoint.container, f"{checkpoint.folder}/archive.tar"
        self.node.run([COMPOSE, container.name, container.spec.image, SNAPSHOTTER], cwd=checkpoint.folder)
        self._ctr("images", "import", "--no-unpack", "--index-name", checkpoint.name, archive)

    def capture(self, checkpoint: Checkpoint) -> None:
        """Take the writable layer, and build the checkpoint image from memory and layer."""
        self._take_layer(checkpoint)
        self._compose(checkpoint)

    def contents(self, checkpoint: Checkpoint) -> Contents:
        """Unpack the image's blobs out of the store."""
        index = json.loads(self._blob(self._digest_of(checkpoint.name)).read_text(encoding="utf-8"))
        blobs = {part["mediaType"]: self._blob(part["digest"]) for part in index["manifests"]}
        found = {}
        for what, media in (("memory", MEMORY), ("writable layer", f"{LAYER}+gzip")):
            if media not in blobs:
                raise Broken(f"ctr reported success, but the checkpoint has no {what}")
            found[what] = self.node.path(f"{checkpoint.folder}/{what.split()[-1]}.unpacked")
        unpack(blobs[MEMORY], found["memory"])
        budget, layer = Budget(), blobs[f"{LAYER}+gzip"]
        extract(lambda: members(layer, budget), None, found["writable layer"], budget, "the writable layer")
        images = f"{checkpoint.folder}/{found['memory'].name}"
        return Contents(images, {"/": CapturedFiles(found["writable layer"])})

    def _digest_of(self, image: str) -> str:
        said = self._ctr("images", "list", f"name=={image}").stdout
        found = re.search(r"sha256:[0-9a-f]{64}", said)
        if found is None:
            raise CommandFailed(f"ctr images list does not list {image}: {said!r}", runtime=True)
        return found.group()

    def _blob(self, digest: str) -> Path:
        return beneath(self.node.path(BLOBS), inside(digest.removeprefix("sha256:")))

    def restore(self, checkpoint: Checkpoint, spec: ContainerSpec) -> Container:
        """Restore a new container from the image; the checkpoint determines its mounts."""
        container = self._container(spec)
        with self._undone_on_failure(container), shim.restoring(self.node, f"{WORK}/{spec.name}/restore.log"):
            whole = ("containers", "restore", "--rw", "--live", spec.name, checkpoint.name)
            self._ctr(*whole, deadline=RESTORE_SECONDS)
        return container

    def log(self, container: Container) -> str:
        """Return the log file that `ctr run` got; `ctr containers restore` has no option for one."""
        file = f"{container.spec.folder}/log"
        return file if self.node.path(file).exists() else ""

    def discard(self, checkpoint: Checkpoint) -> None:
        """Remove the checkpoint image, and wait until its blobs are gone."""
        self._ctr("images", "remove", "--sync", checkpoint.name)

    def signal(self, container: Container, name: str) -> None:
        """Send a signal to the container's first process with `ctr tasks kill`."""
        self._ctr("tasks", "kill", "--signal", name, container.name)

    def kill(self, container: Container) -> None:
        """End the container's processes and wait until the kernel shows none."""
        let_go(self, container)
        end(container.name, str(self.node.path(container.cgroup)), lambda: self.signal(container, "KILL"))

    def delete(self, container: Container) -> None:
        """Remove the task with its shim, and the container with its snapshot."""
        try:
            self._ctr("tasks", "delete", "--force", container.name)
        except CommandFailed as error:  # a task goes with its shim
            if "no running task found" not in error.stderr:
                raise
        self._ctr("containers", "delete", container.name)

    @contextlib.contextmanager
    def _undone_on_failure(self, container: Container) -> Iterator[None]:
        """Remove the remains of a container whose start or restore failed."""
        try:
            yield
        except StillframeError:
            for what in ("tasks delete --force", "containers delete"):
                with contextlib.suppress(StillframeError):
                    self._ctr(*what.split(), container.name)
            raise


def _option(mount: Mount) -> str:
    if mount.kind is SurfaceKind.TMPFS:
        return f"type=tmpfs,dst={mount.target},options=nosuid:nodev:mode=755"
    return f"type=bind,src={mount.source},dst={mount.target},options=rbind:rw"


def _on_processor_ns(group: str) -> int:
    """Return a group's time on processors: the first field of schedstat (Documentation/scheduler/sched-stats)."""
    schedules = (Path(f"/proc/{pid}/schedstat") for pid in cgroups.processes(group))
    return sum(int(schedule.read_text(encoding="ascii").split()[0]) for schedule in schedules)
