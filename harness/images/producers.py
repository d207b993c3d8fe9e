"""Producers: tools that make an image of a checkpoint, one class each."""

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
"""Type of the artifact; the sketch has none, but without a type it would look like an image without layers."""


@dataclass(frozen=True)
class BaseImage:
    """The image of the source container."""

    name: str
    identity: str
    """Digest of its configuration, which Podman calls the image's id."""
    digest: str
    """Digest of its manifest in the registry, or empty."""


@dataclass(frozen=True)
class Taken:
    """A checkpoint, and what a restore from any image of it must give."""

    bench: Bench
    container: Container
    base: BaseImage
    nonce: str
    freeze_begin_ns: int
    offline: Reading | None
    image: str
    """Name of the image that the engine itself made."""
    archive: str = ""
    """Path of its archive in the node, if the engine writes one."""
    commands: tuple[Command, ...] = ()
    """Commands that took the checkpoint."""


class Producer(Protocol):
    """A producer of images, in a store on the node of the checkpoint."""

    name: ClassVar[str]
    what: ClassVar[str]
    probes: ClassVar[tuple[tuple[str, ...], ...]]
    """Commands that succeed if its programs are installed; each prints a version."""
    store: ClassVar[type[Store]]
    whole: ClassVar[bool]
    """True if an engine can restore the image directly."""
    index: ClassVar[bool]
    """True if the image is an index around an image."""

    def make(self, taken: Taken, name: str) -> None:
        """Make the image; raise `CommandFailed` if a tool declines."""


class PodmanImage:
    """`podman container checkpoint --create-image`."""

    name: ClassVar[str] = "podman"
    what: ClassVar[str] = "podman container checkpoint --create-image"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("podman", "--version"),)
    store: ClassVar[type[Store]] = PodmanStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = False

    def make(self, taken: Taken, name: str) -> None:
        """Tag the image; the engine made it from the same frozen container as the archive."""
        Tools(taken.bench.node).run("podman", "tag", f"localhost/{taken.image}", f"localhost/{name}")


class BuildahRecipe:
    """The commands that CRI-O's documentation gives for an archive."""

    name: ClassVar[str] = "buildah"
    what: ClassVar[str] = "buildah from scratch, add, config with the annotation of CRI-O, commit"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("buildah", "--version"),)
    store: ClassVar[type[Store]] = BuildahStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = False
    ANNOTATION: ClassVar[str] = "io.kubernetes.cri-o.annotations.checkpoint.name"

    def make(self, taken: Taken, name: str) -> None:
        """Make the image: the archive's members become the only layer."""
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
        """Build the image; checkpointctl reads the values of its annotations from the archive."""
        Tools(taken.bench.node).run("checkpointctl", "build", taken.archive, f"localhost/{name}")


class CheckpointctlByHand:
    """The buildah commands of `checkpointctl build`, for stacks with an older one; oci_image_build.go of 1.5."""

    name: ClassVar[str] = "checkpointctl-by-hand"
    what: ClassVar[str] = "the commands of buildah that checkpointctl 1.5 build is made of"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("buildah", "--version"),)
    store: ClassVar[type[Store]] = BuildahStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = True

    def make(self, taken: Taken, name: str) -> None:
        """Make the image, with the same annotations in the manifest and in the index around it."""
        run, image, listed = Tools(taken.bench.node).run, f"localhost/{name}", f"localhost/{name}-manifest"
        values = {
            "engine.name": "Podman",
            "container.name": taken.container.name,
            "pod.name": "",
            "pod.namespace": "",
            "rootfsImageUserRequested": "",
            "rootfsImageName": taken.base.name,
            "rootfsImageID": "",  # it reads the field of CRI-O and containerd, which Podman does not write
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
    """An artifact after the sketch in image-spec#962, by today's rules: a manifest with its own type."""

    name: ClassVar[str] = "artifact"
    what: ClassVar[str] = "oras push of the archive, with the annotations from the sketch in image-spec#962"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("oras", "version"), ("skopeo", "--version"))
    store: ClassVar[type[Store]] = ArtifactStore
    whole: ClassVar[bool] = False
    index: ClassVar[bool] = False

    def make(self, taken: Taken, name: str) -> None:
        """Make the artifact, with one blob for the archive and one for the description of the container."""
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
    """The index that `ctr containers checkpoint` makes, from a container that containerd runs."""

    name: ClassVar[str] = "containerd"
    what: ClassVar[str] = "ctr containers checkpoint --rw --task"
    probes: ClassVar[tuple[tuple[str, ...], ...]] = (("ctr", "--version"),)
    store: ClassVar[type[Store]] = ContainerdStore
    whole: ClassVar[bool] = True
    index: ClassVar[bool] = True

    def make(self, taken: Taken, name: str) -> None:
        """Tag the index, which exists already."""
        Tools(taken.bench.node).run("ctr", "images", "tag", taken.image, name)


def _sketched(taken: Taken) -> dict[str, str]:
    """Return the annotations from the sketch's comment of 2022-10-19, with name and digest of the base image."""
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
