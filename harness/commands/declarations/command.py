"""What a command is, and how its words are read: help at 80 columns, and a hint for a word that does not exist."""

from __future__ import annotations

import argparse
import difflib
import importlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from harness.model.errors import EXIT_CODES, FAULT
from harness.run.flags import Flag, add_to

WIDTH = 80
NARROW = 60
"""Columns from which on there is room beside the names of options and commands."""
LEAST_WIDTH = 20
"""Columns that help takes even where a terminal says that it has fewer."""
USAGE = "wrong usage"

Act = Callable[[argparse.Namespace], int]


def at_least_one(text: str) -> int:
    """Read a number that must be positive."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


@dataclass(frozen=True)
class Command:
    """A command, or one task of a command that has several."""

    name: str
    """All words: `plan`, or `history add`."""
    what: str
    """What it does, on one line."""
    act: str = ""
    """`MODULE:FUNCTION` that does it, and gives the exit code; empty if it has tasks."""
    arguments: tuple[Flag, ...] = ()
    exit_codes: Mapping[int, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    description: str = ""
    """More than one line, at most 80 columns wide."""
    tasks: tuple[Command, ...] = ()
    hands_on: str = ""
    """Name of the argument that gets the words after `--`, for another program."""
    runs_cells: bool = False
    """It runs cells, of which no trial may be cut off when it is told to end."""

    def load(self) -> Act:
        """Import what does it."""
        module, _, function = self.act.partition(":")
        found: Act = getattr(importlib.import_module(module), function)
        return found

    def parser(self) -> argparse.ArgumentParser:
        """Build what reads its words and prints its help."""
        parser = _Parser(
            prog=f"stillframe {self.name}",
            description=folded(self.description.strip() or f"{self.what[0].upper()}{self.what[1:]}."),
            epilog="\n\n".join(filter(None, (_examples(self.examples), _exit_codes(self.exit_codes)))),
            formatter_class=_Help,
        )
        add_to(parser, self.arguments)
        return parser

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Read its words; ends the program with exit code 2 for one that is wrong."""
        parser = self.parser()
        end = [*words, "--"].index("--") if self.hands_on else len(words)
        found, more = parser.parse_known_args(words[:end])
        if self.hands_on:
            more += getattr(found, self.hands_on)
            setattr(found, self.hands_on, words[end + 1 :])
        if more:
            options = [name for flag, _ in self.arguments for name in flag.split() if name.startswith("-")]
            word = more[0].partition("=")[0]
            is_option = word.startswith("-") and word not in options  # after `--` even an option is an argument
            parser.error(unknown("option" if is_option else "argument", word, options if is_option else ()))
        return found


def width() -> int:
    """Return the columns that help has."""
    return min(WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size().columns))


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a message; help that cannot be printed is a failure, unlike in argparse."""
        if file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        beside = 26 if width() > NARROW else 6
        super().__init__(prog, max_help_position=beside, width=width() - 2)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrap between words only: a name with hyphens stays whole."""
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def unknown(kind: str, word: str, valid: Iterable[str]) -> str:
    """Say that a word does not exist, with the nearest one that does."""
    near = difflib.get_close_matches(word, list(valid), n=1)
    return f"unknown {kind} {word!r}" + (f". Did you mean {near[0]!r}?" if near else "")


def choose(words: Sequence[str], commands: Mapping[str, Command]) -> tuple[Command, Sequence[str]]:
    """Find the command that words begin with, and give it with the others; a wrong word ends the program."""
    name, *more = words
    if name not in commands:
        _refuse(f"{unknown('command', name, commands)}\n`stillframe` lists all commands.")
    command = commands[name]
    tasks = {task.name.rpartition(" ")[2]: task for task in command.tasks}
    if more and more[0] in tasks:
        command, more = tasks[more[0]], more[1:]
    elif tasks and not {"-h", "--help"}.intersection(more):
        what = unknown("task", more[0], tasks) if more else "a task is missing"
        _refuse(f"{what}\nTasks of {name}: {', '.join(tasks)}.")
    return command, more


def _refuse(what: str) -> NoReturn:
    """End the program as argparse does for a wrong word."""
    argparse.ArgumentParser(prog="stillframe", usage="stillframe COMMAND [OPTION ...]").error(what)


def listed(commands: Iterable[Command]) -> str:
    """List commands with what each does."""
    return "\n".join(_filled(each.what, f"  {each.name:12} ") for each in commands)


def folded(text: str) -> str:
    """Fold paragraphs for a terminal that is narrower than they are; a line in columns stays a line of its own."""
    if width() >= WIDTH:
        return text
    paragraphs: list[str] = []
    before = None
    for line in text.splitlines():
        body = line.strip()
        indent = line[: len(line) - len(line.lstrip())] + ("  " if body.startswith("- ") else "")
        alone = not body or body.startswith("- ") or "  " in body
        if before == indent and not alone:
            paragraphs[-1] += f" {body}"
        else:
            paragraphs.append(line.rstrip())
        before = indent if body and "  " not in body else None
    return "\n".join(_filled(each.lstrip(), each[: len(each) - len(each.lstrip())]) for each in paragraphs)


def _filled(text: str, lead: str) -> str:
    """Fill lines after `lead`; on a narrow terminal they do not go below it, but begin at the fourth column."""
    under = " " * (len(lead) + 2 * text.startswith("- ") if width() > NARROW or not lead.strip() else 4)
    return textwrap.fill(text, width() - 1, initial_indent=lead, subsequent_indent=under, break_on_hyphens=False)


def _examples(lines: Iterable[str]) -> str:
    text = "\n".join(f"  {line}" for line in lines)
    return f"examples:\n{text}" if text else ""


def _exit_codes(codes: Mapping[int, str]) -> str:
    return f"exit codes:\n{code_lines({**codes, FAULT: EXIT_CODES[FAULT]})}" if codes else ""


def code_lines(codes: Mapping[int, str]) -> str:
    """List exit codes with what each means."""
    return "\n".join(
        textwrap.fill(told, width() - 1, initial_indent=f"{code:3}  ", subsequent_indent=" " * 5)
        for code, told in codes.items()
    )
