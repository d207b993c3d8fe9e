"""Can today's versions restore old checkpoints? One scenario keeps checkpoints, another restores kept ones."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.model.cells import Cell, Scenario
from harness.model.errors import UsageError
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Stage
from harness.records.record import Record
from harness.runtimes.contract import Checkpoint
from harness.trial import corpus
from harness.trial.bench import Bench
from harness.trial.source import Channel, Source
from harness.trial.trial import Trial

GOOD = frozenset({Outcome.CONSISTENT, Outcome.NOT_CAPTURED})


def folder_of(bench: Bench) -> Path:
    """Return the corpus of a bench; `UsageError` if it has none."""
    if bench.corpus is None:
        raise UsageError("this run has no corpus", remedy="Use `stillframe corpus`.")
    return bench.corpus


class Keeping(Trial):
    """A trial that keeps its checkpoint, if the checkpoint then restores well."""

    def run(self) -> Record:
        """Execute the trial, and keep its record with the checkpoint."""
        self._folder = corpus.place(folder_of(self.bench), self.cell)
        self._kept: Callable[[Record], corpus.Kept] | None = None
        corpus.drop(self._folder)  # from an earlier trial
        try:
            record = super().run()
            if self._kept and record.verdict.outcome in GOOD:
                corpus.write(self._folder, self._kept(record))
        finally:
            if not (self._folder / corpus.KEPT).exists():
                corpus.drop(self._folder)
        return record

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Pack the checkpoint, and the image if needed, before the reading unpacks anything beside it."""
        with self.stages.at(Stage.READ):
            node = self.bench.node
            archive, images = (node.path(path) for path in (checkpoint.archive, checkpoint.images))
            takes = needs(archive if archive.exists() else images)
            found = {
                "settings": self.bench.settings,
                "nonce": self.evidence.source_nonce,
                "freeze_begin_ns": self.evidence.freeze_begin_ns,
                "container": checkpoint.container,
                "needs": takes,
                "needs_digest": takes.digest,
                "image_digest": corpus.pack(node.path(f"{node.storage}/image"), folder_of(self.bench) / corpus.IMAGE),
                "checkpoint_digest": corpus.pack(node.path(checkpoint.folder), self._folder / corpus.CHECKPOINT),
            }
            self._kept = lambda record: corpus.Kept(record=record, **found)
        super().read_offline(checkpoint)


class Kept(Trial):
    """A trial that restores a checkpoint from a corpus; the source container no longer exists."""

    @property
    def foreign(self) -> bool:
        """True: another node took the checkpoint."""
        return True

    @property
    def maker(self) -> tuple[Component, ...]:
        """Versions of the participant that checkpointed."""
        return self._kept.record.components["checkpoint"]

    @cached_property
    def _kept(self) -> corpus.Kept:
        found = corpus.read(folder_of(self.bench))
        return next(each for each in found if each.cell.checkpoint == self.cell.checkpoint)

    def begin(self) -> Source:
        """Return the kept values of the source, which ended long ago."""
        return Source(self._kept.container, Channel(self.bench.node.path("/nowhere")), self._kept.nonce, deleted=True)

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Unpack the checkpoint, read it and restore it."""
        self.evidence.source_nonce, self.evidence.freeze_begin_ns = source.nonce, self._kept.freeze_begin_ns
        checkpoint = self.bench.checkpoint_of(source.container)
        with self.stages.at(Stage.PREPARE):
            kept = corpus.place(folder_of(self.bench), self.cell)
            corpus.lay_out(kept / corpus.CHECKPOINT, self.bench.node.path(checkpoint.folder))
        for left in (checkpoint.folder, source.container.spec.folder):
            acquired.callback(self.bench.node.remove, left)
        self.read_offline(checkpoint)
        begun = time.time_ns()
        self.read_restored(self.restore(checkpoint, acquired), begun)


@pytest.mark.scenario(Scenario.KEEP)
def test_keep(cell: Cell, check: Callable[..., None]) -> None:
    """The kept checkpoint restores well."""
    check(cell, Keeping)


@pytest.mark.scenario(Scenario.KEPT)
def test_kept(cell: Cell, check: Callable[..., None]) -> None:
    """The old checkpoint restores and is consistent."""
    check(cell, Kept)
