"""The contract that every adapter in the registry must keep, as far as it can be tested without the programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest

from harness.model.cells import CgroupVersion, FreezePolicy, Scenario, SurfaceKind
from harness.model.controls import CONTROLS
from harness.model.errors import UsageError
from harness.runtimes import RUNTIMES, adapter, criu_configuration, way_of
from harness.runtimes.contract import Capability, Checkpoint, Container, ContainerSpec, Runtime, Way
from harness.runtimes.criu import Criu
from harness.runtimes.oci import OciRuntime
from harness.workload.definitions import find
from tests.folder_node import BareNode, FolderNode

FOLDER = f"{FolderNode.storage}/containers/one-1"
SPEC = ContainerSpec(
    name="one-1",
    image="image",
    argv=("/ledger",),
    folder=FOLDER,
    report=f"{FOLDER}/report",
    report_mount="/report",
)
WAYS = [pytest.param(name, way, id=f"{name}+{way.name}") for name, found in RUNTIMES.items() for way in found.ways]
every_runtime = pytest.mark.parametrize("name", sorted(RUNTIMES))
every_way = pytest.mark.parametrize(("name", "way"), WAYS)


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    node = FolderNode(tmp_path)
    node.put("/proc/1/cgroup", "0::/\n")
    return node


def bound(name: str, way: Way, node: FolderNode) -> Runtime:
    return adapter(name, way.name)(node)


# ---- the registry


@every_runtime
def test_an_adapter_is_known_by_its_own_name(name: str) -> None:
    assert RUNTIMES[name].name == name
    assert re.fullmatch(r"[a-z0-9-]+(/[a-z0-9-]+){0,2}", name), "it is part of ids and of file names"


@pytest.mark.parametrize(
    ("runtime", "way", "message"),
    [
        ("runk", "", r"^unknown runtime 'runk'\. Valid: .*Did you mean 'runc'\?$"),
        ("runc", "sideways", r"^unknown way to use runc 'sideways'\. Valid: "),
    ],
)
def test_what_is_not_in_the_registry_is_an_error_that_names_what_is(runtime: str, way: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        adapter(runtime, way)
    with pytest.raises(UsageError, match=message):
        way_of(runtime, way)


@every_way
def test_an_adapter_is_bound_to_its_way(name: str, way: Way, node: FolderNode) -> None:
    runtime = bound(name, way, node)
    assert (runtime.name, runtime.way, runtime.node) == (name, way, node)
    assert runtime.ways == RUNTIMES[name].ways
    assert way_of(name, way.name) == way


@every_way
@pytest.mark.parametrize("version", list(CgroupVersion))
def test_binding_starts_and_writes_nothing(name: str, way: Way, tmp_path: Path, version: CgroupVersion) -> None:
    node = FolderNode(tmp_path, version)
    bound(name, way, node)
    assert node.journal.commands == []
    assert list(tmp_path.iterdir()) == []
    assert (node.daemons, node.accommodations) == ([], {})


# ---- ways


@every_runtime
def test_the_plain_way_comes_first_and_each_has_a_name_of_its_own(name: str) -> None:
    names = [way.name for way in RUNTIMES[name].ways]
    assert names[0] == ""
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", each) for each in names[1:]), "it is part of ids"


@every_way
def test_a_way_is_explained(name: str, way: Way) -> None:
    assert way.what
    assert way.what == way.what.strip().rstrip(".")
    assert "\n" not in way.what


@every_way
def test_of_a_ways_policies_one_holds_still(name: str, way: Way) -> None:
    assert way.policies
    assert len(set(way.policies)) == len(way.policies)
    assert way.still in way.policies or way.policies == (FreezePolicy.NONE,)


@every_way
def test_somebody_holds_still_where_the_disk_is_left_to_the_caller(name: str, way: Way) -> None:
    assert not (way.leaves_disk and way.still in (FreezePolicy.NONE, FreezePolicy.ENGINE))


@every_way
def test_a_hook_is_for_those_whose_disk_it_can_take(name: str, way: Way) -> None:
    assert FreezePolicy.HOOK not in way.policies or way.leaves_disk


@every_way
def test_a_way_can_carry_the_default_workload(name: str, way: Way) -> None:
    kinds = {surface.kind for surface in find(way.plain).surfaces}
    assert kinds <= way.surfaces <= set(SurfaceKind)
    assert way.outside <= set(SurfaceKind)


@every_way
def test_a_way_that_carries_what_prints_says_whether_its_checkpoints_have_the_log(name: str, way: Way) -> None:
    """Podman's checkpoints and those by CRI have the log, and raw runtimes keep no log."""
    carries = SurfaceKind.STDOUT in way.surfaces
    assert not carries or "/" in name or name == "containerd"
    assert way.carries(find("chatty")) is carries
    assert way.carries(find("chatty-tty")) is (carries and way.terminal)
    assert (SurfaceKind.STDOUT in way.outside) is not (carries and name.startswith(("podman/", "cri/")))


