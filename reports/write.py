"""A run's folder to its report: a site, `report.md`, `summary.json`, and the forms that other tools read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import NotComparable
from harness.image_path import ImagePath
from harness.records import write_aside
from reports import html, markdown
from reports.compare import compare
from reports.formats.write import write_formats
from reports.phrases import entry
from reports.read import read_run
from reports.site import write_site
from reports.tables import RunSummary

SITE = "report"
"""Folder of a run for its site."""

MARKDOWN = "report.md"
"""The page beside the site that shows well in a step's summary, and in issues."""


def write_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of the newest of the runs, with the others as its past, by default into a folder in its own.

    Gives the path of the overview. `RecordError` where there is no run.
    """
    found = sorted(((read_run(folder), folder) for folder in runs), key=lambda each: each[0].plan.created_ns)
    run, folder = found[-1]
    return write_summary(run, out or folder / SITE, before=tuple(each for each, _ in found[:-1]))


def write_summary(
    run: RunSummary, folder: Path, *, before: Sequence[RunSummary] = (), now: datetime | None = None
) -> Path:
    """Write the report of a run that was read already; it is held against the newest before, where that says much.

    By `now`, at first the moment of writing, badges tell whether the run is stale.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / "summary.json", summary_json(run))
    write_aside(folder / MARKDOWN, markdown.render(run))
    write_formats(run, folder, before=before, now=now or datetime.now(UTC))
    comparison = None
    for each in before[-1:]:
        with contextlib.suppress(NotComparable):
            comparison = compare(each, run)
    return write_site(run, folder, before=before, comparison=comparison)


def write_images(paths: Sequence[ImagePath], folder: Path) -> Path:
    """Write a report of checkpoint images that belong to no run; return the path of the HTML page."""
    write_aside(folder / MARKDOWN, markdown.render_images(paths))
    return write_aside(folder / "index.html", html.render_images(paths))


def add_to_step_summary(text: str) -> None:
    """Show Markdown where a hosted CI shows what a step came to, after what is there and as far as it may be long.

    No run fails over a place that cannot be written.
    """
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with contextlib.suppress(OSError), Path(place).open("a", encoding="utf-8") as file:
            file.write(markdown.fitting(text, markdown.MOST_BYTES - file.tell()))


def summary_json(run: RunSummary) -> str:
    """Write the run for programs: all but the trials, each cell and control with its id and verdict."""
    summary = run.model_dump(mode="json", exclude={"plan": {"cells"}, "images": {"__all__": {"commands"}}})
    summary["conclusion"]["sentence"] = run.conclusion.sentence
    for raw, cell in zip(summary["cells"], run.cells, strict=True):
        raw.update(id=cell.cell.id, entry=entry(cell), as_expected=cell.as_expected)
    for raw, control in zip(summary["controls"], run.controls, strict=True):
        raw.update(control=control.control.id, kind=control.control.kind, cell=control.control.cell.id)
    return json.dumps(summary, indent=1, sort_keys=True) + "\n"
