"""What if something fails in the middle of a live checkpoint? The source goes on, and the next checkpoint is good."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from harness.host import audit, cgroups
from harness.host.wait import until
from harness.model.cells import FAULTS, KILLS, Cell, Scenario
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Fault, Leftover
from harness.runtimes.contract import Checkpoint, Container
from harness.stacks.node import Node
from harness.trial.source import Source
from scenarios.interrupted.aftermath import BrokenOff, archive_of, harm

ATTEMPTS = 8
SOONER = 0.8
"""Part of the time after which a program was to be killed, and had ended by itself; the next one is killed then."""
LOOK_SECONDS = 0.001
REST_SECONDS = 5.0
"""Time that programs get to end after one of them was killed."""
ROOM = 0.9
"""Part of a whole checkpoint that a full disk has room for, at most."""
GROUPS = "/sys/fs/cgroup"
CRIU = "criu"
RUNTIMES = ("runc", "crun", "runsc")
KILLED = {
    Scenario.KILLED_CRIU: (CRIU,),
    Scenario.KILLED_RUNTIME: RUNTIMES,
    Scenario.KILLED_SHIM: ("conmon", "containerd-shim"),
    Scenario.KILLED_DAEMON: ("dockerd", "containerd", "crio"),
}
"""Programs, as /proc/PID/comm names them, which the kernel cuts off at 15 characters; the first that runs is killed."""
AT_RESTORES = (Scenario.KILLED_CRIU, Scenario.KILLED_RUNTIME)
"""What also takes part in a restore, and not in the running of a container."""
PARTS = 4
"""One of so many trials is about the restore."""

pytestmark = pytest.mark.scenario(*FAULTS)


class Killer:
    """Watches a program of a node during a call, and kills it a while after it is first seen."""

    def __init__(self, node: Node, group: str, programs: tuple[str, ...], after: float = math.inf) -> None:
        """`group`: the container's control group, as a path of the host; `after`: seconds."""
        self.killed = ""
        """Name of the program that was killed."""
        self.stage = Stage.FREEZE
        """How far the checkpoint was: not yet frozen, while CRIU worked, after it, or let go again."""
        self._all = str(node.path(GROUPS))
        self._node, self._group, self._programs, self._after = node, group, programs, after
        self._begun = self._last = 0.0
        self._over = threading.Event()

    @property
    def life(self) -> float:
        """Seconds for which the program was seen at work."""
        return self._last - self._begun

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Watch while the code inside runs."""
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(self._watch)
            try:
                yield
            finally:
                self._over.set()
                watching.result()

    def _watch(self) -> None:
        while not (self._over.is_set() or self.killed):
            running = audit.programs_below(self._all)
            self._follow(CRIU in running.values())
            name = next((each for each in self._programs if each in running.values()), "")
            if name:
                self._last = time.monotonic()
                self._begun = self._begun or self._last
                if self.life >= self._after:
                    self._kill(name, [pid for pid, each in running.items() if each == name])
            self._over.wait(LOOK_SECONDS)

    def _follow(self, dumping: bool) -> None:  # noqa: FBT001
        held = any(
            cgroups.frozen(each) or any(map(audit.is_traced, cgroups.processes(each)))
            for each in cgroups.subgroups(self._group)
        )
        if dumping:
            self.stage = Stage.CHECKPOINT if held else self.stage
        elif self.stage is not Stage.FREEZE:
            self.stage = Stage.CAPTURE if held else Stage.THAW

    def _kill(self, name: str, pids: list[int]) -> None:
        def act() -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = name

        self._node.do(("pkill", "--signal", "KILL", "--exact", name), act)


class Faulty(BrokenOff):
    """A live checkpoint in the middle of which something fails; then that of the cell, as always."""

    def begin(self) -> Source:
        """Return a running source; one whose shim was killed has no further trial."""
        self.last = self.last or self.cell.scenario is Scenario.KILLED_SHIM
        return super().begin()

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Go on while the source does."""
        if self.cell.scenario not in KILLS:
            self._hindered(source)
        elif not self._at_restore:
            self._killed(source)
        super().experiment(source, acquired)

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore the same checkpoint once more, if something failed in the middle of its restore."""
        if self._at_restore and self.bench.source is not None:
            self._killed(self.bench.source, checkpoint)
        return super().restore(checkpoint, acquired)

    @property
    def _at_restore(self) -> bool:
        """Whether this trial is about the restore: one of four is, where only the restore is at work meanwhile."""
        return self.cell.scenario in AT_RESTORES and self.number % PARTS == PARTS - 1

    @property
    def _share(self) -> float:
        """Part of the time, or of the room, after which it fails: together, the trials of a cell cover all of it."""
        rounds, earlier, restores = self.plan.rounds_of(self.cell), 0, 0
        if self.cell.scenario in AT_RESTORES:
            earlier, restores = self.number // PARTS, rounds // PARTS
        turn, moments = (earlier, restores) if self._at_restore else (self.number - earlier, rounds - restores)
        moments = max(1, moments)
        within = random.Random(self.schedule.seed).random()  # noqa: S311
        return (turn % moments + within) / moments

    @contextlib.contextmanager
    def _checkpoint(self, source: Source) -> Iterator[Checkpoint]:
        checkpoint = self.bench.checkpoint_of(source.container)
        self.bench.node.make(checkpoint.folder)
        try:
            yield checkpoint
        finally:
            self._remove_checkpoint(checkpoint)

    def _call(self, stage: Stage, call: Callable[[], object]) -> str:
        """Ask for a live checkpoint or a restore; return the error, or nothing."""
        try:
            with self.stages.journal.at(stage):
                call()
        except CommandFailed as error:
            if not error.runtime:
                raise
            return error.log[0] if error.log else str(error)
        except EnvironmentUnfit as error:  # an engine has ended
            return str(error)
        return ""

    def _killed(self, source: Source, kept: Checkpoint | None = None) -> None:
        """Kill a program that takes part in a checkpoint, or in the restore of a kept one, at a moment of its life."""
        node, programs = self.bench.node, KILLED[self.cell.scenario]
        group, after = str(node.path(source.container.cgroup)), math.inf
        stage = Stage.RESTORE if kept else Stage.CHECKPOINT
        for attempt in range(1 + ATTEMPTS):
            killer = Killer(node, group, programs, after)
            with contextlib.ExitStack() as acquired, self.stages.at(stage):
                clones: list[Container] = []
                checkpoint = kept or acquired.enter_context(self._checkpoint(source))
                with killer.during():
                    said = self._call(stage, partial(self._ask, checkpoint, clones if kept else None))
                for clone in clones:
                    acquired.callback(self._remove, clone)
                if killer.killed:
                    self._let_end()
                    if self.cell.scenario is Scenario.KILLED_DAEMON:
                        until(node.revive, seconds=REST_SECONDS, what=f"the end of {killer.killed}")
                    if kept:
                        self._see_restore(source, f"{killer.killed} was killed", said, clones)
                    else:
                        self._see(source, checkpoint, f"{killer.killed} was killed", killer.stage, said)
                    return
                after = SOONER * after if attempt else killer.life * self._share
        reason = f"in {1 + ATTEMPTS} calls, no {' or '.join(programs)} was there to be killed"
        raise StageFailed(stage, Outcome.VACUOUS, reason)

    def _ask(self, checkpoint: Checkpoint, clones: list[Container] | None) -> None:
        if clones is None:
            self.bench.runtime.live_checkpoint(checkpoint)
        else:
            clones.append(self.bench.restore(checkpoint))

    def _let_end(self) -> None:
        """Wait for what goes on without the program that was killed."""
        groups = str(self.bench.node.path(GROUPS))
        with contextlib.suppress(DeadlineExceeded):
            until(
                lambda: not {CRIU, *RUNTIMES} & {*audit.programs_below(groups).values()},
                seconds=REST_SECONDS,
                what="the end of the checkpoint",
            )

    def _hindered(self, source: Source) -> None:
        """Take a checkpoint into a folder that is full, or that cannot be written."""
        node = self.bench.node
        with self._checkpoint(source) as checkpoint, self.stages.at(Stage.CHECKPOINT):
            self.bench.runtime.live_checkpoint(checkpoint)
            folder = "images" if node.path(checkpoint.images).exists() else ""
            below = node.path(f"{checkpoint.folder}/{folder}").rglob("*")
            room = int(sum(each.lstat().st_blocks * 512 for each in below) * ROOM * self._share)
        full = self.cell.scenario is Scenario.DISK_FULL
        with self._checkpoint(source) as checkpoint, self.stages.at(Stage.CHECKPOINT):
            target = f"{checkpoint.folder}/{folder}".rstrip("/")
            node.make(target)
            node.run(
                ["mount", "--no-mtab", "-t", "tmpfs", "-o", f"size={max(room, 1)}" if full else "ro", "tmpfs", target]
            )
            try:
                said = self._call(Stage.CHECKPOINT, partial(self.bench.runtime.live_checkpoint, checkpoint))
                self._let_end()
                what = f"the folder had room for {room >> 10} KiB" if full else "the folder was read-only"
                self._see(source, checkpoint, what, None, said)
            finally:
                node.run(["umount", "--no-mtab", "--lazy", target])

    def _see(self, source: Source, checkpoint: Checkpoint, what: str, stage: Stage | None, said: str) -> None:
        """Fill in `fault`; raise `StageFailed` if the source does not go on, or the call was not honest."""
        found = self.aftermath(source, checkpoint)
        archive = found.archive if said else archive_of(self.bench, checkpoint)
        self.fault = Fault(**{**found.model_dump(), "archive": archive}, what=what, stage=stage, said=said)
        if wrong := harm(found):
            raise StageFailed(Stage.THAW, Outcome.SOURCE_HARMED, f"{what}, and {wrong}")
        if not said and archive is not Leftover.WHOLE:
            reason = f"{what}, the checkpoint was reported as done, and its archive is {archive}"
            raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason)
        if archive is Leftover.PARTIAL and self.bench.node.path(checkpoint.archive).exists():
            reason = f"{what}, the checkpoint failed, and a part of its archive is left"
            raise StageFailed(Stage.CHECKPOINT, Outcome.CHECKPOINT_BROKEN, reason)
        if not said and self.cell.scenario not in KILLS:
            raise StageFailed(Stage.CHECKPOINT, Outcome.VACUOUS, f"{what}, and the checkpoint was whole all the same")

    def _see_restore(self, source: Source, what: str, said: str, clones: Sequence[Container]) -> None:
        """Fill in `fault`; raise `StageFailed` if a source that should run does not, or the call was not honest."""
        self.fault = Fault(what=what, stage=Stage.RESTORE, said=said)
        if not source.ended:
            found = self.aftermath(source)
            self.fault = self.fault.model_copy(update=found.model_dump())
            if wrong := harm(found):
                raise StageFailed(Stage.RESTORE, Outcome.SOURCE_HARMED, f"{what}, and {wrong}")
        for clone in clones:
            if not cgroups.processes(str(self.bench.node.path(clone.cgroup))):
                reason = f"{what}, the restore was reported as done, and nothing runs"
                raise StageFailed(Stage.RESTORE, Outcome.RESTORE_FAILED, reason)


def test_faults(cell: Cell, check: Callable[..., None]) -> None:
    """The source goes on, unfrozen, the call is honest, nothing is left, and the next checkpoint is consistent."""
    check(cell, Faulty)
