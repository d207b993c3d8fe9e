"""How much of the matrix is run: suites, and workloads by their name."""

from __future__ import annotations

import datetime as dt

import pytest

from harness.model.cells import FreezePolicy, Scenario
from harness.model.errors import UsageError
from harness.run import matrix
from harness.runtimes import RUNTIMES, way_of
from harness.workload.definitions import Suite, available, find

APPLICATIONS = {name for name in available() if find(name).application}


def test_each_suite_has_what_is_in_those_before_it() -> None:
    quick, default, full = (set(matrix.plan(suite=suite)) for suite in Suite)
    assert quick < default < full
    assert default == set(matrix.plan())
    assert {cell.workload for cell in full - default} == APPLICATIONS


def test_the_quick_suite_asks_each_participant_with_and_without_a_freeze() -> None:
    for cell in matrix.plan(suite=Suite.QUICK):
        way = RUNTIMES[cell.checkpoint.runtime].ways[0]
        assert (cell.way, cell.scenario, cell.workload) == (way.name, Scenario.LIVE, way.plain)
        assert cell.policy in (way.policies[0], way.still)
    assert {cell.checkpoint for cell in matrix.plan(suite=Suite.QUICK)} == {cell.checkpoint for cell in matrix.plan()}


def test_an_application_is_tried_once_per_participant_without_pods_under_two_policies() -> None:
    found = matrix.plan(workloads=["valkey"])
    assert {cell.workload for cell in found} == {"valkey"}
    assert len({(cell.checkpoint, cell.policy) for cell in found}) == len(found)
    assert not any(way_of(cell.checkpoint.runtime, cell.way).pods for cell in found)
    runc = [cell.policy for cell in found if str(cell.checkpoint) == "runc@debian-sid"]
    assert runc == [FreezePolicy.NONE, FreezePolicy.PAUSE]


def test_all_workloads_are_tried_under_every_policy() -> None:
    every = set(matrix.plan(["debian-sid"], ["runc"], workloads=["all"]))
    assert every > set(matrix.plan(["debian-sid"], ["runc"], suite=Suite.FULL))
    assert {cell.policy for cell in every if cell.workload == "valkey"} == set(RUNTIMES["runc"].ways[0].policies)
    assert {cell.workload for cell in every} >= {name for name in available() if find(name).proof}


def test_choices_add_up() -> None:
    found = matrix.plan(["debian-sid"], ["runc"], ["none"], workloads=["valkey", "appended"])
    assert [cell.id for cell in found] == ["appended.none.runc@debian-sid", "valkey.none.runc@debian-sid"]
    (cell,) = matrix.plan(cells=["valkey.none.runc@debian-sid"], workloads=["valkey"])
    assert cell in found


def test_a_choice_without_a_cell_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no cell with these choices has the workload valkey.*There are .* with "):
        matrix.plan(runtimes=["cri/containerd/runc"], workloads=["valkey"])
    with pytest.raises(UsageError, match=r"unknown workload 'valky'.*Did you mean 'valkey'"):
        matrix.plan(workloads=["valky"])


def test_an_application_proves_nothing_about_the_instrument() -> None:
    for cell in matrix.plan(workloads=sorted(APPLICATIONS)):
        assert not matrix.expected(cell, dt.date(2026, 11, 30)).control
