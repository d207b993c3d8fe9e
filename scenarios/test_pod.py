"""Checkpoints and the pod around a container: taken as a whole by the engine, or frozen by somebody else.

Is a pod of one instant if its engine takes it in one call? CRI has rules for that call, which are checked.

The rules: https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto, `CheckpointPod`,
`RestorePod` and their requests. What such a checkpoint looks like is up to the engine, so it is judged once restored.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from harness.host.process import Patience
from harness.host.wait import until
from harness.model.cells import Cell, Scenario
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import GivesUp, Witness
from harness.runtimes.contract import Checkpoint, Container, State, TakesPods
from harness.trial.restored import begun, hear
from harness.trial.source import Source, late_in
from harness.trial.trial import Trial
from harness.workload.messages import ReadingMessage
from scenarios.test_group import Group

POD_SECONDS = 60.0
SHORT_SECONDS = 1.0
"""The deadline that is meant to pass is at most so long."""
TIDY_SECONDS = 5.0
"""Time for an engine whose client has given up."""
NOBODY = "0" * 64
FROZEN_SECONDS = 10.0
"""Deadline of a checkpoint in a pod that somebody has frozen."""


class WholePod(Group):
    """Source and second container are in one checkpoint."""

    clones: tuple[Container, ...] = ()
    nonce = ""
    """Of the second container."""

    @property
    def pods(self) -> TakesPods:
        """The runtime of the cell."""
        return cast("TakesPods", self.bench.runtime)

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Have some requests declined, and then the pod taken; after each call both containers go on."""
        assert self.second is not None
        first, second = source.container, self.second.container
        checkpoint = self.bench.checkpoint_of(first)
        acquired.callback(self._remove_checkpoint, checkpoint)
        with self.stages.at(Stage.CHECKPOINT):
            self.bench.node.make(checkpoint.folder)
        short = random.Random(self.schedule.seed).random() * SHORT_SECONDS  # noqa: S311
        if self._taken((first, second), checkpoint, f"a deadline of {short:.3f} s", seconds=short):
            with self.stages.at(Stage.CLEAN_UP):
                self.bench.node.remove(checkpoint.folder, again=True)
                self.bench.node.make(checkpoint.folder)
        for wrong, what in ((first, "a container twice"), (replace(second, id=NOBODY), "a container of nobody")):
            if self._taken((first, wrong), checkpoint, what):
                raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, f"a pod with {what} was not declined")
        self.evidence.freeze_begin_ns = time.time_ns()
        with self.stages.at(Stage.CHECKPOINT):
            self.pods.checkpoint_pod((first, second), checkpoint.folder, seconds=POD_SECONDS)
        self._see_both_go_on("the checkpoint")
        self.free_ns = time.time_ns()
        return checkpoint

    def _taken(
        self, pod: tuple[Container, Container], checkpoint: Checkpoint, what: str, *, seconds: float = POD_SECONDS
    ) -> bool:
        """Ask for a checkpoint that may or must be declined; see that a declined one leaves nothing behind."""
        taken = False
        with self.stages.at(Stage.CHECKPOINT), contextlib.suppress(CommandFailed, DeadlineExceeded):
            self.pods.checkpoint_pod(pod, checkpoint.folder, seconds=seconds)
            taken = True
        self._see_both_go_on(what)
        folder = self.bench.node.path(checkpoint.folder)
        try:
            until(lambda: taken or not any(folder.iterdir()), seconds=TIDY_SECONDS, what="an empty folder")
        except DeadlineExceeded as error:
            left = ", ".join(sorted(path.name for path in folder.iterdir()))
            reason = f"{what}: the checkpoint failed, and left {left} behind"
            raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason) from error
        return taken

    def _see_both_go_on(self, what: str) -> None:
        """Raise `StageFailed` unless the containers tick: if one does not, the other waits for it."""
        assert self.bench.source is not None
        assert self.second is not None
        with self.stages.at(Stage.THAW):
            try:
                for each in (self.bench.source, self.second):
                    each.tick_after(time.time_ns())
            except DeadlineExceeded as error:
                frozen = [
                    each.container.name
                    for each in (self.bench.source, self.second)
                    if self.bench.frozen(each.container)
                ]
                how = f"{' and '.join(frozen)} stayed frozen" if frozen else "the containers no longer tick"
                raise StageFailed(Stage.THAW, Outcome.SOURCE_HARMED, f"{what}: {how}") from error

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Do nothing: only the engine can read it."""

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore both, and let them go on when nothing has run."""
        assert self.second is not None
        origins, self.nonce = (checkpoint.container.spec, self.second.container.spec), self.second.nonce
        self._end_second()
        self.end_source()
        with self.stages.at(Stage.RESTORE):
            acquired.callback(self.bench.node.remove, origins[1].folder)
            specs = tuple(map(self.bench.clone_of, origins))
            self.clones = self.pods.restore_pod(checkpoint.folder, specs)
            for each in self.clones:
                acquired.callback(self._remove, each)
            for each in self.clones:
                if self.bench.channel(each).listen() or self.bench.runtime.state(each) is State.RUNNING:
                    reason = f"{each.name} ran before it was started"
                    raise StageFailed(Stage.RESTORE, Outcome.RESTORE_FAILED, reason)
            for each in self.clones:
                self.pods.begin(each)
        return self.clones[0]

    def read_restored(self, clone: Container, since: int) -> None:
        """Read both; the second one has to be the restored one, too."""
        super().read_restored(clone, since)
        second = self.clones[1]
        with self.stages.at(Stage.READ):
            group, late = str(self.bench.node.path(second.cgroup)), late_in(self.bench.node)
            try:
                said = hear(self.bench.channel(second), group, lambda said: begun(said) > since, late=late)
            except DeadlineExceeded as error:
                reason = "the second container says nothing"
                raise StageFailed(Stage.READ, Outcome.RESTORE_FAILED, reason) from error
            if not isinstance(said, ReadingMessage) or said.nonce != self.nonce:
                raise StageFailed(Stage.READ, Outcome.COLD_START, "the second container was started anew")
            self.evidence.group.append(said.to_reading(Witness.RESTORED))


