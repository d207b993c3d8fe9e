"""The looks at a source and at its restored container, in the order of a trial."""

from __future__ import annotations

from pathlib import Path

from harness.model.readings import Aspect, Sameness
from harness.runtimes.contract import Container
from harness.sameness.compare import compared
from harness.sameness.container import look
from harness.sameness.facts import Facts
from harness.stacks.node import Node

MOST_LOOKS = 5
"""Looks at a restored container that seems to differ in what a running process changes."""
RUNNING = frozenset({Aspect.DESCRIPTORS, Aspect.SIGNALS, Aspect.IDENTITY})
"""What a running process changes for a moment: a file that it opens and closes, a thread that it starts."""


class Comparison:
    """Takes the looks of one trial; a look that was not taken compares nothing.

    Of several checkpoints, each of what the one before has restored, the first one's source counts.
    """

    def __init__(self) -> None:
        self._before: Facts | None = None
        self._after: Facts | None = None

    def before(self, node: Node, source: Container) -> None:
        """Look at the source just before its checkpoint."""
        self._before = self._before or _look(node, source)

    def after(self, node: Node, source: Container) -> None:
        """Look at the source just after its checkpoint."""
        self._after = self._after or _look(node, source)

    def restored(self, node: Node, clone: Container) -> Sameness | None:
        """Look at the restored container, and compare; None without both looks at the source."""
        if self._before is None or self._after is None:
            return None
        source, looks = (self._before, self._after), [_look(node, clone)]
        while True:
            found = compared(source, looks, node.accommodations)
            if len(looks) == MOST_LOOKS or not any(each.aspect in RUNNING for each in found.altered):
                return found
            looks.append(_look(node, clone))


def _look(node: Node, container: Container) -> Facts:
    names = (container.name, container.id, container.id[:12], Path(container.spec.folder).name)
    return look(node.pid, str(node.path(container.cgroup)), names, without=container.spec.report_mount)
