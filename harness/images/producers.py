"""Who makes an image of a checkpoint, one class each."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar, Protocol

from harness.images.stores import LAYOUT, ArtifactStore, BuildahStore, ContainerdStore, PodmanStore, Store, Tools
from harness.model.commands import Command
from harness.model.readings import Reading
from harness.runtimes.contract import Container
from harness.stacks.node import Node
from harness.trial.bench import Bench

KIND = "application/vnd.criu.checkpoint"
"""Type of the artifact; the sketch has none, but without one it would pass for an image without layers."""


@dataclass(frozen=True)
class BaseImage:
    """The image that the source container was made from."""

    name: str
    identity: str
    """Digest of its configuration, which Podman calls its id."""
    digest: str
    """Digest of its manifest, where others can have it from."""


@dataclass(frozen=True)
class Taken:
    """A checkpoint, and what has to come back out of any image of it."""

    bench: Bench
    container: Container
    base: BaseImage
    nonce: str
    freeze_begin_ns: int
    offline: Reading | None
    image: str
    """Name of what the engine itself has made of it."""
    archive: str = ""
    """Where in the node its archive is, of engines that write one."""
    commands: tuple[Command, ...] = ()
    """How it was taken."""


class Producer(Protocol):
    """Makes an image of a checkpoint that was taken, in a store of the same node."""

    name: ClassVar[str]
    what: ClassVar[str]
    probes: ClassVar[tuple[tuple[str, ...], ...]]
    """Commands that succeed where its programs are there; each says a version."""
    store: ClassVar[type[Store]]
    whole: ClassVar[bool]
    """An engine can be asked to restore the image as such."""
    index: ClassVar[bool]
    """It is an index around an image."""

    def make(self, taken: Taken, name: str) -> None:
        """Make it. What a tool declines raises `CommandFailed`."""


class PodmanImage:
    """`podman container checkpoint --create-image`."""

    name: ClassVar[str] = "podman"
    what: ClassVar[str] = "podman container checkpoint --create-image"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("podman", "--version"),)
    store: ClassVar[type[Store]] = PodmanStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = False

    def make(self, taken: Taken, name: str) -> None:
        """It was made of the same frozen container as the archive."""
        Tools(taken.bench.node).run("podman", "tag", f"localhost/{taken.image}", f"localhost/{name}")


class BuildahRecipe:
    """What CRI-O's documentation tells to do with an archive."""

    name: ClassVar[str] = "buildah"
    what: ClassVar[str] = "buildah from scratch, add, config with the annotation of CRI-O, commit"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("buildah", "--version"),)
    store: ClassVar[type[Store]] = BuildahStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = False
    ANNOTATION: ClassVar[str] = "io.kubernetes.cri-o.annotations.checkpoint.name"

    def make(self, taken: Taken, name: str) -> None:
        """The archive's members become the only layer."""
        run = Tools(taken.bench.node).run
        working = run("buildah", "from", "scratch").stdout.strip()
        run("buildah", "add", "--quiet", working, taken.archive, "/")
        run("buildah", "config", "--annotation", f"{self.ANNOTATION}={taken.container.name}", working)
        run("buildah", "commit", "--quiet", working, f"localhost/{name}")
        run("buildah", "rm", working)


class CheckpointctlBuild:
    """`checkpointctl build`, which calls buildah."""

    name: ClassVar[str] = "checkpointctl"
    what: ClassVar[str] = "checkpointctl build"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("buildah", "--version"), ("checkpointctl", "build", "--help"))
    store: ClassVar[type[Store]] = BuildahStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = True

    def make(self, taken: Taken, name: str) -> None:
        """It finds in the archive what it annotates."""
        Tools(taken.bench.node).run("checkpointctl", "build", taken.archive, f"localhost/{name}")


