"""Variants against the unmodified stack, in one run: which cells are worse, better, the same. Pure.

Both sides of a cell are tried with the same seeds and planned moments, so trials with the same number are a pair. A
cell is worse if McNemar's exact test over its pairs says so; or, where the unmodified stack shows the same in every
trial and nothing intermittent is declared, if at least `FEWEST` pairs are worse and none is better. One such pair may
be a rare fault of either side, so nobody can tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from pydantic import Field

from harness.model.cells import Cell
from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.analysis.conditions import Conditions, Difference, differences
from reports.analysis.crashes import Struck
from reports.analysis.sides import Side, side_of
from reports.analysis.statistics import LEVEL, paired_p

FEWEST = 2
"""Pairs that have to differ in the same way."""
NOTHING_SAID = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING, Outcome.VACUOUS})
"""Outcomes of a trial that no other one can be compared with."""


class Effect(StrEnum):
    """How a variant is in a cell, compared with the unmodified stack; what has to be looked at comes first."""

    WORSE = "worse"
    CANNOT_TELL = "cannot tell"
    BETTER = "better"
    SAME = "same"


EXIT = {Effect.WORSE: Exit.UNEXPECTED, Effect.CANNOT_TELL: Exit.INCOMPLETE}
"""Exit codes of the answers that are not `EXPECTED`."""


class Compared(Frozen):
    """A cell of a variant and the same cell of the unmodified stack."""

    cell: Cell = Field(description="of the variant")
    effect: Effect
    before: Side = Field(description="the unmodified stack")
    after: Side = Field(description="the variant")
    pairs: int = Field(description="pairs of trials that can be compared")
    worse: int = Field(description="pairs in which the variant is worse")
    better: int = Field(description="pairs in which it is better")
    why: str = Field(default="", description="why nobody can tell; empty for other answers")
    changed: tuple[Difference, ...] = Field(description="components that differ")

    @property
    def exit_code(self) -> Exit:
        """What it means for the run."""
        return EXIT.get(self.effect, Exit.EXPECTED)


class Cause(Frozen):
    """Cells with the same effect that end in the same way, by the same components: they probably have one cause."""

    effect: Effect
    before: dict[Outcome | None, int] = Field(description="numbers of cells by outcome in the unmodified stack")
    after: str = Field(description="outcome in the variant, with its signature in the first cell that has one")
    why: str = ""
    changed: tuple[Difference, ...]
    cells: tuple[Compared, ...]


class Against(Frozen):
    """All variants of a run, each cell against that of the unmodified stack."""

    cells: tuple[Compared, ...]

    def of(self, effect: Effect) -> tuple[Compared, ...]:
        """Return the cells with one effect."""
        return tuple(each for each in self.cells if each.effect is effect)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The cells that are not the same, grouped: the worst first, then the largest group."""
        groups: dict[object, list[Compared]] = {}
        for each in self.cells:
            if each.effect is not Effect.SAME:
                key = (each.effect, each.why, each.after.foremost, each.changed)
                groups.setdefault(key, []).append(each)
        found = [
            Cause(
                effect=those[0].effect,
                before=dict(Counter(each.before.outcome for each in those)),
                after=max((each.after for each in those), key=lambda side: side.outcome is side.foremost).words,
                why=those[0].why,
                changed=those[0].changed,
                cells=tuple(those),
            )
            for those in groups.values()
        ]
        return tuple(sorted(found, key=lambda each: (list(Effect).index(each.effect), -len(each.cells))))


def against(plan: Plan, cells: Sequence[CellSummary]) -> Against | None:
    """Compare each cell of a variant with that of the unmodified stack; None if the run has no such two."""
    there = {each.cell: each for each in cells}
    found = tuple(
        _compared(plan, there[each.cell.base], each)
        for each in cells
        if each.cell != each.cell.base and each.cell.base in there
    )
    return Against(cells=found) if found else None


def _compared(plan: Plan, old: CellSummary, new: CellSummary) -> Compared:
    pairs = list(_pairs(old, new, plan.crash_of))
    more = [each.verdict.outcome.severity - other.verdict.outcome.severity for other, each in pairs]
    worse, better = sum(each > 0 for each in more), sum(each < 0 for each in more)
    effect, why = _effect(old, new, len(pairs), worse, better)
    first, second = Conditions.of_cell(old, plan), Conditions.of_cell(new, plan)
    return Compared(
        cell=new.cell,
        effect=effect,
        before=side_of(old),
        after=side_of(new),
        pairs=len(pairs),
        worse=worse,
        better=better,
        why=why,
        changed=differences(first, second) if first and second else (),
    )


def _pairs(old: CellSummary, new: CellSummary, struck: Struck) -> Iterator[tuple[Record, Record]]:
    """Pair the trials of the same number; a known crash says nothing about the cell, on either side."""
    there = {trial.trial: trial for trial in _telling(old.trials, struck)}
    yield from ((there[trial.trial], trial) for trial in _telling(new.trials, struck) if trial.trial in there)


def _telling(trials: Iterable[Record], struck: Struck) -> Iterator[Record]:
    return (each for each in trials if each.verdict.outcome not in NOTHING_SAID and struck(each) is None)


def _effect(old: CellSummary, new: CellSummary, pairs: int, worse: int, better: int) -> tuple[Effect, str]:
    """Judge the pairs of a cell; the second value is why nobody can tell."""
    if not pairs:
        return Effect.CANNOT_TELL, "no pair of trials has a result on both sides"
    sure = (paired_p(worse, better) or 1.0) < LEVEL
    steady = old.expectation.rate is None and len({each.verdict.outcome for each in old.trials}) == 1
    for effect, these, others in ((Effect.WORSE, worse, better), (Effect.BETTER, better, worse)):
        if these > others and (sure or (steady and these >= FEWEST and not others)):
            return effect, ""
    if old.missing or new.missing:
        return Effect.CANNOT_TELL, "trials are missing"
    if worse or better:
        declared = old.as_expected and new.as_expected
        few = f"the sides differ in {worse + better} of {pairs} pairs"
        return (Effect.SAME, "") if declared else (Effect.CANNOT_TELL, few)
    if side_of(old).k and set(side_of(old).signatures).isdisjoint(side_of(new).signatures):
        return Effect.CANNOT_TELL, "it fails in another way"
    return Effect.SAME, ""
