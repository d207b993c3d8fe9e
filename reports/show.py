"""One cell as text: how its trials ended, and one trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from harness.errors import unknown
from harness.records import Record
from reports.commands import ending, heading, last_words, shell, steps
from reports.phrases import duration, entry, expectation, found, one_line, skew
from reports.read import read_run
from reports.tables import CellSummary, largest_ticks, largest_us, worst_trial


def show_cell(run_folder: Path, cell_id: str, trial: int | None = None) -> str:
    """Describe a cell and one of its trials, by default the worst; all but the commands are shell comments."""
    cells = {each.cell.id: each for each in read_run(run_folder).cells}
    if cell_id not in cells:
        raise unknown("cell", cell_id, cells)
    cell = cells[cell_id]
    chosen = worst_trial(cell) if trial is None else _numbered(cell, trial)
    lines = [*_overview(cell), *(_script(chosen) if chosen else ())]
    return "\n".join(lines) + "\n"


def _numbered(cell: CellSummary, trial: int) -> Record:
    numbered = {str(each.trial): each for each in cell.trials}
    if str(trial) not in numbered:
        raise unknown("trial", str(trial), numbered)
    return numbered[str(trial)]


def _overview(cell: CellSummary) -> Iterator[str]:
    yield f"# {one_line(cell.cell.id)}: {one_line(entry(cell))}"
    yield f"# expected: {expectation(cell)}, because {one_line(cell.expectation.reason)}"
    for each in cell.trials:
        told = " ".join(filter(None, (found(each.verdict), *each.verdict.anomalies, _skew(each))))
        yield f"# trial {each.trial}: {told}: {one_line(each.verdict.reason)}"


def _skew(record: Record) -> str:
    return skew(largest_ticks(record), largest_us(record))


def _script(record: Record) -> Iterator[str]:
    yield ""
    yield f"# commands of trial {record.trial}, {duration((record.end_ns - record.start_ns) / 1e3)}"
    for title, group in groupby(steps(record.commands), key=lambda step: heading(step.command)):
        yield f"\n# {title}"
        for step in group:
            yield shell(step.command)
            yield from (f"# {told}" for told in (ending(step), *last_words(step.command)) if told)
    yield from (f"# log: {one_line(line)}" for line in record.log)
    yield from (f"# left behind: {one_line(leak)}" for leak in record.leaks)
