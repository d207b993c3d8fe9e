"""What Docker and containerd have in common: the shim of containerd, which calls the OCI runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.runtimes import criu_log
from harness.stacks.node import Node


@contextlib.contextmanager
def restoring(node: Node, log: str) -> Iterator[None]:
    """Attach to a failed restore what CRIU's `log` says of errors, and remove what the shim leaves of any restore."""
    try:
        with criu_log.explained(node, log):
            yield
    finally:
        for left in node.path("/").glob("tmp/ctrd-checkpoint*"):
            node.remark("containerd left in /tmp what it had restored from (containerd#10166); removed")
            node.remove(f"/tmp/{left.name}")  # noqa: S108
