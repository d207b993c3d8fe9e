"""Mutants that tamper with a real checkpoint, and their neutral neighbours.

Each one changes files before the checkpoint is read, only while it is read, or after that. The trial verifies that the
files have changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.checkpoints.untrusted import everything_below
from harness.model.mutants import ARCHIVED, TAMPERED
from harness.model.outcomes import Stage
from harness.runtimes.contract import Checkpoint, Container
from harness.trial.checkpoint import take
from harness.trial.source import READY_SECONDS, Source
from harness.trial.trial import Trial
from harness.workload.messages import Beat
from scenarios.controls import archives, changes, sameness, state
from scenarios.controls.changes import Change, Files

MANY = 64
"""Ticks that give enough records to tamper with."""


class Moment(Enum):
    """The moment of a tampering."""

    BEFORE_READING = 1
    WHILE_READING = 2
    AFTER_READING = 3


class Mutant(Trial):
    """A trial that verifies that its mutation was applied."""

    played = False

    def await_moment(self, source: Source) -> None:
        """Let the workload write some records first."""
        with self.stages.at(Stage.START):
            source.channel.wait_for(
                lambda said: isinstance(said, Beat) and said.n > MANY, seconds=READY_SECONDS, what=f"{MANY} ticks"
            )
        super().await_moment(source)


class Tampered(Mutant):
    """A trial that changes files of its checkpoint."""

    change: Change
    moment: Moment
    reads: bool
    wants: str
    """`earlier`: needs an earlier checkpoint of the same source; `other`: needs one of another container."""
    second: Checkpoint | None = None

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Take the checkpoint, and a second one if needed: the earlier one before, that of another container after.

        Another container takes time: before the checkpoint, it could make the trial vacuous on a busy machine.
        """
        if self.wants == "earlier":
            self.second = super().checkpoint(source, acquired)
            source.tick_after(time.time_ns())
        checkpoint = super().checkpoint(source, acquired)
        if self.wants == "other":
            self.second = self._of_another(acquired)
        if self.moment is Moment.BEFORE_READING:
            self._apply(checkpoint)
        return checkpoint

    def _of_another(self, acquired: contextlib.ExitStack) -> Checkpoint:
        with self.stages.at(Stage.START):
            other = self.bench.start("other")
            ticks = self.bench.channel(other)
            ticks.wait_for(
                lambda said: isinstance(said, Beat) and said.n > MANY, seconds=READY_SECONDS, what=f"{MANY} ticks"
            )
        checkpoint = self.bench.checkpoint_of(other)
        acquired.callback(self._remove_checkpoint, checkpoint)
        take(self.bench.runtime, checkpoint, self.cell.policy, self.stages, runs_again=lambda: None)
        self._remove(other)
        return checkpoint

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Read the checkpoint, with the change if it is for the reading alone."""
        if self.moment is Moment.WHILE_READING:
            folder = self.bench.node.path(checkpoint.folder)
            kept = folder.with_name(f"{folder.name}.kept")
            self.bench.node.run(["cp", "--archive", checkpoint.folder, f"{checkpoint.folder}.kept"])
            self._apply(checkpoint)
            super().read_offline(checkpoint)
            shutil.rmtree(folder)
            kept.rename(folder)
        elif self.reads:
            super().read_offline(checkpoint)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore the checkpoint, with the change if it is for the restore alone."""
        if self.moment is Moment.AFTER_READING:
            self._apply(checkpoint)
        return super().restore(checkpoint, acquired)

    def _apply(self, checkpoint: Checkpoint) -> None:
        folder = self.bench.node.path(checkpoint.folder)
        before = _fingerprint(folder)
        second = self.bench.node.path(self.second.folder) if self.second else None
        self.change(Files(folder, second))
        self.played |= _fingerprint(folder) != before


def _fingerprint(folder: Path) -> set[tuple[object, ...]]:
    """Return a fingerprint of the files: names, inodes, times, modes and contents."""
    found: set[tuple[object, ...]] = set()
    for path in everything_below(folder):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        found.add((path.relative_to(folder), status.st_ino, status.st_mtime_ns, status.st_mode, digest))
    return found


# ---- all tamperings


@dataclass(frozen=True)
class Tampering:
    """The changes of a mutant and of its neutral neighbour."""

    change: Change
    neutral: Change
    wants: str = ""
    moment: Moment = Moment.BEFORE_READING
    reads: bool = True


