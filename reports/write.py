"""A run's folder to its report: `index.html`, `report.md`, `summary.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.image_path import ImagePath
from harness.records import write_aside
from reports import html, markdown
from reports.phrases import entry
from reports.read import read_run
from reports.tables import RunSummary


def write_report(run_folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run into `out`, by default its own folder; return the path of the HTML page."""
    return write_summary(read_run(run_folder), out or run_folder)


def write_summary(run: RunSummary, folder: Path) -> Path:
    """Write the report of a run that was read already."""
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / "summary.json", summary_json(run))
    write_aside(folder / "report.md", markdown.render(run))
    return write_aside(folder / "index.html", html.render(run))


def write_images(paths: Sequence[ImagePath], folder: Path) -> Path:
    """Write a report of checkpoint images that belong to no run; return the path of the HTML page."""
    write_aside(folder / "report.md", markdown.render_images(paths))
    return write_aside(folder / "index.html", html.render_images(paths))


def summary_json(run: RunSummary) -> str:
    """Write the run for programs: all but the trials, each cell and control with its id and verdict."""
    summary = run.model_dump(mode="json", exclude={"plan": {"cells"}, "images": {"__all__": {"commands"}}})
    summary["conclusion"]["sentence"] = run.conclusion.sentence
    for raw, cell in zip(summary["cells"], run.cells, strict=True):
        raw.update(id=cell.cell.id, entry=entry(cell), as_expected=cell.as_expected)
    for raw, control in zip(summary["controls"], run.controls, strict=True):
        raw.update(control=control.control.id, kind=control.control.kind, cell=control.control.cell.id)
    return json.dumps(summary, indent=1, sort_keys=True) + "\n"
