"""The front door: find the command, load what does it, and tell what went wrong."""

from __future__ import annotations

import sys

try:
    import argparse
    import os
    import signal
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

    from harness.commands.declarations import checkpoints, reports, runs
    from harness.commands.declarations.command import Act, Command, choose, code_lines, folded, listed
    from harness.model.errors import (
        EXIT_CODES,
        FAULT,
        INTERRUPTED,
        REMEDIES,
        UNHEARD,
        StillframeError,
        UsageError,
        WrongFile,
    )
    from harness.run import stopping
    from reports.terminal.tell import tell
    from reports.text import clean, one_line
except KeyboardInterrupt:  # in the very first moment, of which nobody wants a traceback
    sys.stderr.write("stillframe: interrupted\n")
    sys.exit(130)

GROUPS = {"cells": runs.COMMANDS, "runs that are over": reports.COMMANDS, "any checkpoint": checkpoints.COMMANDS}
"""Commands by what they are about, in the order of the help."""
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}
WHAT = """\
Finds out whether a live checkpoint of a container is a still frame: memory and
disk of one instant."""
MORE = "`stillframe COMMAND --help` lists options, exit codes and examples."
HELP = """\
usage: stillframe COMMAND [OPTION ...]

{what}

{commands}

{more}

start with:
  stillframe doctor
  sudo stillframe run --stack debian-sid --rounds 3

exit codes:
{codes}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    _open_what_is_closed()
    code: int | None = None
    try:
        code = _obey(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except StillframeError as error:
        for sentence in error.sentences if isinstance(error, WrongFile) else (str(error),):
            tell(one_line(f"stillframe: {sentence}"))
        return error.exit_code
    except BrokenPipeError:
        _print_no_more()
        return UNHEARD if code is None else code
    except KeyboardInterrupt:
        tell("stillframe: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # whose exit code would be 1, which is an answer
        return _failed(error)
    return code


def read(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Find the command and read its words; a wrong word ends the program with exit code 2."""
    command, more = choose(words, COMMANDS)
    return command, command.read(more)


def _obey(words: Sequence[str]) -> int:
    if words[:1] == ["help"] and len(words) > 1:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        grouped = (f"{title}:\n{listed(group)}" for title, group in GROUPS.items())
        told = {"what": folded(WHAT), "more": folded(MORE), "commands": "\n\n".join(grouped)}
        sys.stdout.write(HELP.format(**told, codes=code_lines(EXIT_CODES)))
        return 0
    if words[0] == "--version":
        from importlib import metadata  # noqa: PLC0415  # for this alone

        sys.stdout.write(f"stillframe {metadata.version('stillframe')}\n")
        return 0
    try:
        command, arguments = read(words)
    except SystemExit:
        sys.stdout.flush()  # of help that nobody reads, too
        raise
    if command.runs_cells:
        return stopping.tidily(lambda: command.load()(arguments))
    return _tidily(command.load(), arguments)


def _tidily(act: Act, arguments: argparse.Namespace) -> int:
    """Act, and let no signal that asks for an end leave anything behind."""
    ends = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        for each in ends:
            signal.signal(each, signal.SIG_IGN)
        tell(f"stillframe: ended by {signal.Signals(number).name}")
        sys.exit(128 + number)

    try:
        for each in ends:
            signal.signal(each, end)
    except ValueError:  # this is not the main thread, which alone gets signals
        return act(arguments)
    try:
        return act(arguments)
    finally:
        for each in ends:
            signal.signal(each, signal.SIG_DFL)


def _has_a_folder() -> bool:
    """Whether the current folder still exists, without which no relative path has a meaning."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _open_what_is_closed() -> None:
    """Let output that somebody has closed go nowhere; else the next file that is opened would take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception) -> int:
    """Tell of a folder that is gone, of output that goes nowhere, or of a fault; gives the exit code."""
    import traceback  # noqa: PLC0415  # for this alone

    if isinstance(error, FileNotFoundError) and not _has_a_folder():
        tell("stillframe: the current folder no longer exists. Go to another folder.")
        return UsageError.exit_code
    try:
        if isinstance(error, OSError) and error.filename is None:
            print(flush=True)  # noqa: T201  # what could not be written may have been thrown away
        sys.stdout.flush()
    except OSError as full:
        _print_no_more()
        tell(f"stillframe: standard output cannot be written: {full.strerror}")
        return StillframeError.exit_code
    if isinstance(error, OSError) and error.errno in REMEDIES and error.filename:
        tell(one_line(f"stillframe: {error.filename}: {error.strerror}. {REMEDIES[error.errno]}"))
        return StillframeError.exit_code
    tell(clean("".join(traceback.format_exception(error)).rstrip()))
    tell("stillframe: this is a fault in stillframe itself, and says nothing about what you asked.")
    tell("Please report the lines above.")
    return FAULT


if __name__ == "__main__":
    sys.exit(main())
