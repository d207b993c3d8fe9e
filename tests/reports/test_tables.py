from __future__ import annotations

import pytest

from harness.model import Anomaly, Cell, Control, FreezePolicy, Outcome, Participant
from harness.records import Record
from reports.tables import CellSummary, Exit, RunSummary, summarise, summarise_cell, telling_trials, worst_trial
from tests.reports.synthetic import MOVING, STILL, cell, closing, expected_run, matrix, moving, plan, record, summary

CONSISTENT, ERROR = Outcome.CONSISTENT, Outcome.HARNESS_ERROR


def run(*records: Record, cells: tuple[Cell, ...] = (MOVING, STILL), rounds: int = 1) -> RunSummary:
    return summary(plan(cells, rounds), records)


def of_still(*outcomes: Outcome, planned: int | None = None) -> CellSummary:
    trials = [record(STILL, number, outcome) for number, outcome in enumerate(outcomes)]
    planned = len(trials) if planned is None else planned
    return summarise_cell(STILL, trials, planned=planned, missing=planned - len(trials))


def test_all_as_expected() -> None:
    found = summary(plan(matrix()), expected_run(matrix()))
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert found.conclusion.sentence == "All 24 cells as expected, 120 trials."
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
    assert found.conclusion.sentence.startswith("2 of 2 cells without complete evidence: ")


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


def test_better_than_expected_is_unexpected_too(monkeypatch: pytest.MonkeyPatch) -> None:
    known = summarise_cell(STILL, [], planned=0, missing=0).expectation.model_copy(
        update={"outcome": Outcome.RESTORE_FAILED}
    )
    monkeypatch.setattr("reports.tables.expected", lambda _: known)
    assert of_still(CONSISTENT).exit_code is Exit.UNEXPECTED
    assert of_still(Outcome.RESTORE_FAILED).exit_code is Exit.EXPECTED


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
        ("a name that nobody knows", Outcome.VACUOUS, 4),
    ],
)
def test_a_control_that_is_not_detected_spoils_the_run(name: str, outcome: Outcome, code: int) -> None:
    found = run(moving(MOVING), record(STILL), record(STILL, outcome=outcome, control=name))
    assert found.conclusion.exit_code == code
    assert (name in found.conclusion.sentence) == bool(code)
    assert found.cells[1].n == 1, "a control is no trial of its cell"


def test_a_planned_control_that_did_not_run_is_missing() -> None:
    controls = (Control(name="ring-byte", cell=STILL), Control(name="fresh-start", cell=STILL))
    promised = plan((MOVING, STILL), 1).model_copy(update={"controls": controls})
    came = record(STILL, outcome=Outcome.INCONSISTENT, control="ring-byte")
    found = summary(promised, [moving(MOVING), record(STILL), came])
    assert [(each.name, each.detected) for each in found.controls] == [("ring-byte", True), ("fresh-start", False)]
    assert found.conclusion.exit_code == 3
    assert found.conclusion.sentence == f"1 of 2 controls did not run: control fresh-start on {STILL.id}."


def test_a_run_that_left_something_on_the_host_is_red() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING), record(STILL)], closing("cgroup /x", "mount /y"))
    assert found.conclusion.exit_code == 1
    assert found.conclusion.sentence == "Left behind on the host: cgroup /x, mount /y."


def test_a_run_that_was_killed_is_incomplete() -> None:
    found = summarise(plan((MOVING, STILL), 1), [moving(MOVING), record(STILL)], None)
    assert found.conclusion.exit_code == 3


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
    assert positions == sorted(positions), "what prevails is said first"


def test_one_bad_trial_of_many_decides() -> None:
    assert of_still(CONSISTENT, Outcome.INCONSISTENT, CONSISTENT, ERROR).exit_code is Exit.UNEXPECTED


