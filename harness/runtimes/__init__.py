"""Runtimes: the contract, and one adapter for each runtime.

Input: a node. Output: an adapter that starts, checkpoints and restores containers in the node. An adapter is one file
and one line in `RUNTIMES`. Adapters never import each other, and never judge a result.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from harness.model.errors import unknown
from harness.runtimes.containerd import Containerd
from harness.runtimes.contract import Runtime, Way
from harness.runtimes.cri import CriContainerdCrun, CriContainerdRunc, CriCrioCrun, CriCrioRunc
from harness.runtimes.criu import Criu
from harness.runtimes.crun import Crun
from harness.runtimes.docker import DockerCrun, DockerRunc, DockerRunsc
from harness.runtimes.podman import PodmanCrun, PodmanRunc
from harness.runtimes.runc import Runc
from harness.runtimes.runsc import Runsc
from harness.stacks.node import Node


class Adapter(Protocol):
    """An adapter class."""

    name: str
    ways: tuple[Way, ...]

    def __call__(self, node: Node, way: Way) -> Runtime:
        """Bind the adapter to a node and a way."""


RUNTIMES: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        *(Runc, Crun, Criu, Runsc),
        *(PodmanRunc, PodmanCrun, DockerRunc, DockerCrun, DockerRunsc, Containerd),
        *(CriContainerdRunc, CriContainerdCrun, CriCrioRunc, CriCrioCrun),
    )
}


def way_of(runtime: str, name: str) -> Way:
    """Look up a way to use a runtime; an unknown name raises `UsageError`."""
    ways = {way.name: way for way in _adapter(runtime).ways}
    if name not in ways:
        raise unknown(f"way to use {runtime}", name, ways)
    return ways[name]


def adapter(runtime: str, way: str = "") -> partial[Runtime]:
    """Look up an adapter and bind it to a way; an unknown name raises `UsageError` with the nearest match."""
    return partial(_adapter(runtime), way=way_of(runtime, way))


def _adapter(runtime: str) -> Adapter:
    if runtime not in RUNTIMES:
        raise unknown("runtime", runtime, RUNTIMES)
    return RUNTIMES[runtime]
