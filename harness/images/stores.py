"""Stores of images on a machine, and the tools that bring images in and out, one class each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from harness.checkpoints.untrusted import Unreadable, beneath, inside, read_regular
from harness.images import repositories
from harness.images.manifests import digest_of, facts_of
from harness.model.commands import Command
from harness.model.errors import CommandFailed
from harness.records.image_path import ImageFacts
from harness.runtimes.containerd import BLOBS
from harness.runtimes.podman import STORE
from harness.stacks.node import Node

SECONDS = 60.0
LAYOUT = f"{Node.storage}/artifacts"
"""OCI layout for artifacts, since no engine's store holds them."""


class Store(Protocol):
    """A store on one node; names have no registry in them, and a tool that declines raises `CommandFailed`."""

    node: Node

    def __init__(self, node: Node) -> None:
        """Start nothing."""

    def look(self, name: str) -> ImageFacts:
        """Return what the image says about itself in this store."""

    def push(self, name: str, reference: str) -> None:
        """Push the image to the registry."""

    def push_index(self, name: str, reference: str) -> None:
        """Push it as an index, if the normal push would take one image out of the index."""

    def pull(self, reference: str, name: str) -> None:
        """Pull the image from the registry."""

    def pull_index(self, reference: str, name: str) -> None:
        """Pull it as an index, if the normal pull would choose one image of the index."""

    def save(self, name: str, file: str, form: str) -> None:
        """Save the image to an archive of the form `docker-archive` or `oci-archive`."""

    def load(self, file: str, name: str, form: str) -> None:
        """Load the image from an archive."""

    def unpack(self, name: str, archive: str) -> None:
        """Write the checkpoint in the image as the archive from which the image was made."""

    def remove(self, name: str) -> None:
        """Remove the image and all its names; do nothing if it does not exist."""


class Tools:
    """A node, and the programs under test that run in it."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, *argv: str, cwd: str = "/") -> Command:
        """Run a program under test; its failure is a finding."""
        return self.node.run(argv, deadline=SECONDS, runtime=True, cwd=cwd)


class PodmanStore(Tools):
    """The store of containers/storage, which Podman, buildah and others use."""

    pushes: tuple[str, ...] = ("podman", "push", "--quiet")

    def look(self, name: str) -> ImageFacts:
        """Read the image with skopeo, which uses the same library; the store has a list's images as separate images."""
        return repositories.inspected(self.node, "store", "containers-storage:", _local(name), inner=self._manifest)

    def _manifest(self, digest: str) -> str | None:
        """Return the manifest with this digest from all images; None if there is none."""
        paths = self.node.path(f"{STORE}/root/overlay-images").glob("*/manifest")
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
        return next((text for text in texts if digest_of(text) == digest), None)

    def push(self, name: str, reference: str) -> None:
        """Push with the command from the producer's instructions."""
        self.run(*self.pushes, _local(name), f"docker://{reference}")

    def push_index(self, name: str, reference: str) -> None:
        """Push a list with all its images."""
        self.run("buildah", "manifest", "push", "--all", "--quiet", _local(name), f"docker://{reference}")

    def pull(self, reference: str, name: str) -> None:
        """Pull the image, and name it."""
        self.run("podman", "pull", "--quiet", f"docker://{reference}")
        self._rename(reference, name)

    def pull_index(self, reference: str, name: str) -> None:
        """Pull like any image."""
        self.pull(reference, name)

    def save(self, name: str, file: str, form: str) -> None:
        """Run `podman save`."""
        self.run("podman", "save", "--quiet", "--format", form, "--output", file, _local(name))

    def load(self, file: str, name: str, form: str) -> None:  # noqa: ARG002  # podman detects the form
        """Run `podman load`, and rename the image that it names."""
        said = self.run("podman", "load", "--quiet", "--input", file).stdout
        words = [line.partition(":")[2].strip() for line in said.splitlines() if line.startswith("Loaded image")]
        if not words:
            raise CommandFailed(f"podman load did not say what it had loaded: {said!r}", runtime=True)
        self._rename(words[-1], name)

    def _rename(self, old: str, name: str) -> None:
        self.node.run(["podman", "tag", old, _local(name)])
        if not old.startswith("sha256:"):
            self.node.run(["podman", "untag", _local(name), old])

    def unpack(self, name: str, archive: str) -> None:
        """Mount the image, and make an archive of its root."""
        root = self.node.run(["podman", "image", "mount", _local(name)]).stdout.strip()
        try:
            self.node.run(["tar", "--create", "--file", archive, "--directory", root, "."])
        finally:
            self.node.run(["podman", "image", "unmount", _local(name)])

    def remove(self, name: str) -> None:
        """Remove the image, and all images without a name."""
        self.node.run(["podman", "rmi", "--force", "--ignore", _local(name)])
        self.node.run(["podman", "image", "prune", "--force"])


class BuildahStore(PodmanStore):
    """The same store, with pushes by buildah."""

    pushes = ("buildah", "push", "--quiet")


