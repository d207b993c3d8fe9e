"""Numbers with their units."""

from __future__ import annotations

import math

MOST_SHOWN = 999.5
"""Larger numbers would round to four digits, so they take the next unit."""
MOST_EXACT = 0.0001
"""Smaller p values are written as `<0.0001`."""


def p_value(p: float | None) -> str:
    """Write a p value with two digits; a dash if there was nothing to test."""
    return "-" if p is None else "<0.0001" if p < MOST_EXACT else f"{p:.2g}"


def skew(ticks: float | None, microseconds: float | None) -> str:
    """Write a distance from memory as time, or in ticks if the time is unknown; empty if neither is known."""
    if microseconds is not None:
        return duration(microseconds, signed=True)
    return f"{ticks_text(ticks)} ticks" if ticks is not None else ""


def ticks_text(ticks: float | None) -> str:
    """Write a count of ticks with its sign; `empty` when the surface held nothing to compare."""
    return "empty" if ticks is None else f"{ticks:+,.0f}" if ticks else "0"


def duration(microseconds: float, *, signed: bool = False) -> str:
    """Write three digits and the unit that fits: `45.2 ms`."""
    for size, unit in ((1.0, "µs"), (1e3, "ms"), (1e6, "s")):
        value = microseconds / size
        if abs(value) < MOST_SHOWN or unit == "s":
            break
    digits = f"{value:.3g}" if abs(value) < MOST_SHOWN else f"{value:.0f}"
    return f"{'+' if signed and value > 0 else ''}{digits} {unit}"


def percent(rate: float) -> str:
    """Write a bound in per cent, rounded up: a bound that is rounded down no longer holds."""
    return f"{math.ceil(rate * 1000 - 1e-9) / 10:.1f} %"


def interval(low: float, high: float) -> str:
    """Write an interval of rates in per cent, rounded outwards: `0.4-11.6 %`; an interval of all rates has no trial."""
    if (low, high) == (0, 1):
        return "no trial counted"
    return f"{math.floor(low * 1000 + 1e-9) / 10:.1f}-{percent(high)}"
