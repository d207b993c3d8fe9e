"""What a run comes to: its exit code, and the sentence that says why."""

from __future__ import annotations

import pytest

from harness.model.cells import FreezePolicy
from harness.model.controls import CONTROLS, ControlKind
from harness.model.errors import Exit
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.expectations import Expectation
from harness.model.outcomes import Anomaly, Outcome
from harness.records.record import Record
from reports.analysis.cells import judge
from reports.analysis.tables import summarise
from reports.words.cells import mark
from reports.words.outcomes import expectation
from tests.reports.synthetic import (
    MOVING,
    STILL,
    cell,
    closing,
    expected_run,
    matrix,
    moving,
    of_still,
    plan,
    record,
    run,
    summary,
    summary_of,
)

CONSISTENT, ERROR = Outcome.CONSISTENT, Outcome.HARNESS_ERROR


def test_all_as_expected() -> None:
    found = summary(plan(matrix()), expected_run(matrix()))
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert found.conclusion.sentence == "All 24 cells are as expected, in 120 trials."
    assert all(each.as_expected for each in found.cells)


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([moving(MOVING), record(STILL)], 0),
        ([record(MOVING), record(STILL)], 4),
        ([record(MOVING, outcome=Outcome.INCONSISTENT, anomalies=(Anomaly.DISK_BEHIND,)), record(STILL)], 4),
        ([record(MOVING, outcome=ERROR), record(STILL)], 3),
        ([record(MOVING, outcome=Outcome.UNSUPPORTED), record(STILL)], 3),
        ([record(STILL)], 3),
        ([moving(MOVING)], 3),
        ([moving(MOVING), record(STILL, outcome=ERROR)], 3),
        ([moving(MOVING), record(STILL, outcome=Outcome.UNSUPPORTED)], 3),
        ([moving(MOVING), moving(STILL)], 1),
        ([moving(MOVING), record(STILL, outcome=Outcome.NOT_CAPTURED)], 1),
        ([moving(MOVING), record(STILL), moving(STILL, 1)], 1),
        ([], 3),
    ],
)
def test_exit_code(records: list[Record], code: int) -> None:
    assert run(*records).conclusion.exit_code == code


def test_a_run_that_stopped_early_is_incomplete() -> None:
    found = run(moving(MOVING), record(STILL), rounds=2)
    assert found.conclusion.exit_code == 3
    assert found.conclusion.sentence.startswith("2 of 2 cells with incomplete evidence: ")


