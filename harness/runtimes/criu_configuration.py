"""CRIU's configuration files in a node."""

from __future__ import annotations

from harness.stacks.node import Node

DEFAULT = "/etc/criu/default.conf"


def configure(node: Node, *programs: str) -> None:
    """Keep CRIU away from the host's v1 cgroups, for each runtime in `programs` that has a configuration of its own.

    CRIU dumps and rebuilds every v1 hierarchy that it can see, whatever is mounted in the node.
    """
    lines = node.path("/proc/1/cgroup").read_text(encoding="utf-8").splitlines()
    roots = [controller for line in lines for controller in filter(None, line.split(":")[1].split(","))]
    if not roots:
        node.write(DEFAULT, "")  # the freeze policy `hook` adds to it
        return
    for program in programs:
        node.write(f"/etc/criu/{program}.conf", "manage-cgroups=ignore\n")
    # crun 1.21 does not pass manage-cgroups on, and would make groups in hierarchies that are not the node's.
    node.write(DEFAULT, "".join(f"cgroup-root={controller}:/\n" for controller in roots))
    node.accommodate(
        "criu-cgroups",
        lacking="a pure cgroup2 hierarchy: CRIU sees the host's v1 hierarchies in /proc/1/cgroup",
        change="manage-cgroups=ignore and cgroup-root=CONTROLLER:/ in CRIU's configuration",
    )
