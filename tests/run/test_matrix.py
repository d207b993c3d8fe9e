"""The plan of a sample of stacks and runtimes."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from harness.host.process import Executor
from harness.model import expectations
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario, SurfaceKind
from harness.model.controls import CONTROLS, Control, ControlKind, Ground
from harness.model.errors import UsageError
from harness.model.expectations import MOVING, OUTSIDE, STILL, About, Declaration, Declared
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome
from harness.run import matrix
from harness.runtimes import RUNTIMES, way_of
from harness.runtimes.contract import Way
from harness.stacks import definition
from harness.workload import definitions
from harness.workload.definitions import available, find

TODAY = dt.date(2026, 11, 23)
BOTH = (Scenario.PAUSED, Scenario.GENERATIONS)
ALONE = Way(
    policies=(FreezePolicy.NONE, FreezePolicy.PAUSE),
    surfaces=frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS, SurfaceKind.BIND}),
    leaves_disk=True,
    scenarios=BOTH,
)
ENGINE = Way(
    policies=(FreezePolicy.ENGINE,),
    still=FreezePolicy.ENGINE,
    surfaces=frozenset(SurfaceKind) - {SurfaceKind.SHM, SurfaceKind.DELETED, SurfaceKind.STDOUT},
    outside=frozenset({SurfaceKind.BIND, SurfaceKind.NAMED_VOLUME}),
    scenarios=BOTH,
    controls=("fresh-start", "stopped-workload"),
)
COMMIT = Way(
    name="commit", policies=(FreezePolicy.NONE,), still=FreezePolicy.NONE, leaves_disk=True, controls=("fresh-start",)
)
ADAPTERS = {
    "alone": SimpleNamespace(name="alone", ways=(ALONE,)),
    "engine/alone": SimpleNamespace(name="engine/alone", ways=(ENGINE, COMMIT)),
    "rare": SimpleNamespace(name="rare", ways=(COMMIT,)),
}
STACKS = {"first": ["alone", "engine/alone"], "second": ["alone"], "spare": ["engine/alone"]}
TALKING = replace(
    ENGINE,
    policies=(FreezePolicy.ENGINE, FreezePolicy.CGROUP),
    still=FreezePolicy.CGROUP,
    surfaces=frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS, SurfaceKind.BIND, SurfaceKind.STDOUT}),
    outside=frozenset({SurfaceKind.BIND}),
    scenarios=(),
)
SAMPLE = {
    "ledger": {SurfaceKind.ADDED, SurfaceKind.TMPFS},
    "bind-mount": {SurfaceKind.ADDED, SurfaceKind.BIND},
    "shm": {SurfaceKind.SHM},
}


@pytest.fixture(autouse=True)
def _neither_root_nor_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Executor, argv: Sequence[str], **__: Any) -> NoReturn:
        raise AssertionError(f"planning started {argv}")

    monkeypatch.setattr(Executor, "run", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def _sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks, adapters and workloads of the sample, without known issues."""
    for name, runtimes in STACKS.items():
        text = f'name = "{name}"\ndescription = "A stack"\nsuite = "sid"\nruntimes = {runtimes}\n'
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    for name in list(RUNTIMES):
        monkeypatch.delitem(RUNTIMES, name)
    for name, adapter in ADAPTERS.items():
        monkeypatch.setitem(RUNTIMES, name, adapter)
    folders = {name: folder for name, folder in available().items() if name in SAMPLE}
    monkeypatch.setattr(definition, "folder", lambda: tmp_path)
    monkeypatch.setattr(matrix, "DEFAULT_STACKS", ("first", "second"))
    monkeypatch.setattr(definitions, "available", lambda: folders)
    monkeypatch.setattr(expectations, "declared", lambda: ())


sample = pytest.mark.usefixtures("_sample")


def ids(**choices: Any) -> list[str]:
    return [cell.id for cell in matrix.plan(**choices)]


def cell(runtime: str = "alone", policy: FreezePolicy = FreezePolicy.PAUSE, **changes: Any) -> Cell:
    who = Participant(runtime=runtime, stack="first")
    return Cell(**{"workload": "ledger", "policy": policy, "checkpoint": who, "restore": who} | changes)


def declare(
    monkeypatch: pytest.MonkeyPatch,
    review: dt.date,
    cells: tuple[str, ...] = ("*",),
    outcome: Outcome = Outcome.HUNG,
) -> None:
    known = Declaration(
        match=cells,
        outcome=outcome,
        reason="so it is",
        link="https://example.org/1",
        owner="nobody",
        added=TODAY,
        review_by=review,
    )
    found = Declared(about=About.CELLS, declaration=known, where="a.toml:1-9")
    monkeypatch.setattr(expectations, "declared", lambda: (found,))