class ContainerdStore(Tools):
    """The store of containerd, with `ctr`."""

    def look(self, name: str) -> ImageFacts:
        """Read the image's blobs in the store."""
        return facts_of("store", self._blob(self.digest(name)), manifest=self._blob, configuration=self._blob)

    def digest(self, name: str) -> str:
        """Return the digest of the image with this name."""
        lines = self.node.run(["ctr", "images", "list", f"name=={name}"]).stdout.splitlines()[1:]
        digests = [word for line in lines for word in line.split() if word.startswith("sha256:")]
        if not digests:
            raise CommandFailed(f"ctr images list does not know {name}", runtime=True)
        return digests[0]

    def _blob(self, digest: str) -> str:
        path = beneath(self.node.path(BLOBS), inside(digest.removeprefix("sha256:")))
        return read_regular(path).decode(errors="replace")

    def push(self, name: str, reference: str) -> None:
        """Run `ctr images push`."""
        self.run("ctr", "images", "push", "--plain-http", reference, name)

    def push_index(self, name: str, reference: str) -> None:
        """Push like any image."""
        self.push(name, reference)

    def pull(self, reference: str, name: str) -> None:
        """Run `ctr images pull`."""
        self.run("ctr", "images", "pull", "--plain-http", "--local", "--all-platforms", reference)
        self._rename(reference, name)

    def pull_index(self, reference: str, name: str) -> None:
        """Run `ctr content fetch`, which unpacks nothing."""
        self.run("ctr", "content", "fetch", "--plain-http", "--all-platforms", reference)
        self._rename(reference, name)

    def _rename(self, old: str, name: str) -> None:
        self.node.run(["ctr", "images", "tag", old, name])
        self.node.run(["ctr", "images", "remove", old])

    def save(self, name: str, file: str, form: str) -> None:
        """Run `ctr images export`, with Docker's manifest.json only for the form `docker-archive`."""
        plain = ("--skip-manifest-json",) if form == "oci-archive" else ()
        self.run("ctr", "images", "export", "--local", *plain, "--all-platforms", file, name)

    def load(self, file: str, name: str, form: str) -> None:  # noqa: ARG002  # ctr detects the form
        """Run `ctr images import`, and rename the image, which keeps its old name."""
        self.run("ctr", "images", "import", "--local", "--no-unpack", "--all-platforms", file)
        self._rename(Path(file).name.partition(".")[0], name)

    def unpack(self, name: str, archive: str) -> None:
        """Raise `CommandFailed`, since the index contains no archive."""
        raise CommandFailed(f"{name} contains no archive to unpack into {archive}", runtime=True)

    def remove(self, name: str) -> None:
        """Remove the image and its blobs."""
        self.node.run(["ctr", "images", "remove", "--sync", name])


class ArtifactStore(Tools):
    """A store of artifacts: an OCI layout in a folder, with `oras` and skopeo."""

    def look(self, name: str) -> ImageFacts:
        """Read the artifact's blobs in the layout."""
        index = json.loads(self._read("index.json"))
        entries = [each for each in index.get("manifests", []) if _tag(each) == name]
        if not entries:
            raise Unreadable(f"the layout has no {name}")
        return facts_of("layout", self._blob(entries[0]["digest"]), manifest=self._blob, configuration=self._blob)

    def _read(self, name: str) -> str:
        return read_regular(beneath(self.node.path(LAYOUT), inside(name))).decode(errors="replace")

    def _blob(self, digest: str) -> str:
        return self._read(f"blobs/{digest.replace(':', '/')}")

    def push(self, name: str, reference: str) -> None:
        """Run `oras cp` to the registry."""
        self.run("oras", "cp", "--no-tty", "--from-oci-layout", "--to-plain-http", f"{LAYOUT}:{name}", reference)

    def push_index(self, name: str, reference: str) -> None:
        """Push like any artifact."""
        self.push(name, reference)

    def pull_index(self, reference: str, name: str) -> None:
        """Pull like any artifact."""
        self.pull(reference, name)

    def pull(self, reference: str, name: str) -> None:
        """Run `oras cp` from the registry."""
        self.run("oras", "cp", "--no-tty", "--from-plain-http", "--to-oci-layout", reference, f"{LAYOUT}:{name}")

    def save(self, name: str, file: str, form: str) -> None:
        """Save with skopeo, since oras does not know Docker's archives."""
        self.run("skopeo", "copy", "--quiet", f"oci:{LAYOUT}:{name}", f"{form}:{file}:{_local(name)}:latest")

    def load(self, file: str, name: str, form: str) -> None:
        """Load with skopeo."""
        self.run("skopeo", "copy", "--quiet", f"{form}:{file}", f"oci:{LAYOUT}:{name}")

    def unpack(self, name: str, archive: str) -> None:
        """Run `oras pull`, which gives each blob its file name."""
        folder = f"{archive}.pulled"
        self.node.run(["mkdir", "-p", folder])
        self.run("oras", "pull", "--no-tty", "--oci-layout", f"{LAYOUT}:{name}", "--output", folder)
        self.node.run(["mv", f"{folder}/checkpoint.tar.gz", archive])

    def remove(self, name: str) -> None:  # noqa: ARG002  # the layout holds one artifact at a time
        """Remove the whole layout."""
        self.node.run(["rm", "-rf", LAYOUT])


def _local(name: str) -> str:
    return f"localhost/{name}"


def _tag(descriptor: object) -> object:
    annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
    return annotations.get("org.opencontainers.image.ref.name") if isinstance(annotations, dict) else None
