"""What becomes of a source whose live checkpoint was broken off, and what repairs it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from harness.checkpoints.untrusted import Unreadable
from harness.host import cgroups
from harness.host.process import replay
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded
from harness.model.outcomes import Stage
from harness.model.readings import Aftermath, Leftover
from harness.runtimes.contract import Checkpoint, Container, State
from harness.trial.bench import Bench
from harness.trial.checkpoint import left_of
from harness.trial.source import Source
from harness.trial.trial import Trial

LATE_SECONDS = 1.0
"""Time that a source is seen frozen before it is called lost: its engine has had the other time already."""
TICK_SECONDS = 4.0


class BrokenOff(Trial):
    """A trial in which a live checkpoint is broken off before the one that is compared."""

    def aftermath(self, source: Source, checkpoint: Checkpoint | None = None) -> Aftermath:
        """See whether the source goes on, and what there is of a checkpoint; repair the source if it does not."""
        source = replace(source, late=min(source.late, LATE_SECONDS))
        with self.stages.at(Stage.READ):
            ticking, frozen = self._ticks(source), self.bench.frozen(source.container)
            state = self.bench.runtime.state(source.container)
            left = left_of(self.bench.node, checkpoint) if checkpoint else None
            repair = "" if ticking and state is State.RUNNING else self._repair(source)
        return Aftermath(ticking=ticking, frozen=frozen, state=state.value, archive=left, repair=repair)

    def _ticks(self, source: Source) -> bool:
        with contextlib.suppress(DeadlineExceeded):
            source.tick_after(time.time_ns(), seconds=TICK_SECONDS)
            return True
        return False

    def _repair(self, source: Source) -> str:
        """Thaw the source, by its runtime or by hand, and return the command after which all is well, or nothing."""
        commands = self.bench.node.journal.commands
        for thaw in (self.bench.runtime.resume, self._thaw):
            with contextlib.suppress(CommandFailed, DeadlineExceeded), self.stages.journal.at(Stage.THAW):
                thaw(source.container)
            made = commands[-1]
            if self._ticks(source) and self.bench.runtime.state(source.container) is State.RUNNING:
                return spelled(made)
        return ""

    def _thaw(self, container: Container) -> None:
        node = self.bench.node
        for group in cgroups.subgroups(str(node.path(container.cgroup))):
            if cgroups.frozen(group):
                node.freeze(f"/{Path(group).relative_to(node.path('/'))}", frozen=False)


def archive_of(bench: Bench, checkpoint: Checkpoint) -> Leftover:
    """Read a checkpoint that was reported as done; some are in the engine's own store."""
    left = left_of(bench.node, checkpoint)
    if left is Leftover.GONE:
        with contextlib.suppress(Unreadable, CommandFailed):
            bench.runtime.contents(checkpoint)
            return Leftover.WHOLE
    return left


def spelled(command: Command) -> str:
    """Write a command, or the write of a kernel setting, for a shell."""
    return replay(command) if command.argv else f"echo {command.write_text} > {command.write_path}"


def harm(found: Aftermath) -> str:
    """Say what is wrong with the source; empty: it goes on, and its runtime knows."""
    if found.ticking and found.state == State.RUNNING:
        return ""
    how = "goes on" if found.ticking else "is still frozen" if found.frozen else "no longer ticks"
    repaired = f"`{found.repair}` repairs it" if found.repair else "and nothing repairs it"
    return f"the source {how}, while its runtime calls it {found.state}; {repaired}"
