"""Commands for runs that are over: report, compare, pool, fingerprint, and the tasks of `stillframe history`."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from harness.model.errors import RecordError, UsageError
from harness.records.documents import check_writable
from reports.analysis import compare as comparison
from reports.formats import report as write
from reports.runs import fingerprint as groups
from reports.runs import history
from reports.runs import pool as pools
from reports.runs.read import compare_runs
from reports.runs.shards import gather
from reports.terminal import pool as pool_table
from reports.terminal.compare import lines as compare_lines
from reports.terminal.fingerprint import lines as fingerprint_lines
from reports.terminal.tell import tell
from reports.terminal.terminal import console_for
from reports.text import counted, one_line
from reports.words.suggestion import declaring


def report(arguments: argparse.Namespace) -> int:
    """Write it, print its address, and tell the verdict."""
    if arguments.out:
        check_writable(arguments.out)
    page, run = write.report(arguments.runs, arguments.out)
    write.add_to_step_summary(page.with_name(write.MARKDOWN).read_text(encoding="utf-8"))
    print(page)  # noqa: T201
    code = run.conclusion.exit_code.value
    tell(one_line(f"verdict: {run.conclusion.sentence} (exit code {code})"))
    return code if arguments.exit_code else 0


def compare(arguments: argparse.Namespace) -> int:
    """Print what became worse, better or different."""
    found = compare_runs(arguments.before, arguments.after)
    text = comparison.as_json(found, declaring(found)) if arguments.json else "\n".join(compare_lines(found))
    sys.stdout.write(f"{text.rstrip()}\n")
    return found.exit_code.value


def pool(arguments: argparse.Namespace) -> int:
    """Print the sums of trials."""
    found = pools.pool(arguments.runs)
    if arguments.json:
        sys.stdout.write(pools.as_json(found))
        return 0
    console_for(sys.stdout).print(pool_table.table(found))
    sys.stdout.write("\n".join(pool_table.footnotes(found)) + "\n")
    return 0


def fingerprint(arguments: argparse.Namespace) -> int:
    """Print the groups of versions."""
    found = groups.fingerprint(arguments.runs)
    if not found.classes:
        raise RecordError(
            f"{', '.join(map(str, arguments.runs))}: no checkpoint was restored by another version there",
            remedy="Groups need a run with cross-restore: `stillframe run --interop`.",
        )
    sys.stdout.write(groups.as_json(found) if arguments.json else "\n".join(fingerprint_lines(found)).rstrip())
    sys.stdout.write("\n")
    return 0


def add(arguments: argparse.Namespace) -> int:
    """Add runs to a history, and say of each whether it is new."""
    check_writable(arguments.history)
    runs = gather(arguments.runs)
    for run in runs:
        if run.unfinished and not arguments.unfinished:
            what = f"{run.folder} {run.unfinished}"
            raise UsageError(what, remedy="Add it when it is complete, or as it is with --unfinished.")
    for run in runs:
        before = history.ids(arguments.history)
        name = history.keep(arguments.history, run)
        cells = counted(len(run.plan.cells), "cell")
        now = history.ids(arguments.history)
        sys.stdout.write(f"{'already there:' if name in before else 'added'} {name} ({cells})\n")
        sys.stdout.writelines(f"removed {each}, an earlier copy of it\n" for each in sorted(before - now))
    return 0


def list_kept(arguments: argparse.Namespace) -> int:
    """List the runs of a history."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in ("id", "run", "when", "cells", "finished", "logs"):
        grid.add_column(heading, overflow="fold")
    for each in history.kept(arguments.history):
        when = f"{datetime.fromtimestamp(each.plan.created_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
        logs = f"pruned, {decimal(each.tombstone.bytes)} less" if each.tombstone else "kept"
        row = (each.id, each.plan.run, when, str(len(each.plan.cells)), "yes" if each.closing else "no", logs)
        grid.add_row(*(Text(one_line(told)) for told in row))
    console_for(sys.stdout).print(grid)
    return 0


def prune(arguments: argparse.Namespace) -> int:
    """Take the logs out of old runs, and print their ids."""
    pruned = history.prune(arguments.history, arguments.keep_logs, time.time_ns())
    for each in pruned:
        sys.stdout.write(f"{each.id}\n")
    tell(f"removed the logs of {counted(len(pruned), 'run')}")
    return 0
