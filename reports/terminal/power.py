"""Detection rates as a table: what each method found behind each window."""

from __future__ import annotations

from pydantic import Field
from rich.table import Table

from harness.model.values import Frozen
from reports.analysis.statistics import rate_interval
from reports.words.numbers import duration


class Figure(Frozen):
    """What one method found behind one window."""

    method: str = Field(description="`rings` is this instrument, `single file` the upstream test")
    window: str
    trials: int
    detected: int
    realised_us: float | None = Field(default=None, description="median, up to when the kernel says frozen")
    realised_ticks: float | None = Field(default=None, description="median, of a container that ticks all the time")
    seconds: float = Field(description="median of a verdict, from start or checkpoint to answer")


class Figures(Frozen):
    """All that was measured."""

    stack: str
    seed: int
    figures: tuple[Figure, ...]


def table(figures: Figures) -> Table:
    """A row for each window and method; intervals are exact, 95 %."""
    title = f"how often a disk from the future is noticed, {figures.stack}"
    grid = Table(title=title, title_justify="left")
    for heading in ("window", "method", "realised", "ticks", "detected", "rate, 95 %", "a verdict"):
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
