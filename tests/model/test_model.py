"""Ids of cells and questions, and the meaning of outcomes."""

from __future__ import annotations

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.outcomes import Outcome

RUNC, CRUN = (Participant(runtime=runtime, stack="host") for runtime in ("runc", "crun"))
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)


def test_a_question_is_the_same_whoever_holds_still() -> None:
    asked = CELL.model_copy(update={"scenario": Scenario.PAUSED, "way": "commit", "restore": CRUN})
    assert asked.id == "paused:ledger.pause.runc@host~crun@host+commit"
    assert asked.question == "paused:ledger.runc@host~crun@host+commit"
    assert {asked.model_copy(update={"policy": policy}).question for policy in FreezePolicy} == {asked.question}


@pytest.mark.parametrize(
    "change", [{"scenario": Scenario.PAUSED}, {"way": "commit"}, {"restore": CRUN}, {"workload": "shm"}]
)
def test_whatever_else_differs_makes_another_question(change: dict[str, object]) -> None:
    assert CELL.model_copy(update=change).question != CELL.question


def test_an_outcome_convicts_or_clears_or_proves_nothing() -> None:
    by_say: dict[bool | None, list[str]] = {}
    for outcome in Outcome:
        by_say.setdefault(outcome.violates, []).append(outcome)
    assert by_say == {
        False: ["consistent", "not-captured"],
        None: ["refused", "unsupported", "vacuous", "harness-error", "missing"],
        True: [
            *("altered", "unfit", "inconsistent", "cold-start", "checkpoint-failed", "restore-failed"),
            *("source-harmed", "checkpoint-broken", "leaked", "hung"),
        ],
    }