class CheckpointctlByHand:
    """What `checkpointctl build` has buildah do, typed, for stacks with an older one; oci_image_build.go of 1.5."""

    name: ClassVar[str] = "checkpointctl-by-hand"
    what: ClassVar[str] = "the commands of buildah that checkpointctl 1.5 build is made of"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("buildah", "--version"),)
    store: ClassVar[type[Store]] = BuildahStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = True

    def make(self, taken: Taken, name: str) -> None:
        """The same annotations go to the manifest, and to an index around it."""
        run, image, listed = Tools(taken.bench.node).run, f"localhost/{name}", f"localhost/{name}-manifest"
        values = {
            "engine.name": "Podman",
            "container.name": taken.container.name,
            "pod.name": "",
            "pod.namespace": "",
            "rootfsImageUserRequested": "",
            "rootfsImageName": taken.base.name,
            "rootfsImageID": "",  # of Podman's description it reads the field that CRI-O and containerd have
            "runtime.name": taken.bench.runtime.name.partition("/")[2],
        }
        annotations = [("--annotation", f"org.criu.checkpoint.{key}={value}") for key, value in values.items()]
        working = run("buildah", "from", "scratch").stdout.strip()
        run("buildah", "add", "--quiet", working, taken.archive)
        for annotation in annotations:
            run("buildah", "config", *annotation, working)
        made = run("buildah", "commit", "--quiet", working, image).stdout.strip()
        run("buildah", "manifest", "create", listed, made)
        for annotation in annotations:
            run("buildah", "manifest", "annotate", "--index", *annotation, listed)
        run("buildah", "tag", listed, image)
        run("buildah", "manifest", "rm", listed)
        run("buildah", "rm", working)


class Artifact:
    """An artifact, as sketched in image-spec#962 and made under today's rules: a manifest with a type of its own."""

    name: ClassVar[str] = "artifact"
    what: ClassVar[str] = "oras push of the archive, with the annotations that are sketched in image-spec#962"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("oras", "version"), ("skopeo", "--version"))
    store: ClassVar[type[Store]] = ArtifactStore
    whole: ClassVar[bool] = False
    index: ClassVar[bool] = False

    def make(self, taken: Taken, name: str) -> None:
        """The archive and the description of the container are a blob each."""
        tools, folder = Tools(taken.bench.node), f"{Node.storage}/artifact"
        tools.node.run(["mkdir", "-p", folder])
        tools.node.run(["tar", "--extract", "--file", taken.archive, "--directory", folder, "config.dump"])
        tools.node.run(["cp", taken.archive, f"{folder}/checkpoint.tar"])
        tools.node.run(["gzip", "--fast", f"{folder}/checkpoint.tar"])
        annotations = [word for key, value in _sketched(taken).items() for word in ("--annotation", f"{key}={value}")]
        tools.run(
            *("oras", "push", "--no-tty", "--oci-layout", f"{LAYOUT}:{name}", "--artifact-type", KIND, *annotations),
            *("checkpoint.tar.gz:application/gzip", "config.dump:application/json"),
            cwd=folder,
        )


class ContainerdIndex:
    """The index that `ctr containers checkpoint` makes of a container of containerd's own."""

    name: ClassVar[str] = "containerd"
    what: ClassVar[str] = "ctr containers checkpoint --rw --task"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("ctr", "--version"),)
    store: ClassVar[type[Store]] = ContainerdStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = True

    def make(self, taken: Taken, name: str) -> None:
        """It is there."""
        Tools(taken.bench.node).run("ctr", "images", "tag", taken.image, name)


def _sketched(taken: Taken) -> dict[str, str]:
    """Annotations as in the comment of 2022-10-19; of the base image what tells it from others."""
    engine, _, runtime = taken.bench.runtime.name.partition("/")
    created = dt.datetime.fromtimestamp(taken.freeze_begin_ns / 1e9, dt.UTC)
    values = {
        "created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "name": taken.container.name,
        "checkpointer": "criu",
        "runtime": runtime,
        "engine": engine,
        "base.digest": taken.base.digest,
        "base.name": taken.base.name,
    }
    return {f"org.opencontainers.image.checkpoint.{key}": value for key, value in values.items()}
