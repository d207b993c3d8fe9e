"""Answers of the commands for checkpoints, compared with the results of a run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from harness.model.outcomes import Answer, Outcome
from harness.model.values import Frozen
from reports.analysis.cells import CellSummary


class Missed(Frozen):
    """A cell with a wrong prediction, or with none."""

    cell: str = Field(description="id")
    answer: Answer
    outcome: Outcome
    reasons: tuple[str, ...] = Field(description="reasons of the prediction")
    reason: str = Field(description="reason of the outcome")


class Predictions(Frozen):
    """The score of all predictions, by cells, without trials that prove nothing about the restore."""

    cells: int
    right: int
    missed: tuple[Missed, ...]

    def of(self, answer: Answer) -> tuple[Missed, ...]:
        """Return the cells with one wrong answer: a false yes, a false no, or unknown."""
        return tuple(each for each in self.missed if each.answer is answer)


class Agreement(Frozen):
    """How often `stillframe inspect` and the oracle agree on a checkpoint."""

    checkpoints: int
    agreed: int
    missed: tuple[str, ...] = Field(description="ids of cells, with the answer of `stillframe inspect`")


def agreement(cells: Sequence[CellSummary]) -> Agreement:
    """Count the inspected checkpoints, one for each trial."""
    said = [(each.cell.id, trial.inspection) for each in cells for trial in each.trials if trial.inspection]
    missed = tuple(f"{cell}: {it.finding or 'not read'}: {it.reason}" for cell, it in said if not it.agrees)
    return Agreement(checkpoints=len(said), agreed=len(said) - len(missed), missed=missed)


def predictions(cells: Sequence[CellSummary]) -> Predictions:
    """Score the predictions; a cell is right if all its trials are right."""
    judged = {each.cell.id: list(_judged(each)) for each in cells}
    missed = [next(miss for miss in found if miss) for found in judged.values() if any(found)]
    asked = sum(bool(found) for found in judged.values())
    return Predictions(cells=asked, right=asked - len(missed), missed=tuple(missed))


def _judged(each: CellSummary) -> Iterator[Missed | None]:
    """Yield, for each trial that proves something about the restore, its wrong prediction or None."""
    for trial in each.trials:
        outcome = trial.verdict.outcome
        if trial.prediction is None or not (outcome is Outcome.CONSISTENT or trial.refusal):
            continue
        came_about = Answer.NO if trial.refusal else Answer.YES
        answer, reasons = trial.prediction.answer, trial.prediction.reasons
        missed = Missed(cell=each.cell.id, answer=answer, outcome=outcome, reasons=reasons, reason=trial.verdict.reason)
        yield None if answer is came_about else missed
