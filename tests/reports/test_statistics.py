from __future__ import annotations

import pytest

from reports.statistics import largest, middle, rate_bound


@pytest.mark.parametrize(("trials", "bound"), [(1, 0.95), (5, 0.4507), (60, 0.0487), (300, 0.00994)])
def test_a_clean_cell_is_bounded_by_the_rule_of_three(trials: int, bound: float) -> None:
    assert rate_bound(0, trials) == pytest.approx(bound, abs=5e-5)


def test_the_bound_is_one_sided_and_rises_with_violations() -> None:
    assert rate_bound(1, 60) == pytest.approx(0.0766, abs=5e-5)
    assert rate_bound(5, 5) == 1.0


def test_the_middle_leaves_out_what_is_not_there() -> None:
    assert middle([None, 3, 1, 100]) == 3
    assert middle([1, 2]) == 1.5
    assert middle([0, 0, 5]) == 0
    assert middle([None]) is None


def test_the_largest_keeps_its_sign() -> None:
    assert largest([None, 3, -7, 5]) == -7
    assert largest([]) is None
