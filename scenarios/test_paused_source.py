"""Does a live checkpoint respect a pause? A paused container must stay paused, or the engine must refuse clearly."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from harness.model.cells import Cell, Scenario
from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.oracle.refusal import NAMES_THE_PAUSE
from harness.runtimes.contract import Checkpoint
from harness.trial.source import Source
from harness.trial.trial import Trial

pytestmark = pytest.mark.scenario(Scenario.PAUSED)


class PausedSource(Trial):
    """The user pauses the source before the live checkpoint."""

    _paused: Source | None = None

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Pause, then take the checkpoint; an error that names the pause is a refusal."""
        self.evidence.freeze_begin_ns = time.time_ns()
        with self.stages.at(Stage.FREEZE):
            self.bench.runtime.pause(source.container)
        self._paused = source
        acquired.callback(self._resume)
        try:
            return super().checkpoint(source, acquired)
        except StageFailed as error:
            if error.outcome is Outcome.CHECKPOINT_FAILED and NAMES_THE_PAUSE.search(error.reason):
                raise StageFailed(error.stage, Outcome.REFUSED, error.reason, log=error.log) from error
            raise

    def examine(self, source: Source) -> None:
        """Check that the source is still paused, resume it, and check that it goes on."""
        with self.stages.at(Stage.READ):
            kept = source.stands_still()
        self._resume()
        super().examine(source)
        self.evidence.source = self.evidence.source.model_copy(update={"kept_pause": kept})

    def _resume(self) -> None:
        if self._paused is not None:
            paused, self._paused = self._paused, None
            with self.stages.at(Stage.THAW):
                self.bench.runtime.resume(paused.container)
            self.free_ns = time.time_ns()


def test_paused_source(cell: Cell, check: Callable[..., None]) -> None:
    """The paused container stays paused, and the restored container is of one instant."""
    check(cell, PausedSource)
