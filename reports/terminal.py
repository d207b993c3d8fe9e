"""The matrix on a terminal or in a build log."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from reports import phrases
from reports.tables import CellSummary, Exit, RunSummary, Table

LOG_WIDTH = 120

STYLES = {Exit.EXPECTED: "green", Exit.UNEXPECTED: "bold red", Exit.INCOMPLETE: "yellow", Exit.BLIND: "bold magenta"}


def console_for(stream: TextIO) -> Console:
    """Make a console that folds to the terminal, and writes plain wide lines where there is none."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")  # a letter that the locale lacks must not cost the table
    if stream.isatty():
        return Console(file=stream, highlight=False)
    width = max(LOG_WIDTH, Console(file=stream).width)
    return Console(file=stream, highlight=False, width=width, no_color=True, force_terminal=False)


def show_run(run: RunSummary, console: Console | None = None) -> None:
    """Print the matrix of each workload, the versions, the controls, and last what is read first: the verdict."""
    out = console or console_for(sys.stdout)
    for table in run.tables:
        out.print(_grid(table, out.width))
    for participant, components in run.versions.items():
        listed = ", ".join(f"{each.name} {each.version}" for each in components)
        out.print(_plain(f"{participant}: {listed}"))
    out.print(_controls(run))
    code = run.conclusion.exit_code
    out.print(_plain(f"verdict: {run.conclusion.sentence} (exit code {code.value})", STYLES[code]))


def _grid(table: Table, width: int) -> Grid:
    title = _plain(f"workload {table.workload}")
    grid = Grid(title=title, title_justify="left", box=box.HORIZONTALS, show_lines=True)
    longest = max(len(row.label) for row in table.rows)
    grid.add_column("participant", overflow="fold", width=min(longest, width // (len(table.policies) + 1)))
    for policy in table.policies:
        grid.add_column(policy.value, overflow="fold")
    for row in table.rows:
        grid.add_row(_plain(row.label), *(_entry(each) if each else Text("not planned") for each in row.entries))
    return grid


def _entry(cell: CellSummary) -> Text:
    flag = "" if cell.as_expected else f" [{phrases.flag(cell)}]"
    return _plain(phrases.entry(cell) + flag, STYLES[cell.exit_code])


def _controls(run: RunSummary) -> Text:
    if not run.controls:
        return Text("controls: none ran")
    blind = [phrases.control(each) for each in run.controls if not each.detected]
    told = f"controls: {len(run.controls) - len(blind)} of {len(run.controls)} detected"
    return _plain("; ".join([told, *blind]), STYLES[Exit.BLIND if blind else Exit.EXPECTED])


def _plain(text: str, style: str = "") -> Text:
    return Text(phrases.one_line(text), style=style)
