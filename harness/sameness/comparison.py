"""The looks at a source and at its restored container, in the order of a trial."""

from __future__ import annotations

import time
from pathlib import Path

from harness.host import wait
from harness.model.readings import Aspect, Sameness
from harness.runtimes.contract import Container
from harness.sameness.compare import compared
from harness.sameness.container import look
from harness.sameness.facts import Facts
from harness.stacks.node import Node

MOST_LOOKS, APART_SECONDS = 5, 0.05
"""Looks at what a running process may change, and the time from one to the next."""
RUNNING = frozenset({Aspect.DESCRIPTORS, Aspect.SIGNALS, Aspect.IDENTITY})
"""What a running process changes for a moment: a file that it opens and closes, a lock, a thread."""


class Comparison:
    """Takes the looks of one trial; a look that was not taken compares nothing.

    Of several checkpoints, each of what the one before has restored, the first one's source counts.
    """

    def __init__(self) -> None:
        self._before: Facts | None = None
        self._after: list[Facts] = []

    def before(self, node: Node, source: Container) -> None:
        """Look at the source just before its checkpoint."""
        self._before = self._before or _look(node, source)

    def after(self, node: Node, source: Container) -> None:
        """Look at the source just after its checkpoint; several times if it has locks, which come and go."""
        while not self._after or (len(self._after) < MOST_LOOKS and _locks(self._after[0])):
            self._after.append(_next(node, source, self._after))

    def restored(self, node: Node, clone: Container) -> Sameness | None:
        """Look at the restored container, and compare; None without looks at the source before and after."""
        if self._before is None or not self._after:
            return None
        looks: list[Facts] = []
        while True:
            looks.append(_next(node, clone, looks))
            found = compared([self._before, *self._after], looks, node.accommodations)
            if len(looks) == MOST_LOOKS or not any(each.aspect in RUNNING for each in found.altered):
                return found


def _locks(facts: Facts) -> bool:
    return any(key.fact == "lock" for key in facts.values)


def _next(node: Node, container: Container, earlier: list[Facts]) -> Facts:
    if earlier:
        wait.moment(time.monotonic() + APART_SECONDS)
    return _look(node, container)


def _look(node: Node, container: Container) -> Facts:
    names = (container.name, container.id, container.id[:12], Path(container.spec.folder).name)
    return look(node.pid, str(node.path(container.cgroup)), names, without=container.spec.report_mount)