ALONE_FIRST = [
    "ledger.none.alone@first",
    "ledger.pause.alone@first",
    "bind-mount.pause.alone@first",
    "paused:ledger.pause.alone@first",
    "generations:ledger.pause.alone@first",
]
ENGINE_FIRST = [
    "ledger.engine.engine/alone@first",
    "bind-mount.engine.engine/alone@first",
    "paused:ledger.engine.engine/alone@first",
    "generations:ledger.engine.engine/alone@first",
    "ledger.none.engine/alone@first+commit",
]
ALONE_SECOND = [name.replace("first", "second") for name in ALONE_FIRST]


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
    with pytest.raises(UsageError, match="no cell matches these options") as raised:
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
    with pytest.raises(UsageError, match="unknown cell"):
        ids(cells=["bind-mount.none.*"], **choices)


@sample
def test_every_cell_has_every_workload_under_every_policy_that_carries_it() -> None:
    found = {each.id for each in matrix.every_cell()}
    assert {"bind-mount.none.alone@first", "bind-mount.pause.alone@first", "ledger.none.rare@spare+commit"} <= found
    assert not any(name.startswith(("shm.", "bind-mount.none.rare")) for name in found), "nobody carries them"
    assert {each.id for each in matrix.default_cells()} < found


@sample
def test_a_cell_that_is_not_among_the_chosen_is_unknown() -> None:
    with pytest.raises(UsageError, match="unknown cell"):
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


