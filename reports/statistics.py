"""How much a count of trials proves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from statistics import median

CONFIDENCE = 0.95


@cache
def rate_bound(violations: int, trials: int) -> float:
    """One-sided 95 % upper bound (Clopper-Pearson) of the violation rate behind `violations` of `trials`, in 0..1."""
    from scipy.stats import binomtest  # noqa: PLC0415 - takes as long to load as the rest of a report to render

    test = binomtest(violations, trials, alternative="less")
    return float(test.proportion_ci(confidence_level=CONFIDENCE, method="exact").high)


def middle(values: Iterable[float | None]) -> float | None:
    """Take the median of the values that are there; null when there are none."""
    present = [value for value in values if value is not None]
    return median(present) if present else None


def largest(values: Iterable[float | None]) -> float | None:
    """Choose the value farthest from zero, with its sign; null when there are none."""
    return max((value for value in values if value is not None), key=abs, default=None)
