"""The end of a run on a terminal or in a build log: the verdict, what is unexpected, the report, and the tables."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.records.image_path import ImagePath
from reports.analysis import images
from reports.analysis.against import Against
from reports.analysis.cells import CellSummary, prevailing
from reports.analysis.crashes import KnownCrash, demanded
from reports.analysis.known import KnownIssue, advice
from reports.analysis.sameness import KnownDifferenceSummary, demanded_of
from reports.analysis.tables import RunSummary
from reports.terminal import grid as tables
from reports.terminal.folding import folded
from reports.terminal.grid import KNOWN, LABEL, STYLES
from reports.text import clean, counted, one_line, shorten
from reports.words import proof
from reports.words.cells import deadline, entry, flag
from reports.words.findings import (
    abandoned_line,
    agreement_of,
    bridge,
    compared_cause,
    compared_pairs,
    compared_remedy,
    compared_score,
    crash_of,
    effort_of,
    faults_line,
    freezing_line,
    how_declined,
    known_difference,
    missed,
    score_of,
    score_of_sameness,
    secrets_line,
    would_restore,
)
from reports.words.suggestion import suggested
from reports.words.tables import scenarios

CALLED = "STILLFRAME_CALLED"
"""Environment variable: how the user has called Stillframe, if not by its name."""
LOG_WIDTH = 120
NARROW = 12
"""Width of the narrowest entry of a table of images."""
COMMAND = "bold"
"""Style of a command to paste, which is never folded."""
MOST_OF_A_CAUSE = 3
"""Cells of a cause that are listed without `--verbose`, where variants are compared."""
MOST_SHOWN = 20
"""Unexpected cells that are listed without `--verbose`."""


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


def show_run(
    run: RunSummary,
    console: Console | None = None,
    *,
    page: Path | None = None,
    options: Sequence[str] = (),
    verbose: bool = False,
) -> None:
    """Print the verdict, the unexpected cells, the report's path, and the tables; `verbose`: and all that is known.

    `options`: what `stillframe show` needs to find the run.
    """
    out = console or console_for(sys.stdout)
    code = run.conclusion.exit_code
    told = " ".join(f"{each.what}." for each in run.conclusion.findings)  # their cells follow
    out.print(_plain(f"verdict: {told} (exit code {code.value})", STYLES[code]))
    if run.against:
        listed = _against(run.against, options, most=None if verbose else MOST_OF_A_CAUSE)
    else:
        listed = _unexpected(run, options, most=None if verbose else MOST_SHOWN)
    for line in listed:
        out.print(line, soft_wrap=line.style == COMMAND)
    if page:
        out.print(f"report: {page}", soft_wrap=True, highlight=False, markup=False)
    ascii_only = out.options.ascii_only
    for table in run.tables:
        out.print()
        for part in tables.grids(table, out.width, numbered=verbose, ascii_only=ascii_only):
            out.print(part)
        for scenario, told in scenarios(table).items() if verbose else ():
            out.print(_plain(f"{scenario}: {told}"))
    if run.cells:
        out.print()
        out.print(tables.legend(run.tables, ascii_only=ascii_only))
    show_images(run.images, out)
    known = _known(run, verbose=verbose)
    for line in (*known, *_proof(run), *_effort(run), *(_details(run) if verbose else _more(run))):
        out.print(line)


def _against(found: Against, options: Sequence[str], most: int | None) -> Iterator[Text]:
    """Yield how the cells of variants differ from those of the unmodified stack, each cause with what shows it."""
    yield _plain(f"compared: {compared_score(found)}")
    for cause in found.causes:
        yield _plain(compared_cause(cause), STYLES[cause.cells[0].exit_code])
        yield from (_plain(f"  {compared_pairs(each)}") for each in cause.cells[:most])
        if most and len(cause.cells) > most:
            yield _plain(f"  and {counted(len(cause.cells) - most, 'cell')} more, which --verbose and the report list")
        yield Text(f"  {shown(cause.cells[0].cell.id, options)}", style=COMMAND)
    yield from map(_plain, compared_remedy(found))


def _unexpected(run: RunSummary, options: Sequence[str], most: int | None) -> Iterator[Text]:
    """Yield what is not as expected: equal failures once, each with the commands that show its cells."""
    alike: dict[tuple[str, Exit], list[CellSummary]] = {}
    for cell in run.unexpected:
        alike.setdefault((f"{entry(cell)} [{flag(cell)}]", cell.exit_code), []).append(cell)
    left = most
    for (told, code), cells in alike.items():
        some = cells[:left]
        if left is not None:
            left -= len(some)
        if some:
            yield _plain(told, STYLES[code])
            yield from (Text(f"  {shown(each.cell.id, options)}", style=COMMAND) for each in some)
    if left == 0 and len(run.unexpected) > (most or 0):
        rest = counted(len(run.unexpected) - (most or 0), "cell")
        yield _plain(f"and {rest} more, which --verbose and the report list")
    for told, code in proof.escaped(run):
        yield _plain(told, STYLES[code])


def shown(cell: str, options: Sequence[str] = ()) -> str:
    """Return the command that shows a cell, as the command was called that prints it."""
    called = os.environ.get(CALLED, "stillframe")
    return clean(f"{called} {shlex.join(('show', one_line(cell), *options))}")


def _known(run: RunSummary, *, verbose: bool) -> Iterator[Text]:
    """Yield the known issues that somebody has to look at, and one line for all that are as declared."""
    quiet = [issue for issue in run.known_issues if not issue.unlike]
    for issue in run.known_issues:
        if verbose or issue.unlike:
            yield from _issue(issue)
    if quiet and not verbose:
        cells = counted(sum(issue.as_expected for issue in quiet), "cell")
        yield _plain(f"known issues: {len(quiet)} as declared, in {cells}", KNOWN)
    for crash in run.crashes:
        if verbose or crash.shown or crash.unlike:
            yield _crash(crash)
    if told := score_of_sameness(run.same):
        yield _plain(told, KNOWN)
    for each in run.differences:
        if verbose or each.unlike:
            yield _difference(each)


def _issue(issue: KnownIssue) -> Iterator[Text]:
    count = f"{issue.as_expected} of {counted(len(issue.cells), 'cell')} as expected"
    told = f"{shorten(issue.expectation.reason)} {issue.expectation.link} ({deadline(issue)})"
    style = STYLES[Exit.UNEXPECTED] if issue.unlike else KNOWN
    yield _plain(f"known issue: {told}: {count}", style)
    yield from (_plain(f"  {line}", style) for line in advice(issue))


def _crash(crash: KnownCrash) -> Text:
    told = f"{crash_of(crash)}: {shorten(crash.crash.reason)} {crash.crash.link}"
    style = STYLES[Exit.UNEXPECTED] if crash.unlike else KNOWN
    return _plain("; ".join(filter(None, (told, demanded(crash)))), style)


def _difference(each: KnownDifferenceSummary) -> Text:
    told = f"{known_difference(each)}: {shorten(each.known.reason)} {each.known.link}"
    style = STYLES[Exit.UNEXPECTED] if each.unlike else KNOWN
    return _plain("; ".join(filter(None, (told, demanded_of(each)))), style)


def _proof(run: RunSummary) -> Iterator[Text]:
    failed = [each for each in run.controls if not each.detected]
    style = STYLES[prevailing({each.exit_code for each in failed})] if failed else STYLES[Exit.EXPECTED]
    yield from (_plain(line, style) for line in proof.score(run))


def _effort(run: RunSummary) -> Iterator[Text]:
    if run.closing and run.closing.effort:
        yield _plain(effort_of(run.closing.effort))


def _more(run: RunSummary) -> Iterator[Text]:
    if run.cells:
        yield _plain("--verbose also prints known issues, versions, and workarounds, as the report does", "dim")


def _details(run: RunSummary) -> Iterator[Text]:
    """Yield workarounds, versions, notes on cross-restores and rounds, and entries for new failures."""
    for number, workaround in enumerate(run.accommodations, 1):
        each = workaround.accommodation
        yield _plain(f"[{number}] {each.name}: lacking {each.lacking}; {each.change}")
    for participant, components in run.versions.items():
        yield _plain(f"{participant}: {', '.join(map(str, components))}")
    yield from (*_cross_restores(run), *_rounds(run))
    if entries := suggested(run):
        told = "new failures; to declare them, fill in link and owner and add them to scenarios/expectations:"
        yield _plain(told, STYLES[Exit.UNEXPECTED])
        yield Text(clean(entries))


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
    if told := abandoned_line(run.sweeps):
        yield _plain(told)
    for told in filter(None, (faults_line(run.faulted), secrets_line(run.spreads))):
        yield _plain(told)
    if told := freezing_line(run.freezing):
        yield _plain(told)
    if run.plan.rule:
        yield _plain(f"rounds: {run.plan.rule}")


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
            grid.add_column(folded(column, width), overflow="fold", width=width)
        for label, entries in table.rows:
            grid.add_row(folded(label, LABEL), *(_image_entry(each, width) if each else Text("-") for each in entries))
        out.print(grid)
        out.print()
    for line in images.findings(paths):
        out.print(_plain(line))
    code = images.exit_code(paths)
    out.print(_plain(f"images: {images.verdict(paths)} (exit code {code.value})", STYLES[code]))


def _image_entry(entry: images.Entry, width: int) -> Text:
    style = STYLES[Exit.UNEXPECTED] if not entry.as_expected else "" if entry.outcome is Outcome.CONSISTENT else KNOWN
    lines = [entry.outcome.value + ("" if entry.as_expected else " [unexpected]"), *entry.lines]
    return Text("\n").join(folded(line, width, style) for line in lines)


def _plain(text: str, style: str = "") -> Text:
    return Text(one_line(text), style=style)
