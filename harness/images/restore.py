"""The restore from an image, judged like a trial: by the restored workload's report, and by what is left behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from harness.host import cgroups
from harness.host.facts import host_facts
from harness.images import refusals
from harness.images.engines import CHANGED
from harness.images.producers import Taken
from harness.model.cells import Cell, FreezePolicy, Settings
from harness.model.commands import Command
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.oracle.judge import judge
from harness.records.image_path import Attempt, Step
from harness.records.plan import Plan
from harness.runtimes.contract import Checkpoint, Container
from harness.trial.bench import Bench
from harness.trial.trial import SETTLE_SECONDS, Trial

UNNOTICED = "restored on another image of the same name without an error: its disk is not the checkpoint's disk"


class ImageRestore(Trial):
    """A trial that restores an image of an earlier checkpoint, whose source has ended."""

    def __init__(self, taken: Taken, far: Bench, policy: FreezePolicy) -> None:
        """`far`: the bench that restores, in the way of its adapter."""
        who = taken.bench.key[0]
        cell = Cell(workload=taken.bench.workload.name, policy=policy, checkpoint=who, restore=who)
        super().__init__(taken.bench, cell, _plan(cell, taken.bench.settings), number=0, last=False, far=far)
        self.evidence.source_nonce = taken.nonce
        self.evidence.freeze_begin_ns = taken.freeze_begin_ns
        self.evidence.offline = taken.offline
        self.on_changed_base: bool | None = None

    def attempt(self, step: Step, arrived: Checkpoint, facts: Mapping[str, str], *, look: bool) -> Attempt:
        """Restore the image that arrived, and return the result; `look`: search for the changed base image's file."""
        far = self.far.node
        before, far.journal = self.far.snapshot(), self.stages.journal
        with self._failures(), contextlib.ExitStack() as acquired:
            begun = time.time_ns()
            clone = self.restore(arrived, acquired)
            self.read_restored(clone, begun)
            if look:
                self.on_changed_base = _has(far.path(clone.cgroup), CHANGED)
        with self._failures(), self.stages.at(Stage.AUDIT):
            self.evidence.leaks = self.far.quiet_leaks(before, seconds=SETTLE_SECONDS)
        return self._attempt(step, facts)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore the checkpoint, which is already on this machine."""
        acquired.callback(self.far.node.remove, checkpoint.container.spec.folder)
        with self.stages.at(Stage.RESTORE):
            clone = self.far.restore(checkpoint)
        acquired.callback(self._remove, clone)
        return clone

    def _attempt(self, step: Step, facts: Mapping[str, str]) -> Attempt:
        verdict, declined = judge(self.evidence), None
        failed = _failed(self.stages.journal.commands)
        if failed is not None and any(each.outcome is Outcome.RESTORE_FAILED for each in self.evidence.failures):
            declined = refusals.refusal(failed.stderr, facts, log=self.log, left=self.evidence.leaks)
            if verdict.outcome is Outcome.RESTORE_FAILED:
                verdict = refusals.verdict(declined, Stage.RESTORE)
        if self.on_changed_base and verdict.outcome is Outcome.CONSISTENT:
            verdict = Verdict(outcome=Outcome.INCONSISTENT, stage=Stage.RESTORE, reason=UNNOTICED)
        return Attempt(
            step=step,
            verdict=verdict,
            refusal=declined,
            readings=tuple(each for each in (self.evidence.offline, self.evidence.restored) if each is not None),
            on_changed_base=self.on_changed_base,
        )


def _failed(commands: list[Command]) -> Command | None:
    """Return the first failed command of the restore; commands of the clean-up follow it."""
    return next((each for each in commands if each.runtime and each.stage is Stage.RESTORE and each.exit_code), None)


def _has(group: Path, name: str) -> bool:
    """Return whether a container's root has a file, from the kernel's view."""
    return any(Path(f"/proc/{pid}/root/{name}").exists() for pid in cgroups.processes(str(group)))


def _plan(cell: Cell, settings: Settings) -> Plan:
    return Plan(
        run="images",
        stillframe="",
        created_ns=time.time_ns(),
        seed=0,
        rounds=1,
        settings=settings,
        cells=(cell,),
        host=host_facts(),
    )
