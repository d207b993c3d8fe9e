"""What comes of two requests for a container at once? Each is done or declined; a checkpoint that is done is whole."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from harness.host import wait
from harness.model.cells import Cell, FreezePolicy, Scenario
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Concurrent, Leftover, Rival
from harness.runtimes.contract import State
from harness.trial.source import Source
from harness.trial.trial import Trial
from scenarios.interrupted.aftermath import archive_of

APART_SECONDS = 0.1
"""The second request comes at most so long after the first one."""
ENDS = (Rival.STOP, Rival.DELETE)

pytestmark = pytest.mark.scenario(Scenario.CONCURRENT)


class TwoAtOnce(Trial):
    """A race for the source; then the live checkpoint of the cell, of a new source if this one is gone."""

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Go on if the race had a well-defined result."""
        with contextlib.ExitStack() as raced:
            self._race(source, raced)
        super().experiment(self.bench.running_source(self.stages), acquired)

    @property
    def rival(self) -> Rival:
        """What this trial races against."""
        way = self.bench.runtime.way
        pauses = FreezePolicy.PAUSE in way.policies or Scenario.PAUSED in way.scenarios
        known = [each for each in Rival if pauses or each is not Rival.PAUSE]
        return known[self.number % len(known)]

    def _race(self, source: Source, raced: contextlib.ExitStack) -> None:
        """Ask for both at once, and see what comes of it."""
        runtime, container = self.bench.runtime, source.container
        first, second = (self.bench.checkpoint_of(container) for _ in range(2))
        for checkpoint in (first, second):
            raced.callback(self._remove_checkpoint, checkpoint)
            self.bench.node.make(checkpoint.folder)

        def remove() -> None:
            runtime.kill(container)
            runtime.delete(container)

        requests: dict[Rival, Callable[[], None]] = {
            Rival.CHECKPOINT: lambda: runtime.live_checkpoint(second),
            Rival.PAUSE: lambda: runtime.pause(container),
            Rival.STOP: lambda: runtime.kill(container),
            Rival.DELETE: remove,
        }
        apart = random.Random(self.schedule.seed).random() * APART_SECONDS  # noqa: S311
        begun = time.monotonic()
        with self.stages.at(Stage.CHECKPOINT), ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(runtime.live_checkpoint, first)]
            wait.moment(begun + apart)
            asked.append(pool.submit(requests[self.rival]))
            said = [_declined(each) for each in asked]
        with self.stages.at(Stage.READ):
            archives = [
                None if why else archive_of(self.bench, each) for why, each in zip(said, (first, second), strict=True)
            ]
        if self.rival is not Rival.CHECKPOINT:
            archives[1] = None
        whats = (Rival.CHECKPOINT, self.rival)
        self.concurrent = tuple(
            Concurrent(what=what, declined=why, archive=archive)
            for what, why, archive in zip(whats, said, archives, strict=True)
        )
        self._see_what_became_of(source)

    def _see_what_became_of(self, source: Source) -> None:
        """Raise `StageFailed` unless every request has a well-defined result; let a source go that was to end."""
        both = f"a checkpoint and a {self.rival} at once"
        for each in self.concurrent:
            if each.archive in (Leftover.PARTIAL, Leftover.GONE):
                reason = f"{both}: a checkpoint was reported as done, and its archive is {each.archive}"
                raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason)
        if self.rival in ENDS and not self.concurrent[1].declined:
            source.ended, source.deleted = True, self.rival is Rival.DELETE
            with self.stages.at(Stage.CLEAN_UP):
                self.bench.drop_source()
            self.last = True  # the audit after this trial does not know the next source
            return
        with self.stages.at(Stage.THAW):
            if self.bench.runtime.state(source.container) is State.PAUSED or self.rival is Rival.PAUSE:
                with contextlib.suppress(CommandFailed):  # the checkpoint may have let it go on
                    self.bench.runtime.resume(source.container)
            try:
                source.tick_after(time.time_ns())
            except DeadlineExceeded as error:
                how = "is still frozen" if self.bench.frozen(source.container) else "no longer ticks"
                failed = f", the {self.rival} was declined" if self.rival in ENDS else ""
                reason = f"{both}{failed}, and the source {how}"
                raise StageFailed(Stage.THAW, Outcome.SOURCE_HARMED, reason) from error


def _declined(request: Future[None]) -> str:
    """Wait for a request; return why it was declined, or nothing."""
    try:
        request.result()
    except CommandFailed as error:
        if not error.runtime:
            raise
        return error.log[0] if error.log else str(error)
    return ""


def test_two_at_once(cell: Cell, check: Callable[..., None]) -> None:
    """Both requests have a well-defined result, and the next checkpoint is consistent."""
    check(cell, TwoAtOnce)
