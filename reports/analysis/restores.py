"""Whether a cross-restore restores; and apart from that, what else its trials found, such as leaks. Pure."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from pydantic import Field

from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Witness
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import SILENT, CellSummary
from reports.analysis.reasons import Cause, cause

FAILED = frozenset({Outcome.REFUSED, Outcome.RESTORE_FAILED, Outcome.COLD_START})
"""Findings that mean: the container does not run on from its checkpoint."""

UNANSWERED = SILENT | {Outcome.CHECKPOINT_FAILED}
"""Outcomes that do not answer the question."""

UNSURE = frozenset({Outcome.CHECKPOINT_BROKEN, Outcome.SOURCE_HARMED})
"""Findings from before a restore. They answer only if the restored workload was read."""


class Answer(StrEnum):
    """Whether a checkpoint restores."""

    YES = "restores"
    SOMETIMES = "restores sometimes"
    NO = "does not restore"
    UNKNOWN = "not known"


class Restored(Frozen):
    """The answer of a cell."""

    answer: Answer
    restored: int = Field(description="trials that restored")
    tried: int = Field(description="trials that answer the question")
    cause: Cause | None = Field(description="why trials did not restore; null if all did")
    besides: dict[Outcome, int] = Field(description="trials by what else was found in them, the worst first")
    left: tuple[str, ...] = Field(description="kinds of things that were left behind: `cgroup`, `file`")


def restored(cell: CellSummary) -> Restored:
    """Answer for all trials of a cell."""
    answers = [(trial, restores(trial)) for trial in cell.trials]
    good, bad = ([trial for trial, each in answers if each is wanted] for wanted in (True, False))
    answer = (Answer.SOMETIMES if bad else Answer.YES) if good else (Answer.NO if bad else Answer.UNKNOWN)
    besides = Counter(each for trial in cell.trials for each in trial.verdict.found)
    plain = FAILED | {Outcome.CONSISTENT}
    return Restored(
        answer=answer,
        restored=len(good),
        tried=len(good) + len(bad),
        cause=cause(bad),
        besides={each: besides[each] for each in reversed(Outcome) if besides[each] and each not in plain},
        left=tuple(dict.fromkeys(line.split()[0] for trial in cell.trials for line in trial.leaks if line.split())),
    )


def restores(trial: Record) -> bool | None:
    """Return whether a trial restored its checkpoint; None if it does not say."""
    found = trial.verdict.found
    if not FAILED.isdisjoint(found):
        return False
    if not UNANSWERED.isdisjoint(found):
        return None
    if Outcome.HUNG in found:
        return False if trial.verdict.stage is Stage.RESTORE else None
    compared = any(skew.witness is Witness.RESTORED for skew in trial.skews)
    return True if compared or UNSURE.isdisjoint(found) else None