TAMPERINGS = {
    "memory-page-older": Tampering(state.older_record, state.padded_record),
    "file-renamed-back": Tampering(state.renamed_back, changes.copy_of(state.RENAMED), moment=Moment.WHILE_READING),
    "pipe-message-lost": Tampering(state.pipe_message_lost, changes.copy_of(state.PIPES)),
    "capability-dropped": Tampering(sameness.capability_dropped, sameness.core_rewritten),
    "limit-lowered": Tampering(sameness.limit_lowered, sameness.core_rewritten),
    "mount-writable": Tampering(sameness.mount_writable, sameness.mounts_rewritten),
    "offset-moved": Tampering(sameness.offset_moved, sameness.files_rewritten),
    "archive-unfiltered": Tampering(archives.unfiltered, archives.rewritten),
    "memory-older": Tampering(changes.older_page, changes.other_padding, wants="earlier"),
    "memory-zeroed": Tampering(changes.zero_page, changes.other_padding),
    "memory-foreign": Tampering(changes.other_nonce, changes.other_padding),
    "core-foreign": Tampering(changes.other_core, changes.other_statistics, wants="other"),
    "ring-rewound": Tampering(changes.rewound, changes.copy_of(changes.ADDED)),
    "ring-advanced": Tampering(changes.advanced, changes.copy_of(changes.ADDED)),
    "ring-torn": Tampering(changes.torn, changes.copy_of(changes.ADDED)),
    "ring-lost": Tampering(changes.lost, changes.copy_of(changes.ADDED)),
    "ring-foreign": Tampering(changes.foreign, changes.copy_of(changes.ADDED)),
    "ring-backwards": Tampering(changes.backwards, changes.copy_of(changes.ADDED)),
    "ring-order": Tampering(changes.out_of_order, changes.reordered),
    "ring-unread": Tampering(changes.rewound, changes.copy_of(changes.ADDED), reads=False),
    "surface-missing": Tampering(changes.surface_missing, changes.unrelated_file),
    "surface-mixed": Tampering(changes.mixed, changes.copy_of(changes.ADDED), wants="earlier"),
    "image-file-missing": Tampering(changes.image_file_missing, changes.copy_of(changes.IMAGE)),
    "deleted-file-back": Tampering(changes.deleted_file_back, changes.deleted_again),
    "sentinel-left-out": Tampering(changes.sentinel_left_out, changes.copy_of(changes.SENTINEL)),
    "appended-cut-short": Tampering(changes.appended_cut_short, changes.copy_of(changes.APPENDED)),
    "appended-repeated": Tampering(changes.appended_repeated, changes.copy_of(changes.APPENDED)),
    "bind-mount-outside": Tampering(changes.as_it_is, changes.whole_copy),
    "swapped-memory": Tampering(changes.whole_second, changes.whole_copy, wants="earlier", moment=Moment.AFTER_READING),
    "swapped-surface": Tampering(changes.rewound, changes.copy_of(changes.ADDED), moment=Moment.AFTER_READING),
    "swapped-workload": Tampering(changes.whole_second, changes.whole_copy, wants="other", moment=Moment.WHILE_READING),
    "other-rewound": Tampering(changes.other_rewound, changes.copy_of(changes.OTHER)),
    "archive-volume-left-out": Tampering(archives.volume_left_out, archives.rewritten),
    "archive-surface-left-out": Tampering(archives.surface_left_out, archives.layer_rewritten),
    "archive-truncated": Tampering(archives.truncated, archives.padded),
    "archive-newer": Tampering(archives.newer_version, archives.rewritten),
    "archive-two-workloads": Tampering(archives.other_rewound, archives.layer_rewritten),
    "log-cut-short": Tampering(changes.log_cut_short, changes.log_copied),
    "log-repeated": Tampering(changes.log_repeated, changes.log_copied),
    "log-advanced": Tampering(changes.log_advanced, changes.log_copied),
    "pages-hidden": Tampering(changes.pages_hidden, changes.statistics_hidden, moment=Moment.WHILE_READING),
}


def kinds() -> Iterator[tuple[str, type[Trial]]]:
    """Give the trials of all mutants and neighbours, by the ids of their controls."""
    for proof in (*TAMPERED, *ARCHIVED):
        made = TAMPERINGS[proof.name]
        for name, change in ((proof.name, made.change), (f"{proof.name}.neutral", made.neutral)):
            body = {
                "__doc__": f"{proof.what}.",
                "control": name,
                "change": staticmethod(change),
                "moment": made.moment,
                "reads": made.reads,
                "wants": made.wants,
                "played": change is changes.as_it_is,
            }
            yield name, type(Tampered.__name__, (Tampered,), body)
