"""Mutants of a group: two containers that nothing holds still together, although each is held by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.model.controls import APART
from harness.runtimes.contract import Checkpoint
from harness.trial.freeze import NoFreeze
from harness.trial.source import Source
from harness.trial.trial import Trial
from scenarios.test_group import Group


class HeldApart(Group):
    """The group goes on between the two checkpoints."""

    control = APART.name

    def both(self, source: Source, freeze: NoFreeze, acquired: contextlib.ExitStack) -> Checkpoint:
        """Hold each container during its own checkpoint only."""
        checkpoint = Trial.checkpoint(self, source, acquired)
        with freeze.hold():
            self.take_second(freeze)
        return checkpoint


class SecondFirst(Group):
    """The containers are checkpointed in the other order."""

    control = f"{APART.name}.neutral"

    def both(self, source: Source, freeze: NoFreeze, acquired: contextlib.ExitStack) -> Checkpoint:
        """Hold the second container during both, and begin with it."""
        with self.held as held:
            held.enter_context(freeze.hold())
            self.take_second(freeze)
            return Trial.checkpoint(self, source, acquired)


def kinds() -> Iterator[tuple[str, type[Trial]]]:
    """Give the trials of the mutant and its neighbour, by the ids of their controls."""
    for kind in (HeldApart, SecondFirst):
        yield kind.control, kind
