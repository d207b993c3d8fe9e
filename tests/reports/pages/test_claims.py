"""What projects promise, held against what was measured."""

from __future__ import annotations

import fnmatch

import pytest

from harness.model.cells import Cell
from harness.model.outcomes import Outcome
from harness.run import matrix as every
from reports.analysis import claims
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, summary


def test_a_promise_is_held_against_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claims.Claim(
        project="runc",
        promise="it goes on",
        source="https://x.example",
        cells=("ledger.*",),
        holds=(Outcome.CONSISTENT,),
    )
    monkeypatch.setattr(claims, "declared", lambda: (claim, claim.model_copy(update={"cells": ("other.*",)})))
    first, second = claims.held(summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)]))
    assert (first.holding, first.broken, first.sentence) == ((STILL.id,), (MOVING.id,), "holds in 1 of 2 cells")
    assert second.sentence == "not tried in this run"


def test_every_promise_is_about_cells_that_there_are() -> None:
    known = matrix_of_all()
    for claim in claims.declared.__wrapped__():
        assert any(fnmatch.fnmatchcase(cell.id, pattern) for cell in known for pattern in claim.cells), claim.promise


def matrix_of_all() -> tuple[Cell, ...]:
    return (*every.plan(), *every.plan(interop=True))
