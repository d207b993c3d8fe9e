from __future__ import annotations

import pytest

from harness import matrix
from harness.expectations import CONTROLS, expected
from harness.model import Anomaly, FreezePolicy, Outcome


@pytest.mark.parametrize("policy", list(FreezePolicy))
def test_only_a_container_that_nobody_holds_still_is_expected_to_move(policy: FreezePolicy) -> None:
    (found,) = {expected(cell) for cell in matrix.plan(policies=[policy])}
    moving = policy is FreezePolicy.NONE
    assert found.outcome is (Outcome.INCONSISTENT if moving else Outcome.CONSISTENT)
    assert found.anomaly is (Anomaly.DISK_AHEAD if moving else None)
    assert found.control is moving, "the instrument has to see at least this one"


def test_every_default_participant_has_a_positive_control() -> None:
    cells = matrix.plan()
    assert {cell.checkpoint for cell in cells if expected(cell).control} == {cell.checkpoint for cell in cells}


def test_a_control_that_is_overlooked_would_show() -> None:
    assert CONTROLS
    assert Outcome.CONSISTENT not in CONTROLS.values()