# ---- workloads with further cells


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample with both workloads that print, and an engine that logs output but no terminal."""
    kept = available()
    folders = Path(definitions.__file__).resolve().parents[2] / "workloads"
    printing = {name: folders / name for name in ("chatty", "chatty-tty")}
    monkeypatch.setattr(definitions, "available", lambda: kept | printing)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(TALKING,)))


@sample
def test_what_prints_is_asked_under_every_policy_where_a_log_is_kept(printing: None) -> None:
    found = [name for name in ids() if "chatty" in name]
    assert found == ["chatty.engine.engine/alone@first", "chatty.cgroup.engine/alone@first"]


@sample
def test_what_prints_to_a_terminal_is_asked_where_there_is_one(printing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    way = replace(TALKING, terminal=True)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(way,)))
    assert [name for name in ids() if "chatty-tty" in name] == ["chatty-tty.cgroup.engine/alone@first"]


@sample
@pytest.mark.parametrize(("outside", "expectation"), [(frozenset(), STILL), ({SurfaceKind.STDOUT}, OUTSIDE)])
def test_a_log_that_is_not_in_the_checkpoint_is_expected_to_be_told(
    printing: None, monkeypatch: pytest.MonkeyPatch, outside: frozenset[SurfaceKind], expectation: object
) -> None:
    way = replace(TALKING, outside=outside)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(way,)))
    for each in matrix.plan(cells=["chatty.*"]):
        assert matrix.expected(each, TODAY) == expectation


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


# ---- controls


@sample
def test_every_participant_has_the_controls_that_can_be_played_on_it() -> None:
    found = matrix.controls(matrix.plan(cells=["ledger.none.*@first*"]), TODAY, full=False)
    assert [(control.name, control.cell.id) for control in found] == [
        ("canary", "ledger.none.alone@first"),
        *((name, "ledger.pause.alone@first") for name in CONTROLS),
        ("fresh-start", "ledger.engine.engine/alone@first"),
        ("stopped-workload", "ledger.engine.engine/alone@first"),
    ]
    assert matrix.controls((), TODAY, full=False) == ()


def played(cells: Sequence[Cell]) -> list[Control]:
    found = matrix.controls(cells, TODAY, full=False)
    return [control for control in found if control.kind is ControlKind.CONTROL]


@sample
def test_the_canary_is_a_cell_that_must_come_out_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = [each for each in matrix.controls([cell()], TODAY, full=False) if each.kind is ControlKind.CANARY]
    assert matrix.expected(told.cell, TODAY) == MOVING
    assert told.cell.checkpoint.stack == cell().checkpoint.stack
    assert (told.outcome, told.anomaly) == (Outcome.INCONSISTENT, Anomaly.DISK_AHEAD)


def test_mutants_are_played_once_each_beside_a_neighbour_where_they_can_be() -> None:
    cells = matrix.plan(["debian-sid", "debian-trixie"], ["podman/crun"])
    every = matrix.controls(cells, TODAY, full=True)
    mutants = [each for each in every if each.kind is ControlKind.MUTANT]
    neutral = [each for each in every if each.kind is ControlKind.NEUTRAL]
    assert [each.name for each in mutants] == [each.name for each in neutral] == [proof.name for proof in MUTANTS]
    played_on = {proof.name: str(each.cell.checkpoint) for proof, each in zip(MUTANTS, mutants, strict=True)}
    assert played_on == {str(each.name): str(each.cell.checkpoint) for each in neutral}
    grounds = {Ground.FOLDERS: "runc@debian-sid", Ground.ARCHIVES: "podman/runc@debian-sid"}
    assert played_on == {proof.name: grounds[proof.ground] for proof in MUTANTS}
    assert len({each.id for each in (*mutants, *neutral)}) == 2 * len(MUTANTS)
    assert {each.outcome for each in neutral} == {Outcome.CONSISTENT}
    assert Outcome.CONSISTENT not in {each.outcome for each in mutants}


def test_what_a_neighbour_is_played_on_is_expected_to_be_consistent() -> None:
    for each in matrix.controls(matrix.plan(["debian-sid"]), TODAY, full=True):
        if each.kind is ControlKind.NEUTRAL:
            assert matrix.expected(each.cell, TODAY).outcome is Outcome.CONSISTENT


@sample
def test_controls_are_played_in_the_way_in_which_scenarios_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "alone", SimpleNamespace(name="alone", ways=(COMMIT, ENGINE)))
    controls = played([cell()])
    assert {control.cell.policy for control in controls} == {FreezePolicy.ENGINE}


@sample
@pytest.mark.parametrize(
    ("impossible", "where"),
    [
        (["*.engine/alone@first"], "ledger.none.engine/alone@first+commit"),
        (["*+commit"], "ledger.engine.engine/alone@first"),
        (["*"], "ledger.engine.engine/alone@first"),
    ],
)
def test_controls_are_not_played_in_a_way_that_is_known_not_to_be_there(
    monkeypatch: pytest.MonkeyPatch, impossible: list[str], where: str
) -> None:
    declare(monkeypatch, TODAY, cells=tuple(impossible), outcome=Outcome.UNSUPPORTED)
    controls = played([cell("engine/alone", FreezePolicy.ENGINE)])
    assert {control.cell.id for control in controls} == {where}
    assert {control.name for control in controls} == set((COMMIT if "+" in where else ENGINE).controls)


# ---- rounds


@sample
def test_only_questions_about_the_moment_are_asked_in_every_round() -> None:
    fewer = matrix.fewer(matrix.plan(["first"], ["alone"]), 10)
    assert fewer == dict.fromkeys(ALONE_FIRST[2:], 2)


@pytest.mark.parametrize(("rounds", "left"), [(1, 1), (2, 2), (3, 2), (10, 2), (14, 2), (15, 3), (100, 20)])
def test_every_question_is_asked_twice_at_least_where_there_are_two_rounds(rounds: int, left: int) -> None:
    asked = cell(workload="volumes")
    assert matrix.fewer([asked], rounds) == {asked.id: left}


# ---- what is expected


@sample
@pytest.mark.parametrize(
    ("each", "expectation"),
    [
        (cell(policy=FreezePolicy.NONE), MOVING),
        (cell(policy=FreezePolicy.PAUSE), STILL),
        (cell("engine/alone", FreezePolicy.ENGINE), STILL),
        (cell("engine/alone", FreezePolicy.NONE, way="commit"), MOVING),
        (cell(workload="bind-mount"), OUTSIDE),
        (cell(policy=FreezePolicy.NONE, workload="bind-mount"), MOVING),
        (cell("engine/alone", FreezePolicy.ENGINE, workload="bind-mount"), OUTSIDE),
        (cell(scenario=Scenario.PAUSED), STILL),
        (cell(scenario=Scenario.PAUSED, policy=FreezePolicy.NONE), STILL),
    ],
    ids=lambda value: value.id if isinstance(value, Cell) else value.outcome,
)
def test_what_is_expected_follows_from_who_holds_still_and_what_is_captured(
    each: Cell, expectation: expectations.Expectation
) -> None:
    assert matrix.expected(each, TODAY) == expectation


def test_only_what_must_move_proves_that_the_instrument_sees() -> None:
    assert (MOVING.outcome, MOVING.anomaly) == (Outcome.INCONSISTENT, Anomaly.DISK_AHEAD)
    assert [each.control for each in (MOVING, STILL, OUTSIDE)] == [True, False, False]


@sample
@pytest.mark.parametrize("policy", [FreezePolicy.NONE, FreezePolicy.PAUSE])
def test_what_is_declared_prevails(monkeypatch: pytest.MonkeyPatch, policy: FreezePolicy) -> None:
    declare(monkeypatch, TODAY)
    assert matrix.expected(cell(policy=policy), TODAY).outcome is Outcome.HUNG


@sample
def test_past_its_review_what_is_declared_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, TODAY - dt.timedelta(days=1))
    found = matrix.expected(cell(), TODAY)
    assert (found.outcome, found.overdue) == (Outcome.HUNG, True)


def test_names_in_ids_are_explained() -> None:
    cells = [
        cell("docker/runc", FreezePolicy.PAUSE, way="commit"),
        cell("docker/runc", FreezePolicy.ENGINE, way="commit", workload="shm"),
        cell("runc", FreezePolicy.NONE),
    ]
    assert matrix.words(cells) == {
        "ledger": find("ledger").description,
        "shm": find("shm").description,
        "docker/runc+commit": way_of("docker/runc", "commit").what,
        "runc": way_of("runc", "").what,
    }


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


def test_a_cell_of_two_sides_can_be_named_by_its_id_alone() -> None:
    name = "ledger.pause.runc@debian-trixie~crun@debian-sid"
    assert [each.id for each in matrix.plan(cells=[name])] == [name]
