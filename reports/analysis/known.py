"""Known issues, compared with the results of their cells. A known issue that passes or expires is red, too. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import Field

from harness.model.expectations import Expectation, place
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.image_path import ImagePath
from reports.analysis.cells import CLEAN, NO_EVIDENCE, CellSummary


class State(StrEnum):
    """State of a known issue in one cell."""

    MATCHED = "matched"
    PASSES_NOW = "passes now"
    FAILS_DIFFERENTLY = "fails differently"
    EXPIRED = "expired"
    NOT_SEEN = "no evidence"


class KnownIssue(Frozen):
    """A known issue, with a link, and its state in each cell."""

    expectation: Expectation
    states: dict[str, State] = Field(description="states by the ids of cells and of checkpoint images")
    covers: int = Field(default=0, description="number of cells that it matches in the default matrix")

    @property
    def cells(self) -> tuple[str, ...]:
        """Ids of all its cells."""
        return tuple(self.states)

    @property
    def as_expected(self) -> int:
        """Number of cells in which it shows as declared."""
        return len(self.of(State.MATCHED))

    @property
    def unlike(self) -> bool:
        """Whether somebody has to act on its entry."""
        return any(self.of(state) for state in DEMANDS)

    def of(self, state: State) -> tuple[str, ...]:
        """Return the ids of the cells in this state."""
        return tuple(cell for cell, each in self.states.items() if each is state)


def state(expectation: Expectation, outcome: Outcome, *, as_expected: bool) -> State:
    """Return the state of a known issue in a cell with this outcome."""
    if expectation.overdue:
        return State.EXPIRED
    if as_expected:
        return State.MATCHED
    if outcome in NO_EVIDENCE:
        return State.NOT_SEEN
    return State.PASSES_NOW if outcome in CLEAN else State.FAILS_DIFFERENTLY


def known_issues(
    cells: Iterable[CellSummary], images: Iterable[ImagePath] = (), *, covered: Mapping[str, int]
) -> tuple[KnownIssue, ...]:
    """Group cells by known issue, in the order of the cells; `covered`: number of cells by the place of an entry."""
    found: dict[Expectation, dict[str, State]] = {}
    told: list[tuple[str, CellSummary | ImagePath]] = [(each.cell.id, each) for each in cells]
    told += [(each.id, each) for each in images]
    for name, each in told:
        if each.expectation.link:
            where = state(each.expectation, each.outcome, as_expected=each.as_expected)
            found.setdefault(each.expectation, {})[name] = where
    return tuple(
        KnownIssue(expectation=each, states=states, covers=covered.get(each.declared, 0))
        for each, states in found.items()
    )


def advice(issue: KnownIssue) -> tuple[str, ...]:
    """Say what to do about a known issue, one sentence for each state; nothing if it shows as declared."""
    return tuple(_advised(issue, each) for each in DEMANDS if issue.of(each))


DEMANDS: Mapping[State, str] = {
    State.PASSES_NOW: "delete {place}",
    State.FAILS_DIFFERENTLY: "check the failure again, and correct {place}",
    State.EXPIRED: "review was due by {review}: check it again, then move `review-by` in {place}, or delete the entry",
}
"""What to do in each state."""


def demand(state: State, expectation: Expectation) -> str:
    """Say what to do in a state, from one cell alone; empty if there is nothing to do."""
    told = _demanded(state, expectation)
    return f"{told}, unless it still fails in other cells" if state is State.PASSES_NOW else told


def _demanded(state: State, expectation: Expectation) -> str:
    where = place(expectation.declared)
    told = DEMANDS.get(state, "").format(place=where, review=expectation.review)
    return f"{state}: {told}" if told else ""


def _advised(issue: KnownIssue, state: State) -> str:
    cells, expectation = issue.of(state), issue.expectation
    lines = place(expectation.declared)
    if state is State.PASSES_NOW and cells != issue.cells:
        which = "this cell" if len(cells) == 1 else "these cells"
        return f"{state} in {', '.join(cells)}: narrow `match` in {lines} so that it excludes {which}"
    if state is State.PASSES_NOW and len(cells) < issue.covers:
        told = f"{state} in all cells of this run ({len(cells)} of {issue.covers})"
        return f"{told}: narrow `match` in {lines} to the other cells, or delete the entry once they pass, too"
    where = f" in {', '.join(cells)}" if cells != issue.cells else ""
    return _demanded(state, expectation).replace(state, f"{state}{where}", 1)
