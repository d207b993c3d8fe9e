"""Lines of a trial's script that have the trial read and judged again, and what comes of it in words.

In a node's shell the program `stillframe-trial` does at these places what the trial did between its commands: it waits
until the workload ticks, reads the checkpoint, and hears the restored workload. Elsewhere these lines do nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from harness.model.cells import FreezePolicy, Scenario
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.model.readings import Reading, Skew, Witness
from harness.records.record import Record
from reports.text import clean, one_line
from reports.words.commands import Step
from reports.words.numbers import duration
from reports.words.outcomes import MEANINGS

PROGRAM = "stillframe-trial"
PREAMBLE = (
    f"# In `stillframe shell`, the lines that begin with {PROGRAM} wait, read and judge. Elsewhere they do nothing.",
    f"command -v {PROGRAM} >/dev/null || {PROGRAM}() {{ :; }}",
)
OVERLAPPED = "# Calls overlapped or were given up on. Here each ends before the next, so the result may be another one."
OF_RUNTIMES = frozenset({Stage.START, Stage.FREEZE, Stage.CHECKPOINT, Stage.CAPTURE, Stage.RESTORE})
"""Stages in which a failed command of the runtime is a finding."""
OF_CHECKPOINT = frozenset({Stage.FREEZE, Stage.CHECKPOINT, Stage.CAPTURE, Stage.THAW, Stage.READ})
"""Stages from the beginning of a checkpoint until it can be read."""
CHECKPOINT = re.compile(r".*/checkpoints/[^/]+")
CONTAINER = re.compile(r".*/containers/[^/]+")
WITNESSES = {
    Witness.OFFLINE: "Read in the files of the checkpoint",
    Witness.RESTORED: "Found by the restored workload",
    Witness.RECOVERED: "Found by a fresh application in the files of the checkpoint",
    Witness.AFTERWARDS: "Found by a fresh application in the restored container's files, after it had run on and ended",
}


class Cues:
    """Where in a trial's commands the trial itself did something; `entering` and `after` are called in their order."""

    def __init__(self, record: Record) -> None:
        self._cell = record.cell
        self._outcome = record.verdict.outcome
        self._source = ""
        self._folder = ""
        """Of a checkpoint that was begun and not read yet."""
        self._clone = ""
        """What is being restored."""
        self._stopping = False

    def begin(self) -> Iterator[str]:
        """Name the cell, before all commands."""
        yield from PREAMBLE
        if self._cell.scenario.overlaps:
            yield OVERLAPPED
        yield _cue("begin", self._cell.base.id, self._outcome, self._cell.checkpoint.stack)

    def entering(self, stage: Stage | None) -> Iterator[str]:
        """Before the first command of a stage, or at the end of all."""
        if self._folder and stage is Stage.CAPTURE and self._cell.policy is FreezePolicy.NONE:
            yield _cue("runs-again")
        if self._folder and stage is Stage.THAW and self._cell.scenario is Scenario.PAUSED:
            yield _cue("still-paused")
        if self._folder and stage not in OF_CHECKPOINT:
            yield _cue("read", self._folder)
            self._folder = ""
        if self._clone and stage is not Stage.RESTORE:
            yield _cue("restored", self._clone)
            self._clone = ""
        if stage is Stage.RESTORE:
            self._clone = self._source

    def after(self, step: Step) -> Iterator[str]:
        """After a command."""
        command = step.command
        if command.runtime and command.stage in OF_RUNTIMES and not step.failures and not step.given:
            yield f"{_cue('ended', command.stage)} $?"
        if command.stage is Stage.STOP and not self._stopping:
            self._stopping = True
            yield _cue("stopping")
        match command.argv:
            case ("mkdir", "-p", folder) if command.stage is Stage.CHECKPOINT and CHECKPOINT.fullmatch(folder):
                self._folder = folder
            case ("mkdir", "-p", folder) if command.stage is Stage.RESTORE and CONTAINER.fullmatch(folder):
                self._clone = PurePosixPath(folder).name
            case ("ln", "-s", heard, report) if heard.endswith("/heard"):
                self._source, self._stopping = PurePosixPath(heard).parent.name, False
                yield _cue("started", self._source, report)

    def end(self) -> Iterator[str]:
        """After all commands."""
        yield from self.entering(None)
        yield _cue("verdict")


def _cue(*words: str) -> str:
    return shlex.join((PROGRAM, *map(one_line, words)))


def conclusion(
    verdict: Verdict | None,
    readings: Sequence[tuple[Reading, Sequence[Skew]]],
    log: Sequence[str],
    recorded: Outcome,
    elsewhere: str = "",
) -> Iterator[str]:
    """Tell what came of a trial's commands, line by line; `verdict` is None where they did not go far enough.

    `elsewhere`: where the trial on record ran, if that was not here.
    """
    for reading, skews in readings:
        yield from _table(reading, skews)
    if verdict is None:
        yield "verdict: none. The commands of the recorded trial end before there is something to judge."
    elif verdict.outcome is Outcome.CONSISTENT:
        yield f"verdict: {verdict.outcome}: {one_line(verdict.reason)}"
    else:
        yield f"verdict: {verdict.outcome}: {MEANINGS[verdict.outcome]}"
        yield f"why: {one_line(verdict.reason)}"
        yield from (f"log: {clean(line)}" for line in log if one_line(line) != one_line(verdict.reason))
    if verdict and verdict.outcome is recorded:
        yield "recorded: the same"
        return
    yield f"recorded: {recorded}: {MEANINGS[recorded]}"
    if elsewhere:
        yield f"The trial on record ran on {elsewhere}."
    elif recorded is Outcome.LEAKED:
        yield "This shell does not look for what is left behind, so it cannot find that again."
    elif verdict:
        yield "Trials of the same cell can differ where the result depends on timing."


def _table(reading: Reading, skews: Sequence[Skew]) -> Iterator[str]:
    names = ("", "memory", *(surface.surface for surface in reading.surfaces))
    numbers = (reading.counter, *(surface.newest for surface in reading.surfaces))
    ticks = ("tick", *("nothing" if number is None else f"{number:,}" for number in numbers))
    apart = ("disk minus memory", "", *map(_apart, skews))
    yield f"{WITNESSES[reading.witness]}:"
    for name, tick, distance in zip(names, ticks, apart, strict=True):
        yield f"  {name:{max(map(len, names))}}  {tick:>{max(map(len, ticks))}}  {distance}".rstrip()


def _apart(skew: Skew) -> str:
    if skew.ticks is None:
        return ""
    time = "" if skew.microseconds is None else f", {duration(skew.microseconds, signed=True)}"
    return f"{skew.ticks:+,} tick{'' if abs(skew.ticks) == 1 else 's'}{time}"
