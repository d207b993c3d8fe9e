"""Engines whose checkpoints become images: how they take a checkpoint, and how a machine gets the base image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar, Protocol

from harness.images import repositories
from harness.images.producers import (
    Artifact,
    BaseImage,
    BuildahRecipe,
    CheckpointctlBuild,
    CheckpointctlByHand,
    ContainerdIndex,
    PodmanImage,
    Producer,
    Taken,
)
from harness.images.routes import CARRIED
from harness.images.stores import SECONDS, ContainerdStore
from harness.model.cells import FreezePolicy
from harness.model.outcomes import Stage
from harness.records.image_path import Base, Step
from harness.runtimes import adapter
from harness.runtimes.contract import Checkpoint, Container
from harness.stacks import registry
from harness.stacks.node import Node
from harness.trial.bench import Bench
from harness.trial.freeze import POLICIES
from harness.trial.stages import Stages

BASE_ARCHIVE = f"{CARRIED}/base.tar"
CHANGED = "changed-base"
"""File that only the changed base image has."""


class Engine(Protocol):
    """An engine, with the producers that make images of its checkpoints."""

    runtime: ClassVar[str]
    producers: ClassVar[tuple[Producer, ...]]
    policy: ClassVar[FreezePolicy]
    bases: ClassVar[Mapping[Base, str]]
    """States of the base image on a machine, besides present; with the program that the state needs."""
    ways: ClassVar[Mapping[Step, str]]
    """Ways of the adapter that restore an image directly, and the archive in an image."""

    def publish_base(self, near: Bench) -> BaseImage:
        """Make an archive of the base image, and push it to the registry, if there is one."""

    def provide_base(self, far: Bench, base: BaseImage, state: Base) -> None:
        """Bring the base image on a machine into a state."""

    def take(self, near: Bench, container: Container, stages: Stages) -> tuple[Checkpoint, str]:
        """Take a checkpoint; return it, and the name of the image that the engine made."""


class Podman:
    """Podman; it makes archive and image during one freeze of the container, so they are one checkpoint."""

    runtime: ClassVar[str] = "podman/runc"
    producers: ClassVar[tuple[Producer, ...]] = (
        PodmanImage(),
        BuildahRecipe(),
        CheckpointctlBuild(),
        CheckpointctlByHand(),
        Artifact(),
    )
    policy: ClassVar[FreezePolicy] = FreezePolicy.CGROUP
    bases: ClassVar[Mapping[Base, str]] = {Base.PULLABLE: registry.PROGRAM, Base.MISSING: "", Base.CHANGED: ""}
    ways: ClassVar[Mapping[Step, str]] = {Step.RESTORE: "image", Step.UNPACK: ""}
    NAME: ClassVar[str] = f"{registry.ADDRESS}/workload:latest"

    def publish_base(self, near: Bench) -> BaseImage:
        """Publish the base image under a name that Podman can pull."""
        run = near.node.run
        run(["podman", "tag", near.image, self.NAME])
        near.image = self.NAME
        run(["mkdir", "-p", CARRIED])
        run(["podman", "save", "--quiet", "--output", BASE_ARCHIVE, self.NAME], deadline=SECONDS)
        identity = run(["podman", "image", "inspect", "--format", "{{.Id}}", self.NAME]).stdout.strip()
        digest = ""
        if registry.runs(near.node):
            run(["podman", "push", "--quiet", self.NAME], deadline=SECONDS)
            digest = repositories.inspected(near.node, "registry", "docker://", self.NAME).digest
        return BaseImage(self.NAME, identity, digest)

    def provide_base(self, far: Bench, base: BaseImage, state: Base) -> None:
        """Load the base image, leave it in the registry, remove it everywhere, or put another one under its name."""
        run = far.node.run
        run(["podman", "rmi", "--force", "--ignore", base.name, base.identity])  # under any name
        if state is Base.PRESENT:
            run(["podman", "load", "--quiet", "--input", BASE_ARCHIVE], deadline=SECONDS)
        elif state is not Base.PULLABLE and registry.runs(far.node):
            repositories.forget(far.node, base.name)
        if state is Base.CHANGED:
            run(["podman", "tag", far.runtime.load_image(_changed(far)), base.name])

    def take(self, near: Bench, container: Container, stages: Stages) -> tuple[Checkpoint, str]:
        """Take archive and image while the kernel holds the container still."""
        checkpoint = near.checkpoint_of(container)
        near.node.run(["mkdir", "-p", checkpoint.folder])
        with POLICIES[self.policy](near.runtime, checkpoint, stages).hold(), stages.at(Stage.CHECKPOINT):
            for way in self.ways.values():
                adapter(self.runtime, way)(near.node).live_checkpoint(checkpoint)
        return checkpoint, checkpoint.name


class Containerd:
    """containerd; it pauses by itself, and only its own client restores."""

    runtime: ClassVar[str] = "containerd"
    producers: ClassVar[tuple[Producer, ...]] = (ContainerdIndex(),)
    policy: ClassVar[FreezePolicy] = FreezePolicy.ENGINE
    bases: ClassVar[Mapping[Base, str]] = {Base.MISSING: "", Base.CHANGED: ""}
    ways: ClassVar[Mapping[Step, str]] = {Step.RESTORE: ""}

    def publish_base(self, near: Bench) -> BaseImage:
        """Make an archive only: containerd's client looks for the image by name, never in a registry."""
        near.node.run(["mkdir", "-p", CARRIED])
        export = ["ctr", "images", "export", "--local", "--skip-manifest-json", "--all-platforms"]
        near.node.run([*export, BASE_ARCHIVE, near.image], deadline=SECONDS)
        digest = ContainerdStore(near.node).digest(near.image)
        return BaseImage(near.image, "", digest)

    def provide_base(self, far: Bench, base: BaseImage, state: Base) -> None:
        """Load the base image, remove it, or put another one under its name."""
        far.node.run(["ctr", "images", "remove", "--sync", base.name])
        if state is Base.PRESENT:
            far.node.run(["ctr", "images", "import", "--local", BASE_ARCHIVE], deadline=SECONDS)
        elif state is Base.CHANGED:
            far.runtime.load_image(_changed(far))

    def take(self, near: Bench, container: Container, stages: Stages) -> tuple[Checkpoint, str]:
        """Take the checkpoint; containerd pauses by itself."""
        checkpoint = near.checkpoint_of(container)
        near.node.run(["mkdir", "-p", checkpoint.folder])
        with stages.at(Stage.CHECKPOINT):
            near.runtime.live_checkpoint(checkpoint)
        return checkpoint, checkpoint.name


