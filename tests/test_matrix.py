from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

import pytest

from harness import matrix
from harness.errors import UsageError
from harness.expectations import CONTROLS
from harness.host.process import Executor
from harness.model import Cell, FreezePolicy, Participant
from harness.runtimes import RUNTIMES
from harness.stacks import definition

RUNC = Participant(runtime="runc", stack="debian-sid")
PODMAN = Participant(runtime="podman/crun", stack="host")


@pytest.fixture(autouse=True)
def _neither_root_nor_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Executor, argv: Sequence[str], **__: Any) -> NoReturn:
        raise AssertionError(f"planning started {argv}")

    monkeypatch.setattr(Executor, "run", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_by_default_every_runtime_of_every_stack_is_under_every_policy() -> None:
    cells = matrix.plan()
    assert len(cells) == len({cell.id for cell in cells}) == 24
    assert {cell.checkpoint.stack for cell in cells} == set(matrix.DEFAULT_STACKS)
    assert {cell.checkpoint.runtime for cell in cells} == {"runc", "crun"}
    assert {cell.policy for cell in cells} == set(FreezePolicy)
    assert all(cell.restore == cell.checkpoint for cell in cells)


def test_cells_of_one_participant_are_neighbours() -> None:
    participants = [cell.checkpoint for cell in matrix.plan()]
    changes = sum(left != right for left, right in pairwise(participants))
    assert changes == len(set(participants)) - 1, "each change costs a node"


@pytest.mark.parametrize(
    ("checkpoint", "restore", "name", "slug"),
    [
        (RUNC, RUNC, "ledger.none.runc@debian-sid", "ledger.none.runc@debian-sid"),
        (RUNC, PODMAN, "ledger.none.runc@debian-sid~podman/crun@host", "ledger.none.runc@debian-sid~podman+crun@host"),
    ],
)
def test_a_cell_has_a_name_for_command_lines_and_one_for_files(
    checkpoint: Participant, restore: Participant, name: str, slug: str
) -> None:
    cell = Cell(workload="ledger", policy=FreezePolicy.NONE, checkpoint=checkpoint, restore=restore)
    assert (cell.id, cell.slug) == (name, slug)


def test_choices_narrow_every_axis() -> None:
    cells = matrix.plan(["host", "debian-sid"], ["crun"], ["hook", "none"])
    assert [cell.id for cell in cells] == [
        "ledger.hook.crun@host",
        "ledger.none.crun@host",
        "ledger.hook.crun@debian-sid",
        "ledger.none.crun@debian-sid",
    ]


@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        (["ledger.none.runc@debian-sid"], 1),
        (["*.pause.*"], 6),
        (["*.runc@*", "ledger.none.*"], 15),
        (["ledger.[ch]*.crun@debian-*"], 6),
        (["*", "*.pause.*"], 24),
    ],
)
def test_cells_are_picked_by_pattern(patterns: list[str], count: int) -> None:
    assert len(matrix.plan(cells=patterns)) == count


def test_picked_cells_stay_in_the_order_of_the_plan() -> None:
    every = matrix.plan()
    assert matrix.plan(cells=[cell.id for cell in reversed(every)]) == every


@pytest.mark.parametrize(
    ("axis", "kind", "wrong", "near", "valid"),
    [
        ("stacks", "stack", "debian-triksie", "debian-trixie", definition.available()),
        ("runtimes", "runtime", "rnuc", "runc", list(RUNTIMES)),
        ("policies", "policy", "paused", "pause", list(FreezePolicy)),
        ("cells", "cell", "ledger.none.runc@debian-sit", "ledger.none.runc@debian-sid", [matrix.plan()[-1].id]),
        ("cells", "cell", "ledger.nine.runc@*-sid", "ledger.none.runc@debian-sid", [cell.id for cell in matrix.plan()]),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_all_valid_ones(
    axis: str, kind: str, wrong: str, near: str, valid: list[str]
) -> None:
    with pytest.raises(UsageError) as raised:
        matrix.plan(**{axis: [wrong]})
    said = str(raised.value)
    assert said.startswith(f"unknown {kind} {wrong!r}. Valid: ")
    assert said.endswith(f"Did you mean {near!r}?")
    assert all(name in said.partition("Valid: ")[2].partition(" Did you")[0] for name in valid)
    assert raised.value.exit_code == 2


def test_what_resembles_nothing_is_not_guessed_at() -> None:
    with pytest.raises(UsageError, match=r"^unknown runtime 'podman'\. Valid: crun, runc\.$"):
        matrix.plan(runtimes=["podman"])


@pytest.mark.parametrize("axis", ["stacks", "runtimes", "policies"])
def test_a_name_is_given_once(axis: str) -> None:
    name = {"stacks": "host", "runtimes": "runc", "policies": "none"}[axis]
    with pytest.raises(UsageError, match=f"'{name}' is given twice"):
        matrix.plan(**{axis: [name, name]})


def test_every_participant_has_every_control_on_a_container_that_is_held_still() -> None:
    controls = matrix.controls(matrix.plan(["host"], cells=["*.none.*"]))
    assert {control.cell.policy for control in controls} == {FreezePolicy.PAUSE}
    assert [(control.cell.checkpoint.runtime, control.name) for control in controls] == [
        (runtime, name) for runtime in ("runc", "crun") for name in CONTROLS
    ]
    assert matrix.controls(()) == ()
