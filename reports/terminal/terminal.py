"""A run's tables on a terminal or in a build log."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.records.image_path import ImagePath
from reports.analysis import images
from reports.analysis.cells import CellSummary, prevailing
from reports.analysis.crashes import demanded
from reports.analysis.known import advice
from reports.analysis.tables import Column, Row, RunSummary, Table, counted
from reports.text import clean, one_line, shorten, unbroken
from reports.words import causes, proof
from reports.words.cells import deadline, entry, flag, mark
from reports.words.findings import (
    agreement_of,
    bridge,
    crash_of,
    effort_of,
    freezing_line,
    how_declined,
    missed,
    score_of,
    would_restore,
)
from reports.words.suggestion import suggested
from reports.words.tables import heading, marks, scenarios, title

LOG_WIDTH = 120
LABEL, NARROW, ROOMY, WIDE = 16, 12, 18, 30
"""Widths in characters: of the narrowest label; and of an entry at least (`inconsistent`), at ease, and at most."""

STYLES = {Exit.EXPECTED: "green", Exit.UNEXPECTED: "bold red", Exit.INCOMPLETE: "yellow", Exit.BLIND: "bold magenta"}
KNOWN = "cyan"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error: rich would end the program with exit code 1, which has a meaning of its own."""
        raise BrokenPipeError


