"""How a declaration names what it is about: regular expressions, rates, links."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from pydantic import ConfigDict

from harness.model.invalid import fault

MEANINGLESS = ("", "zq")
"""Lines without meaning: a signature that matches one of them matches almost any line."""
LINK = r"^https://[^/\s]+/\S+$"
NOT = "!"
"""How a pattern begins whose cells a declaration leaves out."""
SPELLED = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)
"""How a field is spelled in a file."""


def matches(signature: str, lines: Iterable[str]) -> bool:
    """Return whether a signature matches one of the lines."""
    return any(re.search(signature, line) for line in lines)


def selective(signature: str) -> str:
    """Return a signature if it does not match lines without meaning."""
    if signature and matches(signature, MEANINGLESS):
        raise fault(f"{signature!r} matches any line. Quote what only this failure says")
    return signature


def interval(rate: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a rate if its ends are in order."""
    if rate is not None and not 0 <= rate[0] < rate[1] <= 1:
        raise fault(f"[{rate[0]:g}, {rate[1]:g}] is not an interval. Write [low, high] with 0 <= low < high <= 1")
    return rate


def covers(patterns: Iterable[str], name: str) -> bool:
    """Return whether one of the patterns matches an id, and none that begins with `!` does."""
    found = {pattern[:1] == NOT for pattern in patterns if fnmatch.fnmatchcase(name, pattern.lstrip(NOT))}
    return found == {False}