def test_a_violation_that_was_outdone_by_worse_is_no_blindness() -> None:
    trial = moving(MOVING)
    verdict = trial.verdict.model_copy(update={"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)})
    found = run(trial.model_copy(update={"verdict": verdict}), record(STILL))
    assert found.conclusion.exit_code == 1
    assert found.cells[0].findings == {Outcome.INCONSISTENT: 1, Outcome.LEAKED: 1}


def test_a_control_may_find_more_than_it_has_to() -> None:
    trial = record(STILL, outcome=Outcome.LEAKED, control="garbage-image")
    verdict = trial.verdict.model_copy(update={"also": (Outcome.RESTORE_FAILED,)})
    found = run(moving(MOVING), record(STILL), trial.model_copy(update={"verdict": verdict}))
    assert found.conclusion.exit_code == 0


def test_better_than_expected_is_unexpected_too() -> None:
    known = SHOULD_BE_STILL.model_copy(update={"outcome": Outcome.RESTORE_FAILED})
    assert of_still(CONSISTENT, should=known).exit_code is Exit.UNEXPECTED
    assert of_still(Outcome.RESTORE_FAILED, should=known).exit_code is Exit.EXPECTED


def test_a_known_issue_needs_its_signature() -> None:
    known = SHOULD_BE_STILL.model_copy(update={"outcome": Outcome.RESTORE_FAILED, "signature": "magic mismatch"})
    trial = record(STILL, outcome=Outcome.RESTORE_FAILED)
    assert judge(trial.verdict, (), known) is Exit.UNEXPECTED
    assert judge(trial.verdict, ("vdso: ELF header magic mismatch",), known) is Exit.EXPECTED


@pytest.mark.parametrize(
    ("name", "outcome", "code"),
    [
        ("fresh-start", Outcome.COLD_START, 0),
        ("ring-byte", Outcome.INCONSISTENT, 0),
        ("garbage-image", Outcome.RESTORE_FAILED, 0),
        ("stopped-workload", Outcome.VACUOUS, 0),
        ("fresh-start", CONSISTENT, 4),
        ("ring-byte", Outcome.VACUOUS, 4),
        ("ring-byte", ERROR, 3),
        ("ring-byte", Outcome.UNSUPPORTED, 3),
        ("a-name-that-nobody-knows", Outcome.VACUOUS, 4),
    ],
)
def test_a_control_that_is_not_detected_spoils_the_run(name: str, outcome: Outcome, code: int) -> None:
    control = CONTROLS[name].control(STILL, ControlKind.CONTROL) if name in CONTROLS else None
    promised = plan((MOVING, STILL), 1).model_copy(update={"controls": (control,) if control else ()})
    anomalies = (Anomaly.TORN,) if outcome is Outcome.INCONSISTENT else ()
    played = record(STILL, outcome=outcome, control=name, anomalies=anomalies)
    found = summary(promised, [moving(MOVING), record(STILL), played])
    assert found.conclusion.exit_code == code
    assert (name in found.conclusion.sentence) == bool(code)
    assert found.cells[1].n == 1, "a control is no trial of its cell"


def test_a_planned_control_that_did_not_run_is_missing() -> None:
    controls = tuple(CONTROLS[name].control(STILL, ControlKind.CONTROL) for name in ("ring-byte", "fresh-start"))
    promised = plan((MOVING, STILL), 1).model_copy(update={"controls": controls})
    came = record(STILL, outcome=Outcome.INCONSISTENT, control="ring-byte", anomalies=(Anomaly.TORN,))
    found = summary(promised, [moving(MOVING), record(STILL), came])
    assert [(each.control.name, each.detected) for each in found.controls] == [
        ("ring-byte", True),
        ("fresh-start", False),
    ]
    assert found.conclusion.exit_code == 3
    assert found.conclusion.sentence == f"1 of 2 controls did not run: control fresh-start on {STILL.id}."


def test_a_run_that_left_something_on_the_host_is_red() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING), record(STILL)], closing("cgroup /x", "mount /y"))
    assert found.conclusion.exit_code == 1
    assert found.conclusion.sentence == "Left behind on the host: cgroup /x, mount /y."


def test_a_run_that_was_killed_is_incomplete() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING), record(STILL)], None)
    assert found.conclusion.exit_code == 3


SOMETIMES = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    rate=(0.1, 0.4),
    reason="a race",
    link="https://x.example/1",
)


def flaky(shown: int, clean: int, *others: Outcome, should: Expectation = SOMETIMES) -> Exit:
    trials = [moving(STILL, number) for number in range(shown)]
    trials += [record(STILL, shown + number) for number in range(clean)]
    trials += [record(STILL, shown + clean + number, outcome) for number, outcome in enumerate(others)]
    return summary_of(*trials, should=should).exit_code


@pytest.mark.parametrize(
    ("shown", "clean", "code"),
    [
        (1, 0, Exit.EXPECTED),
        (3, 0, Exit.EXPECTED),
        (4, 0, Exit.EXPECTED),
        (5, 0, Exit.UNEXPECTED),
        (0, 5, Exit.EXPECTED),
        (0, 35, Exit.EXPECTED),
        (0, 36, Exit.UNEXPECTED),
        (2, 8, Exit.EXPECTED),
        (12, 48, Exit.EXPECTED),
        (50, 10, Exit.UNEXPECTED),
        (1, 199, Exit.UNEXPECTED),
    ],
)
def test_an_issue_that_shows_sometimes_may_until_the_evidence_contradicts(shown: int, clean: int, code: Exit) -> None:
    assert flaky(shown, clean) is code


def test_whatever_else_happens_is_judged_as_ever() -> None:
    assert flaky(1, 4, Outcome.LEAKED) is Exit.UNEXPECTED
    assert flaky(1, 4, ERROR) is Exit.INCOMPLETE
    assert flaky(0, 0, ERROR) is Exit.INCOMPLETE
    assert flaky(1, 4, Outcome.NOT_CAPTURED) is Exit.UNEXPECTED
    assert flaky(1, 4, Outcome.INCONSISTENT) is Exit.UNEXPECTED, "another anomaly is another issue"
    besides = SOMETIMES.model_copy(update={"besides": (Outcome.LEAKED,)})
    assert flaky(1, 4, Outcome.LEAKED, should=besides) is Exit.EXPECTED
    assert flaky(0, 0, *[Outcome.LEAKED] * 36, should=besides) is Exit.UNEXPECTED, "it counts as a clean trial"


