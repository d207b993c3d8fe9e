"""A run's folder to its summary: the one way in for every report."""

from __future__ import annotations

from pathlib import Path

from harness.records import read_closing, read_plan, read_records
from reports.tables import RunSummary, summarise


def read_run(run_folder: Path) -> RunSummary:
    """Read plan, records and last word, and sum them up; `RecordError` where there is no run."""
    return summarise(read_plan(run_folder), list(read_records(run_folder)), read_closing(run_folder))
