"""Writes all formats of a run into the folder of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from harness.records.documents import writable
from harness.records.run_files import make_folder, write_aside
from reports.analysis.tables import RunSummary
from reports.formats import allure, badges, ctrf, feeds, index, junit
from reports.formats.results import results
from reports.paths import ALLURE, CTRF, JUNIT


def render(run: RunSummary, *, before: Sequence[RunSummary] = (), now: datetime) -> Iterator[tuple[str, str]]:
    """Yield all files with their paths; `before`: older runs, oldest first."""
    found = results(run)
    yield JUNIT, junit.render(run, found)
    yield CTRF, ctrf.render(run, found)
    yield from ((f"{ALLURE}/{name}", text) for name, text in allure.render(run, found))
    yield from badges.render(run, now, before=before)
    yield from index.render(run, before)
    yield from feeds.render(run, before)


def write_formats(run: RunSummary, folder: Path, *, before: Sequence[RunSummary] = (), now: datetime) -> None:
    """Write all files below `folder`; remove older files for Allure, because Allure would count them, too."""
    made: dict[Path, set[str]] = {}
    for place, text in render(run, before=before, now=now):
        path = folder / place
        if path.parent not in made:
            make_folder(path.parent)
        made.setdefault(path.parent, set()).add(path.name)
        write_aside(path, text)
    with writable(folder / ALLURE):
        allure.sweep(folder / ALLURE, made[folder / ALLURE])
