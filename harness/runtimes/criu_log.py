"""Find the lines of a CRIU log that tell why it failed; wrappers quote the first line with Error, which rarely does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from harness.model.errors import CommandFailed
from harness.stacks.node import Node

NOISE = (
    "rlimit: Can't setup RLIMIT_NOFILE for self",  # criu#537, harmless, in every log without CAP_SYS_RESOURCE
    "cgroupd: recv req error",  # follows any failure
    "ddress already assigned",  # ip(8) of the loopback device, harmless
)
KEPT = 12
CLOCK_STEP_SECONDS = 0.02
"""How far the time of a file may lie behind the clock: the kernel takes it from the last tick of its timer."""


def telling_lines(log: str) -> tuple[str, ...]:
    """Errors of `log` without the known noise, at most the last twelve; the first of them is usually the cause."""
    errors = [line for line in log.splitlines() if "Error" in line and not any(noise in line for noise in NOISE)]
    return tuple(errors[-KEPT:])


@contextlib.contextmanager
def explained(node: Node, *logs: str, otherwise: Callable[[], str] | None = None) -> Iterator[None]:
    """Attach to a failed command what CRIU's log says of errors.

    `logs` are shell patterns of paths in the node; logs of earlier commands are passed over. That there is one tells
    that CRIU had begun. Where they say nothing,
    the last lines of the text that `otherwise` gives stand for them, or what the command has said itself.
    """
    begun = time.time() - CLOCK_STEP_SECONDS
    try:
        yield
    except CommandFailed as error:
        paths = (path for log in logs for path in sorted(node.path("/").glob(log.lstrip("/"))))
        new = [path for path in paths if path.stat().st_mtime > begun]
        error.late = bool(new)
        told = telling_lines("\n".join(path.read_text(encoding="utf-8", errors="replace") for path in new))
        text = otherwise() if otherwise else error.stderr
        error.log = told or tuple(text.strip().splitlines()[-KEPT:])
        raise
