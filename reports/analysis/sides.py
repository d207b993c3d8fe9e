"""A cell as one side of a comparison: its worst outcome, and why. Pure."""

from __future__ import annotations

import re

from pydantic import Field

from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import MEASURED, CellSummary
from reports.text import shorten

NO_RESULT = "no result"
NUMBERS = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f]*\d)[0-9a-f]{6,}\b|\d+", re.IGNORECASE)


class Side(Frozen):
    """A cell of one side: `n` trials prove something, and `k` of them violate."""

    outcome: Outcome | None = Field(description="the worst outcome of a trial; null if no trial has a result")
    signatures: tuple[str, ...] = Field(description="anomalies or reasons of the trials with this outcome, no numbers")
    also: tuple[Outcome, ...] = Field(default=(), description="milder failures of the same trials")
    n: int
    k: int

    @property
    def words(self) -> str:
        """Outcome and signature, the same for cells that fail in the same way."""
        found = ", ".join((self.outcome or NO_RESULT, *self.also))
        return " ".join(filter(None, (found, *map(shorten, self.signatures[:1]))))

    @property
    def foremost(self) -> Outcome | None:
        """The outcome that explains the most: what was left behind is the end of another failure, if there is one."""
        return self.also[0] if self.outcome is Outcome.LEAKED and self.also else self.outcome

    @property
    def flaky(self) -> bool:
        """Whether it violates sometimes."""
        return 0 < self.k < self.n

    def __str__(self) -> str:
        if self.outcome is None:
            return NO_RESULT
        counts = f"{self.k}/{self.n}" if self.n else ""
        return " ".join(filter(None, (self.outcome, counts, *map(shorten, self.signatures[:1]))))


def side_of(cell: CellSummary) -> Side:
    """Sum up a cell for a comparison."""
    trials = cell.telling
    worst = max((trial.verdict.outcome for trial in trials), key=lambda each: each.severity, default=None)
    said = [trial.verdict.outcome.violates for trial in trials]
    also = {each for trial in trials if trial.verdict.outcome is worst for each in trial.verdict.also if each.violates}
    return Side(
        outcome=worst,
        signatures=tuple(sorted({_signature(trial) for trial in trials if trial.verdict.outcome is worst})),
        also=tuple(sorted(also, key=lambda each: -each.severity)),
        n=len(said) - said.count(None),
        k=said.count(True),
    )


def _signature(trial: Record) -> str:
    """Return why a trial has its outcome: its anomalies, or its stage and reason without numbers."""
    verdict = trial.verdict
    if verdict.outcome in MEASURED:
        return ", ".join(sorted(verdict.anomalies))
    return "" if verdict.outcome is Outcome.CONSISTENT else f"{verdict.stage or ''}: {NUMBERS.sub('#', verdict.reason)}"
