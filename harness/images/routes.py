"""Routes of an image from the machine that makes it to the machine that restores it, one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from harness.images import repositories
from harness.images.stores import Store, Tools
from harness.records.image_path import ImageFacts
from harness.stacks import registry
from harness.stacks.node import Node

REGISTRY, INDEX = "registry", "registry-index"
CARRIED = f"{Node.storage}/carried"
"""Folder with the archives that travel."""


class Route(Protocol):
    """A route from one store to another; a tool that declines raises `CommandFailed`."""

    @property
    def name(self) -> str:
        """Unique name, which is also the tag in the registry."""

    @property
    def what(self) -> str:
        """Description for people."""

    @property
    def probes(self) -> tuple[tuple[str, ...], ...]:
        """Commands that succeed if its programs are installed."""

    @property
    def after(self) -> str:
        """The route whose result it continues; empty: it begins with the image as made."""

    @property
    def travels(self) -> bool:
        """Whether it leads to another machine."""

    @property
    def index(self) -> bool:
        """Whether it is only for an index."""

    def send(self, store: Store, name: str, after: str) -> ImageFacts | None:
        """Send the image, from the result of route `after`; return what it says about itself on the way, if visible."""

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Bring the image with the old name `origin` into a store on the other side."""


class Stay:
    """No route: the image is restored where it was made."""

    name = "as-made"
    what = "restored from the store in which it was made"
    probes: tuple[tuple[str, ...], ...] = ()
    after = ""
    travels = False
    index = False

    def send(self, store: Store, name: str, after: str) -> None:
        """Do nothing."""

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Do nothing."""


class Pushed:
    """The route through the registry."""

    name = REGISTRY
    what = "pushed to a registry and pulled from it"
    probes: tuple[tuple[str, ...], ...] = ((registry.PROGRAM, "--version"), ("skopeo", "--version"))
    after = ""
    travels = True
    index = False

    def send(self, store: Store, name: str, after: str) -> ImageFacts:  # noqa: ARG002
        """Push the image."""
        self._push(store, name)
        return repositories.inspected(store.node, "registry", "docker://", reference(name, self.name))

    def _push(self, store: Store, name: str) -> None:
        store.push(name, reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull the image."""
        store.pull(reference(origin, self.name), name)


class PushedWhole(Pushed):
    """The route through the registry that keeps an index."""

    name = INDEX
    what = "pushed and pulled as an index, with `buildah manifest push --all` or `ctr content fetch`"
    index = True

    def _push(self, store: Store, name: str) -> None:
        store.push_index(name, reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull the image."""
        store.pull_index(reference(origin, self.name), name)


@dataclass(frozen=True)
class Copied:
    """The route through the registry with a copy by skopeo in it."""

    name: str
    what: str
    after: str
    options: tuple[str, ...]
    probes: ClassVar[tuple[tuple[str, ...], ...]] = Pushed.probes
    travels: ClassVar[bool] = True
    index: ClassVar[bool] = False

    def send(self, store: Store, name: str, after: str) -> ImageFacts:
        """Copy the image within the registry."""
        ends = (f"docker://{reference(name, tag)}" for tag in (after, self.name))
        Tools(store.node).run("skopeo", "copy", "--quiet", *self.options, *ends)
        return repositories.inspected(store.node, "registry", "docker://", reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull the image."""
        store.pull(reference(origin, self.name), name)


@dataclass(frozen=True)
class Saved:
    """The route through an archive."""

    form: str
    probes: ClassVar[tuple[tuple[str, ...], ...]] = ()
    after: ClassVar[str] = ""
    travels: ClassVar[bool] = True
    index: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The form of the archive."""
        return self.form

    @property
    def what(self) -> str:
        """Description for people."""
        return f"saved as {self.form} and loaded"

    def send(self, store: Store, name: str, after: str) -> None:  # noqa: ARG002
        """Save the image; nothing reads the archive before it is loaded again."""
        store.node.run(["mkdir", "-p", CARRIED])
        store.save(name, file(name, self.name), self.form)

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Load the image."""
        store.load(file(origin, self.name), name, self.form)


ROUTES: tuple[Route, ...] = (
    Stay(),
    Pushed(),
    PushedWhole(),
    Copied("skopeo", "copied within the registry by skopeo, which takes one image out of an index", REGISTRY, ()),
    Copied("skopeo-all", "copied within the registry by skopeo --all, which keeps an index", REGISTRY, ("--all",)),
    Copied(
        "docker-schema",
        "converted in the registry to Docker's schema by skopeo",
        REGISTRY,
        ("--all", "--format", "v2s2"),
    ),
    Copied(
        "docker-and-back",
        "converted to Docker's schema and back to OCI's",
        "docker-schema",
        ("--all", "--format", "oci"),
    ),
    Saved("docker-archive"),
    Saved("oci-archive"),
)
"""All routes, in the order of execution; a route comes after the route whose result it continues."""


def reference(name: str, tag: str) -> str:
    """Return the name of an image in the registry."""
    return f"{registry.ADDRESS}/{name}:{tag}"


def file(name: str, route: str) -> str:
    """Return the path of the archive in the nodes."""
    return f"{CARRIED}/{name}.{route}.tar"