class FrozenPod(Trial):
    """Somebody freezes the pod's control group; the container in it is to be checkpointed, or to be declined."""

    frozen = False

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Whatever comes of it, thaw the group."""
        acquired.callback(self._thaw, source)
        return super().checkpoint(source, acquired)

    def begin_checkpoint(self, source: Source, checkpoint: Checkpoint) -> Checkpoint:
        """Freeze the group."""
        self.frozen = True
        with self.stages.at(Stage.FREEZE):
            self.bench.node.freeze(self._pod(source), frozen=True)
        self.bench.node.patience = Patience(FROZEN_SECONDS, GivesUp.DEADLINE)
        return checkpoint

    def examine(self, source: Source) -> None:
        """Thaw it, and see whether the container goes on."""
        self._thaw(source)
        super().examine(source)

    def _thaw(self, source: Source) -> None:
        self.bench.node.patience = None
        if self.frozen:
            self.frozen = False
            with self.stages.at(Stage.THAW):
                self.bench.node.freeze(self._pod(source), frozen=False)

    @staticmethod
    def _pod(source: Source) -> str:
        return source.container.cgroup.rpartition("/")[0]


@pytest.mark.scenario(Scenario.POD)
def test_pod(cell: Cell, check: Callable[..., None]) -> None:
    """Memory of all containers of the pod is of one instant, and the engine keeps the rules."""
    check(cell, WholePod)


@pytest.mark.scenario(Scenario.POD_FROZEN)
def test_pod_frozen(cell: Cell, check: Callable[..., None]) -> None:
    """A checkpoint in a frozen pod is taken, and of one instant, or declined; then the container goes on."""
    check(cell, FrozenPod)
