"""The plan of a sample of stacks and runtimes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.errors import UsageError
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.workload import definitions
from tests.run.sample import ADAPTERS, ALONE_FIRST, ALONE_SECOND, ENGINE_FIRST, STACKS, TALKING, cell, ids, sample

TODAY = dt.date(2026, 11, 30)

pytestmark = pytest.mark.usefixtures("_neither_root_nor_processes")


# ---- what is planned


@sample
def test_by_default_everything_is_asked_of_what_the_default_stacks_carry() -> None:
    assert ids() == [*ALONE_FIRST, *ENGINE_FIRST, *ALONE_SECOND]
    assert all(each.restore == each.checkpoint for each in matrix.plan())


@sample
def test_a_stack_or_a_runtime_that_is_not_there_by_default_can_be_asked_for() -> None:
    assert ids(stacks=["spare"]) == [name.replace("first", "spare") for name in ENGINE_FIRST]
    assert ids(stacks=["second"], runtimes=["rare"]) == ["ledger.none.rare@second+commit"]


@sample
def test_a_runtime_alone_is_asked_of_the_stacks_that_carry_it() -> None:
    assert ids(runtimes=["alone"]) == [*ALONE_FIRST, *ALONE_SECOND]
    assert ids(runtimes=["engine/alone"]) == ENGINE_FIRST


@sample
def test_choices_narrow_every_axis() -> None:
    assert ids(stacks=["second", "first"], runtimes=["alone"], policies=["none"]) == [
        "ledger.none.alone@second",
        "ledger.none.alone@first",
    ]


@sample
@pytest.mark.parametrize(
    "choices", [{"runtimes": ["rare"]}, {"policies": ["hook"]}, {"stacks": ["second"], "policies": ["engine"]}]
)
def test_a_choice_that_leaves_nothing_is_an_error(choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^no cell matches --") as raised:
        matrix.plan(**choices)
    assert raised.value.remedy


@sample
@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        (["ledger.none.alone@first"], 1),
        (["ledger.pause.*"], 2),
        (["*.alone@*", "ledger.none.*"], 11),
        (["*:*"], 6),
        (["ledger.[ne]*.engine/alone@*"], 2),
        (["*", "*.pause.*"], 15),
    ],
)
def test_cells_are_picked_by_pattern(patterns: list[str], count: int) -> None:
    assert len(matrix.plan(cells=patterns)) == count


@sample
@pytest.mark.parametrize("name", ["ledger.none.rare@second+commit", "ledger.engine.engine/alone@spare"])
def test_a_cell_can_be_picked_that_is_not_run_by_default(name: str) -> None:
    assert ids(cells=[name]) == [name]


@sample
@pytest.mark.parametrize(
    ("choices", "chosen"),
    [
        ({"cells": ["bind-mount.none.*"]}, ["bind-mount.none.alone@first", "bind-mount.none.alone@second"]),
        ({"cells": ["bind-mount.none.alone@second"]}, ["bind-mount.none.alone@second"]),
        ({"cells": ["bind-mount.none.*"], "stacks": ["second"]}, ["bind-mount.none.alone@second"]),
        ({"cells": ["bind-mount.none.*"], "policies": ["none"], "runtimes": ["alone"], "stacks": ["first"]}, 1),
        ({"cells": ["bind-mount.*.alone@first"]}, ["bind-mount.pause.alone@first"]),
    ],
)
def test_any_workload_under_any_policy_can_be_asked_for_by_name(choices: dict[str, Any], chosen: object) -> None:
    found = ids(**choices)
    assert chosen in (found, len(found))


@sample
def test_a_pattern_that_spells_out_what_is_planned_here_finds_what_is_not_planned_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(TALKING,)))
    assert ids(cells=["bind-mount.cgroup.*", "bind-mount.engine.*"], stacks=["first"]) == [
        "bind-mount.cgroup.engine/alone@first",
        "bind-mount.engine.engine/alone@first",
    ]


@sample
@pytest.mark.parametrize("choices", [{"policies": ["pause"]}, {"runtimes": ["engine/alone"]}])
def test_what_is_spelled_out_does_not_widen_what_else_was_chosen(choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^--\w+ excludes --cell bind-mount\.none\.\*\. Leave "):
        ids(cells=["bind-mount.none.*"], **choices)


@sample
def test_every_cell_has_every_workload_under_every_policy_that_carries_it() -> None:
    found = {each.id for each in matrix.every_cell()}
    assert {"bind-mount.none.alone@first", "bind-mount.pause.alone@first", "ledger.none.rare@spare+commit"} <= found
    assert not any(name.startswith(("shm.", "bind-mount.none.rare")) for name in found), "nobody carries them"
    assert {each.id for each in matrix.default_cells()} < found


@sample
def test_the_choice_that_excludes_a_cell_is_told() -> None:
    with pytest.raises(UsageError, match=r"^--stack excludes --cell ledger\.none\.alone@second\. Leave "):
        matrix.plan(["first"], cells=["ledger.none.alone@second"])


@sample
def test_picked_cells_stay_in_the_order_of_the_plan() -> None:
    assert ids(cells=ids()[::-1]) == ids()


@sample
@pytest.mark.parametrize(
    ("axis", "kind", "wrong", "near"),
    [
        ("stacks", "stack", "frist", "first"),
        ("runtimes", "runtime", "engine-alone", "engine/alone"),
        ("policies", "policy", "paused", "pause"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all_valid_ones(
    axis: str, kind: str, wrong: str, near: str
) -> None:
    valid = {"stacks": [*STACKS], "runtimes": [*ADAPTERS], "policies": [*FreezePolicy]}[axis]
    with pytest.raises(UsageError) as raised:
        ids(**{axis: [wrong]})
    said = str(raised.value)
    assert said.startswith(f"unknown {kind} {wrong!r}. Valid: ")
    assert said.endswith(f"Did you mean {near!r}?")
    assert set(said.partition("Valid: ")[2].partition(". Did you")[0].split(", ")) == set(valid)
    assert raised.value.exit_code == 2


@sample
@pytest.mark.parametrize("wrong", ["ledger.none.alone@sekond", "ledger.nine.alone@*-second"])
def test_an_unknown_cell_is_answered_with_the_five_nearest_ones(wrong: str) -> None:
    with pytest.raises(UsageError, match="unknown cell") as raised:
        ids(cells=[wrong])
    nearest = str(raised.value).partition("Nearest: ")[2].removesuffix(".").split(", ")
    assert nearest[0] == "ledger.none.alone@second"
    assert len(set(nearest)) == matrix.NEAREST
    assert set(nearest) <= {each.id for each in matrix.every_cell()}
    assert raised.value.exit_code == 2


@sample
def test_what_resembles_nothing_is_not_guessed_at() -> None:
    with pytest.raises(UsageError, match=r"^unknown runtime 'xyz'\. Valid: alone, engine/alone, rare\.$"):
        matrix.plan(runtimes=["xyz"])


@sample
@pytest.mark.parametrize("axis", ["stacks", "runtimes", "policies"])
def test_a_name_is_given_once(axis: str) -> None:
    name = {"stacks": "first", "runtimes": "alone", "policies": "none"}[axis]
    with pytest.raises(UsageError, match=f"'{name}' is given twice"):
        ids(**{axis: [name, name]})


@sample
def test_a_stack_that_carries_what_nobody_knows_is_an_error_that_names_it(tmp_path: Path) -> None:
    text = 'name = "first"\ndescription = "A stack"\nsuite = "sid"\nruntimes = ["alnoe"]\n'
    (tmp_path / "first.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="alnoe"):
        matrix.plan()


# ---- a name for each


@pytest.mark.parametrize(
    ("each", "name", "slug"),
    [
        (cell(), "ledger.pause.alone@first", "ledger.pause.alone@first"),
        (
            cell(restore=Participant(runtime="podman/crun", stack="host")),
            "ledger.pause.alone@first~podman/crun@host",
            "ledger.pause.alone@first~podman_crun@host",
        ),
        (
            cell("engine/alone", FreezePolicy.NONE, way="commit", scenario=Scenario.GENERATIONS, workload="volumes"),
            "generations:volumes.none.engine/alone@first+commit",
            "generations_volumes.none.engine_alone@first+commit",
        ),
    ],
)
def test_a_cell_has_a_name_for_command_lines_and_one_for_files(each: Cell, name: str, slug: str) -> None:
    assert (each.id, each.slug) == (name, slug)


# ---- rounds


@sample
def test_only_questions_about_the_moment_are_asked_in_every_round() -> None:
    fewer = matrix.fewer(matrix.plan(["first"], ["alone"]), 10, TODAY)
    assert fewer == dict.fromkeys([ALONE_FIRST[0], *ALONE_FIRST[2:]], 2), "nothing holds the first one still"


@pytest.mark.parametrize(
    ("name", "seldom"),
    [
        ("ledger.engine.docker/runc@debian-trixie", True),
        ("ledger.engine.docker/runc@debian-sid", True),
        ("ledger.engine.runsc@debian-bookworm", True),
        ("ledger.pause.runc@debian-sid", False),
        ("ledger.none.runc@debian-sid", True),
        ("ledger.engine.podman/crun@debian-sid", True),
        ("ledger.cgroup.podman/crun@debian-sid", False),
    ],
)
def test_what_is_expected_to_fail_each_time_is_asked_seldom(name: str, seldom: bool) -> None:
    (asked,) = matrix.plan(cells=[name])
    assert bool(matrix.fewer([asked], 10, TODAY)) is seldom


@pytest.mark.parametrize(("rounds", "left"), [(1, 1), (2, 2), (3, 2), (10, 2), (14, 2), (15, 3), (100, 20)])
def test_every_question_is_asked_twice_at_least_where_there_are_two_rounds(rounds: int, left: int) -> None:
    asked = cell(workload="volumes")
    assert matrix.fewer([asked], rounds, TODAY) == {asked.id: left}


@pytest.mark.parametrize(("rounds", "left"), [(1, 1), (3, 3), (4, 4), (10, 4), (100, 20)])
@pytest.mark.parametrize("scenario", [Scenario.ABANDONED, Scenario.CONCURRENT])
def test_trials_that_differ_from_each_other_are_four(scenario: Scenario, rounds: int, left: int) -> None:
    asked = cell().model_copy(update={"scenario": scenario})
    assert matrix.fewer([asked], rounds, TODAY) == {asked.id: left}


# ---- two sides


def test_everybody_is_asked_to_restore_what_others_of_the_kind_have_checkpointed() -> None:
    stacks = ["debian-trixie", "debian-sid"]
    found = matrix.plan(stacks, ["runc", "crun", "criu"], interop=True)
    sides = {(str(each.checkpoint), str(each.restore)) for each in found}
    raw = [f"{runtime}@{stack}" for runtime in ("runc", "crun") for stack in stacks]
    alone = [f"criu@{stack}" for stack in stacks]
    assert sides == {(one, other) for kind in (raw, alone) for one in kind for other in kind}
    plain = [each for each in found if each.scenario is Scenario.LIVE and not each.way]
    assert len(plain) == len(sides)
    assert {each.policy for each in found} == {FreezePolicy.PAUSE, FreezePolicy.HOOK}


def test_what_is_tried_besides_is_tried_with_two_sides_alone() -> None:
    found = matrix.plan(["debian-trixie", "debian-sid"], ["runc", "criu"], interop=True)
    bridged = [each for each in found if each.scenario is not Scenario.LIVE]
    assert {(each.checkpoint.runtime, each.scenario) for each in bridged} == {
        ("runc", Scenario.MAPPED),
        ("runc", Scenario.TRANSLATED),
        ("criu", Scenario.TRANSLATED),
    }
    assert all(each.checkpoint != each.restore for each in bridged)


def test_engines_of_a_stack_restore_what_others_have_checkpointed_on_the_same_runtime() -> None:
    runtimes = ["podman/runc", "podman/crun", "cri/containerd/runc", "cri/containerd/crun"]
    found = matrix.plan(["debian-sid", "debian-experimental"], runtimes, interop=True)
    across = [each for each in found if each.workload == matrix.ACROSS_ENGINES]
    assert {(str(each.checkpoint), str(each.restore)) for each in across} == {
        (f"{one}/{program}@{stack}", f"{other}/{program}@{stack}")
        for one, other in (("podman", "cri/containerd"), ("cri/containerd", "podman"))
        for program in ("runc", "crun")
        for stack in ("debian-sid", "debian-experimental")
    }
    assert len(across) == 16
    assert {each.scenario for each in across} == {Scenario.LIVE, Scenario.TRANSLATED}
    assert {each.policy for each in across if each.checkpoint.runtime.startswith("podman")} == {FreezePolicy.CGROUP}


def test_engines_of_different_forms_all_carry_the_workload_between_them() -> None:
    workload = definitions.find(matrix.ACROSS_ENGINES)
    ways = [way for adapter in RUNTIMES.values() for way in adapter.ways if way.form]
    assert {way.form for way in ways} == {"podman", "containerd", "crio"}
    assert all(way.kind and way.carries(workload) for way in ways)


def test_a_cell_of_two_sides_can_be_named_by_its_id_alone() -> None:
    name = "ledger.pause.runc@debian-trixie~crun@debian-sid"
    assert [each.id for each in matrix.plan(cells=[name])] == [name]
