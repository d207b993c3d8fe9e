"""Is an incremental checkpoint a still frame? CRIU dumps memory in rounds while the container runs, then the rest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from harness.model.cells import Cell, Scenario
from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.runtimes.contract import Checkpoint, Container, PreDumps
from harness.trial.source import Source
from harness.trial.trial import Trial

ROUNDS = 2
"""Pre-dumps before the checkpoint itself."""
PROBE = ("criu", "check", "--feature", "mem_dirty_track")

pytestmark = pytest.mark.scenario(Scenario.INCREMENTAL)


class Incremental(Trial):
    """Each round is based on the previous one, with ticks in between; the whole chain moves before the restore."""

    def begin_checkpoint(self, source: Source, checkpoint: Checkpoint) -> Checkpoint:
        """Dump the rounds, if the kernel tracks memory changes."""
        with self.stages.at(Stage.CHECKPOINT):
            probe = self.bench.node.run(list(PROBE), accept=range(256))
        if probe.exit_code:
            said = " ".join((probe.stdout + probe.stderr).split())
            raise StageFailed(Stage.CHECKPOINT, Outcome.UNSUPPORTED, f"{' '.join(PROBE)}: {said}")
        for number in range(1, ROUNDS + 1):
            checkpoint = replace(checkpoint, earlier=(*checkpoint.earlier, f"round-{number}"))
            with self.stages.at(Stage.CHECKPOINT):
                self.bench.node.make(checkpoint.folder)
                cast(PreDumps, self.bench.runtime).pre_dump(checkpoint)
                source.tick_after(time.time_ns())
        return checkpoint

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore a copy of the whole chain from another folder."""
        with self.stages.at(Stage.RESTORE):
            moved = self.bench.bring(checkpoint, self.bench)
        acquired.callback(self.bench.node.remove, moved.folder)
        return super().restore(moved, acquired)


def test_incremental(cell: Cell, check: Callable[..., None]) -> None:
    """Memory from all rounds and disk are of one instant."""
    check(cell, Incremental)
