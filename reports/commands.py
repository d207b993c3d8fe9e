"""A trial's commands as shell: what can be pasted, and how each ended."""

from __future__ import annotations

import shlex
import signal
from itertools import groupby

from harness.model import Command, Frozen
from reports.phrases import clean, duration, one_line

TAIL_LINES = 5


class Step(Frozen):
    """One command, or the same one repeated without a pause in between, as polling does."""

    command: Command
    times: int
    seconds: float


def steps(commands: tuple[Command, ...]) -> tuple[Step, ...]:
    """Fold repetitions that ended alike."""
    runs = [list(group) for _, group in groupby(commands, key=_same)]
    return tuple(Step(command=run[-1], times=len(run), seconds=sum(command.seconds for command in run)) for run in runs)


def heading(command: Command) -> str:
    """Tell where in the trial and where on the machine: `checkpoint, in debian-sid`."""
    return one_line(f"{command.stage}, {'on the host' if command.where == 'host' else f'in {command.where}'}")


def shell(command: Command) -> str:
    """Spell the command, or the writing of its file, so that it can be pasted in any directory."""
    if command.write_path is not None:
        return _writing(command.write_path, command.write_text or "", command.write_mode)
    line = " ".join(_quoted(word) for word in command.argv)
    if command.detached:
        line += " </dev/null >/dev/null 2>&1"
    return line if command.cwd == "/" else f"(cd {_quoted(command.cwd)} && {line})"


def ending(step: Step) -> str:
    """Tell how it ended and how long it took, empty for a file: `exit 0, 43 ms`."""
    if step.command.write_path is not None:
        return ""
    code = step.command.exit_code
    how = "not finished" if code is None else f"exit {code}" if code >= 0 else f"ended by {_signal_name(-code)}"
    times = f", {step.times} times" if step.times > 1 else ""
    return f"{how}, {duration(step.seconds * 1e6)}{times}"


def failed(command: Command) -> bool:
    """Tell whether a command ended badly or not at all; a poll may do so and be right."""
    return command.write_path is None and command.exit_code != 0


def last_words(command: Command) -> tuple[str, ...]:
    """Take the last lines of a failed command's output."""
    if not failed(command):
        return ()
    return tuple(
        f"{name}: {clean(line)}"
        for name, text in (("stdout", command.stdout), ("stderr", command.stderr))
        for line in text.splitlines()[-TAIL_LINES:]
    )


def _same(command: Command) -> Command:
    return command.model_copy(update={"start_ns": 0, "seconds": 0, "stdout": "", "stderr": ""})


def _writing(path: str, text: str, mode: int | None) -> str:
    if mode is None:
        return f"printf %s {_quoted(text)} > {_quoted(path)}"
    made = f"install -D -m {mode:o} /dev/stdin {_quoted(path)}"
    if not text.endswith("\n") or clean(text) != text:
        return f"printf %s {_quoted(text)} | {made}"
    delimiter = "END"
    while delimiter in text:
        delimiter += "_"
    return f"{made} <<'{delimiter}'\n{text}{delimiter}"


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
