"""The controls that are planned."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from harness.model.cells import Cell, FreezePolicy
from harness.model.controls import CONTROLS, LOOPBACK_DOWN, Control, ControlKind, Ground
from harness.model.expectations import MOVING, ONE_AFTER_ANOTHER
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome
from harness.run import matrix, proof
from harness.runtimes import RUNTIMES
from tests.run.sample import COMMIT, ENGINE, TODAY, cell, declare, sample

pytestmark = pytest.mark.usefixtures("_neither_root_nor_processes")


@sample
def test_every_participant_has_the_controls_that_can_be_played_on_it() -> None:
    found = proof.controls(matrix.plan(cells=["ledger.none.*@first*"]), TODAY, full=False)
    assert [(control.name, control.cell.id) for control in found] == [
        ("canary", "ledger.none.alone@first"),
        *((name, "ledger.pause.alone@first") for name in CONTROLS),
        ("fresh-start", "ledger.engine.engine/alone@first"),
        ("stopped-workload", "ledger.engine.engine/alone@first"),
    ]
    assert proof.controls((), TODAY, full=False) == ()


def played(cells: Sequence[Cell]) -> list[Control]:
    found = proof.controls(cells, TODAY, full=False)
    return [control for control in found if control.kind is ControlKind.CONTROL]


@sample
def test_the_canary_is_a_cell_that_must_come_out_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = [each for each in proof.controls([cell()], TODAY, full=False) if each.kind is ControlKind.CANARY]
    assert matrix.expected(told.cell, TODAY) == MOVING
    assert told.cell.checkpoint.stack == cell().checkpoint.stack
    assert (told.outcome, told.anomaly) == (Outcome.INCONSISTENT, Anomaly.DISK_AHEAD)


def test_where_nothing_but_a_group_must_come_out_wrong_it_is_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_neighbours", lambda cells: (cells[0].checkpoint,))
    cells = matrix.plan(["host"], ["cri/crio/runc"], cells=["pod-frozen:*"])
    (told,) = [each for each in proof.controls(cells, TODAY, full=False) if each.kind is ControlKind.CANARY]
    assert told.cell.id == "group:pair.engine.cri/crio/runc@host"
    assert matrix.expected(told.cell, TODAY) == ONE_AFTER_ANOTHER
    assert (told.outcome, told.anomaly) == (Outcome.INCONSISTENT, Anomaly.CONTAINERS_DISAGREE)


def test_mutants_are_played_once_each_beside_a_neighbour_where_they_can_be() -> None:
    cells = matrix.plan(["debian-sid", "debian-trixie"], ["podman/crun"])
    every = proof.controls(cells, TODAY, full=True)
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
    for each in proof.controls(matrix.plan(["debian-sid"]), TODAY, full=True):
        if each.kind is ControlKind.NEUTRAL and each.name != LOOPBACK_DOWN.name:  # which mends what runc leaves down
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
