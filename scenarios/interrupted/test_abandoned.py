"""Does the source go on if the client of its live checkpoint gives up? It may do so at any moment of the call."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

import pytest

from harness.host import audit
from harness.host.process import Patience
from harness.host.wait import until
from harness.model.cells import Cell, Scenario
from harness.model.errors import GivenUp, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Abandoned, GivesUp, Leftover
from harness.runtimes.contract import Checkpoint
from harness.trial.source import Source
from scenarios.interrupted.aftermath import BrokenOff, harm

ATTEMPTS = 8
SOONER = 0.9
"""Part of a call that was done too early for its client, by which the next one is measured."""
WORKING_SECONDS = 0.5
"""Time that an engine gets, besides that of a whole call, to end what nobody waits for any more."""

pytestmark = pytest.mark.scenario(Scenario.ABANDONED)


class AbandonedCheckpoint(BrokenOff):
    """One call is given up on at a moment of its own; then the live checkpoint of the cell is taken as always."""

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Go on while the source does."""
        whole = self._call(source)
        for _ in range(ATTEMPTS):
            took = self._call(source, whole)
            if self.abandoned is not None:
                break
            whole = SOONER * min(whole, took)
        else:
            reason = f"each of {ATTEMPTS} calls was done before its client gave up"
            raise StageFailed(Stage.CHECKPOINT, Outcome.VACUOUS, reason)
        super().experiment(source, acquired)

    @property
    def _how(self) -> GivesUp:
        return tuple(GivesUp)[self.number % len(GivesUp)]

    @property
    def _share(self) -> float:
        """Part of a whole call after which its client gives up: together, the trials of a cell cover all of it."""
        moments = max(1, self.plan.rounds_of(self.cell) // len(GivesUp))
        within = random.Random(self.schedule.seed).random()  # noqa: S311
        return (self.number // len(GivesUp) % moments + within) / moments

    def _call(self, source: Source, whole: float = 0.0) -> float:
        """Call for a checkpoint that nobody needs, and return the seconds that it took.

        Given the seconds of a `whole` call, give up before its end, and see what becomes of the source.
        """
        checkpoint = self.bench.checkpoint_of(source.container)
        with contextlib.ExitStack() as acquired:
            acquired.callback(self._remove_checkpoint, checkpoint)
            self.bench.node.make(checkpoint.folder)
            before = self._processes() if whole else frozenset()
            begun, patience = time.monotonic(), Patience(whole * self._share, self._how) if whole else None
            with self.stages.at(Stage.CHECKPOINT):
                given_up = self._take(checkpoint, patience)
            took = time.monotonic() - begun
            if given_up and patience:
                self._let_work(begun + whole + WORKING_SECONDS, before)
                after_us, whole_us = round(patience.seconds * 1e6), round(whole * 1e6)
                self.abandoned = Abandoned(how=self._how, after_us=after_us, whole_us=whole_us)
                self._see_what_became_of(source, checkpoint)
        return took

    def _let_work(self, due: float, before: frozenset[str]) -> None:
        """Wait until `due`, or until no daemon and no process is left that was not there `before`."""

        def over() -> bool:
            return time.monotonic() >= due or not (self.bench.node.daemons or self._processes() - before)

        until(over, seconds=WORKING_SECONDS + max(due - time.monotonic(), 0), what="the end of the call")

    def _processes(self) -> frozenset[str]:
        return frozenset(audit.processes_of(self.bench.node.pid))

    def _take(self, checkpoint: Checkpoint, patience: Patience | None) -> bool:
        """Return whether the client gave up."""
        self.bench.node.patience = patience
        try:
            self.bench.runtime.live_checkpoint(checkpoint)
        except GivenUp:
            return True
        finally:
            self.bench.node.patience = None
        return False

    def _see_what_became_of(self, source: Source, checkpoint: Checkpoint) -> None:
        """Fill in `abandoned`; raise `StageFailed` if the source does not go on by itself, or if a part is left."""
        assert self.abandoned is not None
        found = self.aftermath(source, checkpoint)
        left = found.archive if self.bench.node.daemons else None  # or the client itself writes it
        self.abandoned = self.abandoned.model_copy(update={**found.model_dump(), "archive": left})
        if wrong := harm(found):
            raise StageFailed(Stage.THAW, Outcome.SOURCE_HARMED, f"the client gave up, and {wrong}")
        if left is Leftover.PARTIAL:
            reason = "the client gave up, and the engine left a part of the archive"
            raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason)


def test_abandoned_checkpoint(cell: Cell, check: Callable[..., None]) -> None:
    """The source goes on, and its next checkpoint is consistent."""
    check(cell, AbandonedCheckpoint)
