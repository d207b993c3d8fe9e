"""What is declared of cells, held against what they came to: a declaration has a life, and its end is as loud. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import Field

from harness.model.expectations import Expectation
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.image_path import ImagePath
from reports.analysis.cells import CLEAN, NO_EVIDENCE, CellSummary


class State(StrEnum):
    """Where a declaration stands in one cell."""

    MATCHED = "matched"
    PASSES_NOW = "passes now"
    FAILS_DIFFERENTLY = "fails differently"
    EXPIRED = "expired"
    NOT_SEEN = "no evidence"


class KnownIssue(Frozen):
    """What is declared of cells with a link, and where it stands in each."""

    expectation: Expectation
    states: dict[str, State] = Field(description="by the ids of its cells, and of ways of checkpoint images")
    covers: int = Field(default=0, description="cells of which it speaks, as far as they are there by default")

    @property
    def cells(self) -> tuple[str, ...]:
        """All of them, by id."""
        return tuple(self.states)

    @property
    def as_expected(self) -> int:
        """In how many of them it is as declared."""
        return len(self.of(State.MATCHED))

    @property
    def unlike(self) -> bool:
        """Whether anything has to be done about it."""
        return any(self.of(state) for state in DEMANDS)

    def of(self, state: State) -> tuple[str, ...]:
        """Cells in which it stands so, by id."""
        return tuple(cell for cell, each in self.states.items() if each is state)


def state(expectation: Expectation, outcome: Outcome, *, as_expected: bool) -> State:
    """Tell where a declaration stands in a cell that came to `outcome`."""
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
    """Bring together the cells of each declaration, in the order of the cells; `covered`: of how many it speaks."""
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


def place(expectation: Expectation) -> str:
    """Say where it is declared: `lines 3 to 17 of scenarios/expectations/podman.toml`."""
    file, _, lines = expectation.declared.rpartition(":")
    first, _, last = lines.partition("-")
    return f"lines {first} to {last} of {file}" if file and last else "its declaration"


def advice(issue: KnownIssue) -> tuple[str, ...]:
    """Say what to do about a declaration that is not as it was, a sentence for each state; nothing where all is so."""
    return tuple(_advised(issue, each) for each in DEMANDS if issue.of(each))


DEMANDS: Mapping[State, str] = {
    State.PASSES_NOW: "delete {place}",
    State.FAILS_DIFFERENTLY: "look again, and correct {place}",
    State.EXPIRED: "it was to be reviewed by {review}: look again, and move `review-by` in {place} or delete them",
}
"""What each state asks for."""


def demand(state: State, expectation: Expectation) -> str:
    """Say what a state asks for, of one cell of which nothing is known but its own; empty where that is nothing."""
    told = _demanded(state, expectation)
    return f"{told}, unless others of its cells still fail" if state is State.PASSES_NOW else told


def _demanded(state: State, expectation: Expectation) -> str:
    told = DEMANDS.get(state, "").format(place=place(expectation), review=expectation.review)
    return f"{state}: {told}" if told else ""


def _advised(issue: KnownIssue, state: State) -> str:
    cells, expectation = issue.of(state), issue.expectation
    if state is State.PASSES_NOW and cells != issue.cells:
        return f"{state} in {', '.join(cells)}: narrow `match` in {place(expectation)}, so that it leaves them out"
    if state is State.PASSES_NOW and len(cells) < issue.covers:
        lines = place(expectation)
        told = f"{state} in all of its cells that are here, {len(cells)} of {issue.covers}"
        return f"{told}: narrow `match` in {lines} to the others, or delete them once those pass, too"
    where = f" in {', '.join(cells)}" if cells != issue.cells else ""
    return _demanded(state, expectation).replace(state, f"{state}{where}", 1)
