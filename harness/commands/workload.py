"""`stillframe workload check`: try the contract of an application in a container, without a checkpoint."""

from __future__ import annotations

import argparse
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from harness.host import wait
from harness.model.cells import Participant
from harness.model.errors import DeadlineExceeded, EnvironmentUnfit, Exit, UsageError
from harness.model.readings import Reading, Witness
from harness.oracle.judge import anomalies
from harness.run.options import Options
from harness.run.prepare import image_of, need_root
from harness.runtimes.contract import Container
from harness.stacks import build, definition
from harness.trial import application
from harness.trial.bench import Bench
from harness.trial.restored import newest_tick
from harness.trial.source import READY_SECONDS, Channel
from harness.workload import definitions
from harness.workload.messages import Beat, Failed, Message, ReadingMessage
from harness.workload.programs import compile_all
from reports.terminal.tell import tell

RUNTIME = "runc"
TICKING_SECONDS = 2.0
STILL_SECONDS = 0.5
HINTS = {
    errno.ENOENT: " (drive, or the program that its first line names, is not in the image)",
    errno.ENOEXEC: " (drive has no first line such as #!/bin/sh)",
}
"""What may be behind an error of the start."""
LINES = 5
"""Lines of standard error that are shown."""


class Broken(Exception):  # it is an answer
    """The contract is broken, as the sentence says."""


def check(arguments: argparse.Namespace) -> int:
    """Tell step by step what an application does, and what is wrong; gives the exit code."""
    options = Options.of(arguments)
    name = definitions.name_of(str(Path(arguments.folder).absolute()))
    workload = definitions.find(name)
    if workload.application is None:
        remedy = "Add a table [application], with the image that it needs."
        raise UsageError(f"the workload {name} has no application", remedy=remedy)
    stack = definition.load(definition.name_of(arguments.stack_name))
    need_root()
    binaries = compile_all(options.cache)
    image = image_of(name, options, tell) if workload.application.needed else None
    if isinstance(image, str):
        raise EnvironmentUnfit(image)
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=tell)
    who = Participant(runtime=RUNTIME, stack=stack.name)
    roots = {name: image} if image else {}
    bench = Bench.open((who, ""), root, binaries, options.settings, roots=roots)
    try:
        if bench.lacking:
            raise EnvironmentUnfit(
                f"{who} does not work here: {bench.lacking[0].evidence}", remedy="Use another stack."
            )
        bench.use(workload)
        _try(bench)
    except Broken as broken:
        tell(f"{name} breaks the contract: {broken}")
        return Exit.UNEXPECTED
    finally:
        bench.close()
    tell(f"{name} keeps the contract.")
    return Exit.EXPECTED


def _try(bench: Bench) -> None:
    begun = time.monotonic()
    container = bench.start("checked")
    try:
        tried = _Application(bench, container)
        first = tried.tick(after=0)
        tell(f"drive confirmed its first tick {time.monotonic() - begun:.1f} s after the start of the container")
        wait.moment(time.monotonic() + TICKING_SECONDS)
        last = newest_tick(tried.channel, first)
        tell(f"it confirms {(last - first) / TICKING_SECONDS:,.0f} ticks per second")
        bench.runtime.pause(container)
        wait.moment(time.monotonic() + STILL_SECONDS)
        bench.runtime.resume(container)
        tried.reads("after a pause, drive", "gap")
        tried.tick(after=last + application.AFTER_TICKS)
        bench.runtime.signal(container, "USR1")
        tried.reads("drive has ended; a fresh verify", "afterwards")
    finally:
        bench.remove(container)


class _Application:
    """An application in a container, whose messages are read."""

    def __init__(self, bench: Bench, container: Container) -> None:
        self.bench = bench
        self.channel = Channel(bench.node.path(container.spec.report))
        self.group = str(bench.node.path(container.cgroup))

    def tick(self, *, after: int) -> int:
        """Wait for a tick after another one; raise `Broken` if the application fails before."""
        return self._hear(lambda said: isinstance(said, Beat) and said.n > after, f"a tick after {after:,}").n

    def reads(self, who: str, reason: str) -> None:
        """Wait for the reading for a reason; raise `Broken` if it does not say what memory has."""
        said = self._hear(lambda said: isinstance(said, ReadingMessage) and said.reason == reason, f"what {who} says")
        reading = cast(ReadingMessage, said).to_reading(Witness.SOURCE)
        says = self._says(reading)
        if anomalies(reading):
            raise Broken(f"{who} says `{says}`, after tick {reading.counter} was confirmed")
        tell(f"{who} says `{says}`; memory is at {reading.counter}")

    def _says(self, reading: Reading) -> str:
        surface = self.bench.workload.applied
        found = next(each for each in reading.surfaces if surface and each.surface == surface.name)
        return f"damaged {found.damaged}" if found.damaged else f"disk {found.newest or 0}"

    def _hear(self, wanted: Callable[[Message], bool], what: str) -> Message:
        def heard(said: Message) -> bool:
            return isinstance(said, Failed) or wanted(said)

        try:
            said = self.channel.wait_for(heard, seconds=READY_SECONDS, what=what, group=self.group)
        except DeadlineExceeded as error:
            raise Broken(f"{error}{self._alone()}") from error
        if isinstance(said, Failed):
            why = f": {os.strerror(said.errno)}{HINTS.get(said.errno, '')}" if said.errno else ""
            raise Broken(f"{said.what}{why}{self._alone()}")
        return said

    def _alone(self) -> str:
        """Tell what drive says on standard error, if it is asked for one tick by itself."""
        node, folder = self.bench.node, self.bench.new_folder("checkpoints", "alone")
        node.make(*(f"{folder}/{name}" for name in ("upper", "work", "root")))
        try:
            said = application.afresh(node, self.bench.image_folder, folder, "drive", words="tick 1\n")
        except DeadlineExceeded:
            return "\nBy itself, asked to tick 1, drive does not end when its input does."
        finally:
            node.remove(folder)
        lines = [line for line in said.stderr.splitlines() if line.strip()][-LINES:]
        return "".join(f"\n  {line}" for line in ("By itself, asked to tick 1, drive says:", *lines)) if lines else ""
