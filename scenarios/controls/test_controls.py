"""The instrument's own proof: it must notice what was broken on purpose, and must not notice a harmless change.

Each control takes a cell that is otherwise consistent, and overrides one step of the trial. The oracle does not know
about controls.
"""

from __future__ import annotations

import contextlib
import stat
import time
from collections.abc import Callable

import pytest

from harness.checkpoints.untrusted import everything_below
from harness.host import wait
from harness.model.cells import Scenario, SurfaceKind
from harness.model.controls import CANARY, CONTROLS, Control, ControlKind
from harness.model.mutants import ARCHIVED, MUTANTS
from harness.model.outcomes import Stage
from harness.oracle.judge import OF_LOGS as CHECKS_OF_LOGS
from harness.oracle.judge import OVERLAP_NS, Check, judge
from harness.records.record import Record
from harness.run.worker import Worker
from harness.runtimes.contract import Checkpoint, Container
from harness.trial.source import Source
from harness.trial.trial import Trial
from harness.workload.definitions import RECORD_BYTES
from scenarios.controls import apart, applications, lying, tampered
from scenarios.test_group import Group


class Broken(Trial):
    """A trial in which something is broken; `played` says whether it came to that."""

    played = False


class FreshStart(Broken):
    """A newly started container poses as the restored one."""

    control = "fresh-start"

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:  # noqa: ARG002
        """Start instead of restoring."""
        with self.stages.at(Stage.RESTORE):
            posing = self.bench.start("clone")
            self.played = True
        acquired.callback(self._remove, posing)
        return posing


class RingByte(Broken):
    """One byte of a captured ring is changed."""

    control = "ring-byte"

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Flip a bit in the first added file, in a record that was written long ago."""
        checkpoint = super().checkpoint(source, acquired)
        surface = next(each for each in self.bench.workload.surfaces if each.kind is SurfaceKind.ADDED)
        ring = self.bench.node.path(f"{checkpoint.upper}{surface.path}")
        data = bytearray(ring.read_bytes())
        where = RECORD_BYTES + 3
        data[where] ^= 0x10
        ring.write_bytes(data)
        self.played = True
        return checkpoint


class GarbageImage(Broken):
    """The checkpoint is garbage: CRIU's inventory, or else the largest file, is overwritten."""

    control = "garbage-image"

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Overwrite, then restore."""
        inventory = self.bench.node.path(f"{checkpoint.images}/inventory.img")
        below = everything_below(self.bench.node.path(checkpoint.folder))
        files = [path for path in below if stat.S_ISREG(path.lstat().st_mode)]
        spoiled = inventory if inventory.exists() else max(files, key=lambda path: path.stat().st_size)
        spoiled.write_bytes(b"garbage" * 64)
        self.played = True
        return super().restore(checkpoint, acquired)


class StoppedWorkload(Broken):
    """The workload stops ticking long before the checkpoint."""

    control = "stopped-workload"

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Stop the workload, wait for more than the overlap limit, then take the checkpoint."""
        runtime = self.bench.runtime
        with self.stages.at(Stage.FREEZE):
            runtime.signal(source.container, "STOP")
        acquired.callback(runtime.signal, source.container, "CONT")
        wait.moment(time.monotonic() + 1.2e-9 * OVERLAP_NS)
        self.played = True
        return super().checkpoint(source, acquired)

    def examine(self, source: Source) -> None:
        """Let the source go on first."""
        with self.stages.at(Stage.THAW):
            self.bench.runtime.signal(source.container, "CONT")
        super().examine(source)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore, and let the restored workload go on."""
        clone = super().restore(checkpoint, acquired)
        with self.stages.at(Stage.RESTORE):
            self.bench.runtime.signal(clone, "CONT")
        return clone


class Canary(Trial):
    """An ordinary trial of a cell with a known issue that must show."""

    control = CANARY.name

    @property
    def played(self) -> bool:  # type: ignore[override]
        """Whether the trial came to a reading."""
        return not self.evidence.failures


class CanaryOfAGroup(Canary, Group):
    """An ordinary trial of two containers that nothing holds still together."""


KINDS: dict[str, type[Trial]] = {
    **{str(kind.control): kind for kind in (Canary, FreshStart, RingByte, GarbageImage, StoppedWorkload)},
    **dict(tampered.kinds()),
    **dict(lying.kinds()),
    **dict(apart.kinds()),
    **dict(applications.kinds()),
}


def test_every_control_is_declared() -> None:
    """Every trial here has a declaration for the plan, and every declaration has a trial."""
    mutants = {name for proof in MUTANTS for name in (proof.name, f"{proof.name}.neutral")}
    assert set(KINDS) == {CANARY.name, *CONTROLS, *mutants}


def test_control_is_noticed(control: Control, execute: Callable[..., list[Record]]) -> None:
    """The verdict names what was broken; a harmless change leaves the verdict unchanged."""
    of_a_group = control.kind is ControlKind.CANARY and control.cell.scenario is Scenario.GROUP
    *_, record = execute(control.cell, CanaryOfAGroup if of_a_group else KINDS[control.id])
    if not record.played:
        pytest.fail(f"it could not be played: {record.verdict.outcome}: {record.verdict.reason}", pytrace=False)
    if not control.seen_in(record.verdict):
        pytest.fail(f"{record.verdict.outcome}, not {control.outcome}: {record.verdict.reason}", pytrace=False)


def test_every_check_of_the_oracle_is_needed(mutants: tuple[Control, ...], worker: Worker) -> None:
    """Without any single check, a broken checkpoint would pass or get another verdict.

    The checks of logs are tested only in runs whose mutants break a log.
    """
    evidence = {control.id: worker.evidence.get((control.id, control.cell)) for control in mutants}
    if None in evidence.values():
        missing = ", ".join(name for name, each in evidence.items() if each is None)
        pytest.fail(f"these mutants were not played: {missing}", pytrace=False)

    def escapes(control: Control, check: Check) -> bool:
        told = evidence[control.id]
        return told is not None and not control.seen_in(judge(told, frozenset({check})))

    broken = [control for control in mutants if control.kind is not ControlKind.NEUTRAL]
    of_logs = any(control.name == proof.name for control in broken for proof in ARCHIVED)
    asked = CHECKS_OF_LOGS if of_logs else set(Check) - CHECKS_OF_LOGS
    needless = [check for check in Check if check in asked and not any(escapes(control, check) for control in broken)]
    assert needless == []
