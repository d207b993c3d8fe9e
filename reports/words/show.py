"""One cell as text: how its trials ended, and one trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from harness.model.errors import unknown
from harness.records.records import Record
from reports.analysis.cells import CellSummary, largest_ticks, largest_us, worst_trial
from reports.runs.read import read_run
from reports.words.commands import ending, heading, last_words, shell, steps
from reports.words.letters import one_line
from reports.words.phrases import duration, entry, expectation, found, mark, skew, source_notes


def show_cell(run_folder: Path, cell_id: str, trial: int | None = None) -> str:
    """Describe a cell and one of its trials, by default the worst; all but the commands are shell comments."""

    def choose(cell: CellSummary) -> Record | None:
        return worst_trial(cell) if trial is None else _numbered(cell, trial)

    def closely(cell: CellSummary) -> Iterator[Record]:
        if cell.cell.id == cell_id and (chosen := choose(cell)):
            yield chosen

    cells = read_run(run_folder, closely).by_id
    if cell_id not in cells:
        raise unknown("cell", cell_id, cells)
    cell = cells[cell_id]
    chosen = choose(cell)
    lines = [*_overview(cell), *(script(chosen) if chosen else ())]
    return "\n".join(lines) + "\n"


def _numbered(cell: CellSummary, trial: int) -> Record:
    numbered = {str(each.trial): each for each in cell.trials}
    if str(trial) not in numbered:
        raise unknown("trial", str(trial), numbered)
    return numbered[str(trial)]


def _overview(cell: CellSummary) -> Iterator[str]:
    how = f" ({mark(cell)})" if mark(cell) else ""
    yield f"# {one_line(cell.cell.id)}: {one_line(entry(cell))}{how}"
    yield f"# expected: {expectation(cell.expectation)}, because {one_line(cell.expectation.reason)}"
    if cell.expectation.link:
        yield f"# known issue: {one_line(cell.expectation.link)}"
    for each in cell.trials:
        told = " ".join(filter(None, (found(each.verdict), *each.verdict.anomalies, _skew(each))))
        warnings = f" (warnings: {len(each.warnings)})" if each.warnings else ""
        yield f"# trial {each.trial}: {told}: {one_line(each.verdict.reason)}{warnings}"


def _skew(record: Record) -> str:
    return skew(largest_ticks(record), largest_us(record))


def script(record: Record) -> Iterator[str]:
    """Spell a trial's commands line by line, for a node's shell; all else that is told of it is comments."""
    yield ""
    yield f"# commands of trial {record.trial}, {duration((record.end_ns - record.start_ns) / 1e3)}"
    for crutch in record.accommodations:
        yield f"# accommodation {one_line(f'{crutch.name}: lacking {crutch.lacking}; {crutch.change}')}"
    for title, group in groupby(steps(record.commands), key=lambda step: heading(step.command)):
        yield f"\n# {title}"
        for step in group:
            yield shell(step)
            yield from (f"# {told}" for told in (ending(step), *last_words(step.command)) if told)
    told = {
        "warning, although it called the checkpoint a success": record.warnings,
        "source": source_notes(record),
        "log": record.log,
        "left behind": record.leaks,
    }
    yield from (f"# {name}: {one_line(line)}" for name, lines in told.items() for line in lines)
