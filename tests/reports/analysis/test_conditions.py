from __future__ import annotations

import pytest

from harness.model.machine import Component
from reports.analysis.conditions import Conditions, differences
from tests.reports import engines
from tests.reports.synthetic import HOST, STILL, plan, record

TRIAL = record(STILL)
PLAN = plan([STILL])
NOW = Conditions.of(TRIAL, PLAN)
CRIU, RUNC = Component(name="criu", version="4.2.1"), Component(name="runc", version="1.3.6")
NEWER = Component(name="criu", version="4.3")


def under(**components: tuple[Component, ...]) -> Conditions:
    return Conditions.of(TRIAL.model_copy(update={"components": components}), PLAN)


def test_the_order_of_components_and_a_name_said_twice_are_nothing() -> None:
    first = under(checkpoint=(CRIU, RUNC), restore=(CRIU,))
    assert under(restore=(CRIU,), checkpoint=(RUNC, CRIU, RUNC)).digest == first.digest
    assert len(first.digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"components": {**TRIAL.components, "restore": (NEWER,)}},
        {"components": {"checkpoint": TRIAL.components["checkpoint"]}},
        {"host": HOST.model_copy(update={"kernel": "7.0"})},
        {"host": HOST.model_copy(update={"cgroups": "v2"})},
        {"host": HOST.model_copy(update={"architecture": "aarch64"})},
        {"accommodations": engines.WORKAROUNDS},
    ],
)
def test_whatever_may_matter_changes_the_digest(change: dict[str, object]) -> None:
    other = Conditions.of(TRIAL.model_copy(update=change), PLAN)
    assert other.digest != NOW.digest
    assert differences([NOW], [other]) != ()


@pytest.mark.parametrize(
    "change",
    [
        {"trial": 7},
        {"run": "another"},
        {"host": HOST.model_copy(update={"memory_gib": 3.0, "cpus": 1, "os": "Debian"})},
        {"host": None},
    ],
)
def test_what_does_not_matter_leaves_it_as_it_is(change: dict[str, object]) -> None:
    assert Conditions.of(TRIAL.model_copy(update=change), PLAN).digest == NOW.digest


def told(before: list[Conditions], after: list[Conditions]) -> list[str]:
    return [str(each) for each in differences(before, after)]


def test_a_difference_names_the_side_unless_both_differ_alike() -> None:
    old = under(checkpoint=(CRIU, RUNC), restore=(CRIU,))
    assert told([old], [under(checkpoint=(NEWER, RUNC), restore=(NEWER,))]) == ["criu 4.2.1 -> 4.3"]
    assert told([old], [under(checkpoint=(NEWER, RUNC), restore=(CRIU,))]) == ["criu 4.2.1 -> 4.3 (checkpoint)"]
    assert told([old], [under(checkpoint=(CRIU,), restore=(CRIU,))]) == ["runc 1.3.6 -> none (checkpoint)"]
    assert told([old], [old]) == []


def test_of_several_every_version_is_named() -> None:
    old, new = under(checkpoint=(CRIU,)), under(checkpoint=(NEWER,))
    assert told([old], [old, new]) == ["criu 4.2.1 -> 4.2.1, 4.3 (checkpoint)"]