def test_an_issue_shows_also_where_a_declared_companion_is_worse() -> None:
    always = SOMETIMES.model_copy(update={"rate": None, "besides": (Outcome.LEAKED,)})
    shown = moving(STILL, 0)
    both = {"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)}
    worse = shown.model_copy(update={"verdict": shown.verdict.model_copy(update=both)})
    assert summary_of(worse, should=always).exit_code is Exit.EXPECTED
    assert summary_of(worse, should=always.model_copy(update={"besides": ()})).exit_code is Exit.UNEXPECTED
    alone = worse.verdict.model_copy(update={"also": ()})
    assert summary_of(worse.model_copy(update={"verdict": alone}), should=always).exit_code is Exit.UNEXPECTED


def test_an_issue_that_shows_sometimes_says_so() -> None:
    cell = summary_of(record(STILL), should=SOMETIMES)
    assert mark(cell) == "known"
    assert expectation(SOMETIMES) == "inconsistent disk-ahead in 10.0-40.0 % of the trials"


def test_what_prevails() -> None:
    other, third = cell(runtime="crun"), cell(runtime="crun", policy=FreezePolicy.HOOK)
    cells = (MOVING, STILL, other, third)
    incomplete, unexpected, blind = record(third, outcome=ERROR), moving(STILL), record(MOVING)
    codes = [
        run(blind, unexpected, record(other), incomplete, cells=cells),
        run(moving(MOVING), unexpected, record(other), incomplete, cells=cells),
        run(moving(MOVING), record(STILL), record(other), incomplete, cells=cells),
    ]
    assert [each.conclusion.exit_code for each in codes] == [4, 1, 3]
    sentence = codes[0].conclusion.sentence
    positions = [sentence.index(each.id) for each in (MOVING, STILL, third)]
    assert positions == sorted(positions), "the finding that prevails comes first"


def test_one_bad_trial_of_many_decides() -> None:
    assert of_still(CONSISTENT, Outcome.INCONSISTENT, CONSISTENT, ERROR).exit_code is Exit.UNEXPECTED


def test_nothing_planned_is_not_a_success() -> None:
    assert run(cells=()).conclusion.exit_code == Exit.INCOMPLETE


def test_a_sentence_does_not_name_everything() -> None:
    some = [cell(runtime=f"r{number}") for number in range(9)]
    (finding,) = run(*map(moving, some), cells=tuple(some)).conclusion.findings
    assert len(finding.cells) == 9
    assert str(finding).endswith("ledger.pause.r5@debian-sid and 3 more.")


# ---- interrupted

INTERRUPTED = closing().model_copy(update={"interrupted": "SIGINT"})


def test_an_interrupted_run_is_incomplete_and_its_missing_cells_are_counted() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING)], INTERRUPTED)
    assert found.conclusion.exit_code is Exit.INCOMPLETE
    assert found.conclusion.sentence == "Interrupted by SIGINT: 1 of 2 cells are complete."
    assert found.unexpected == ()


def test_a_run_that_was_interrupted_too_late_is_complete() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING), record(STILL)], INTERRUPTED)
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert found.conclusion.sentence == "All 2 cells are as expected, in 2 trials."


def test_what_an_interrupted_run_has_found_counts() -> None:
    found = summarise(plan((MOVING, STILL), 2), [moving(STILL), record(MOVING, outcome=ERROR)], INTERRUPTED)
    assert found.conclusion.exit_code is Exit.UNEXPECTED
    assert [each.cell.id for each in found.unexpected] == [STILL.id, MOVING.id], "and so does a fault of ours"


@pytest.mark.parametrize(("missing", "code"), [(0, Exit.UNEXPECTED), (1, Exit.INCOMPLETE)])
def test_a_known_issue_may_show_in_the_trials_that_are_missing(missing: int, code: Exit) -> None:
    declared = Expectation(outcome=Outcome.HUNG, reason="x", link="https://x.org/1")
    found = of_still(CONSISTENT, CONSISTENT, planned=2 + missing, should=declared)
    assert found.exit_code is code
    assert found.cut_short is bool(missing)
    assert of_still(CONSISTENT, Outcome.LEAKED, planned=3, should=declared).exit_code is Exit.UNEXPECTED
