"""Exact tests and bounds for counts of trials, always at 95 % confidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from statistics import median

LEVEL = 0.05
"""Level of a test: the probability that it sees a difference where there is none."""

CONFIDENCE = 1 - LEVEL

# Functions import scipy themselves: its import takes as long as the rest of a report.


@cache
def rate_bound(violations: int, trials: int) -> float:
    """One-sided 95 % upper bound (Clopper-Pearson) of the violation rate for `violations` of `trials`, in 0..1."""
    if not violations:
        return -math.expm1(math.log(LEVEL) / trials)  # the exact bound for no violation
    from scipy.stats import binomtest  # noqa: PLC0415

    test = binomtest(violations, trials, alternative="less")
    return float(test.proportion_ci(confidence_level=CONFIDENCE, method="exact").high)


@cache
def rate_interval(violations: int, trials: int) -> tuple[float, float]:
    """Two-sided 95 % interval (Clopper-Pearson) of the violation rate for `violations` of `trials`, in 0..1."""
    from scipy.stats import binomtest  # noqa: PLC0415

    found = binomtest(violations, trials).proportion_ci(confidence_level=CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


def clean_trials(rate: float) -> int:
    """Return the number of clean trials that bounds the violation rate below `rate`, which is in 0..1."""
    trials = max(1, math.floor(math.log(LEVEL) / math.log1p(-rate)))
    while rate_bound(0, trials) >= rate:
        trials += 1
    return trials


def fewest_pairs() -> int:
    """Return the smallest number of pairs with which `paired_p` can prove a difference: all differ in one direction."""
    return math.floor(1 - math.log2(LEVEL)) + 1


def paired_p(only_one: int, only_other: int) -> float | None:
    """Exact McNemar test: two-sided p of a split at least as unequal among the pairs that differ; None if none does."""
    if not only_one + only_other:
        return None
    from scipy.stats import binomtest  # noqa: PLC0415

    return float(binomtest(only_one, only_one + only_other, 0.5).pvalue)


@cache
def different_p(violations: int, trials: int, other_violations: int, other_trials: int) -> float:
    """Fisher's exact test, two-sided: p of counts at least as far apart as these if both have the same rate."""
    from scipy.stats import fisher_exact  # noqa: PLC0415

    table = [[violations, trials - violations], [other_violations, other_trials - other_violations]]
    return float(fisher_exact(table).pvalue)


def adjusted(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjust the p values of several tests, so that a level bounds the rate of false discoveries.

    Benjamini and Hochberg, 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x
    """
    if not p_values:
        return ()
    from scipy.stats import false_discovery_control  # noqa: PLC0415

    return tuple(float(each) for each in false_discovery_control(p_values, method="bh"))


def middle(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are not None; None if there are none."""
    present = [value for value in values if value is not None]
    return median(present) if present else None


def largest(values: Iterable[float | None]) -> float | None:
    """Return the value farthest from zero, with its sign; None if there are none."""
    return max((value for value in values if value is not None), key=abs, default=None)