@every_way
def test_the_controls_of_a_way_are_known(name: str, way: Way) -> None:
    assert set(way.controls) <= set(CONTROLS)
    assert len(set(way.controls)) == len(way.controls)


@every_runtime
def test_every_runtime_has_controls(name: str) -> None:
    """Controls run in the way that has scenarios, or else in the plain way."""
    ways = RUNTIMES[name].ways
    assert next((way for way in ways if way.scenarios), ways[0]).controls


@every_way
def test_a_byte_is_changed_only_where_the_layer_is_left_to_the_caller(name: str, way: Way) -> None:
    """The control writes into `Checkpoint.upper`, which other runtimes do not use."""
    assert "ring-byte" not in way.controls or way.leaves_disk


@every_way
def test_generations_are_tried_only_where_a_clone_runs_beside_its_source(name: str, way: Way) -> None:
    assert not (Scenario.GENERATIONS in way.scenarios and way.in_place)


@every_way
def test_a_way_names_what_is_asked_of_it_beside_the_usual(name: str, way: Way) -> None:
    assert Scenario.LIVE not in way.scenarios
    assert len(set(way.scenarios)) == len(way.scenarios)


# ---- what an adapter can do without programs


@every_way
def test_where_there_is_no_program_a_checkpoint_is_impossible_with_evidence(
    name: str, way: Way, tmp_path: Path
) -> None:
    runtime = bound(name, way, BareNode(tmp_path))
    first, *_ = found = runtime.capabilities()
    assert first == Capability("checkpoint", available=False, evidence="")
    assert "No such file or directory" in first.evidence
    assert all(each.evidence for each in found if not each.available)


BARE = [each for each in WAYS if issubclass(cast("type", RUNTIMES[str(each.values[0])]), OciRuntime | Criu)]
"""Runtimes without a daemon; for an engine, the test would have to invent the answers."""
every_bare_way = pytest.mark.parametrize(("name", "way"), BARE)


@every_bare_way
@pytest.mark.parametrize("version", list(CgroupVersion))
def test_a_container_that_has_ended_already_can_be_killed(
    name: str, way: Way, tmp_path: Path, version: CgroupVersion
) -> None:
    node = FolderNode(tmp_path, version)
    container = Container(SPEC, cgroup=node.freezer(SPEC.name), upper=f"{FOLDER}/upper", id="42")
    node.put(f"{container.cgroup}/cgroup.procs", "")
    bound(name, way, node).kill(container)
    assert [command for command in node.journal.commands if "KILL" in command.argv] == []


@every_bare_way
@pytest.mark.parametrize("version", list(CgroupVersion))
def test_a_container_that_somebody_else_has_started_is_known_by_its_name(
    name: str, way: Way, tmp_path: Path, version: CgroupVersion
) -> None:
    node = FolderNode(tmp_path, version)
    found = bound(name, way, node).known(SPEC)
    assert found == Container(SPEC, cgroup=node.freezer(SPEC.name), upper=f"{FOLDER}/upper")
    assert node.journal.commands == []


@every_bare_way
def test_nobody_keeps_what_a_container_prints_that_has_no_engine(name: str, way: Way, node: FolderNode) -> None:
    assert bound(name, way, node).log(Container(SPEC, cgroup=node.freezer(SPEC.name))) == ""


@every_bare_way
def test_a_checkpoint_that_never_came_to_be_can_be_discarded(name: str, way: Way, node: FolderNode) -> None:
    container = Container(SPEC, cgroup=node.freezer(SPEC.name), upper=f"{FOLDER}/upper", id="42")
    bound(name, way, node).discard(Checkpoint(container, f"{node.storage}/checkpoints/checkpoint-1"))


@every_bare_way
@pytest.mark.parametrize("groups", ["0::/\n", "1:pids:/\n0::/\n"], ids=["cgroup2 alone", "others too"])
def test_the_hook_finds_a_configuration_to_add_to(name: str, way: Way, node: FolderNode, groups: str) -> None:
    node.put("/proc/1/cgroup", groups)
    bound(name, way, node).prepare()
    assert node.path(criu_configuration.DEFAULT).exists() or FreezePolicy.HOOK not in way.policies
