"""A finished cell or control in words, for who watches."""

from __future__ import annotations

import pytest

from harness.model.controls import CANARY, CONTROLS, ControlKind
from harness.model.errors import Exit
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome
from reports.words.finished import finished
from tests.reports.synthetic import CRASH, MOVING, STILL, crashed, moving, plan, record


def test_a_cell_is_told_with_its_counts() -> None:
    found = finished(plan((MOVING, STILL), 2), STILL, None, [record(STILL), record(STILL, 1)])
    assert (found.name, found.code, found.result, found.detail, found.reason) == (
        STILL.id,
        Exit.EXPECTED,
        "consistent",
        "0/2",
        "",
    )
    assert found.verdict == "as expected"


def test_a_cell_that_a_rate_ended_early_lacks_nothing() -> None:
    assert finished(plan((STILL,), 60), STILL, None, [record(STILL)]).code is Exit.EXPECTED


def test_what_is_wrong_is_told_with_what_was_expected_and_why() -> None:
    found = finished(plan((STILL,), 1), STILL, None, [record(STILL, outcome=Outcome.LEAKED, reason="a mount")])
    assert (found.verdict, found.reason) == ("UNEXPECTED", "should be consistent: a mount")
    passes = finished(plan((MOVING,), 1), MOVING, None, [record(MOVING)])
    assert passes.reason == "should be inconsistent disk-ahead"
    broken = finished(plan((STILL,), 1), STILL, None, [record(STILL, outcome=Outcome.HARNESS_ERROR)])
    assert (broken.verdict, broken.code) == ("INCOMPLETE", Exit.INCOMPLETE)


def test_a_cell_that_a_known_crash_struck_is_as_expected() -> None:
    crashing = plan((STILL,), 4).model_copy(update={"crashes": (CRASH,)})
    trials = [crashed(record(STILL)), *(record(STILL, number) for number in (1, 2, 3))]
    assert finished(crashing, STILL, None, trials).verdict == "as expected"
    assert finished(plan((STILL,), 4), STILL, None, trials).verdict == "UNEXPECTED"


def test_a_control_that_was_played_again_is_told_by_its_last_trial() -> None:
    control = CONTROLS["ring-byte"].control(STILL, ControlKind.CONTROL)
    crashing = plan((STILL,), 1).model_copy(update={"crashes": (CRASH,), "controls": (control,)})
    struck = crashed(record(STILL, control="ring-byte"))
    played = record(STILL, 1, Outcome.INCONSISTENT, anomalies=(Anomaly.TORN,), control="ring-byte")
    assert finished(crashing, STILL, "ring-byte", [struck, played]).code is Exit.EXPECTED
    assert finished(crashing, STILL, "ring-byte", [struck]).code is Exit.INCOMPLETE


MUTANT = next(proof for proof in MUTANTS if proof.neutral)


@pytest.mark.parametrize(
    ("control", "outcome", "told"),
    [
        (
            CONTROLS["ring-byte"].control(STILL, ControlKind.CONTROL),
            Outcome.INCONSISTENT,
            ("control ring-byte on runc@debian-sid", Exit.EXPECTED, "detected inconsistent torn", ""),
        ),
        (
            CONTROLS["ring-byte"].control(STILL, ControlKind.CONTROL),
            Outcome.CONSISTENT,
            (
                "control ring-byte on runc@debian-sid",
                Exit.BLIND,
                "consistent ",
                "NOT DETECTED: consistent (so it was), must be inconsistent torn",
            ),
        ),
        (
            MUTANT.neighbour(STILL),
            Outcome.CONSISTENT,
            (f"neutral {MUTANT.name} on runc@debian-sid", Exit.EXPECTED, "no false alarm ", ""),
        ),
        (
            CANARY.control(MOVING, ControlKind.CANARY),
            Outcome.CONSISTENT,
            (
                "canary on runc@debian-sid",
                Exit.BLIND,
                "consistent ",
                "NOT DETECTED: consistent (so it was), must be inconsistent disk-ahead",
            ),
        ),
    ],
)
def test_a_control_is_told_with_what_was_expected_of_it(
    control: object, outcome: Outcome, told: tuple[str, Exit, str, str]
) -> None:
    some = plan((MOVING, STILL), 1).model_copy(update={"controls": (control,)})
    trial = record(control.cell, outcome=outcome, control=control.id, anomalies=(Anomaly.TORN,), reason="so it was")  # type: ignore[attr-defined]
    found = finished(some, control.cell, control.id, [trial])  # type: ignore[attr-defined]
    assert (found.name, found.code, f"{found.result} {found.detail}", found.reason) == told


def test_it_travels_from_a_worker_as_json() -> None:
    found = finished(plan((STILL,), 1), STILL, None, [moving(STILL)])
    assert type(found).model_validate(found.model_dump(mode="json")) == found
