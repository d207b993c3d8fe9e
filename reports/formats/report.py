"""The report of a run's folder: a site, `report.md`, `summary.json`, and files for other tools."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.foreign import files
from harness.model.errors import NotComparable, RecordError
from harness.records.image_path import ImagePath
from harness.records.run_files import make_folder, write_aside
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
from reports.text import counted

PAST = 30
"""Newest runs of a history that a site covers."""

MOST_SQUARES = 2_000_000
"""Maximum of rows times columns. All cells that there are take a third of it."""

SITE = "report"
"""Name of the site's folder in a run's folder."""

MARKDOWN = "report.md"
"""The page beside the site for a step's summary and for issues."""


def write_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of the newest run, with the other runs as its past; by default into the run's own folder.

    Returns the path of the overview. `RecordError` if there is no run.
    """
    return report(runs, out)[0]


def report(runs: Sequence[Path], out: Path | None = None) -> tuple[Path, RunSummary]:
    """Write the report as `write_report` does; return the run, too."""
    if out:
        history.check_apart(out)
    folders = [
        folder for each in runs for folder in (history.newest(each, PAST) if history.is_history(each) else [each])
    ]
    if not folders:
        raise RecordError(f"{runs[0]} holds no run", remedy="Add one with `stillframe history add`.")
    *past, newest = sorted(gather(folders), key=lambda each: (each.plan.created_ns, each.plan.run))
    before = tuple(read_stored(each) for each in past)
    run = read_stored(newest)
    _check_size(run)
    return write_summary(run, out or _site_in(newest.folder), before=before), run


def _check_size(run: RunSummary) -> None:
    """Raise `RecordError` for a run whose tables would be too large: each cell may bring a row and a column."""
    rows = {each.label for each in run.cells}
    columns = {(one.scenario, one.workload, one.policy, one.restore, one.way) for one in (c.cell for c in run.cells)}
    if len(rows) * len(columns) > MOST_SQUARES:
        size = f"{counted(len(rows), 'row')} and {counted(len(columns), 'column')}"
        what = f"run {run.plan.run} has {size}, more than a report can show"
        raise RecordError(what, remedy="`stillframe show` shows a cell of it.")


def _site_in(run_folder: Path) -> Path:
    """Return the folder of the site in a run's folder; `RecordError` if it leads elsewhere."""
    site = run_folder / SITE
    if link := files.link_in(site):
        raise RecordError(
            f"{link} is a link, so the report would be written elsewhere", remedy="Name a folder with --out."
        )
    return site


def write_share(run_folder: Path) -> Path:
    """Write the report of this machine's share of a run, into the folder of the share."""
    return write_summary(read_share(run_folder), _site_in(run_folder))


def write_summary(
    run: RunSummary, folder: Path, *, before: Sequence[RunSummary] = (), now: datetime | None = None
) -> Path:
    """Write the report of a run, compared with the newest comparable run in `before`.

    `now`, by default the time of writing, decides whether badges say `stale`.
    """
    make_folder(folder)
    write_aside(folder / "summary.json", summary_json(run))
    write_aside(folder / MARKDOWN, markdown.render(run))
    write_formats(run, folder, before=before, now=now or datetime.now(UTC))
    return write_site(run, folder, before=before, comparison=_compared(before, run))


def _compared(before: Sequence[RunSummary], run: RunSummary) -> Comparison | None:
    """Compare a run with the newest earlier run of the same cells, or else with the newest comparable one."""
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
    """Append Markdown to the step summary of a hosted CI, up to its size limit.

    A summary that cannot be written fails no run.
    """
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with contextlib.suppress(OSError), os.fdopen(_to_append(place), "a", encoding="utf-8") as file:
            file.write(markdown.fitting(text, markdown.MOST_BYTES - file.tell()))


def _to_append(place: str) -> int:
    """Open a file to append to it, without waiting for a reader where it is a pipe."""
    return os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
