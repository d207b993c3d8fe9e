"""A run's folder to its summary: the one way in for every report."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.image_path import ImagePath
from harness.records import Record, read_at, read_briefly, read_closing, read_images, read_plan
from reports import images
from reports.cells import CellSummary, Exit, prevailing, telling_trials
from reports.known import known_issues
from reports.tables import Conclusion, Finding, RunSummary, summarise


def read_run(run_folder: Path, closely: Callable[[CellSummary], Iterable[Record]] = telling_trials) -> RunSummary:
    """Read plan, records and last word, and sum them up; `RecordError` where there is no run.

    Of each cell the trials that `closely` chooses are whole; the others are without what only a close look needs, so
    that memory and time go with the number of cells more than with that of trials.
    """
    plan, records, places = read_plan(run_folder), [], {}
    with _no_collector():
        for place, record in read_briefly(run_folder):
            records.append(record)
            places[id(record)] = place

    def close_up(cell: CellSummary) -> CellSummary:
        chosen = {id(trial) for trial in closely(cell)}
        trials = tuple(read_at(places[id(trial)]) if id(trial) in chosen else trial for trial in cell.trials)
        return cell.model_copy(update={"trials": trials})

    run = summarise(plan, records, read_closing(run_folder))
    run = run.model_copy(update={"cells": tuple(map(close_up, run.cells))})
    return with_images(run, read_images(run_folder))


def with_images(run: RunSummary, paths: tuple[ImagePath, ...]) -> RunSummary:
    """Add checkpoint images to a run; those that are other than expected count as its cells do."""
    code = images.exit_code(paths) if paths else Exit.EXPECTED
    conclusion = run.conclusion
    if code is not Exit.EXPECTED:
        every = () if conclusion.exit_code is Exit.EXPECTED else conclusion.findings
        conclusion = Conclusion(
            exit_code=prevailing((conclusion.exit_code, code)), findings=(*every, Finding(what=images.verdict(paths)))
        )
    issues = known_issues(run.cells, paths, covered=run.plan.covered)
    return run.model_copy(update={"images": paths, "conclusion": conclusion, "known_issues": issues})


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Let the collector of cycles rest: values have none, and it would look at all of them again and again."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
