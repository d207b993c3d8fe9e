"""A cell or a control that has just finished, in words: for who watches a run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.cells import Cell
from harness.model.controls import ControlKind
from harness.model.errors import Exit
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.cells import CLEAN, CellSummary, summarise_cell, summarise_control
from reports.text import one_line, shorten
from reports.words.cells import brief, first_reason, flag
from reports.words.outcomes import VERDICTS
from reports.words.proof import came

LONGEST_REASON = 300
DETECTED, NO_ALARM = "detected", "no false alarm"


class Finished(Frozen):
    """A finished cell or control, as a worker tells it to the controller."""

    name: str
    code: Exit
    result: str
    """What was found, in one or two words: `inconsistent`, or `detected` for a control."""
    detail: str = ""
    """Counts and skew."""
    known: bool = False
    reason: str = ""
    """Why it is not as expected."""

    @property
    def as_expected(self) -> bool:
        """Whether nobody has to look at it."""
        return self.code is Exit.EXPECTED

    @property
    def verdict(self) -> str:
        """Say how to take it: `as expected`, `known`, `UNEXPECTED`."""
        if self.as_expected:
            return "known" if self.known else VERDICTS[Exit.EXPECTED]
        return "UNEXPECTED" if self.code is Exit.UNEXPECTED else VERDICTS[self.code].upper()


def finished(plan: Plan, cell: Cell, control: str | None, records: Sequence[Record]) -> Finished:
    """Tell the trials of a cell, or the trial of a control."""
    return _control(plan, cell, control, records[-1]) if control else _cell(plan, cell, records)


def _cell(plan: Plan, cell: Cell, records: Sequence[Record]) -> Finished:
    planned = len(records)  # a rate ends a cell early
    expectation = plan.expected(cell)
    return of_cell(summarise_cell(cell, records, expectation, planned=planned, missing=0, struck=plan.crash_of))


def of_cell(found: CellSummary) -> Finished:
    """Tell a cell."""
    return Finished(
        name=one_line(found.cell.id),
        code=found.exit_code,
        result=found.outcome.value,
        detail=one_line(brief(found, bound=False)),
        known=found.known,
        reason="" if found.as_expected else shorten(_against(found), LONGEST_REASON),
    )


def _against(found: CellSummary) -> str:
    """Say what was expected, and why the result is another one."""
    told = flag(found).partition(", ")[2]
    return told if found.outcome in CLEAN else f"{told}: {first_reason(found)}"


def _control(plan: Plan, cell: Cell, name: str, record: Record) -> Finished:
    control = next(each for each in plan.controls if each.id == name and each.cell == cell)
    found = summarise_control(control, record, plan.crash_of)
    detected = NO_ALARM if control.kind is ControlKind.NEUTRAL else DETECTED
    return Finished(
        name=one_line(f"{' '.join(dict.fromkeys((control.kind, control.name)))} on {cell.checkpoint}"),
        code=found.exit_code,
        result=detected if found.detected else record.verdict.outcome.value,
        detail=came(found) if found.detected and control.kind is not ControlKind.NEUTRAL else "",
        reason="" if found.detected else shorten(came(found), LONGEST_REASON),
    )
