"""Known crashes: how often each struck the trials of its component, in cells and in controls. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydantic import Field

from harness.model.expectations import place
from harness.model.known.crashes import Crash
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.statistics import rate_interval

Struck = Callable[[Record], Crash | None]
"""The known crash that struck a trial; None if none did."""


def unstruck(_: Record) -> None:
    """No known crash struck the trial."""


class KnownCrash(Frozen):
    """A known crash, and how often it struck in a run."""

    crash: Crash
    shown: int = Field(description="trials that it struck")
    trials: int = Field(description="trials of the component's versions, with those of controls")
    cells: tuple[str, ...] = Field(description="ids of the cells that it struck")

    @property
    def too_often(self) -> bool:
        """Whether the trials prove a higher rate than the declared one."""
        return too_often(self.shown, self.trials, self.crash)

    @property
    def too_seldom(self) -> bool:
        """Whether the trials prove a lower rate than the declared one."""
        return bool(self.trials) and rate_interval(self.shown, self.trials)[1] < self.crash.rate[0]

    @property
    def unlike(self) -> bool:
        """Whether somebody has to act on its entry."""
        return self.too_often or self.too_seldom or self.crash.overdue


def too_often(shown: int, trials: int, crash: Crash) -> bool:
    """Return whether `shown` of `trials` proves a higher rate than the declared one."""
    return bool(shown) and rate_interval(shown, trials)[0] > crash.rate[1]


def known_crashes(plan: Plan, records: Sequence[Record]) -> Iterator[KnownCrash]:
    """Yield the known crashes of the components that had a part in the run."""
    for crash in plan.crashes:
        concerned = [record for record in records if crash.concerns(record.every_component)]
        struck = [record for record in concerned if plan.crash_of(record) == crash]
        cells = dict.fromkeys(record.cell.id for record in struck)
        if concerned:
            yield KnownCrash(crash=crash, shown=len(struck), trials=len(concerned), cells=tuple(cells))


def percent(rate: tuple[float, float]) -> str:
    """Write a declared rate: `0-10 %`."""
    low, high = rate
    return f"{100 * low:g}-{100 * high:g} %"


def demanded(each: KnownCrash) -> str:
    """Say what to do about its entry; empty if there is nothing to do."""
    at = place(each.crash.declared)
    if each.crash.overdue:
        return f"review was due by {each.crash.review_by}; check it again, then move `review-by` in {at}"
    if each.too_often or each.too_seldom:
        return f"the declared rate is {percent(each.crash.rate)}; look for another cause, or correct {at}"
    return ""
