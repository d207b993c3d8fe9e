"""A run's folder to its report: `index.html`, `report.md`, `summary.json`."""

from __future__ import annotations

import json
from pathlib import Path

from harness.records import read_closing, read_plan, read_records
from reports import html, markdown
from reports.phrases import entry
from reports.tables import RunSummary, summarise


def write_report(run_folder: Path, out: Path | None = None) -> Path:
    """Write the report into `out`, by default the run's own folder; return the path of the HTML page."""
    run = summarise(read_plan(run_folder), list(read_records(run_folder)), read_closing(run_folder))
    folder = out or run_folder
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / "summary.json", summary_json(run))
    _put(folder / "report.md", markdown.render(run))
    return _put(folder / "index.html", html.render(run))


def summary_json(run: RunSummary) -> str:
    """Write the run for programs: all but the trials, each cell and control with its id and verdict."""
    summary = run.model_dump(mode="json", exclude={"plan": {"cells"}})
    summary["conclusion"]["sentence"] = run.conclusion.sentence
    for raw, cell in zip(summary["cells"], run.cells, strict=True):
        raw.update(id=cell.cell.id, entry=entry(cell), as_expected=cell.as_expected)
    for raw, control in zip(summary["controls"], run.controls, strict=True):
        raw.update(cell=control.cell.id, detected=control.detected)
    return json.dumps(summary, indent=1, sort_keys=True) + "\n"


def _put(path: Path, text: str) -> Path:
    """Write aside and rename, so that a reader never sees half a file."""
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text, encoding="utf-8")
    return aside.rename(path)
