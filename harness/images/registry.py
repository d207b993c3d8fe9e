"""A real registry in a node, on its loopback; and skopeo as what looks at images."""

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
    """Start it over what is in its storage, and have the tools of containers/image speak plain HTTP to it."""
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
    """Whether it was started here."""
    return any(daemon.name == PROGRAM for daemon in node.daemons)


def forget(node: Node, reference: str) -> None:
    """Have the registry know nothing of a repository any more."""
    name = repository(reference).removeprefix(f"{ADDRESS}/")
    node.run(["rm", "-rf", f"{STORAGE}/docker/registry/v2/repositories/{name}"])


def inspected(node: Node, where: str, transport: str, name: str, *, inner: Fetch | None = None) -> ImageFacts:
    """Look at an image by skopeo; `transport` is `docker://` or the like, `inner` gives what an index names."""

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
    """A name without its tag."""
    above, slash, last = name.rpartition("/")
    return f"{above}{slash}{last.partition(':')[0]}"
