"""Where images live on a machine, and how they leave and enter it by its own tools, one class each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from harness.checkpoints.untrusted import Unreadable, beneath, inside, read_regular
from harness.images import registry
from harness.images.manifests import digest_of, facts_of
from harness.model.commands import Command
from harness.model.errors import CommandFailed
from harness.records.image_path import ImageFacts
from harness.runtimes.containerd import BLOBS
from harness.runtimes.podman import STORE
from harness.stacks.node import Node

SECONDS = 60.0
LAYOUT = f"{Node.storage}/artifacts"
"""OCI layout that holds artifacts, which no engine's store does."""


class Store(Protocol):
    """An image's home in one node; all names are without a registry. What a tool declines raises `CommandFailed`."""

    node: Node

    def __init__(self, node: Node) -> None:
        """Start nothing."""

    def look(self, name: str) -> ImageFacts:
        """What the image says of itself in here."""

    def push(self, name: str, reference: str) -> None:
        """Put it into the registry."""

    def push_index(self, name: str, reference: str) -> None:
        """Put it there as an index, where its own push would take the one image out of it."""

    def pull(self, reference: str, name: str) -> None:
        """Fetch it out of the registry."""

    def pull_index(self, reference: str, name: str) -> None:
        """Fetch it as an index, where its own pull would take it for one of images."""

    def save(self, name: str, file: str, form: str) -> None:
        """Write it into an archive of the form `docker-archive` or `oci-archive`."""

    def load(self, file: str, name: str, form: str) -> None:
        """Read it out of an archive."""

    def unpack(self, name: str, archive: str) -> None:
        """Write the checkpoint that is in it as the archive that it was made of."""

    def remove(self, name: str) -> None:
        """Remove it, under all its names; one that is not there is fine."""


class Tools:
    """A node, and programs that are run in it as what is under test."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, *argv: str, cwd: str = "/") -> Command:
        """Run a program whose failure is a finding."""
        return self.node.run(argv, deadline=SECONDS, runtime=True, cwd=cwd)


class PodmanStore(Tools):
    """The store of Podman, buildah and whatever else uses containers/storage."""

    pushes: tuple[str, ...] = ("podman", "push", "--quiet")

    def look(self, name: str) -> ImageFacts:
        """Ask skopeo, which reads the store by the same library; what a list names are images of their own."""
        return registry.inspected(self.node, "store", "containers-storage:", _local(name), inner=self._manifest)

    def _manifest(self, digest: str) -> str | None:
        """Find it among those of all images."""
        paths = self.node.path(f"{STORE}/root/overlay-images").glob("*/manifest")
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
        return next((text for text in texts if digest_of(text) == digest), None)

    def push(self, name: str, reference: str) -> None:
        """Push as the producer's own instructions say."""
        self.run(*self.pushes, _local(name), f"docker://{reference}")

    def push_index(self, name: str, reference: str) -> None:
        """Push a list with all that it names."""
        self.run("buildah", "manifest", "push", "--all", "--quiet", _local(name), f"docker://{reference}")

    def pull(self, reference: str, name: str) -> None:
        """Pull, and give it the name."""
        self.run("podman", "pull", "--quiet", f"docker://{reference}")
        self._rename(reference, name)

    def pull_index(self, reference: str, name: str) -> None:
        """No other."""
        self.pull(reference, name)

    def save(self, name: str, file: str, form: str) -> None:
        """`podman save`."""
        self.run("podman", "save", "--quiet", "--format", form, "--output", file, _local(name))

    def load(self, file: str, name: str, form: str) -> None:  # noqa: ARG002  # it finds that out
        """`podman load`, which says under which name."""
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
        """Mount it, and make an archive of its root."""
        root = self.node.run(["podman", "image", "mount", _local(name)]).stdout.strip()
        try:
            self.node.run(["tar", "--create", "--file", archive, "--directory", root, "."])
        finally:
            self.node.run(["podman", "image", "unmount", _local(name)])

    def remove(self, name: str) -> None:
        """With what has no name."""
        self.node.run(["podman", "rmi", "--force", "--ignore", _local(name)])
        self.node.run(["podman", "image", "prune", "--force"])


class BuildahStore(PodmanStore):
    """The same store, out of which buildah pushes."""

    pushes = ("buildah", "push", "--quiet")


