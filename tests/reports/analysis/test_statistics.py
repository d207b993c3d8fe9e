from __future__ import annotations

import pytest
from scipy.stats import binomtest

from reports.analysis.statistics import (
    LEVEL,
    adjusted,
    clean_trials,
    different_p,
    largest,
    middle,
    paired_p,
    rate_bound,
    rate_interval,
)


@pytest.mark.parametrize(("trials", "bound"), [(1, 0.95), (5, 0.4507), (60, 0.0487), (300, 0.00994)])
def test_a_clean_cell_is_bounded_by_the_rule_of_three(trials: int, bound: float) -> None:
    assert rate_bound(0, trials) == pytest.approx(bound, abs=5e-5)


def test_the_bound_is_one_sided_and_rises_with_violations() -> None:
    assert rate_bound(1, 60) == pytest.approx(0.0766, abs=5e-5)
    assert rate_bound(5, 5) == 1.0


@pytest.mark.parametrize("trials", [1, 5, 60, 10_000])
def test_the_bound_of_a_clean_cell_is_the_exact_one(trials: int) -> None:
    exact = binomtest(0, trials, alternative="less").proportion_ci(confidence_level=0.95, method="exact").high
    assert rate_bound(0, trials) == pytest.approx(exact)


@pytest.mark.parametrize(("violations", "trials", "interval"), [(2, 60, (0.0041, 0.1153)), (1, 2, (0.0126, 0.9874))])
def test_a_cell_that_is_wrong_sometimes_has_an_interval(
    violations: int, trials: int, interval: tuple[float, float]
) -> None:
    assert rate_interval(violations, trials) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize("rate", [0.9999, 0.95, 0.9, 0.5, 0.1, 0.05, 0.01, 0.001, 0.00003])
def test_no_fewer_clean_trials_would_bound_the_rate(rate: float) -> None:
    trials = clean_trials(rate)
    assert rate_bound(0, trials) < rate
    assert trials == 1 or rate_bound(0, trials - 1) >= rate


def test_trials_that_a_bound_takes() -> None:
    assert (clean_trials(0.05), clean_trials(0.01), clean_trials(0.95)) == (59, 299, 2), "as in published tables"


def test_pairs_that_agree_decide_nothing() -> None:
    assert paired_p(0, 0) is None
    assert paired_p(1, 0) == 1.0
    assert paired_p(5, 0) == pytest.approx(0.0625)
    assert paired_p(0, 6) == pytest.approx(0.03125)
    assert paired_p(3, 3) == 1.0


def test_counts_are_compared_exactly() -> None:
    assert different_p(3, 4, 1, 4) == pytest.approx(0.48571, abs=5e-6), "Fisher's tea-tasting experiment"
    assert different_p(0, 60, 0, 5) == 1.0
    assert different_p(0, 20, 20, 20) < 1e-9


def test_many_tests_do_not_make_a_discovery() -> None:
    assert adjusted([]) == ()
    assert adjusted([0.04]) == (0.04,)
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.02, 0.04, 0.04, 0.02))
    assert min(adjusted([0.04, *[1.0] * 19])) > LEVEL


def test_the_middle_leaves_out_what_is_not_there() -> None:
    assert middle([None, 3, 1, 100]) == 3
    assert middle([1, 2]) == 1.5
    assert middle([0, 0, 5]) == 0
    assert middle([None]) is None


def test_the_largest_keeps_its_sign() -> None:
    assert largest([None, 3, -7, 5]) == -7
    assert largest([]) is None
