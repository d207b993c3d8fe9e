"""What can be asked of a runtime, and who answers.

In comes a node, out comes an adapter that starts, checkpoints and restores containers in it. An adapter is one file
and one line here; adapters never import each other, and none judges a result.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import unknown
from harness.runtimes.contract import Runtime
from harness.runtimes.crun import Crun
from harness.runtimes.runc import Runc
from harness.stacks.node import Node

RUNTIMES: dict[str, Callable[[Node], Runtime]] = {
    "crun": Crun,
    "runc": Runc,
}


def adapter(name: str) -> Callable[[Node], Runtime]:
    """Look up an adapter; an unknown name raises `UsageError` with the nearest match."""
    try:
        return RUNTIMES[name]
    except KeyError:
        raise unknown("runtime", name, RUNTIMES) from None
