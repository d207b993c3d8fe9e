"""Records as HTML without any network access. The only script filters and copies, and the pages work without it."""

from __future__ import annotations

import functools
import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.model.outcomes import Outcome
from harness.model.readings import Skew, Witness
from harness.records.image_path import ImagePath
from harness.records.record import Record
from reports.analysis import crashes, images, known
from reports.analysis.cells import CellSummary, telling_trials
from reports.analysis.restores import restored
from reports.analysis.sameness import demanded_of
from reports.analysis.tables import RunSummary
from reports.pages import timeline
from reports.paths import TOOLS, badge_of, component_feed, document_of, feed_of, page_of, participant_page
from reports.text import clean, counted, unbroken
from reports.words import causes, cells, commands, findings, numbers, outcomes, proof, tables
from reports.words.cells import mark
from reports.words.numbers import duration

MOST_STEPS = 120
"""Commands shown for one trial. A longer trial shows only the runtime's commands and the failed ones."""

MOST_TRIALS = 20
"""Rows of a cell's table of trials."""

MOST_CLOSE = 1_500
"""Trials of a site with timeline and commands; cells that are not as expected come first."""

LONG_FILE = 12
"""Lines of a written file. A longer file is folded, or left out if the cell is clean."""


WORDS = SimpleNamespace(
    causes=causes, cells=cells, findings=findings, numbers=numbers, outcomes=outcomes, tables=tables
)
"""Modules with the words of the templates."""

SCRIPT = (Path(__file__).parent / "templates" / "site.js").read_text(encoding="utf-8")


@functools.cache
def environment() -> Environment:
    """Return the template environment, with the functions that templates use."""
    made = Environment(
        loader=PackageLoader("reports.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    made.filters.update(page=page_of, participant_page=participant_page, date=_date, duration=duration)
    made.filters.update(pieces=pieces, unbroken=_unbroken, badge=badge_of, document=document_of, feed=feed_of)
    made.filters.update(component_feed=component_feed)
    made.globals.update(
        commands=commands,
        counted=counted,
        script_hash=b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
        script=Markup(SCRIPT),  # noqa: S704 - our own file
        images=images,
        known=known,
        crashes=crashes,
        demanded_of=demanded_of,
        restored=restored,
        long_file=LONG_FILE,
        words=WORDS,
        proof=proof,
        listed_trials=listed_trials,
        skew_at=skew_at,
        skew_columns=skew_columns,
        standing=standing,
        steps=steps,
        timeline=timeline,
        tools=TOOLS,
    )
    return made


def render_images(paths: Sequence[ImagePath]) -> str:
    """Write checkpoint images as a single page."""
    return environment().get_template("images-page.html.j2").render(paths=paths)


def pieces(label: str) -> list[list[str]]:
    """Split a row's label where it may be folded: into words, and each word before `@`."""
    return [re.split(r"(?<=.)(?=@)", word) for word in label.split()]


def skew_columns(cell: CellSummary) -> dict[str, tuple[Witness, ...]]:
    """List the surfaces of a cell in writing order, with the witnesses that compared each."""
    columns: dict[str, dict[Witness, None]] = {}
    for trial in cell.trials:
        for skew in trial.skews:
            columns.setdefault(skew.surface, {})[skew.witness] = None
    return {surface: tuple(witnesses) for surface, witnesses in columns.items()}


def skew_at(trial: Record, surface: str, witness: Witness) -> Skew | None:
    """Return the skew of one surface by one witness."""
    return next((skew for skew in trial.skews if (skew.surface, skew.witness) == (surface, witness)), None)


def listed_trials(cell: CellSummary) -> tuple[Record, ...]:
    """Choose the listed trials; of very many the most important ones, those that are not clean, and the first ones."""
    telling = {trial.trial for trial in telling_trials(cell)}
    clean = (Outcome.CONSISTENT, cell.expectation.outcome)
    first = sorted(cell.trials, key=lambda each: (each.trial not in telling, each.verdict.outcome in clean))
    return tuple(sorted(first[:MOST_TRIALS], key=lambda each: each.trial))


def detailed_trials(run: RunSummary) -> dict[str, tuple[Record, ...]]:
    """Choose, by cell id, the trials with timeline and commands, up to the limit of the site."""
    looks, left = {}, MOST_CLOSE
    for cell in sorted(run.cells, key=lambda each: each.as_expected):
        looks[cell.cell.id] = telling_trials(cell)[:left]
        left -= len(looks[cell.cell.id])
    return looks


def standing(cell: CellSummary) -> str:
    """Return the CSS class of an entry: `off` if not as expected, `known`, `meant` if expected, or none."""
    return {"": "", "known": " known", "expected": " meant"}.get(mark(cell), " off")


def steps(trial: Record) -> tuple[commands.Step, ...]:
    """Choose the trial's commands; of very many only the runtime's and the failed ones."""
    every = commands.steps(trial.commands)
    if len(every) <= MOST_STEPS:
        return every
    return tuple(step for step in every if step.command.runtime or commands.failed(step.command))[-MOST_STEPS:]


def _unbroken(text: str) -> Markup:
    return Markup(unbroken(str(escape(clean(text)))))  # noqa: S704 - escaped


def _printable(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _date(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
