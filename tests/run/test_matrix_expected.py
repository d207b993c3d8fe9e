"""What is expected of a planned cell."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from harness.model import expectations
from harness.model.cells import Cell, FreezePolicy, Scenario
from harness.model.expectations import MOVING, OUTSIDE, STILL, About, Declaration, Declared
from harness.model.outcomes import Anomaly, Outcome
from harness.run import matrix
from harness.runtimes import way_of
from harness.workload.definitions import find
from tests.run.sample import TODAY, cell, declare, sample

pytestmark = pytest.mark.usefixtures("_neither_root_nor_processes")


@sample
@pytest.mark.parametrize(
    ("each", "expectation"),
    [
        (cell(policy=FreezePolicy.NONE), MOVING),
        (cell(policy=FreezePolicy.PAUSE), STILL),
        (cell("engine/alone", FreezePolicy.ENGINE), STILL),
        (cell("engine/alone", FreezePolicy.NONE, way="commit"), MOVING),
        (cell(workload="bind-mount"), OUTSIDE),
        (cell(policy=FreezePolicy.NONE, workload="bind-mount"), MOVING),
        (cell("engine/alone", FreezePolicy.ENGINE, workload="bind-mount"), OUTSIDE),
        (cell(scenario=Scenario.PAUSED), STILL),
        (cell(scenario=Scenario.PAUSED, policy=FreezePolicy.NONE), STILL),
    ],
    ids=lambda value: value.id if isinstance(value, Cell) else value.outcome,
)
def test_what_is_expected_follows_from_who_holds_still_and_what_is_captured(
    each: Cell, expectation: expectations.Expectation
) -> None:
    assert matrix.expected(each, TODAY) == expectation


def test_only_what_must_move_proves_that_the_instrument_sees() -> None:
    assert (MOVING.outcome, MOVING.anomaly) == (Outcome.INCONSISTENT, Anomaly.DISK_AHEAD)
    assert [each.control for each in (MOVING, STILL, OUTSIDE)] == [True, False, False]


@sample
@pytest.mark.parametrize("policy", [FreezePolicy.NONE, FreezePolicy.PAUSE])
def test_what_is_declared_prevails(monkeypatch: pytest.MonkeyPatch, policy: FreezePolicy) -> None:
    declare(monkeypatch, TODAY)
    assert matrix.expected(cell(policy=policy), TODAY).outcome is Outcome.HUNG


@sample
def test_past_its_review_what_is_declared_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, TODAY - dt.timedelta(days=1))
    found = matrix.expected(cell(), TODAY)
    assert (found.outcome, found.overdue) == (Outcome.HUNG, True)


def test_names_in_ids_are_explained() -> None:
    cells = [
        cell("docker/runc", FreezePolicy.PAUSE, way="commit"),
        cell("docker/runc", FreezePolicy.ENGINE, way="commit", workload="shm"),
        cell("runc", FreezePolicy.NONE),
    ]
    assert matrix.words(cells) == {
        "ledger": find("ledger").description,
        "shm": find("shm").description,
        "docker/runc+commit": way_of("docker/runc", "commit").what,
        "runc": way_of("runc", "").what,
    }


def test_what_makes_a_run_red_in_any_case_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sure: dict[str, Any] = {
        "outcome": Outcome.HUNG,
        "reason": "why",
        "link": "https://x.org/1",
        "owner": "x",
        "added": TODAY,
    }
    days = {"ledger.*.runc@host": -1, "ledger.none.crun@host": 1, "ledger.none.runc@debian-potato": 1}
    known = tuple(
        Declared(
            about=About.CELLS,
            declaration=Declaration(match=(cells,), review_by=TODAY + dt.timedelta(days=due), **sure),
            where=f"{number}.toml:1-9",
        )
        for number, (cells, due) in enumerate(days.items())
    )
    monkeypatch.setattr(expectations, "declared", lambda: known)
    assert list(matrix.outdated(matrix.plan(["host"], cells=["ledger.*@host"]), TODAY)) == [
        "Known issues that match no cell: 2.toml:1-9: ledger.none.runc@debian-potato.",
        f"Overdue known issue: 0.toml:1-9, review by {TODAY - dt.timedelta(days=1)}, 4 of these cells.",
    ]
