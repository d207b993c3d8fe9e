"""A trial's commands as shell text to paste, and how each command ended.

An engine gives a container a new id each time. Where a later command uses the id, a variable holds it.
"""

from __future__ import annotations

import math
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
"""Fields that differ between repetitions of a command."""

IDENTITY = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
SHELLS_OWN = re.compile(
    r"[!{}.:]|\[\[|\]\]|case|do|done|elif|else|esac|fi|for|function|if|in|select|then|time|until|while|coproc"
    r"|alias|bg|break|cd|command|continue|eval|exec|exit|export|fg|getopts|hash|jobs|local|read|readonly|return|set"
    r"|shift|source|times|trap|type|ulimit|umask|unalias|unset|wait"
)
"""Words that begin something else in a shell than a program of this name."""
DELIMITERS = re.compile("END_*")
VARIABLE = re.compile(rf"{IDENTITY.pattern}|(?<![^=:,])~(?=/|\Z)")
"""Texts that a variable replaces: an id, and the home directory."""


class Step(Frozen):
    """One command, or immediate repetitions of one command, as in polling."""

    command: Command = Field(description="the last repetition")
    times: int
    failures: int = Field(default=0, description="failures before the success")
    seconds: float
    names: dict[str, str] = Field(default_factory=dict, description="variables by the ids that they hold")
    given: tuple[str, int] | None = Field(
        default=None, description="variable for an id that the command prints, and the id's position on standard output"
    )


def steps(commands: tuple[Command, ...]) -> tuple[Step, ...]:
    """Fold repetitions with the same ending, and repetitions that failed until one succeeded."""
    runs: list[list[Command]] = []
    for _, group in groupby(commands, key=lambda command: (_same(command), command.exit_code)):
        run = list(group)
        while runs and _succeeded_at_last(runs[-1][-1], run[-1]):
            run = runs.pop() + run
        runs.append(run)
    return tuple(_named(runs))


def _named(runs: list[list[Command]]) -> Iterator[Step]:
    names: dict[str, str] = {}
    used = [
        set(IDENTITY.findall(" ".join((*run[-1].argv, run[-1].write_path or "", run[-1].write_text or ""))))
        for run in runs
    ]
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
    """Name the stage of the trial and the place: `checkpoint, in debian-sid`."""
    return one_line(f"{command.stage}, {'on the host' if command.where == 'host' else f'in {command.where}'}")


def shell(step: Step) -> str:
    """Write a step as shell text to paste; a poll that failed at first becomes a loop."""
    spelled = _spelled(step.command, step.names)
    if step.given:
        name, position = step.given
        spelled = f"{name}=$({spelled} | grep -oE '[0-9a-f]{{64}}' | sed -n {position}p)"
    return f"until {spelled}; do sleep 0.1; done" if step.failures else spelled


def ending(step: Step) -> str:
    """Describe the exit code and the duration: `exit 0, 43 ms`; empty for a file and for a daemon."""
    command, code = step.command, step.command.exit_code
    if command.background or (command.write_path is not None and not code):
        return ""
    how = "not finished" if code is None else f"exit {code}" if code >= 0 else f"ended by {_signal_name(-code)}"
    times = f", {step.times} times" if step.times > 1 else ""
    failures = f", {step.failures} failed" if step.failures else ""
    return f"{how}, {duration(step.seconds * 1e6)}{times}{failures}"


def failed(command: Command) -> bool:
    """Whether a command failed or did not end; for a poll this may be normal."""
    if command.background or command.write_path is not None:
        return bool(command.exit_code)
    return command.exit_code != 0


def last_words(command: Command) -> tuple[str, ...]:
    """Return the last lines of a failed command's output."""
    if not failed(command):
        return ()
    return tuple(
        f"{name}: {clean(line)}"
        for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
        for line in text.splitlines()[-TAIL_LINES:]
    )


def _same(command: Command) -> tuple[object, ...]:
    """Return the fields that repetitions share: all but times, output and exit code."""
    return tuple(value for name, value in vars(command).items() if name not in OWN)


def _succeeded_at_last(before: Command, after: Command) -> bool:
    """Whether a failed command is the same as the next one, which succeeded; never for a file."""
    return after.write_path is None and failed(before) and not failed(after) and _same(before) == _same(after)


def _spelled(command: Command, names: Mapping[str, str]) -> str:
    if command.write_path is not None:
        return _writing(_expanded(command.write_path, names), command.write_text or "", command.write_mode, names)
    line = " ".join(_expanded(word, names) for word in command.argv)
    program = "".join(command.argv[:1])
    if SHELLS_OWN.fullmatch(program):
        line = f"env {line}"
    elif "=" in program:  # else it sets a variable
        line = f"''{line}"
    if command.exit_code is None and not command.background:
        line = f"timeout {math.ceil(command.seconds)} {line}"  # it did not end by itself
    if command.background:
        name = PurePosixPath(*command.argv[:1]).name
        log = quoted(f"/var/log/{name}.log")  # the same log as in the node's `launch`
        line += f" </dev/null >{log} 2>&1 &"
    elif command.detached:
        line += " </dev/null >/dev/null 2>&1"
    elif command.runtime:
        line += " </dev/null"  # or it might read the pasted lines that follow
    return line if command.cwd == "/" else f"(cd {_expanded(command.cwd, names)} && {line})"


def _writing(path: str, text: str, mode: int | None, names: Mapping[str, str]) -> str:
    words = _expanded(text, names, IDENTITY)
    if mode is None:
        return f"printf %s {words} > {path}"
    made = f"install -D -m {mode:o} /dev/stdin {path}"
    if not text.endswith("\n") or not _inert(text) or not names.keys().isdisjoint(IDENTITY.findall(text)):
        return f"printf %s {words} | {made}"
    delimiter = max((f"{each}_" for each in DELIMITERS.findall(text)), key=len, default="END")
    return f"{made} <<'{delimiter}'\n{text}{delimiter}"


def _expanded(word: str, names: Mapping[str, str], variable: re.Pattern[str] = VARIABLE) -> str:
    """Quote a word, but not the variables in it."""
    spelled, at = "", 0
    for found in variable.finditer(word):
        name = "HOME" if found[0] == HOME else names.get(found[0])
        if name:
            before = word[at : found.start()]
            spelled, at = f'{spelled}{quoted(before) * bool(before)}"${{{name}}}"', found.end()
    rest = word[at:]
    return spelled + quoted(rest) if rest or not spelled else spelled


def quoted(word: str) -> str:
    """Quote a word for any POSIX shell; nothing in it acts on the terminal where it is pasted."""
    if _inert(word):
        return shlex.quote(word)
    # A pasted control character acts on the terminal, and a tab completes a word: printf(1) spells them out.
    spelled = ""
    for inert, signs in groupby(word, key=_inert):
        text = "".join(signs)
        octal = "".join(f"\\{byte:03o}" for byte in text.encode(errors="surrogatepass"))
        spelled += shlex.quote(text) if inert else f"\"$(printf '{octal}')\""
    return spelled


def _inert(text: str) -> bool:
    return "\t" not in text and clean(text) == text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
