"""What the judge says of surfaces that are documented as outside of the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.model.outcomes import Outcome, Stage
from harness.oracle.evidence import Evidence
from harness.oracle.judge import anomalies, judge
from tests.oracle.histories import AHEAD, BEHIND, DISAGREE, FAILURE, NAMES, both, reading, restored


def outside(*skews: int | None, **changes: Any) -> Evidence:
    """A trial whose last surface is outside the checkpoint."""
    return replace(both(*skews), outside=frozenset({"tmpfs"}), **changes)


@pytest.mark.parametrize("skew", [0, 3000, -3000, None])
def test_what_a_surface_outside_holds_is_told_and_not_held_against_anybody(skew: int | None) -> None:
    verdict = judge(outside(0, -1, skew))
    assert (verdict.outcome, verdict.stage, verdict.anomalies) == (Outcome.NOT_CAPTURED, Stage.READ, ())
    distance = "nothing of this workload" if skew is None else f"{skew:+d} ticks from memory"
    assert verdict.reason == f"documented as outside the checkpoint: tmpfs holds {distance}"


def test_defects_of_a_surface_outside_are_not_held_against_anybody_either() -> None:
    evidence = replace(both(0, 0, 0, torn=3, holes=2, backwards=1), outside=frozenset({"added"}))
    assert judge(evidence).found == (Outcome.NOT_CAPTURED,)


def test_what_is_inside_is_judged_all_the_same() -> None:
    verdict = judge(outside(7, 7, 3000))
    assert verdict.found == (Outcome.INCONSISTENT, Outcome.NOT_CAPTURED)
    assert verdict.anomalies == (AHEAD,)
    assert "added holds +7 ticks" in verdict.reason, "the surface outside is not named, although it is further away"


def test_without_a_restore_nobody_knows_what_a_surface_outside_holds() -> None:
    assert judge(outside(0, 0, 9, restored=None, restored_moves=False, failures=[FAILURE])) == FAILURE


@pytest.mark.parametrize("after", [(0, 0, -5), (0, 0, None), (0, 0)])
def test_two_readings_may_disagree_about_a_surface_outside(after: tuple[int | None, ...]) -> None:
    assert Outcome.HARNESS_ERROR not in judge(outside(0, 0, 400, restored=restored(*after))).found


def test_two_readings_that_disagree_on_what_is_inside_are_our_own_fault() -> None:
    assert judge(outside(0, 0, 9, restored=restored(0, -9, 9))).outcome is Outcome.HARNESS_ERROR


def test_a_surface_outside_that_is_not_there_is_not_told() -> None:
    evidence = replace(both(0, 0), outside=frozenset({"tmpfs"}))
    assert judge(evidence).outcome is Outcome.CONSISTENT


def test_where_everything_is_outside_nothing_can_be_inconsistent() -> None:
    evidence = replace(both(9, 9, 9), outside=frozenset(NAMES))
    assert judge(evidence).found == (Outcome.NOT_CAPTURED,)


def test_anomalies_are_those_of_what_is_inside() -> None:
    apart = reading(0, 0, -500)
    assert anomalies(apart) == (BEHIND, DISAGREE)
    assert anomalies(apart, frozenset({"tmpfs"})) == ()
    assert anomalies(reading(-1, 0, 0), frozenset({"added"})) == ()
