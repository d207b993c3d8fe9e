"""Can another participant restore the checkpoint over a bridge? CRIU's configuration, or a translated checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import cast

import pytest

from harness.checkpoints.translation.bridges import OldCriu, Runtime, covers, to_criu, to_runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.checkpoints.untrusted import Budget
from harness.model.cells import Cell, Scenario
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Checkpoint, Translating
from harness.trial.trial import Trial


class Mapped(Trial):
    """A trial whose restore maps masked paths in CRIU's configuration."""

    def build_bridge(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> None:
        """Extend CRIU's configuration during the trial."""
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
        self.changes, self.mapped = lines, tuple(found)


class Translated(Trial):
    """A trial that translates the copied checkpoint for the participant that restores it."""

    def build_bridge(self, checkpoint: Checkpoint, _: contextlib.ExitStack) -> None:
        """Rewrite the checkpoint's archive, or its images."""
        near, far = self.bench.runtime.way.form, self.far.runtime.way.form
        order = cast(Translating, self.far.runtime).translation(checkpoint) if near != far else Order()
        installed = {component.name: component.version for component in self.far.components}
        runtime = next((each for each in Runtime if each in installed), None)
        criu = next((each for each in OldCriu if f"{installed['criu']}.".startswith(f"{each}.")), None)
        archive, images = (self.far.node.path(path) for path in (checkpoint.archive, checkpoint.images))
        if archive.exists() and (order.to or runtime or criu):
            order = replace(order, runtime=runtime, criu=criu)
            self.changes = tuple(translate(archive, archive, order, force=True).changes)
        else:
            self.changes = (
                *(to_runtime(images, runtime) if runtime else ()),
                *(to_criu(images, criu) if criu else ()),
            )


@pytest.mark.scenario(Scenario.MAPPED)
def test_mapped(cell: Cell, check: Callable[..., None]) -> None:
    """With mapped external mounts, the checkpoint restores and is consistent."""
    check(cell, Mapped)


@pytest.mark.scenario(Scenario.TRANSLATED)
def test_translated(cell: Cell, check: Callable[..., None]) -> None:
    """The translated checkpoint restores and is consistent."""
    check(cell, Translated)
