"""A real registry on a node's loopback interface, and skopeo as the reader of images."""

from __future__ import annotations

from harness.images.manifests import Fetch, facts_of
from harness.records.image_path import ImageFacts
from harness.stacks.node import Node

ADDRESS = "localhost:5000"
STORAGE = f"{Node.storage}/registry"
PROGRAM = "docker-registry"
START_SECONDS = 20.0
SECONDS = 60.0
CONFIGURATION = f"""version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: {STORAGE}
http:
  addr: {ADDRESS}
"""
PLAIN = f"""[[registry]]
location = "{ADDRESS}"
insecure = true
"""
ACCEPT = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


def start(node: Node) -> None:
    """Start the registry on its storage, and make the tools of containers/image use plain HTTP with it."""
    node.write("/etc/containers/registries.conf.d/loopback.conf", PLAIN)
    if not node.path("/etc/containers/policy.json").exists():
        node.write("/etc/containers/policy.json", ACCEPT)
    node.write("/etc/stillframe-registry.yml", CONFIGURATION)
    node.run(["mkdir", "-p", STORAGE])
    node.launch([PROGRAM, "serve", "/etc/stillframe-registry.yml"]).await_answer(
        lambda: node.run(["curl", "--silent", "--fail", f"http://{ADDRESS}/v2/"], accept=range(256)).exit_code == 0,
        seconds=START_SECONDS,
    )


def runs(node: Node) -> bool:
    """Return whether the registry was started on this node."""
    return any(daemon.name == PROGRAM for daemon in node.daemons)


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