ENGINES: tuple[Engine, ...] = (Podman(), Containerd())


def take(engine: Engine, near: Bench, base: BaseImage) -> Taken:
    """Start a source, let it tick, take the checkpoint, read it offline, and end the source."""
    stages = Stages()
    near.node.journal = stages.journal
    source = near.running_source(stages)
    source.tick_after(time.time_ns())
    begun = time.time_ns()
    checkpoint, image = engine.take(near, source.container, stages)
    source.tick_after(time.time_ns())
    with stages.at(Stage.READ):
        contents = near.runtime.contents(checkpoint)
        reading, *_ = near.read_offline(contents, source.nonce)
    near.drop_source()
    return Taken(
        bench=near,
        container=source.container,
        base=base,
        nonce=source.nonce,
        freeze_begin_ns=begun,
        offline=reading,
        image=image,
        archive=f"{checkpoint.folder}/checkpoint.tar",
        commands=tuple(stages.journal.commands),
    )


def _changed(far: Bench) -> str:
    """Make a folder with the image's content and one more file; return its path."""
    folder = f"{Node.storage}/changed"
    far.node.run(["mkdir", "-p", folder])
    far.node.run(["cp", "--archive", f"{Node.storage}/image/.", folder])
    far.node.path(f"{folder}/{CHANGED}").touch()
    return folder
