"""Is a group of containers of one instant? Each may be consistent by itself, while together they never were so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.checkpoints.untrusted import Broken, Unreadable
from harness.host import cgroups
from harness.host.wait import until
from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Stage
from harness.runtimes.contract import Checkpoint
from harness.trial.checkpoint import take_held
from harness.trial.freeze import POLICIES, NoFreeze
from harness.trial.source import Source, first_tick
from harness.trial.trial import Trial

JOIN_SECONDS = 30.0
END_SECONDS = 5.0


class Group(Trial):
    """The source and a second container tick together; each is checkpointed, and the second one is read offline."""

    second: Source | None = None
    held: contextlib.ExitStack
    """Holds the second container."""

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Start the second container, and wait until it has caught up."""
        self.held = contextlib.ExitStack()
        with self.stages.at(Stage.START):
            container = self.bench.start("second", number=1, beside=source.container)
            channel, group = self.bench.channel(container), str(self.bench.node.path(container.cgroup))
            self.second = Source(container, channel, "", group, source.late)
            acquired.callback(self._end_second)
            self.second.nonce = first_tick(channel, group).nonce
            source.tick_after(time.time_ns(), seconds=JOIN_SECONDS)  # it waits until the second one has caught up
        super().experiment(source, acquired)

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Hold the second container, too, if the policy holds; take both checkpoints, and read the second one."""
        assert self.second is not None
        second = self.second
        other = self.bench.checkpoint_of(second.container)
        acquired.callback(self._remove_checkpoint, other)
        freeze = POLICIES[self.cell.policy](self.bench.runtime, other, self.stages)
        self.evidence.freeze_begin_ns = time.time_ns()
        checkpoint = self.both(source, freeze, acquired)
        with self.stages.at(Stage.READ):
            try:
                found = self.bench.read_offline(self.bench.runtime.contents(other), second.nonce)
            except Broken as error:
                self.evidence.broken = f"the second container's checkpoint was reported as a success: {error}"
            except Unreadable as error:
                self.evidence.unreadable = f"the second container's checkpoint: {error}"
            else:
                self.evidence.group += [reading for reading in found if reading.nonce == second.nonce]
                if not self.evidence.group:
                    self.evidence.broken = "the second container's checkpoint holds another workload"
        self._end_second()
        return checkpoint

    def both(self, source: Source, freeze: NoFreeze, acquired: contextlib.ExitStack) -> Checkpoint:
        """Take one checkpoint after the other; if nothing holds the containers still, they go on in between."""
        with self.held as held:
            held.enter_context(freeze.hold())
            checkpoint = super().checkpoint(source, acquired)
            if not freeze.holds_still:
                source.tick_after(time.time_ns())
            self.take_second(freeze)
        return checkpoint

    def examine(self, source: Source) -> None:
        """Let the second container go on first, since the source waits for it."""
        self.held.close()
        super().examine(source)

    def take_second(self, freeze: NoFreeze) -> None:
        """Take the checkpoint of the second container."""
        assert self.second is not None
        second = self.second
        take_held(freeze, runs_again=lambda: second.tick_after(time.time_ns()))

    def _end_second(self) -> None:
        """Ask it to end, so that the first one does not wait for it, and remove it."""
        if self.second is not None:
            second, self.second = self.second, None
            with self.stages.at(Stage.CLEAN_UP):
                self.bench.runtime.signal(second.container, "TERM")
                until(
                    lambda: not cgroups.processes(second.group), seconds=END_SECONDS, what="the second container's end"
                )
                self.bench.remove(second.container)


class GroupAtOnce(Group):
    """Both are checkpointed at the same time."""

    def both(self, source: Source, freeze: NoFreeze, acquired: contextlib.ExitStack) -> Checkpoint:
        """Take both checkpoints at once."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.take_second, freeze)
            checkpoint = Trial.checkpoint(self, source, acquired)
            waiting.result()
        return checkpoint


@pytest.mark.scenario(Scenario.GROUP)
def test_group(cell: Cell, check: Callable[..., None]) -> None:
    """Memory of both containers is of one instant."""
    check(cell, Group)


@pytest.mark.scenario(Scenario.GROUP_AT_ONCE)
def test_group_at_once(cell: Cell, check: Callable[..., None]) -> None:
    """Memory of both containers is of one instant."""
    check(cell, GroupAtOnce)
