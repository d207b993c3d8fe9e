"""Commands for runs that are over and kept: what goes into a history, and what is taken out of it."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from reports.analysis.tables import counted
from reports.runs import history
from reports.terminal.terminal import console_for
from reports.text import one_line

KEEP_LOGS = 30
"""Newest runs whose logs are kept, unless told otherwise."""

HISTORY = """\
Keeps runs in a folder, which may be a branch: no server is needed.

  stillframe history add DIR RUN...    adds runs, each by a digest of its content; shards of a run are one run
  stillframe history list DIR          tells what is there
  stillframe history prune DIR         takes commands, timelines and readings out of old runs; outcomes, summaries and
                                       what `evidence` of a declared issue names stay, and a tombstone tells of the rest

`stillframe report DIR` makes a site of it: of the newest run, with the others as its past.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands."""
    made = commands.add_parser(
        "history",
        help="keep runs in a folder, by their content, without a server",
        description=HISTORY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = made.add_subparsers(required=True, metavar="TASK")
    for name, act, told in (
        ("add", _add, "add runs"),
        ("list", _list, "tell what is there"),
        ("prune", _prune, "take the logs out of old runs"),
    ):
        task = tasks.add_parser(name, help=told, description=f"{told.capitalize()}.")
        task.add_argument("history", type=Path, metavar="DIR", help="folder of the history")
        task.set_defaults(act=act)
        if name == "add":
            task.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, or of its shards")
        if name == "prune":
            most = f"newest runs that keep their logs (default {KEEP_LOGS})"
            task.add_argument("--keep-logs", type=int, default=KEEP_LOGS, metavar="N", help=most)


def _add(arguments: argparse.Namespace) -> int:
    for run in arguments.runs:
        sys.stdout.write(f"{history.add(arguments.history, run)}\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in ("id", "run", "when", "cells", "logs"):
        grid.add_column(heading, overflow="fold")
    for each in history.kept(arguments.history):
        when = f"{datetime.fromtimestamp(each.plan.created_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
        logs = f"pruned, {decimal(each.tombstone.bytes)} less" if each.tombstone else "kept"
        row = (each.id, each.plan.run, when, str(len(each.plan.cells)), logs)
        grid.add_row(*(Text(one_line(told)) for told in row))
    console_for(sys.stdout).print(grid)
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    pruned = history.prune(arguments.history, arguments.keep_logs, time.time_ns())
    for each in pruned:
        sys.stdout.write(f"{each.id}\n")
    sys.stderr.write(f"took the logs out of {counted(len(pruned), 'run')}\n")
    return 0
