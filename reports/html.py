"""The run as one HTML page that needs neither network nor script."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.model import Cell, Skew, Witness
from harness.records import Record
from reports import commands, phrases, tables, timeline
from reports.tables import CellSummary, RunSummary

MOST_STEPS = 120
"""Commands shown of one trial; of a longer one only those of the runtime and those that failed."""


def render(run: RunSummary) -> str:
    """Lay the run out as a page that stands alone."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    environment.filters.update(anchor=anchor, date=_date, duration=phrases.duration)
    return environment.get_template("run.html.j2").render(
        run=run,
        outcomes=sorted({outcome for cell in run.cells for outcome in cell.counts}, key=lambda each: each.severity),
        by_id={cell.cell.id: cell for cell in run.cells},
        commands=commands,
        phrases=phrases,
        skew_at=skew_at,
        skew_columns=skew_columns,
        source_notes=source_notes,
        steps=steps,
        telling_trials=tables.telling_trials,
        timeline=timeline,
    )


def anchor(cell: Cell) -> str:
    """Name the cell's place on the page, stable from run to run: the id without what a link cannot hold."""
    return "cell-" + re.sub(r"[^\w.@~+-]", "-", cell.slug, flags=re.ASCII)


def skew_columns(cell: CellSummary) -> dict[str, tuple[Witness, ...]]:
    """List the surfaces of a cell in writing order, with the witnesses that compared each."""
    columns: dict[str, dict[Witness, None]] = {}
    for trial in cell.trials:
        for skew in trial.skews:
            columns.setdefault(skew.surface, {})[skew.witness] = None
    return {surface: tuple(witnesses) for surface, witnesses in columns.items()}


def skew_at(trial: Record, surface: str, witness: Witness) -> Skew | None:
    """Find what one witness said of one surface."""
    return next((skew for skew in trial.skews if (skew.surface, skew.witness) == (surface, witness)), None)


def source_notes(trial: Record) -> tuple[str, ...]:
    """Tell what is wrong with the source after its live checkpoint; empty when all is well or unobserved."""
    source = trial.source
    wrong = {
        "stopped ticking": source.ticking is False,
        "left frozen": bool(source.frozen),
        "other nonce": source.same_nonce is False,
        f"lost {source.lost_ticks} ticks": bool(source.lost_ticks),
    }
    return tuple(note for note, true in wrong.items() if true)


def steps(trial: Record) -> tuple[commands.Step, ...]:
    """Choose the trial's commands; of very many the ones that tell something."""
    every = commands.steps(trial.commands)
    if len(every) <= MOST_STEPS:
        return every
    return tuple(step for step in every if step.command.runtime or commands.failed(step.command))[-MOST_STEPS:]


def _printable(value: object) -> object:
    return phrases.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _date(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
