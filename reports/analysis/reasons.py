"""The kind of reason of a failure, and the component behind it, from what its trials say. Pure.

The signatures are in `reasons.toml` beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field, field_validator

from harness.model.cells import FreezePolicy
from harness.model.invalid import read_toml, regular_expression
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import CLEAN, NO_EVIDENCE, CellSummary

OTHER = "other reason"


class Reason(Frozen):
    """What a line of a trial says about its failure."""

    signature: str = Field(min_length=1, description="regular expression that the reason or a log line must match")
    kind: str = Field(default="", description="the kind of reason, in two words; empty: the line does not say it")
    component: str = Field(default="", description="the component that the line names; empty: it names none")

    _pattern = field_validator("signature")(regular_expression)


class ReasonFile(Frozen):
    """The contents of the file."""

    reason: tuple[Reason, ...]


class Cause(Frozen):
    """Why trials failed, and the line that says so."""

    kind: str = Field(description="`other reason` if no signature matches")
    component: str = Field(default="", description="empty if the evidence names none")
    line: str


@cache
def reasons() -> tuple[Reason, ...]:
    """Read the signatures."""
    return read_toml(ReasonFile, Path(__file__).parent / "reasons.toml").reason


def cause(trials: Iterable[Record]) -> Cause | None:
    """Return the cause that most of the failed trials share; None if none of them failed."""
    found = [_cause(trial) for trial in trials if trial.verdict.outcome not in CLEAN | NO_EVIDENCE]
    kinds = [(each.kind, each.component) for each in found]
    return max(found, key=lambda each: kinds.count((each.kind, each.component)), default=None)


def culprit(cell: CellSummary) -> str:
    """Return the component whose fault a failure is: by its known issue, or by its evidence; empty if not known."""
    if cell.expectation.owner and cell.as_expected:
        return cell.expectation.owner
    if cell.outcome in NO_EVIDENCE:
        return ""
    why = cause(cell.trials)
    if why and why.component:
        return why.component
    alone = cell.cell.policy is FreezePolicy.ENGINE and Outcome.INCONSISTENT in cell.findings
    return cell.cell.checkpoint.runtime.partition("/")[0] if alone else ""


def declining(trial: Record) -> str:
    """Return the reason of a declined restore; if the verdict is worse than that, the log begins with the reason."""
    own = trial.verdict.outcome in (Outcome.REFUSED, Outcome.RESTORE_FAILED) or not trial.log
    return trial.verdict.reason if own else trial.log[0]


def _cause(trial: Record) -> Cause:
    lines = (trial.verdict.reason, *trial.log)
    for each in reasons():
        if line := next((line for line in lines if re.search(each.signature, line)), ""):
            return Cause(kind=each.kind or OTHER, component=each.component, line=line)
    return Cause(kind=_named(trial) or OTHER, line=declining(trial))


def _named(trial: Record) -> str:
    """Return the kind of a refusal that names what differs."""
    return "differing versions" if trial.refusal and trial.refusal.named else ""