def console_for(stream: TextIO) -> Console:
    """Return a console that folds lines to the terminal, or writes plain wide lines elsewhere."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")  # the table must appear even if the locale lacks a character
    if stream.isatty():
        return _Console(file=stream, highlight=False)
    width = max(LOG_WIDTH, Console(file=stream).width)
    return _Console(file=stream, highlight=False, width=width, no_color=True, force_terminal=False)


def show_run(run: RunSummary, console: Console | None = None) -> None:
    """Print the tables with their footnotes, known issues, versions and controls, and the verdict last."""
    out = console or console_for(sys.stdout)
    for table in run.tables:
        for grid in _grids(table, out.width):
            out.print(grid)
            out.print()
        for line in _below(table):
            out.print(line)
    show_images(run.images, out)
    for number, workaround in enumerate(run.accommodations, 1):
        each = workaround.accommodation
        out.print(_plain(f"[{number}] {each.name}: lacking {each.lacking}; {each.change}"))
    for line in _known_issues(run):
        out.print(line)
    for participant, components in run.versions.items():
        listed = ", ".join(f"{each.name} {each.version}" for each in components)
        out.print(_plain(f"{participant}: {listed}"))
    for line in (*_cross_restores(run), *_rounds(run), *_proof(run)):
        out.print(line)
    code = run.conclusion.exit_code
    out.print(_plain(f"verdict: {run.conclusion.sentence} (exit code {code.value})", STYLES[code]))


def _cross_restores(run: RunSummary) -> Iterator[Text]:
    for each in run.declined:
        told = (
            f"declined in {counted(each.trials, 'trial')} of {counted(len(each.cells), 'cell')}: {how_declined(each)}"
        )
        yield _plain(f"{told}; {would_restore(each)}")
    yield from (_plain(bridge(each)) for each in run.bridges)
    if run.predictions.cells:
        yield _plain(f"predicted from the files: {score_of(run.predictions)}")
    for miss in run.predictions.missed:
        yield _plain(f"  {miss.cell}: {missed(miss)}")
    if run.agreement.checkpoints:
        yield _plain(f"inspected: {agreement_of(run.agreement)}")
    yield from (_plain(f"  {each}") for each in run.agreement.missed)


def _rounds(run: RunSummary) -> Iterator[Text]:
    if told := freezing_line(run.freezing):
        yield _plain(told)
    if run.plan.rule:
        yield _plain(f"rounds: {run.plan.rule}")
    if run.closing and run.closing.effort:
        yield _plain(effort_of(run.closing.effort))


def show_images(paths: Sequence[ImagePath], console: Console | None = None) -> None:
    """Print the results of checkpoint images, if any, and the verdict last."""
    out = console or console_for(sys.stdout)
    if not paths:
        return
    for table in images.tables(paths):
        grid = Grid(
            title=_plain(table.title), title_justify="left", box=box.HORIZONTALS, show_lines=True, show_edge=False
        )
        grid.padding = (0, 0)
        width = max(NARROW, (out.width - LABEL) // len(table.columns) - 1)
        grid.add_column(table.corner, overflow="fold", width=LABEL)
        for column in table.columns:
            grid.add_column(_folded(column, width), overflow="fold", width=width)
        for label, entries in table.rows:
            grid.add_row(_folded(label, LABEL), *(_image_entry(each, width) if each else Text("-") for each in entries))
        out.print(grid)
        out.print()
    for line in images.findings(paths):
        out.print(_plain(line))
    code = images.exit_code(paths)
    out.print(_plain(f"images: {images.verdict(paths)} (exit code {code.value})", STYLES[code]))


def _image_entry(entry: images.Entry, width: int) -> Text:
    style = STYLES[Exit.UNEXPECTED] if not entry.as_expected else "" if entry.outcome is Outcome.CONSISTENT else KNOWN
    lines = [entry.outcome.value + ("" if entry.as_expected else " [unexpected]"), *entry.lines]
    return Text("\n").join(_folded(line, width, style) for line in lines)


def _grids(table: Table, width: int) -> Iterator[Grid]:
    """Split the table into as many parts as its words need."""
    fitting = max(1, (width - LABEL) // (NARROW + 1))
    parts = -(-len(table.columns) // fitting)
    size = -(-len(table.columns) // parts)
    for first in range(0, len(table.columns), size):
        part = slice(first, first + size)
        rows = [(row, row.entries[part]) for row in table.rows if any(row.entries[part])]
        yield _grid(table, table.columns[part], rows, width)


def _grid(
    table: Table, columns: Sequence[Column], rows: Sequence[tuple[Row, Sequence[CellSummary | None]]], width: int
) -> Grid:
    longest = max(len(row.label + marks(row.marks)) for row, _ in rows)
    label = min(longest, max(LABEL, width - len(columns) * (ROOMY + 1)))
    entry = min(WIDE, max(1, (width - label) // len(columns) - 1))
    label = min(longest, width - len(columns) * (entry + 1))
    headline = _plain(title(table) + ("" if table.by_policy else " (in brackets: freeze policy)"))
    grid = Grid(
        title=headline, title_justify="left", box=box.HORIZONTALS, show_lines=True, show_edge=False, padding=(0, 0)
    )
    grid.add_column("participant", overflow="fold", width=label)
    for column in columns:
        grid.add_column(_folded(heading(column), entry), overflow="fold", width=entry)
    for row, entries in rows:
        names = _folded(row.label + marks(row.marks), label)
        if not table.by_policy:
            names = Text("\n").join([names, _folded(f"({', '.join(row.policies)})", label)])
        grid.add_row(names, *(_entry(table, each, entry) if each else Text("-") for each in entries))
    return grid


def _entry(table: Table, cell: CellSummary, width: int) -> Text:
    taken = mark(cell)
    how = "" if not taken else f" ({taken})" if cell.as_expected else f" [{taken}]"
    return _folded(f"{causes.entry(table, cell)}{how}", width, _style(cell))


def _style(cell: CellSummary) -> str:
    return KNOWN if cell.as_expected and cell.known else STYLES[cell.exit_code]


def _below(table: Table) -> Iterator[Text]:
    for scenario, told in scenarios(table).items():
        yield _plain(f"{scenario}: {told}")
    alike: dict[tuple[str, Exit], list[CellSummary]] = {}
    for cell in table.unexpected:
        alike.setdefault((f"{entry(cell)} [{flag(cell)}]", cell.exit_code), []).append(cell)
    for (told, code), cells in alike.items():
        more = f" and {counted(len(cells) - 1, 'cell')} more" if len(cells) > 1 else ""
        yield _plain(f"{cells[0].cell.id}{more}: {told}", STYLES[code])


def _known_issues(run: RunSummary) -> Iterator[Text]:
    for issue in run.known_issues:
        count = f"{issue.as_expected} of {counted(len(issue.cells), 'cell')} as expected"
        told = f"{shorten(issue.expectation.reason)} {issue.expectation.link} ({deadline(issue)})"
        style = KNOWN if issue.as_expected == len(issue.cells) else STYLES[Exit.UNEXPECTED]
        yield _plain(f"known issue: {told}: {count}", style)
        yield from (_plain(f"  {line}", style) for line in advice(issue))
    for crash in run.crashes:
        style = STYLES[Exit.UNEXPECTED] if crash.unlike else KNOWN
        told = f"{crash_of(crash)}: {shorten(crash.crash.reason)} {crash.crash.link}"
        yield _plain("; ".join(filter(None, (told, demanded(crash)))), style)
    if entries := suggested(run):
        told = "new failures; to declare them, fill in link and owner and add them to scenarios/expectations:"
        yield _plain(told, STYLES[Exit.UNEXPECTED])
        yield Text(clean(entries))


def _proof(run: RunSummary) -> Iterator[Text]:
    failed = [each for each in run.controls if not each.detected]
    style = STYLES[prevailing({each.exit_code for each in failed})] if failed else STYLES[Exit.EXPECTED]
    for line in proof.score(run):
        yield _plain(line, style)
    for told, code in proof.escaped(run):
        yield _plain(told, STYLES[code])


def _plain(text: str, style: str = "") -> Text:
    return Text(one_line(text), style=style)


def _folded(text: str, width: int, style: str = "") -> Text:
    """Fold at blanks, and long words also before `@` and after hyphens; keep a number and its unit together."""
    lines = [""]
    for word in unbroken(text).split(" "):
        gap = " " if lines[-1] else ""
        for piece in _pieces(word, width):
            if lines[-1] and len(lines[-1] + gap + piece) > width:
                lines.append(piece)
            else:
                lines[-1] += gap + piece
            gap = ""
    return Text("\n".join(map(one_line, lines)), style=style)


def _pieces(word: str, width: int) -> Iterator[str]:
    for part in [word] if len(word) <= width else re.split(r"(?<=.)(?=@)", word):
        yield from [part] if len(part) <= width else re.split(r"(?<=-)(?=.)", part)
