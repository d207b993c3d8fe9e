"""The instrument's own proof: canary, controls, mutants and their neighbours."""

from __future__ import annotations

import pytest

from harness.model.controls import CANARY, Control, ControlKind
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from reports.analysis.tables import RunSummary
from reports.words.proof import escaped, score
from tests.reports.synthetic import CRASH, MOVING, STILL, crashed, moving, plan, record, summary

CONSISTENT, ERROR = Outcome.CONSISTENT, Outcome.HARNESS_ERROR


def proven(*, overlooked: str = "", alarm: str = "", canary: Outcome = Outcome.INCONSISTENT) -> RunSummary:
    """Return a run of two mutants with their neighbours, and a canary."""
    proofs = [proof for proof in MUTANTS if proof.name in ("ring-torn", "leaves-mount")]
    controls = [CANARY.control(MOVING, ControlKind.CANARY)]
    played = [record(MOVING, outcome=canary, control="canary", anomalies=(Anomaly.DISK_AHEAD,))]
    for proof in proofs:
        controls += [proof.control(STILL, ControlKind.MUTANT), proof.neighbour(STILL)]
        outcome = CONSISTENT if proof.name == overlooked else proof.outcome
        anomalies = (proof.anomaly,) if proof.anomaly else ()
        told = record(STILL, outcome=outcome, control=proof.name, reason="left behind: mount /mnt", anomalies=anomalies)
        neutral = Outcome.LEAKED if proof.name == alarm else CONSISTENT
        played += [told, record(STILL, outcome=neutral, control=f"{proof.name}.neutral")]
    promised = plan((MOVING, STILL), 1).model_copy(update={"controls": tuple(controls)})
    return summary(promised, [moving(MOVING), record(STILL), *played])


def test_a_proof_that_holds_is_told_with_its_score() -> None:
    found = proven()
    assert found.conclusion.exit_code == 0
    assert score(found) == (
        "canary: red, as it must be: inconsistent",
        "controls: none ran",
        "mutants: detected 2/2, false alarms 0/2",
    )
    assert [each.neutral is not None for each in found.mutants] == [True, True]


def test_a_mutant_that_escapes_spoils_the_run() -> None:
    found = proven(overlooked="ring-torn")
    assert found.conclusion.exit_code == 4
    assert f"mutant ring-torn on {STILL.id}" in found.conclusion.sentence
    assert "detected 1/2" in score(found)[-1]


def test_a_false_alarm_spoils_the_run() -> None:
    found = proven(alarm="leaves-mount")
    assert found.conclusion.exit_code == 4
    assert f"neutral leaves-mount on {STILL.id}" in found.conclusion.sentence
    assert "false alarms 1/2" in score(found)[-1]


def test_what_did_not_take_place_is_no_false_alarm_and_told_in_one_line() -> None:
    controls = tuple(
        Control(name=f"{name}{number}", cell=STILL, kind=kind, outcome=outcome)
        for number in range(3)
        for name, kind, outcome in [
            ("ring-byte", ControlKind.CONTROL, Outcome.INCONSISTENT),
            ("ring-torn", ControlKind.MUTANT, Outcome.INCONSISTENT),
            ("ring-torn", ControlKind.NEUTRAL, CONSISTENT),
        ]
    )
    promised = plan((STILL,), 1).model_copy(update={"controls": controls})
    played = [
        record(STILL, control=controls[0].id, outcome=Outcome.INCONSISTENT),
        record(STILL, control=controls[1].id, outcome=Outcome.INCONSISTENT),
        record(STILL, control=controls[2].id),
    ]
    found = summary(promised, [record(STILL), *played])
    assert found.conclusion.exit_code == 3
    assert score(found) == (
        "controls: 1 of 1 detected (2 not run)",
        "mutants: detected 1/1 (2 not run), false alarms 0/1 (2 not run)",
    )
    assert list(escaped(found)) == [
        (f"control ring-byte1 on {STILL.id} and 5 more: NOT RUN: missing (planned and not received)", 3)
    ]


@pytest.mark.parametrize(
    ("outcome", "code"), [(CONSISTENT, 4), (Outcome.VACUOUS, 4), (ERROR, 4), (Outcome.UNSUPPORTED, 3)]
)
def test_a_canary_that_is_not_red_spoils_the_run(outcome: Outcome, code: int) -> None:
    found = proven(canary=outcome)
    assert found.conclusion.exit_code == code
    assert score(found)[0].startswith("canary: not run" if code == 3 else "canary: NOT RED")


UNPLAYED = Control(name="ring-torn", cell=STILL, kind=ControlKind.MUTANT, outcome=Outcome.INCONSISTENT)


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.CHECKPOINT_FAILED, 1), (Outcome.HUNG, 1), (ERROR, 3), (CONSISTENT, 3)]
)
@pytest.mark.parametrize("kind", [ControlKind.MUTANT, ControlKind.NEUTRAL, ControlKind.CONTROL, ControlKind.CANARY])
def test_a_control_that_a_failure_of_the_runtime_ended_before_its_fault_is_the_runtimes(
    kind: ControlKind, outcome: Outcome, code: int
) -> None:
    control = UNPLAYED.model_copy(update={"kind": kind, "outcome": Outcome.INCONSISTENT})
    ended = record(STILL, control=control.id, outcome=outcome).model_copy(update={"played": False})
    found = summary(plan((STILL,), 1).model_copy(update={"controls": (control,)}), [record(STILL), ended])
    assert found.conclusion.exit_code == code
    assert control.cell.id in found.conclusion.sentence


def test_a_control_that_a_known_crash_ended_is_proved_by_its_next_trial() -> None:
    promised = plan((STILL,), 1).model_copy(update={"controls": (UNPLAYED,), "crashes": (CRASH,)})
    ended = crashed(record(STILL, control="ring-torn"))
    played = record(STILL, 1, Outcome.INCONSISTENT, control="ring-torn")
    cells = [record(STILL)]
    assert summary(promised, [*cells, ended, played]).conclusion.exit_code == 0
    assert summary(promised, [*cells, ended]).conclusion.exit_code == 3
    escaped_then = played.model_copy(update={"verdict": record(STILL).verdict})
    assert summary(promised, [*cells, ended, escaped_then]).conclusion.exit_code == 4


@pytest.mark.parametrize(
    ("kind", "stage", "code"),
    [
        (ControlKind.CANARY, Stage.PREPARE, 3),
        (ControlKind.MUTANT, Stage.PREPARE, 3),
        (ControlKind.MUTANT, Stage.START, 3),
        (ControlKind.MUTANT, Stage.RESTORE, 4),
        (ControlKind.NEUTRAL, Stage.PREPARE, 3),
        (ControlKind.CONTROL, Stage.RESTORE, 3),
    ],
)
def test_what_could_not_be_played_says_nothing_about_the_instrument(kind: ControlKind, stage: Stage, code: int) -> None:
    control = Control(name="ring-torn", cell=STILL, kind=kind, outcome=Outcome.INCONSISTENT)
    verdict = Verdict(outcome=ERROR, stage=stage, reason="the stack debian-sid cannot be built")
    played = record(STILL, control=control.id).model_copy(update={"verdict": verdict})
    promised = plan((STILL,), 1).model_copy(update={"controls": (control,)})
    assert summary(promised, [record(STILL), played]).conclusion.exit_code == code
