"""The paired experiment: does it matter who freezes the container? Pure.

Trials with the same number have the same seed and planned moment under every policy, so they form pairs. McNemar's
exact test takes the pairs with two different results and asks whether they differ in one direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.cells import FreezePolicy
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.analysis.statistics import LEVEL, paired_p

MOVES = (FreezePolicy.NONE, FreezePolicy.ENGINE)
"""Policies without a known freeze, the plainest first."""


class FrozenPair(Frozen):
    """A cell without a freeze and a cell with one, compared trial by trial."""

    label: str = Field(description="the participants and the way")
    question: str = Field(description="the common part of both ids: all but the policy")
    without: FreezePolicy
    held_by: FreezePolicy
    pairs: int = Field(description="trials with the same number and schedule that prove something in both cells")
    only_without: int = Field(description="pairs in which only the trial without a freeze violates")
    only_with: int = Field(description="pairs in which only the trial with a freeze violates")
    p: float | None = Field(description="exact McNemar test, two-sided; null if no pair differs")

    @property
    def asked(self) -> str:
        """The scenario and workload: `ledger`, `paused:ledger`."""
        return self.question.partition(".")[0]

    @property
    def differs(self) -> bool:
        """Whether the test proves a difference, at the level `LEVEL`."""
        return self.p is not None and self.p < LEVEL


def freezing(cells: Sequence[CellSummary]) -> tuple[FrozenPair, ...]:
    """Compare each cell that has a freeze with the plainest cell of its question; leave out cells without pairs."""
    asked: dict[str, dict[FreezePolicy, CellSummary]] = {}
    for each in cells:
        asked.setdefault(each.cell.question, {})[each.cell.policy] = each
    found = (pair for by_policy in asked.values() for pair in _compared(by_policy))
    return tuple(pair for pair in found if pair.pairs)


def _compared(by_policy: dict[FreezePolicy, CellSummary]) -> Iterator[FrozenPair]:
    bare = next((by_policy[policy] for policy in MOVES if policy in by_policy), None)
    for policy, held in by_policy.items():
        if bare is not None and policy not in MOVES:
            differing = list(_pairs(bare, held))
            only_without, only_with = differing.count((True, False)), differing.count((False, True))
            yield FrozenPair(
                label=held.label,
                question=held.cell.question,
                without=bare.cell.policy,
                held_by=policy,
                pairs=len(differing),
                only_without=only_without,
                only_with=only_with,
                p=paired_p(only_without, only_with),
            )


def _pairs(bare: CellSummary, held: CellSummary) -> Iterator[tuple[bool, bool]]:
    """Yield for each pair whether it violates without a freeze, and whether it violates with one."""
    without = {_schedule(trial): trial.verdict.outcome.violates for trial in bare.trials}
    for trial in held.trials:
        first, second = without.get(_schedule(trial)), trial.verdict.outcome.violates
        if first is not None and second is not None:
            yield first, second


def _schedule(trial: Record) -> tuple[int, int, int]:
    return trial.trial, trial.schedule.seed, trial.schedule.planned_delay_us
