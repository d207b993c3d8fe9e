"""Does the source go on if the client of its live checkpoint gives up? It may do so at any moment of the call."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.host import audit, cgroups
from harness.host.process import Patience, replay
from harness.host.wait import until
from harness.model.cells import Cell, Scenario
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, GivenUp, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Abandoned, GivesUp, Leftover
from harness.runtimes.contract import Checkpoint, Container, State
from harness.trial.checkpoint import left_of
from harness.trial.source import Source
from harness.trial.trial import Trial

ATTEMPTS = 8
SOONER = 0.9
"""Part of a call that was done too early for its client, by which the next one is measured."""
WORKING_SECONDS = 0.5
"""Time that an engine gets, besides that of a whole call, to end what nobody waits for any more."""
LATE_SECONDS = 1.0
"""Time that a source is seen frozen before it is called lost: its engine has had the other time already."""
TICK_SECONDS = 4.0

pytestmark = pytest.mark.scenario(Scenario.ABANDONED)


class AbandonedCheckpoint(Trial):
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
        return frozenset(audit.processes_of(self.bench.node.pid, detailed=False))

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
        source = replace(source, late=min(source.late, LATE_SECONDS))
        with self.stages.at(Stage.READ):
            ticking, frozen = self._ticks(source), self.bench.frozen(source.container)
            state = self.bench.runtime.state(source.container)
            left = left_of(self.bench.node, checkpoint) if self.bench.node.daemons else None
            repair = "" if ticking and state is State.RUNNING else self._repair(source)
        seen = {"ticking": ticking, "frozen": frozen, "state": state.value, "archive": left, "repair": repair}
        self.abandoned = self.abandoned.model_copy(update=seen)
        if not ticking or state is not State.RUNNING:
            raise StageFailed(Stage.THAW, Outcome.SOURCE_HARMED, abandoned_source(self.abandoned))
        if left is Leftover.PARTIAL:
            reason = "the client gave up, and the engine left a part of the archive"
            raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason)

    def _ticks(self, source: Source) -> bool:
        with contextlib.suppress(DeadlineExceeded):
            source.tick_after(time.time_ns(), seconds=TICK_SECONDS)
            return True
        return False

    def _repair(self, source: Source) -> str:
        """Thaw the source, by its runtime or by hand, and return the command after which all is well, or nothing."""
        commands = self.bench.node.journal.commands
        for thaw in (self.bench.runtime.resume, self._thaw):
            with contextlib.suppress(CommandFailed, DeadlineExceeded), self.stages.journal.at(Stage.THAW):
                thaw(source.container)
            made = commands[-1]
            if self._ticks(source) and self.bench.runtime.state(source.container) is State.RUNNING:
                return spelled(made)
        return ""

    def _thaw(self, container: Container) -> None:
        node = self.bench.node
        for group in cgroups.subgroups(str(node.path(container.cgroup))):
            if cgroups.frozen(group):
                node.freeze(f"/{Path(group).relative_to(node.path('/'))}", frozen=False)


def spelled(command: Command) -> str:
    """Write a command, or the write of a kernel setting, for a shell."""
    return replay(command) if command.argv else f"echo {command.write_text} > {command.write_path}"


def abandoned_source(found: Abandoned) -> str:
    """Say what is wrong with a source after its client gave up."""
    how = "goes on" if found.ticking else "is still frozen" if found.frozen else "no longer ticks"
    repaired = f"`{found.repair}` repairs it" if found.repair else "and nothing repairs it"
    return f"the client gave up, and the source {how}, while its runtime calls it {found.state}; {repaired}"


def test_abandoned_checkpoint(cell: Cell, check: Callable[..., None]) -> None:
    """The source goes on, and its next checkpoint is consistent."""
    check(cell, AbandonedCheckpoint)
