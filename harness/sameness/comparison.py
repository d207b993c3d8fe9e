"""The looks at a source and at its restored container, in the order of a trial."""

from __future__ import annotations

from pathlib import Path

from harness.model.readings import Sameness
from harness.runtimes.contract import Container
from harness.sameness.compare import compared
from harness.sameness.container import look
from harness.sameness.facts import Facts
from harness.stacks.node import Node


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
        return compared(self._before, self._after, _look(node, clone), node.accommodations)


def _look(node: Node, container: Container) -> Facts:
    names = (container.name, container.id, container.id[:12], Path(container.spec.folder).name)
    return look(node.pid, str(node.path(container.cgroup)), names, without=container.spec.report_mount)
