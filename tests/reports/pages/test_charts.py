"""Charts have their data in words, and do not depend on colour."""

from __future__ import annotations

import re

import pytest

from harness.model.outcomes import Outcome, Verdict
from reports.pages.charts import Past, distribution, strip
from tests.reports.synthetic import STILL, moving, plan, record, summary

RUNS = [
    Past("one", Outcome.INCONSISTENT, {"podman": "5.8.6", "criu": "4.2.1"}),
    Past("two", None),
    Past("three", Outcome.CONSISTENT, {"podman": "6.1.1", "criu": "4.2.1"}),
]


def test_a_strip_tells_each_run_and_where_which_version_changed() -> None:
    drawn = str(strip(RUNS))
    assert "Outcome by run. one: inconsistent; two: not tried; three: consistent; in three podman 6.1.1" in drawn
    assert drawn.count("<rect") == 3
    assert ">podman 6.1.1</text>" in drawn
    assert "criu" not in drawn, "it has not changed"


def test_a_strip_has_room_for_what_it_says() -> None:
    long = [RUNS[0], RUNS[2]._replace(versions={"podman": "6" * 60})]
    narrow, wide = (float(re.findall(r'width="([\d.]+)"', str(strip(each)))[0]) for each in (RUNS, long))
    assert wide > narrow > 60


@pytest.mark.parametrize("past", [[], [Past("one", None)]])
def test_a_strip_of_nothing_is_drawn_too(past: list[Past]) -> None:
    assert str(strip(past)).startswith("<svg")


def test_outcomes_differ_by_the_shape_of_their_dots() -> None:
    """A surface that is where memory is looks good, whatever is wrong with another one."""
    ahead, outside = moving(STILL, 0), moving(STILL, 2)
    still = tuple(each.model_copy(update={"ticks": 0, "microseconds": 0.0}) for each in ahead.skews[:2])
    ahead = ahead.model_copy(update={"skews": (*still, *ahead.skews[2:])})
    outside = outside.model_copy(update={"verdict": Verdict(outcome=Outcome.NOT_CAPTURED, reason="outside")})
    drawn = str(distribution(summary(plan([STILL], 3), [ahead, record(STILL, 1), outside]).cells[0]))
    dots = re.findall(r'<(\w+) class="dot (\w+)"', drawn)
    assert (dots.count(("path", "bad")), dots.count(("polygon", "mild"))) == (2, 4)
    assert {tag for tag, _ in re.findall(r'<(\w+) class="dot (\w+)"', drawn)} == {"path", "circle", "polygon"}