class ContainerdStore(Tools):
    """The store of containerd, by `ctr`."""

    def look(self, name: str) -> ImageFacts:
        """Read the blobs in its store."""
        return facts_of("store", self._blob(self.digest(name)), manifest=self._blob, configuration=self._blob)

    def digest(self, name: str) -> str:
        """What the name stands for."""
        lines = self.node.run(["ctr", "images", "list", f"name=={name}"]).stdout.splitlines()[1:]
        digests = [word for line in lines for word in line.split() if word.startswith("sha256:")]
        if not digests:
            raise CommandFailed(f"ctr images list does not know {name}", runtime=True)
        return digests[0]

    def _blob(self, digest: str) -> str:
        path = beneath(self.node.path(BLOBS), inside(digest.removeprefix("sha256:")))
        return read_regular(path).decode(errors="replace")

    def push(self, name: str, reference: str) -> None:
        """`ctr images push`."""
        self.run("ctr", "images", "push", "--plain-http", reference, name)

    def push_index(self, name: str, reference: str) -> None:
        """No other."""
        self.push(name, reference)

    def pull(self, reference: str, name: str) -> None:
        """`ctr images pull`."""
        self.run("ctr", "images", "pull", "--plain-http", "--local", "--all-platforms", reference)
        self._rename(reference, name)

    def pull_index(self, reference: str, name: str) -> None:
        """`ctr content fetch`, which unpacks nothing."""
        self.run("ctr", "content", "fetch", "--plain-http", "--all-platforms", reference)
        self._rename(reference, name)

    def _rename(self, old: str, name: str) -> None:
        self.node.run(["ctr", "images", "tag", old, name])
        self.node.run(["ctr", "images", "remove", old])

    def save(self, name: str, file: str, form: str) -> None:
        """`ctr images export`, with what Docker reads besides or without it."""
        plain = ("--skip-manifest-json",) if form == "oci-archive" else ()
        self.run("ctr", "images", "export", "--local", *plain, "--all-platforms", file, name)

    def load(self, file: str, name: str, form: str) -> None:  # noqa: ARG002  # it finds that out
        """`ctr images import`, which gives it the name that it had."""
        self.run("ctr", "images", "import", "--local", "--no-unpack", "--all-platforms", file)
        self._rename(Path(file).name.partition(".")[0], name)

    def unpack(self, name: str, archive: str) -> None:
        """There is no archive in it."""
        raise CommandFailed(f"{name} holds no archive that could be restored instead, for {archive}", runtime=True)

    def remove(self, name: str) -> None:
        """With its blobs."""
        self.node.run(["ctr", "images", "remove", "--sync", name])


class ArtifactStore(Tools):
    """A layout in a folder, which is what there is for artifacts on a machine; by `oras` and skopeo."""

    def look(self, name: str) -> ImageFacts:
        """Read the blobs of the layout."""
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
        """`oras cp` to the registry."""
        self.run("oras", "cp", "--no-tty", "--from-oci-layout", "--to-plain-http", f"{LAYOUT}:{name}", reference)

    def push_index(self, name: str, reference: str) -> None:
        """No other."""
        self.push(name, reference)

    def pull_index(self, reference: str, name: str) -> None:
        """No other."""
        self.pull(reference, name)

    def pull(self, reference: str, name: str) -> None:
        """`oras cp` from the registry."""
        self.run("oras", "cp", "--no-tty", "--from-plain-http", "--to-oci-layout", reference, f"{LAYOUT}:{name}")

    def save(self, name: str, file: str, form: str) -> None:
        """By skopeo, since the tool of artifacts knows no archives of Docker's."""
        self.run("skopeo", "copy", "--quiet", f"oci:{LAYOUT}:{name}", f"{form}:{file}:{_local(name)}:latest")

    def load(self, file: str, name: str, form: str) -> None:
        """By skopeo."""
        self.run("skopeo", "copy", "--quiet", f"{form}:{file}", f"oci:{LAYOUT}:{name}")

    def unpack(self, name: str, archive: str) -> None:
        """`oras pull`, which gives every blob its file name back."""
        folder = f"{archive}.pulled"
        self.node.run(["mkdir", "-p", folder])
        self.run("oras", "pull", "--no-tty", "--oci-layout", f"{LAYOUT}:{name}", "--output", folder)
        self.node.run(["mv", f"{folder}/checkpoint.tar.gz", archive])

    def remove(self, name: str) -> None:  # noqa: ARG002  # there is one at a time where they arrive
        """The whole layout is a folder of ours."""
        self.node.run(["rm", "-rf", LAYOUT])


def _local(name: str) -> str:
    return f"localhost/{name}"


def _tag(descriptor: object) -> object:
    annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
    return annotations.get("org.opencontainers.image.ref.name") if isinstance(annotations, dict) else None
