"""One cell on a terminal: how its trials ended, and one trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.model.errors import UsageError, unknown
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CellSummary, largest_ticks, largest_us, worst_trial
from reports.runs import shards
from reports.runs.read import read_cell
from reports.text import one_line
from reports.words.cells import entry, mark
from reports.words.numbers import skew
from reports.words.outcomes import expectation, found
from reports.words.script import script


def show_cell(run_folder: Path, cell_id: str, trial: int | None = None) -> str:
    """Describe a cell and one of its trials, by default the worst; everything but the commands is a shell comment."""
    cell, chosen = _read(run_folder, cell_id, trial)
    lines = [*_overview(cell), *(script(chosen) if chosen else ())]
    return "\n".join(lines) + "\n"


def chosen_trial(run_folder: Path, cell_id: str, trial: int | None = None) -> tuple[Plan, CellSummary, Record]:
    """Read a run's plan, a cell of it, and one of its trials in full, by default the worst."""
    cell, chosen = _read(run_folder, cell_id, trial)
    if chosen is None:
        raise UsageError(f"{cell_id} has no trial in {run_folder}", remedy="Run it first.")
    return shards.find(run_folder).plan, cell, chosen


def _read(run_folder: Path, cell_id: str, trial: int | None) -> tuple[CellSummary, Record | None]:
    def choose(cell: CellSummary) -> Record | None:
        return worst_trial(cell) if trial is None else _numbered(cell, trial)

    cell = read_cell(run_folder, cell_id, lambda cell: filter(None, (choose(cell),)))
    return cell, choose(cell)


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
        for difference in each.sameness.differences if each.sameness else ():
            cause = f" (workaround {difference.workaround})" if difference.workaround else ""
            yield f"#   differs: {one_line(str(difference))}{cause}"


def _skew(record: Record) -> str:
    return skew(largest_ticks(record), largest_us(record))
