"""Freeze policies: who holds the container still while memory and disk are taken.

Each policy is a class with a context manager `hold`, which is entered before the checkpoint and left after the capture.
It restores the previous state, even if the checkpoint fails.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import ClassVar

from harness.host import cgroups
from harness.model.cells import FreezePolicy
from harness.model.outcomes import Stage
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Checkpoint, Runtime, State
from harness.trial.stages import Stages


class NoFreeze:
    """No freeze besides the runtime's own.

    If the runtime leaves the disk to its caller, the disk is taken after the container has run again.
    """

    captures_in_hook: ClassVar[bool] = False
    holds_still: ClassVar[bool] = False

    def __init__(self, runtime: Runtime, checkpoint: Checkpoint, stages: Stages) -> None:
        self.runtime = runtime
        self.node = runtime.node
        self.checkpoint = checkpoint
        self.container = checkpoint.container
        self.stages = stages

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Do nothing."""
        yield

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        start = time.time_ns()
        try:
            yield
        finally:
            self.stages.span("frozen", start, time.time_ns())


class RuntimePause(NoFreeze):
    """The runtime's own pause command."""

    holds_still = True

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Pause the container, unless it is already paused."""
        with self.stages.at(Stage.FREEZE):
            found_paused = self.runtime.state(self.container) is State.PAUSED
            if not found_paused:
                self.runtime.pause(self.container)
        try:
            with self._frozen():
                yield
        finally:
            if not found_paused:
                with self.stages.at(Stage.THAW):
                    self.runtime.resume(self.container)


class CgroupFreezer(NoFreeze):
    """The kernel's cgroup freezer, written by the harness behind the runtime's back."""

    holds_still = True

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Freeze the container, and wait until the kernel confirms that all tasks have stopped."""
        group = str(self.node.path(self.container.cgroup))
        found = cgroups.frozen(group)
        try:
            with self.stages.at(Stage.FREEZE):
                self.node.freeze(self.container.cgroup, frozen=True)
            with self._frozen():
                yield
            if cgroups.frozen(group) is False:
                self.node.remark("the checkpoint thawed a container that somebody else had frozen")
        finally:
            with self.stages.at(Stage.THAW):
                self.node.freeze(self.container.cgroup, frozen=bool(found))


class PostDumpHook(NoFreeze):
    """CRIU itself: its post-dump action script takes the disk while the tasks are still stopped."""

    captures_in_hook = True
    holds_still = True
    SCRIPT = """#!/bin/sh
# CRIU calls this script at every step. At post-dump the images are complete and the tasks still stopped.
[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
date +%s%N > {target}.begun
cp --archive {upper} {target} || exit 1
date +%s%N > {target}.ended
"""

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Add the script to CRIU's configuration during the checkpoint."""
        script = f"{self.checkpoint.upper}.hook"
        with self.stages.at(Stage.FREEZE):
            before = self.node.path(criu_configuration.DEFAULT).read_text(encoding="utf-8")
            text = self.SCRIPT.format(upper=self.container.upper, target=self.checkpoint.upper)
            self.node.write(script, text, mode=0o755)
            self.node.write(criu_configuration.DEFAULT, f"{before}action-script={script}\n")
        try:
            yield
        finally:
            with self.stages.at(Stage.THAW):
                self.node.write(criu_configuration.DEFAULT, before)


POLICIES: dict[FreezePolicy, type[NoFreeze]] = {
    FreezePolicy.NONE: NoFreeze,
    FreezePolicy.ENGINE: NoFreeze,
    FreezePolicy.PAUSE: RuntimePause,
    FreezePolicy.CGROUP: CgroupFreezer,
    FreezePolicy.HOOK: PostDumpHook,
}
