"""A run's folder to its report: a site, `report.md`, `summary.json`, and the forms that other tools read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.model.errors import NotComparable
from harness.records.image_path import ImagePath
from harness.records.run_files import write_aside
from reports.analysis.compare import Comparison, compare
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.formats.write import write_formats
from reports.pages import html
from reports.pages.site import write_site
from reports.runs import history
from reports.runs.read import read_share, read_stored
from reports.runs.shards import gather
from reports.runs.summary import summary_json

PAST = 30
"""Newest runs of a history of which a site tells."""

SITE = "report"
"""Folder of a run for its site."""

MARKDOWN = "report.md"
"""The page beside the site that shows well in a step's summary, and in issues."""


def write_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of the newest of the runs, with the others as its past, by default into a folder in its own.

    Gives the path of the overview. `RecordError` where there is no run.
    """
    return report(runs, out)[0]


def report(runs: Sequence[Path], out: Path | None = None) -> tuple[Path, RunSummary]:
    """Write the report as `write_report` does; gives the run, too."""
    folders = [
        folder for each in runs for folder in (history.newest(each, PAST) if history.is_history(each) else [each])
    ]
    *past, newest = sorted(gather(folders), key=lambda each: (each.plan.created_ns, each.plan.run))
    before = tuple(read_stored(each) for each in past)
    run = read_stored(newest)
    return write_summary(run, out or newest.folder / SITE, before=before), run


def write_share(run_folder: Path) -> Path:
    """Write the report of what this machine has executed, into the folder of it."""
    return write_summary(read_share(run_folder), run_folder / SITE)


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
    return write_site(run, folder, before=before, comparison=_compared(before, run))


def _compared(before: Sequence[RunSummary], run: RunSummary) -> Comparison | None:
    """Hold a run against the newest before that asked the same, or else the newest that can be compared at all."""
    asked = run.by_id.keys()
    for each in sorted(before, key=lambda one: (one.by_id.keys() == asked, one.plan.created_ns), reverse=True):
        with contextlib.suppress(NotComparable):
            return compare(each, run)
    return None


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
