"""A real registry on a node's loopback interface."""

from __future__ import annotations

from harness.stacks.node import Node

ADDRESS = "localhost:5000"
STORAGE = f"{Node.storage}/registry"
PROGRAM = "docker-registry"
START_SECONDS = 20.0
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
    node.make(STORAGE)
    node.launch([PROGRAM, "serve", "/etc/stillframe-registry.yml"]).await_answer(
        lambda: node.run(["curl", "--silent", "--fail", f"http://{ADDRESS}/v2/"], accept=range(256)).exit_code == 0,
        seconds=START_SECONDS,
    )


def runs(node: Node) -> bool:
    """Return whether the registry was started on this node."""
    return any(daemon.name == PROGRAM for daemon in node.daemons)
