"""Detection rates as a table, for each method and window."""

from __future__ import annotations

from pydantic import Field
from rich.table import Table

from harness.model.values import Frozen
from reports.analysis.statistics import rate_interval
from reports.words.numbers import duration


class Figure(Frozen):
    """The detections of one method for one window."""

    method: str = Field(description="`rings`: this instrument; `single file`: the upstream test")
    window: str
    trials: int
    detected: int
    realised_us: float | None = Field(default=None, description="median, until the kernel reports the freeze")
    realised_ticks: float | None = Field(default=None, description="median, for a container that ticks all the time")
    seconds: float = Field(description="median time of a verdict, from the start or the checkpoint to the answer")


class Figures(Frozen):
    """All measurements."""

    stack: str
    seed: int
    figures: tuple[Figure, ...]


def table(figures: Figures) -> Table:
    """Return a row for each window and method; intervals are exact, 95 %."""
    title = f"how often a disk that is ahead of memory is noticed, {figures.stack}"
    grid = Table(title=title, title_justify="left")
    for heading in ("window", "method", "realised", "ticks", "detected", "rate, 95 %", "time of a verdict"):
        grid.add_column(heading)
    for each in figures.figures:
        low, high = rate_interval(each.detected, each.trials)
        grid.add_row(
            each.window,
            each.method,
            duration(each.realised_us) if each.realised_us is not None else "",
            f"{each.realised_ticks:g}" if each.realised_ticks is not None else "",
            f"{each.detected} of {each.trials}",
            f"{100 * each.detected / each.trials:.0f} % ({100 * low:.0f}-{100 * high:.0f} %)",
            duration(each.seconds * 1e6),
        )
    return grid
