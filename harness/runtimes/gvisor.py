"""What every use of runsc needs: a log for the panics of its sandboxes."""

from __future__ import annotations

from harness.stacks.node import Node

PANICS = "/var/log/runsc.panic"


def panic_log(node: Node) -> str:
    """Return runsc's option for a log of panics, which outlives the sandbox; the node reads the log."""
    node.crash_logs[PANICS] = 0
    return f"--panic-log={PANICS}"
