"""Is what was kept still restored? Checkpoints are kept for versions to come, and those of old are tried today."""

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
    """The corpus that a bench was opened for."""
    if bench.corpus is None:
        raise UsageError("there is no corpus", remedy="Use `stillframe corpus`.")
    return bench.corpus


class Keeping(Trial):
    """The checkpoint is kept before it is restored; for good only if that went well."""

    def run(self) -> Record:
        """Keep what the trial has found with the checkpoint."""
        self._folder = corpus.place(folder_of(self.bench), self.cell)
        self._kept: Callable[[Record], corpus.Kept] | None = None
        corpus.drop(self._folder)  # of an earlier round
        try:
            record = super().run()
            if self._kept and record.verdict.outcome in GOOD:
                corpus.write(self._folder, self._kept(record))
        finally:
            if not (self._folder / corpus.KEPT).exists():
                corpus.drop(self._folder)
        return record

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Pack the checkpoint, and the image if it was not yet, before anything is unpacked beside it."""
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
    """A checkpoint out of a corpus, restored here; its container is not."""

    @property
    def foreign(self) -> bool:
        """It was another node."""
        return True

    @property
    def maker(self) -> tuple[Component, ...]:
        """Versions of who has checkpointed."""
        return self._kept.record.components["checkpoint"]

    @cached_property
    def _kept(self) -> corpus.Kept:
        found = corpus.read(folder_of(self.bench))
        return next(each for each in found if each.cell.checkpoint == self.cell.checkpoint)

    def begin(self) -> Source:
        """Remember the source, which ended long ago."""
        return Source(self._kept.container, Channel(self.bench.node.path("/nowhere")), self._kept.nonce, deleted=True)

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Lay it out, read it, restore it."""
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
    """A checkpoint is kept, and restores well."""
    check(cell, Keeping)


@pytest.mark.scenario(Scenario.KEPT)
def test_kept(cell: Cell, check: Callable[..., None]) -> None:
    """What was kept is restored, and consistent."""
    check(cell, Kept)
