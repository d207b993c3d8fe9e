"""Charts have their data in words, and do not depend on colour."""

from __future__ import annotations

import re

import pytest

from harness.model.outcomes import Outcome
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
    run = summary(plan([STILL], 3), [moving(STILL, 0), record(STILL, 1), record(STILL, 2, Outcome.NOT_CAPTURED)])
    drawn = str(distribution(run.cells[0]))
    assert re.findall(r'<(\w+) class="dot (\w+)"', drawn).count(("path", "bad")) == 4
    assert {tag for tag, _ in re.findall(r'<(\w+) class="dot (\w+)"', drawn)} == {"path", "circle", "polygon"}
