"""Answers to the lines `stillframe-trial ...` in the commands of a trial, which somebody pastes into a node's shell."""

from __future__ import annotations

import contextlib
import json
import re
import traceback

from harness.cri.codes import PROGRAM as CRI
from harness.host.wait import until
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.errors import FAULT, CommandFailed, Exit, StillframeError, UsageError, unknown
from harness.model.outcomes import Outcome, Stage
from harness.oracle.skews import skews
from harness.runtimes import way_of
from harness.stacks.calls import Answer
from harness.stacks.node import Node
from harness.trial.replay import Replay, can_be_replayed
from harness.workload.definitions import find
from reports.text import clean, one_line
from reports.words.replay import PROGRAM, conclusion

WORD = re.compile(r"(?!.*\.\.)[\w./:@~+-]+", re.ASCII)
WHO = r"([a-z0-9/-]+)@([a-z0-9.-]+)"
CELL = re.compile(rf"(?:([a-z-]+):)?([a-z0-9-]+)\.([a-z]+)\.{WHO}(?:~{WHO})?(?:\+([a-z0-9-]+))?")
ENGINE_SECONDS = 30.0
CODES = {False: Exit.EXPECTED, True: Exit.UNEXPECTED, None: Exit.INCOMPLETE}
"""Exit codes of a verdict, by whether it convicts; null: it proves nothing."""


class Trials:
    """The trial whose commands run in a node's shell."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._replay: Replay | None = None
        self._begun = False
        self._recorded = Outcome.MISSING
        self._stack = ""
        """Where the trial on record ran."""
        self._hindrance = f"No line `{PROGRAM} begin` has named a cell."

    def answer(self, words: list[str], said: str) -> Answer:
        """Do what the trial did at this place, or make a call of CRI; gives an exit code and what to print."""
        try:
            if words[:1] == [CRI]:
                return _call(self._node, words[1:])
            return self._answer(words, said)
        except StillframeError as error:
            return error.exit_code, one_line(f"{PROGRAM}: {error}") + "\n"
        except Exception as error:  # noqa: BLE001  # who has called waits for an answer
            return FAULT, clean("".join(traceback.format_exception(error)))

    def _answer(self, words: list[str], said: str) -> Answer:
        if not all(map(WORD.fullmatch, words)):
            raise UsageError(f"{' '.join(words)!r} is not a line that `stillframe show` prints")
        match words:
            case ["begin", cell, outcome, *stack]:
                self._stack = "".join(stack)
                self._begin(cell, outcome)
            case ["verdict"]:
                return self._verdict()
            case [word, *others] if self._replay:
                self._follow(self._replay, word, others, said)
        return 0, ""

    def _begin(self, name: str, outcome: str) -> None:
        if self._begun:
            self._replay, self._hindrance = None, "A shell judges one trial. Open another shell for the next one."
            raise UsageError(self._hindrance)
        self._recorded = Outcome(outcome) if outcome in list(Outcome) else Outcome.MISSING
        try:
            cell = cell_of(name)
        except UsageError as error:
            self._hindrance = str(error)
            raise
        self._begun = True
        if can_be_replayed(cell):
            self._replay = Replay(self._node, cell)
        else:
            self._hindrance = "A shell repeats only trials whose commands ended one after the other, in one node."

    def _follow(self, replay: Replay, word: str, words: list[str], said: str) -> None:
        match word, words:
            case "started", [name, report]:
                replay.started(name, report)
            case "ended", [stage, code] if stage in list(Stage) and code.isdecimal():
                replay.ended(Stage(stage), int(code), said)
            case "runs-again", []:
                replay.runs_again()
            case "still-paused", []:
                replay.still_paused()
            case "read", [folder]:
                replay.read(folder)
            case "restored", [name]:
                replay.restored(name)
            case "stopping", []:
                replay.stopping()
            case _:
                raise UsageError(f"{' '.join((word, *words))!r} is not a line that `stillframe show` prints")

    def _verdict(self) -> Answer:
        if self._replay is None:
            return Exit.INCOMPLETE, f"verdict: none. {one_line(self._hindrance)}\n"
        found = self._replay.conclude()
        readings = [(reading, skews(reading)) for reading in found.readings]
        there = "" if self._stack in ("", self._node.stack) else f"{self._stack}, and this node is {self._node.stack}"
        lines = conclusion(found.verdict, readings, found.log, self._recorded, there)
        code = CODES[found.verdict.outcome.violates if found.verdict else None]
        return code, "\n".join(("", *lines, ""))


def _call(node: Node, words: list[str]) -> Answer:
    """Call a method of the engine at a socket, once it answers; the words are SOCKET METHOD JSON."""
    from harness.cri.client import Client, printable  # noqa: PLC0415  # grpc is slow to load

    socket, method, *text = words
    until(node.path(socket).is_socket, seconds=ENGINE_SECONDS, what=f"the socket {socket}")
    with contextlib.closing(Client(node, None, socket)) as client:
        until(client.answers, seconds=ENGINE_SECONDS, what=f"an answer at {socket}")
        try:
            return 0, f"{printable(client.call(method, **json.loads(' '.join(text))))}\n"
        except CommandFailed as error:
            return error.code or 1, f"{one_line(error.stderr)}\n"


def cell_of(name: str) -> Cell:
    """Read a cell's id, also of a stack that is not defined here; `UsageError` for what is no id of a cell."""
    found = CELL.fullmatch(name)
    if found is None:
        raise UsageError(f"{name!r} is not the id of a cell")
    scenario, named, policy, runtime, stack, other, elsewhere, way = found.groups(default="")
    for kind, word, valid in (("scenario", scenario or "live", Scenario), ("policy", policy, FreezePolicy)):
        if word not in list(valid):
            raise unknown(kind, word, valid)
    way_of(runtime, way)
    find(named)
    who = Participant(runtime=runtime, stack=stack)
    restore = Participant(runtime=other, stack=elsewhere) if other else who
    asked = Scenario(scenario or "live")
    return Cell(workload=named, policy=FreezePolicy(policy), checkpoint=who, restore=restore, way=way, scenario=asked)
