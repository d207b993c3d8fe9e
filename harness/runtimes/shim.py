"""The common part of Docker and containerd: containerd's shim, which calls the OCI runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.runtimes import criu_log
from harness.stacks.node import Node


@contextlib.contextmanager
def restoring(node: Node, log: str) -> Iterator[None]:
    """Attach the errors in CRIU's `log` to a failed restore, and remove the shim's remains of every restore."""
    try:
        with criu_log.explained(node, log):
            yield
    finally:
        for left in node.path("/").glob("tmp/ctrd-checkpoint*"):
            node.remark("containerd left the restored checkpoint in /tmp (containerd#10166); removed")
            node.remove(f"/tmp/{left.name}")  # noqa: S108