def test_counts_and_bound() -> None:
    clean = of_still(*[CONSISTENT] * 60)
    assert (clean.n, clean.k, clean.outcome) == (60, 0, CONSISTENT)
    assert clean.rate_bound == pytest.approx(0.0487, abs=5e-5)
    mixed = of_still(CONSISTENT, Outcome.LEAKED, CONSISTENT, Outcome.INCONSISTENT)
    assert (mixed.n, mixed.k, mixed.outcome, mixed.rate_bound) == (4, 2, Outcome.LEAKED, None)
    assert list(mixed.counts) == [CONSISTENT, Outcome.INCONSISTENT, Outcome.LEAKED]


def test_missing_is_the_worst_and_is_counted() -> None:
    short = of_still(CONSISTENT, ERROR, planned=5)
    assert (short.outcome, short.missing, short.counts[Outcome.MISSING]) == (Outcome.MISSING, 3, 3)
    nothing = of_still(planned=5)
    assert (nothing.outcome, nothing.exit_code, nothing.rate_bound) == (Outcome.MISSING, Exit.INCOMPLETE, None)


def test_the_skew_is_that_of_the_violating_trials() -> None:
    trials = [record(STILL, 0), moving(STILL, 1, -500), moving(STILL, 2, -300), moving(STILL, 3, 100), record(STILL, 4)]
    found = summarise_cell(STILL, trials, planned=5, missing=0)
    assert (found.skew_ticks, found.skew_us) == (-300, -4_500)
    verdict = trials[1].verdict.model_copy(update={"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)})
    leaked = trials[1].model_copy(update={"verdict": verdict})
    assert summarise_cell(STILL, [trials[0], leaked], planned=2, missing=0).skew_ticks == -500


def test_the_largest_skew_of_a_trial_may_be_behind() -> None:
    trial = moving(STILL, 0, 100)
    skews = (trial.skews[0], trial.skews[1].model_copy(update={"ticks": -900, "microseconds": -13_500.0}))
    found = summarise_cell(STILL, [trial.model_copy(update={"skews": skews})], planned=1, missing=0)
    assert (found.skew_ticks, found.skew_us) == (-900, -13_500)


def test_nothing_planned_is_not_a_success() -> None:
    assert run(cells=()).conclusion.exit_code == Exit.INCOMPLETE


def test_an_unplanned_cell_is_shown_and_judged() -> None:
    found = run(moving(MOVING), record(STILL), moving(cell(runtime="crun")))
    assert [each.cell.checkpoint.runtime for each in found.cells] == ["runc", "runc", "crun"]
    assert found.conclusion.exit_code == Exit.UNEXPECTED


def test_rows_are_participants_and_columns_policies() -> None:
    pair = STILL.model_copy(update={"restore": Participant(runtime="crun", stack="debian-sid")})
    (table,) = run(cells=(MOVING, STILL, pair)).tables
    assert table.policies == (FreezePolicy.NONE, FreezePolicy.PAUSE)
    assert [row.label for row in table.rows] == ["runc@debian-sid", "runc@debian-sid -> crun@debian-sid"]
    assert [[entry and entry.cell for entry in row.entries] for row in table.rows] == [[MOVING, STILL], [None, pair]]


def test_each_workload_has_its_table() -> None:
    other = STILL.model_copy(update={"workload": "mmap"})
    assert [table.workload for table in run(cells=(STILL, other)).tables] == ["ledger", "mmap"]


def test_versions_are_by_participant_and_side_and_none_is_lost() -> None:
    upgraded = record(STILL, 1)
    newer = {"checkpoint": (upgraded.components["checkpoint"][0].model_copy(update={"version": "1.4.3"}),)}
    found = run(moving(MOVING), record(STILL), upgraded.model_copy(update={"components": newer}))
    listed = [f"{each.name} {each.version}" for each in found.versions["runc@debian-sid"]]
    assert listed == ["runc 1.3.6", "criu 4.2.1", "runc 1.4.3"]


def test_the_trials_to_look_at() -> None:
    trials = [record(STILL, 0), moving(STILL, 1, 10), record(STILL, 2), moving(STILL, 3, -20), moving(STILL, 4, 15)]
    found = summarise_cell(STILL, list(reversed(trials)), planned=5, missing=0)
    assert [each.trial for each in telling_trials(found)] == [0, 1, 3]
    worst = worst_trial(found)
    assert worst is not None
    assert worst.trial == 3
