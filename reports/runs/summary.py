"""A run as JSON for programs: all data of its tables."""

from __future__ import annotations

import json

from reports.analysis.tables import RunSummary
from reports.words.cells import entry


def summary_json(run: RunSummary) -> str:
    """Write the run for programs: everything but the trials, with id and verdict of each cell and control."""
    summary = run.model_dump(mode="json", exclude={"plan": {"cells"}, "images": {"__all__": {"commands"}}})
    summary["conclusion"]["sentence"] = run.conclusion.sentence
    for raw, cell in zip(summary["cells"], run.cells, strict=True):
        raw.update(id=cell.cell.id, entry=entry(cell), as_expected=cell.as_expected)
    for raw, control in zip(summary["controls"], run.controls, strict=True):
        raw.update(control=control.control.id, kind=control.control.kind, cell=control.control.cell.id)
    return json.dumps(summary, indent=1, sort_keys=True) + "\n"
