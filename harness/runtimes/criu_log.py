"""Find the cause of a failure in CRIU's log; wrappers quote the first line with Error, which is rarely the cause."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator

from harness.model.errors import CommandFailed
from harness.stacks.node import Node

NOISE = (
    "rlimit: Can't setup RLIMIT_NOFILE for self",  # harmless, in every log without CAP_SYS_RESOURCE (criu#537)
    "cgroupd: recv req error",  # follows any failure
    "ddress already assigned",  # harmless, from ip(8) for the loopback device
)
QUOTED = re.compile(r"\([0-9]+\.[0-9]+\)\s.*?(?=\"?$)", re.MULTILINE)
"""A line of CRIU's log in a message of a runtime that quotes it, with a prefix of its own."""
HEADING = re.compile(r'(^|msg="?)---')
"""A line that a runtime writes before or after a quotation."""
KEPT = 12
CLOCK_STEP_SECONDS = 0.02
"""Seconds that a file's time may be behind the clock: the kernel takes it from its last timer tick."""


def telling_lines(log: str) -> tuple[str, ...]:
    """Return the errors in `log` without known noise, at most the last twelve; the first one is usually the cause."""
    errors = [line for line in log.splitlines() if "Error" in line and not any(noise in line for noise in NOISE)]
    return tuple(errors[-KEPT:])


@contextlib.contextmanager
def explained(node: Node, *logs: str, otherwise: Callable[[], str] | None = None) -> Iterator[None]:
    """Attach the errors in CRIU's logs to a failed command.

    `logs` are shell patterns for paths in the node; logs of earlier commands are ignored. A new log, or a quotation of
    one, means that CRIU had begun (`late`). Without errors in the logs, the last lines of `otherwise()` or of stderr
    are attached, but if they quote CRIU's log, its errors alone.
    """
    begun = time.time() - CLOCK_STEP_SECONDS
    try:
        yield
    except CommandFailed as error:
        paths = (path for log in logs for path in sorted(node.path("/").glob(log.lstrip("/"))))
        new = [path for path in paths if path.stat().st_mtime > begun]
        told = telling_lines("\n".join(path.read_text(encoding="utf-8", errors="replace") for path in new))
        text = otherwise() if otherwise else error.stderr
        quoted = "\n".join(QUOTED.findall(text))
        error.late = bool(new or quoted)
        lines = [line for line in text.strip().splitlines() if not (HEADING.search(line) or QUOTED.search(line))]
        error.log = told or telling_lines(quoted) or tuple((lines or text.strip().splitlines())[-KEPT:])
        raise
