"""Properties of the plan of the project's own stacks and runtimes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest

from harness.model.cells import FreezePolicy, Scenario
from harness.model.controls import CONTROLS
from harness.model.expectations import MOVING, ONE_AFTER_ANOTHER
from harness.run import matrix, proof
from harness.runtimes import RUNTIMES
from harness.stacks import definition

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
