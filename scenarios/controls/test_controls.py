"""Negative controls: something is broken on purpose, and the instrument has to notice what.

Each takes a cell that is otherwise consistent and overrides one step of the trial; the oracle knows nothing of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from harness.bench import Source
from harness.expectations import CONTROLS
from harness.host.wait import until
from harness.model import Control, Stage, SurfaceKind
from harness.oracle.judge import OVERLAP_NS
from harness.records import Record
from harness.runtimes.contract import Checkpoint, Container
from harness.trial import READ_SECONDS, Trial
from harness.workload import RECORD_BYTES


class FreshStart(Trial):
    """A container that was started anew poses as the restored one."""

    control = "fresh-start"

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:  # noqa: ARG002
        """Start instead of restoring."""
        with self.stages.at(Stage.RESTORE):
            posing = self.bench.start("clone")
        acquired.callback(self._remove, posing)
        return posing


class RingByte(Trial):
    """One byte of a captured ring is changed."""

    control = "ring-byte"

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Flip a byte in the first surface that is a file, in a record that is long written."""
        checkpoint = super().checkpoint(source, acquired)
        surface = next(each for each in self.bench.workload.surfaces if each.kind is SurfaceKind.ADDED)
        ring = self.bench.node.path(f"{checkpoint.upper}{surface.path}")
        data = bytearray(ring.read_bytes())
        where = RECORD_BYTES + 3
        data[where] ^= 0x10
        ring.write_bytes(data)
        return checkpoint


class GarbageImage(Trial):
    """The checkpoint is not one: CRIU's inventory, or else its largest file, is overwritten."""

    control = "garbage-image"

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Overwrite, then restore."""
        inventory = self.bench.node.path(f"{checkpoint.images}/inventory.img")
        files = [path for path in self.bench.node.path(checkpoint.folder).rglob("*") if path.is_file()]
        spoiled = inventory if inventory.exists() else max(files, key=lambda path: path.stat().st_size)
        spoiled.write_bytes(b"garbage" * 64)
        return super().restore(checkpoint, acquired)


class StoppedWorkload(Trial):
    """The workload has stopped ticking long before the checkpoint."""

    control = "stopped-workload"

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Stop it and let more time pass than any busy machine would withhold, then go on as usual."""
        runtime = self.bench.runtime
        runtime.signal(source.container, "STOP")
        begun = time.monotonic()
        acquired.callback(runtime.signal, source.container, "CONT")
        until(lambda: time.monotonic() - begun > 2e-9 * OVERLAP_NS, seconds=READ_SECONDS, what="a long pause")
        return super().checkpoint(source, acquired)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Let what was restored go on; only where nothing could be read before."""
        clone = super().restore(checkpoint, acquired)
        self.bench.runtime.signal(clone, "CONT")
        return clone


KINDS = {kind.control: kind for kind in (FreshStart, RingByte, GarbageImage, StoppedWorkload)}


def test_every_control_has_an_expectation() -> None:
    """The reports know what each control must lead to."""
    assert set(KINDS) == set(CONTROLS)


def test_control_is_noticed(control: Control, execute: Callable[..., list[Record]]) -> None:
    """What was broken is found, and called by its name."""
    (record,) = execute(control.cell, KINDS[control.name])
    if CONTROLS[control.name] not in record.verdict.found:
        pytest.fail(f"{record.verdict.outcome}, not {CONTROLS[control.name]}: {record.verdict.reason}", pytrace=False)
