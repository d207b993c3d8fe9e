"""What an image goes through between the machine where it is made and the one where it is restored, one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from harness.images import registry
from harness.images.stores import Store, Tools
from harness.records.image_path import ImageFacts
from harness.stacks.node import Node

REGISTRY, INDEX = "registry", "registry-index"
CARRIED = f"{Node.storage}/carried"
"""Folder with archives that travel."""


class Route(Protocol):
    """A way from one store to another. What a tool declines raises `CommandFailed`."""

    @property
    def name(self) -> str:
        """Unique; it is the tag in the registry, too."""

    @property
    def what(self) -> str:
        """One sentence for people."""

    @property
    def probes(self) -> tuple[tuple[str, ...], ...]:
        """Commands that succeed where its programs are there."""

    @property
    def after(self) -> str:
        """The route whose result it takes up; empty: the image as it was made."""

    @property
    def travels(self) -> bool:
        """Whether it leads to another machine."""

    @property
    def index(self) -> bool:
        """Whether it is for an index alone."""

    def send(self, store: Store, name: str, after: str) -> ImageFacts | None:
        """Put the image on its way, after another route as said; what it looks like there, if that can be seen."""

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Bring the image that was called `origin` into a store on the other side."""


class Stay:
    """None: it is restored where it was made."""

    name = "as-made"
    what = "restored out of the store in which it was made"
    probes: tuple[tuple[str, ...], ...] = ()
    after = ""
    travels = False
    index = False

    def send(self, store: Store, name: str, after: str) -> None:
        """Nothing."""

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Nothing."""


class Pushed:
    """Through the registry."""

    name = REGISTRY
    what = "pushed to a registry and pulled from it"
    probes: tuple[tuple[str, ...], ...] = ((registry.PROGRAM, "--version"), ("skopeo", "--version"))
    after = ""
    travels = True
    index = False

    def send(self, store: Store, name: str, after: str) -> ImageFacts:  # noqa: ARG002
        """Push."""
        self._push(store, name)
        return registry.inspected(store.node, "registry", "docker://", reference(name, self.name))

    def _push(self, store: Store, name: str) -> None:
        store.push(name, reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull."""
        store.pull(reference(origin, self.name), name)


class PushedWhole(Pushed):
    """Through the registry as the index that it is."""

    name = INDEX
    what = "as the index that it is, by `buildah manifest push --all` or `ctr content fetch`"
    index = True

    def _push(self, store: Store, name: str) -> None:
        store.push_index(name, reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull."""
        store.pull_index(reference(origin, self.name), name)


@dataclass(frozen=True)
class Copied:
    """Through the registry, and there copied by skopeo."""

    name: str
    what: str
    after: str
    options: tuple[str, ...]
    probes: ClassVar[tuple[tuple[str, ...], ...]] = Pushed.probes
    travels: ClassVar[bool] = True
    index: ClassVar[bool] = False

    def send(self, store: Store, name: str, after: str) -> ImageFacts:
        """Copy within the registry."""
        ends = (f"docker://{reference(name, tag)}" for tag in (after, self.name))
        Tools(store.node).run("skopeo", "copy", "--quiet", *self.options, *ends)
        return registry.inspected(store.node, "registry", "docker://", reference(name, self.name))

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Pull."""
        store.pull(reference(origin, self.name), name)


@dataclass(frozen=True)
class Saved:
    """Through an archive."""

    form: str
    probes: ClassVar[tuple[tuple[str, ...], ...]] = ()
    after: ClassVar[str] = ""
    travels: ClassVar[bool] = True
    index: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """As the form."""
        return self.form

    @property
    def what(self) -> str:
        """One sentence for people."""
        return f"saved as {self.form} and loaded"

    def send(self, store: Store, name: str, after: str) -> None:  # noqa: ARG002
        """Save; an archive is looked at only when it was loaded again."""
        store.node.run(["mkdir", "-p", CARRIED])
        store.save(name, file(name, self.name), self.form)

    def receive(self, store: Store, origin: str, name: str) -> None:
        """Load."""
        store.load(file(origin, self.name), name, self.form)


ROUTES: tuple[Route, ...] = (
    Stay(),
    Pushed(),
    PushedWhole(),
    Copied("skopeo", "copied from there by skopeo, which takes one image out of an index", REGISTRY, ()),
    Copied("skopeo-all", "copied from there by skopeo --all, which keeps an index", REGISTRY, ("--all",)),
    Copied("docker-schema", "converted there to Docker's schema by skopeo", REGISTRY, ("--all", "--format", "v2s2")),
    Copied(
        "docker-and-back",
        "converted to Docker's schema and back to OCI's",
        "docker-schema",
        ("--all", "--format", "oci"),
    ),
    Saved("docker-archive"),
    Saved("oci-archive"),
)
"""In the order in which they are gone; one that takes up another's result comes behind it."""


def reference(name: str, tag: str) -> str:
    """Name of an image in the registry."""
    return f"{registry.ADDRESS}/{name}:{tag}"


def file(name: str, route: str) -> str:
    """Where in the nodes the archive is."""
    return f"{CARRIED}/{name}.{route}.tar"
