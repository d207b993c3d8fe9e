"""Patterns of known issues that leave cells out."""

from __future__ import annotations

import datetime as dt

import pytest

from harness.model import expectations
from harness.model.expectations import About, Declaration, Declared, unmatched
from harness.model.outcomes import Outcome
from harness.run import matrix

PLAIN, SAME_POD = matrix.plan(cells=["pod-shm.engine.cri/crio/runc@debian-sid*"])


def declaration(*match: str) -> Declaration:
    return Declaration(
        match=match,
        outcome=Outcome.HUNG,
        reason="It hangs",
        link="https://example.org/1",
        owner="runc",
        added=dt.date(2026, 11, 29),
        review_by=dt.date(2027, 6, 1),
    )


@pytest.mark.parametrize(
    ("match", "covers"),
    [
        (("*/runc@*", "!*+same-pod"), [True, False]),
        (("!*+same-pod", "*/runc@*"), [True, False]),
        (("*/crun@*", "!*+same-pod"), [False, False]),
        (("!*+same-pod",), [False, False]),
    ],
)
def test_what_begins_with_an_exclamation_mark_leaves_cells_out(match: tuple[str, ...], covers: list[bool]) -> None:
    assert [declaration(*match).covers(each) for each in (PLAIN, SAME_POD)] == covers


def test_what_leaves_no_cell_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Declared(about=About.CELLS, declaration=declaration("*/runc@*", "!*+same-pod", "!*+other"), where="a:1-9")
    monkeypatch.setattr(expectations, "declared", lambda: (said,))
    monkeypatch.setattr(expectations, "differences", lambda _: ())
    assert unmatched((PLAIN, SAME_POD)) == ("a:1-9: !*+other",)
