"""CRIU's configuration files in a node."""

from __future__ import annotations

from collections.abc import Collection

from harness.stacks.node import Node

DEFAULT = "/etc/criu/default.conf"
PROGRAMS = ("runc", "crun")
"""Runtimes that have CRIU read a configuration of theirs."""
_ADDED = "# for the workload\n"


def of_program(program: str) -> str:
    """Return the path of a runtime's own configuration of CRIU."""
    return f"/etc/criu/{program}.conf"


def configure(node: Node, *programs: str) -> None:
    """Keep CRIU away from the host's v1 cgroups, by its default configuration and that of each runtime in `programs`.

    CRIU dumps and rebuilds every v1 hierarchy that it sees, even if the node does not mount it.
    """
    lines = node.path("/proc/1/cgroup").read_text(encoding="utf-8").splitlines()
    roots = [controller for line in lines for controller in filter(None, line.split(":")[1].split(","))]
    if not roots:
        node.write(DEFAULT, "")  # the freeze policy `hook` appends to this file
        return
    for program in programs:
        node.write(of_program(program), "manage-cgroups=ignore\n")
    # For crun 1.21, which does not pass on manage-cgroups: no groups may appear in hierarchies outside the node.
    node.write(DEFAULT, "".join(f"cgroup-root={controller}:/\n" for controller in roots))
    node.accommodate(
        "criu-cgroups",
        lacking="a pure cgroup2 hierarchy: CRIU sees the host's v1 hierarchies in /proc/1/cgroup",
        change="manage-cgroups=ignore and cgroup-root=CONTROLLER:/ in CRIU's configuration",
    )


def add(node: Node, options: Collection[str]) -> None:
    """Add options that a workload needs, in place of those that an earlier one needed.

    What a runtime says by RPC counts more than CRIU's default configuration, and less than that of the runtime.
    https://criu.org/Configuration_files
    """
    for path in (DEFAULT, *map(of_program, PROGRAMS)):
        before = node.read(path)
        text = before.partition(_ADDED)[0] + (_ADDED + "".join(f"{option}\n" for option in options)) * bool(options)
        if text != before:
            node.write(path, text)
