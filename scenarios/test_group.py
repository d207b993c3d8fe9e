"""Is a group of containers of one instant? Each may be consistent by itself, while together they never were so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.host import cgroups
from harness.host.wait import until
from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Stage
from harness.runtimes.contract import Checkpoint, Container
from harness.trial.checkpoint import take_held
from harness.trial.freeze import POLICIES, NoFreeze
from harness.trial.source import Channel, Source, first_tick
from harness.trial.trial import Trial
from harness.workload.messages import Beat

JOIN_SECONDS = 30.0
END_SECONDS = 5.0
BEAT_TICKS = 2_000
"""Ticks between two beats, at most: the latest beats of both are of different moments."""


class Group(Trial):
    """The source and a second container tick together; each is checkpointed, and the second one is read offline."""

    second: Container | None = None
    nonce: str
    held: contextlib.ExitStack
    """Holds the second container."""

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Start the second container, and wait until it has caught up."""
        with self.stages.at(Stage.START):
            self.second = self.bench.start("second", number=1, beside=source.container)
            acquired.callback(self._end_second)
            channel = self.bench.channel(self.second)
            self.nonce = first_tick(channel, str(self.bench.node.path(self.second.cgroup))).nonce
            since = time.time_ns()
            until(lambda: _together(source.channel, channel, since), seconds=JOIN_SECONDS, what="the second container")
        super().experiment(source, acquired)

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Hold the second container, too, if the policy holds; take both checkpoints, and read the second one."""
        assert self.second is not None
        other = self.bench.checkpoint_of(self.second)
        acquired.callback(self._remove_checkpoint, other)
        self.held = contextlib.ExitStack()
        freeze = POLICIES[self.cell.policy](self.bench.runtime, other, self.stages)
        self.evidence.freeze_begin_ns = time.time_ns()
        checkpoint = self.both(source, freeze, acquired)
        with self.stages.at(Stage.READ):
            reading, *_ = self.bench.read_offline(self.bench.runtime.contents(other), self.nonce)
            self.evidence.group.append(reading)
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
        channel = self.bench.channel(freeze.container)
        known = len(channel.listen())
        going = "a message of the second container"
        take_held(freeze, runs_again=lambda: until(lambda: len(channel.listen()) > known, seconds=30.0, what=going))

    def _end_second(self) -> None:
        """Ask it to end, so that the first one does not wait for it, and remove it."""
        if self.second is not None:
            second, self.second = self.second, None
            group = str(self.bench.node.path(second.cgroup))
            with self.stages.at(Stage.CLEAN_UP):
                self.bench.runtime.signal(second, "TERM")
                until(lambda: not cgroups.processes(group), seconds=END_SECONDS, what="the end of the second container")
                self.bench.remove(second)


class GroupAtOnce(Group):
    """Both are checkpointed at the same time."""

    def both(self, source: Source, freeze: NoFreeze, acquired: contextlib.ExitStack) -> Checkpoint:
        """Take both checkpoints at once."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.take_second, freeze)
            checkpoint = Trial.checkpoint(self, source, acquired)
            waiting.result()
        return checkpoint


def _together(first: Channel, second: Channel, since: int) -> bool:
    """Whether both have said since then that they tick, and the same."""
    latest = [
        max((each.n for each in channel.listen() if isinstance(each, Beat) and each.wall_ns > since), default=None)
        for channel in (first, second)
    ]
    return None not in latest and abs(latest[0] - latest[1]) <= BEAT_TICKS  # type: ignore[operator]


@pytest.mark.scenario(Scenario.GROUP)
def test_group(cell: Cell, check: Callable[..., None]) -> None:
    """Memory of both containers is of one instant."""
    check(cell, Group)


@pytest.mark.scenario(Scenario.GROUP_AT_ONCE)
def test_group_at_once(cell: Cell, check: Callable[..., None]) -> None:
    """Memory of both containers is of one instant."""
    check(cell, GroupAtOnce)
