"""Would another participant restore it after all? Over a bridge: CRIU's configuration, or a translated checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from harness.checkpoints.translation.bridges import OldCriu, Runtime, covers, to_criu, to_runtime
from harness.checkpoints.untrusted import Budget
from harness.model import Cell, Scenario
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Checkpoint
from harness.trial import Trial


class Mapped(Trial):
    """CRIU is told, where it restores, what to cover masked paths with."""

    def build_bridge(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> None:
        """Add to CRIU's configuration for the time of the trial."""
        node = self.far.node
        found = covers(node.path(checkpoint.images), Budget())
        lines = tuple(f"external=mnt[{key}]:{path}" for key, path in found.items())
        before = node.read(criu_configuration.DEFAULT)
        node.write(criu_configuration.DEFAULT, before + "".join(f"{line}\n" for line in lines))
        acquired.callback(node.write, criu_configuration.DEFAULT, before)
        for path in found.values():
            lacking = [each for each in (path, *map(str, PurePosixPath(path).parents)) if not node.path(each).exists()]
            if lacking:
                node.make(path)
                acquired.callback(node.remove, lacking[-1])
        self.changes = lines


class Translated(Trial):
    """The brought copy of the checkpoint is rewritten for the side that restores it."""

    def build_bridge(self, checkpoint: Checkpoint, _: contextlib.ExitStack) -> None:
        """Rewrite its images in place."""
        images = self.far.node.path(checkpoint.images)
        installed = {component.name: component.version for component in self.far.components}
        changes: list[str] = []
        for runtime in Runtime:
            if runtime in installed:
                changes += to_runtime(images, runtime)
        for old in OldCriu:
            if f"{installed['criu']}.".startswith(f"{old}."):
                changes += to_criu(images, old)
        self.changes = tuple(changes)


@pytest.mark.scenario(Scenario.MAPPED)
def test_mapped(cell: Cell, check: Callable[..., None]) -> None:
    """With the names of external mounts mapped, it restores, and is consistent."""
    check(cell, Mapped)


@pytest.mark.scenario(Scenario.TRANSLATED)
def test_translated(cell: Cell, check: Callable[..., None]) -> None:
    """Translated, it restores, and is consistent."""
    check(cell, Translated)
