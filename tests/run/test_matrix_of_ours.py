"""Properties of the plan of the project's own stacks and runtimes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest

from harness.model.cells import FAULTS, FreezePolicy, Scenario
from harness.model.controls import CONTROLS
from harness.model.errors import UsageError
from harness.model.expectations import MOVING, ONE_AFTER_ANOTHER
from harness.run import matrix, proof
from harness.runtimes import RUNTIMES, way_of
from harness.stacks import definition
from harness.workload.definitions import Suite, available, find

TODAY = dt.date(2026, 11, 23)


def test_our_cells_have_names_of_their_own_and_participants_that_are_neighbours() -> None:
    cells = matrix.plan()
    assert len({each.id for each in cells}) == len({each.slug for each in cells}) == len(cells)
    assert {each.checkpoint.stack for each in cells} == set(matrix.DEFAULT_STACKS)
    benches = [(each.checkpoint, each.way) for each in cells]
    assert sum(left != right for left, right in pairwise(benches)) == len(set(benches)) - 1, "each change costs a node"


@pytest.mark.parametrize("stack", definition.available())
def test_a_stack_of_ours_carries_what_is_known(stack: str) -> None:
    runtimes = definition.load(stack).runtimes
    assert runtimes
    assert set(runtimes) <= set(RUNTIMES)
    assert len(set(runtimes)) == len(runtimes)


def test_every_runtime_of_ours_takes_part_by_default_if_a_suite_has_it() -> None:
    assert set(RUNTIMES) - {each.checkpoint.runtime for each in matrix.plan()} == {"cri/crio/runc", "cri/crio/crun"}


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_every_runtime_of_ours_is_asked_something_in_every_way(runtime: str) -> None:
    cells = matrix.plan(["host"], [runtime])
    assert {each.way for each in cells} == {way.name for way in RUNTIMES[runtime].ways}
    assert {control.name for control in proof.controls(cells, TODAY, full=False)} <= {"canary", *CONTROLS}


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_a_runtime_that_leaves_the_disk_to_its_caller_has_a_positive_control(runtime: str) -> None:
    for way in RUNTIMES[runtime].ways:
        moving = way.leaves_disk and {FreezePolicy.NONE, FreezePolicy.ENGINE} & set(way.policies)
        cells = [each for each in matrix.plan(["host"], [runtime]) if each.way == way.name]
        assert any(matrix.expected(each, TODAY) == MOVING for each in cells) or not moving


GROUPS = {
    "runc": ["group:pair.none", "group:pair.pause", "group:pair.cgroup"],
    "podman/crun": ["group:pair.engine", "group:pair.cgroup"],
    "cri/containerd/runc": [
        *("group:pair.engine", "group:pair.pause", "group:pair.cgroup"),
        "group-at-once:pair.engine",
        "pod:pair.engine",
    ],
    "docker/runc": ["group:pair.engine", "group:pair.pause", "group:pair.cgroup"],
    "docker/runsc": [],
}


@pytest.mark.parametrize(("runtime", "asked"), GROUPS.items())
def test_two_containers_are_asked_under_each_policy_that_holds_both_and_without_one(
    runtime: str, asked: list[str]
) -> None:
    cells = [each for each in matrix.plan(["host"], [runtime]) if each.workload == "pair"]
    assert [each.id.partition(f".{runtime}@")[0] for each in cells] == asked
    for each in cells:
        apart = each.scenario is Scenario.GROUP and each.policy in (FreezePolicy.NONE, FreezePolicy.ENGINE)
        assert (matrix.expected(each, TODAY) == ONE_AFTER_ANOTHER) is apart


# ---- how much of the matrix is run: suites, and workloads by their name


APPLICATIONS = {name for name in available() if find(name).application}


def test_each_suite_has_what_is_in_those_before_it() -> None:
    quick, default, full = (set(matrix.plan(suite=suite)) for suite in Suite)
    assert quick < default < full
    assert default == set(matrix.plan())
    live = {cell.workload for cell in full - default if cell.scenario is Scenario.LIVE}
    assert live == APPLICATIONS | {"chatty-tty", "memory"}
    thorough = {cell.scenario for cell in full - default} - {Scenario.LIVE}
    assert thorough == {*FAULTS, Scenario.SECRETS}


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
