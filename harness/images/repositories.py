"""Repositories of a node's registry, and skopeo as the reader of images."""

from __future__ import annotations

from harness.images.manifests import Fetch, facts_of
from harness.records.image_path import ImageFacts
from harness.stacks.node import Node
from harness.stacks.registry import ADDRESS, STORAGE

SECONDS = 60.0


def forget(node: Node, reference: str) -> None:
    """Remove a repository from the registry."""
    name = repository(reference).removeprefix(f"{ADDRESS}/")
    node.run(["rm", "-rf", f"{STORAGE}/docker/registry/v2/repositories/{name}"])


def inspected(node: Node, where: str, transport: str, name: str, *, inner: Fetch | None = None) -> ImageFacts:
    """Read an image with skopeo; `transport`: for example `docker://`, `inner`: returns an index's manifests."""

    def raw(reference: str, *options: str) -> str | None:
        said = node.run(
            ["skopeo", "inspect", "--raw", *options, f"{transport}{reference}"], deadline=SECONDS, accept=range(256)
        )
        return said.stdout if said.exit_code == 0 else None

    top = node.run(["skopeo", "inspect", "--raw", f"{transport}{name}"], deadline=SECONDS).stdout
    return facts_of(
        where,
        top,
        manifest=inner or (lambda digest: raw(f"{repository(name)}@{digest}")),
        configuration=lambda _: raw(name, "--config"),
    )


def repository(name: str) -> str:
    """Return a name without its tag."""
    above, slash, last = name.rpartition("/")
    return f"{above}{slash}{last.partition(':')[0]}"
