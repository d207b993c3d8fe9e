"""A trial's commands as shell: what can be pasted, and how each ended.

An engine gives its containers other ids each time: where one was used later, it is kept in a variable instead.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator, Mapping
from itertools import accumulate, groupby
from pathlib import PurePosixPath

from pydantic import Field

from harness.model.commands import Command
from harness.model.values import Frozen
from harness.privacy.redaction import HOME
from reports.text import clean, one_line
from reports.words.numbers import duration

TAIL_LINES = 5
OWN = frozenset({"start_ns", "seconds", "stdout", "stderr", "exit_code"})
"""What each repetition of a command has for itself."""

IDENTITY = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
VARIABLE = re.compile(rf"{IDENTITY.pattern}|(?<![^=:,])~(?=/|\Z)")
"""What may stand for something else: an id, and the home of whoever ran it."""


class Step(Frozen):
    """One command, or the same one repeated without a pause in between, as polling does."""

    command: Command = Field(description="the last of them")
    times: int
    failures: int = Field(default=0, description="of these, how often it failed before it succeeded")
    seconds: float
    names: dict[str, str] = Field(default_factory=dict, description="variables by the ids that they stand for")
    given: tuple[str, int] | None = Field(
        default=None, description="variable for an id that it gives, and which of the ids on standard output that is"
    )


def steps(commands: tuple[Command, ...]) -> tuple[Step, ...]:
    """Fold repetitions that ended alike, and those that failed until they succeeded."""
    runs: list[list[Command]] = []
    for _, group in groupby(commands, key=lambda command: (_same(command), command.exit_code)):
        run = list(group)
        while runs and _succeeded_at_last(runs[-1][-1], run[-1]):
            run = runs.pop() + run
        runs.append(run)
    return tuple(_named(runs))


def _named(runs: list[list[Command]]) -> Iterator[Step]:
    names: dict[str, str] = {}
    used = [set(IDENTITY.findall(" ".join((*run[-1].argv, run[-1].write_path or "")))) for run in runs]
    after = list(accumulate(reversed(used[1:]), set.union, initial=set[str]()))[::-1]
    for number, (run, later) in enumerate(zip(runs, after, strict=False)):
        new = [
            (position, each)
            for position, each in enumerate(IDENTITY.findall(run[-1].stdout), 1)
            if each in later and each not in names
        ]
        yield Step(
            command=run[-1],
            times=len(run),
            failures=0 if failed(run[-1]) else sum(map(failed, run)),
            seconds=sum(command.seconds for command in run),
            names={each: name for each, name in names.items() if each in used[number]},
            given=(f"id{len(names) + 1}", new[0][0]) if new else None,
        )
        if new:
            names[new[0][1]] = f"id{len(names) + 1}"


def heading(command: Command) -> str:
    """Tell where in the trial and where on the machine: `checkpoint, in debian-sid`."""
    return one_line(f"{command.stage}, {'on the host' if command.where == 'host' else f'in {command.where}'}")


def shell(step: Step) -> str:
    """Spell a step so that it can be pasted: a poll that failed at first is a loop."""
    spelled = _spelled(step.command, step.names)
    if step.given:
        name, position = step.given
        spelled = f"{name}=$({spelled} | grep -oE '[0-9a-f]{{64}}' | sed -n {position}p)"
    return f"until {spelled}; do sleep 0.1; done" if step.failures else spelled


def ending(step: Step) -> str:
    """Tell how it ended and how long it took, empty for a file and for a daemon: `exit 0, 43 ms`."""
    command, code = step.command, step.command.exit_code
    if command.background or (command.write_path is not None and not code):
        return ""
    how = "not finished" if code is None else f"exit {code}" if code >= 0 else f"ended by {_signal_name(-code)}"
    times = f", {step.times} times" if step.times > 1 else ""
    failures = f", of which {step.failures} failed" if step.failures else ""
    return f"{how}, {duration(step.seconds * 1e6)}{times}{failures}"


def failed(command: Command) -> bool:
    """Tell whether a command ended badly or not at all; a poll may do so and be right."""
    if command.background or command.write_path is not None:
        return bool(command.exit_code)
    return command.exit_code != 0


def last_words(command: Command) -> tuple[str, ...]:
    """Take the last lines of a failed command's output."""
    if not failed(command):
        return ()
    return tuple(
        f"{name}: {clean(line)}"
        for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
        for line in text.splitlines()[-TAIL_LINES:]
    )


def _same(command: Command) -> tuple[object, ...]:
    """What repetitions have in common: all but when it ran and what came of it."""
    return tuple(value for name, value in vars(command).items() if name not in OWN)


def _succeeded_at_last(before: Command, after: Command) -> bool:
    """Whether a command that failed is the same as the next one, which did not; a file is written once."""
    return after.write_path is None and failed(before) and not failed(after) and _same(before) == _same(after)


def _spelled(command: Command, names: Mapping[str, str]) -> str:
    if command.write_path is not None:
        return _writing(_expanded(command.write_path, names), command.write_text or "", command.write_mode)
    line = " ".join(_expanded(word, names) for word in command.argv)
    if command.background:
        name = PurePosixPath(*command.argv[:1]).name
        log = _quoted(f"/var/log/{name}.log")  # where the node's `launch` lets it write
        line += f" </dev/null >{log} 2>&1 &"
    elif command.detached:
        line += " </dev/null >/dev/null 2>&1"
    elif command.runtime:
        line += " </dev/null"  # or it might read what was pasted after it
    return line if command.cwd == "/" else f"(cd {_expanded(command.cwd, names)} && {line})"


def _writing(path: str, text: str, mode: int | None) -> str:
    if mode is None:
        return f"printf %s {_quoted(text)} > {path}"
    made = f"install -D -m {mode:o} /dev/stdin {path}"
    if not text.endswith("\n") or clean(text) != text:
        return f"printf %s {_quoted(text)} | {made}"
    delimiter = "END"
    while delimiter in text:
        delimiter += "_"
    return f"{made} <<'{delimiter}'\n{text}{delimiter}"


def _expanded(word: str, names: Mapping[str, str]) -> str:
    """Quote a word but for the variables in it."""
    spelled, at = "", 0
    for found in VARIABLE.finditer(word):
        name = "HOME" if found[0] == HOME else names.get(found[0])
        if name:
            before = word[at : found.start()]
            spelled, at = f'{spelled}{_quoted(before) * bool(before)}"${{{name}}}"', found.end()
    rest = word[at:]
    return spelled + _quoted(rest) if rest or not spelled else spelled


def _quoted(word: str) -> str:
    if clean(word) == word:
        return shlex.quote(word)
    # Control characters that are pasted into a terminal act on it; bash's $'' spells them out.
    spelled = "".join(
        sign if clean(sign) == sign else sign.encode("unicode_escape").decode()
        for sign in word.replace("\\", "\\\\").replace("'", "\\'")
    )
    return f"$'{spelled}'"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
