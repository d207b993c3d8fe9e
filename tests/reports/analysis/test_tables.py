from __future__ import annotations

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.controls import CANARY, CONTROLS, Control, ControlKind
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.expectations import Expectation
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Anomaly, Outcome
from harness.records.record import Record
from reports.analysis.cells import CellSummary, Exit, judge, summarise_cell, telling_trials, worst_trial
from reports.analysis.tables import RunSummary, summarise
from reports.words.cells import mark
from reports.words.outcomes import expectation
from reports.words.proof import escaped, score
from reports.words.tables import title
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, cell, closing, expected_run, matrix, moving, plan, record, summary

CONSISTENT, ERROR = Outcome.CONSISTENT, Outcome.HARNESS_ERROR


def run(*records: Record, cells: tuple[Cell, ...] = (MOVING, STILL), rounds: int = 1) -> RunSummary:
    return summary(plan(cells, rounds), records)


def summary_of(*trials: Record, planned: int | None = None, should: Expectation = SHOULD_BE_STILL) -> CellSummary:
    planned = len(trials) if planned is None else planned
    return summarise_cell(STILL, trials, should, planned=planned, missing=planned - len(trials))


def of_still(*outcomes: Outcome, planned: int | None = None, should: Expectation = SHOULD_BE_STILL) -> CellSummary:
    trials = [record(STILL, number, outcome) for number, outcome in enumerate(outcomes)]
    return summary_of(*trials, planned=planned, should=should)


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
        ("a name that nobody knows", Outcome.VACUOUS, 4),
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
    found = summary_of(*trials)
    assert (found.skew_ticks, found.skew_us) == (-300, -4_500)
    verdict = trials[1].verdict.model_copy(update={"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)})
    leaked = trials[1].model_copy(update={"verdict": verdict})
    assert summary_of(trials[0], leaked).skew_ticks == -500


def test_the_largest_skew_of_a_trial_may_be_behind() -> None:
    trial = moving(STILL, 0, 100)
    skews = (trial.skews[0], trial.skews[1].model_copy(update={"ticks": -900, "microseconds": -13_500.0}))
    found = summary_of(trial.model_copy(update={"skews": skews}))
    assert (found.skew_ticks, found.skew_us) == (-900, -13_500)


def test_nothing_planned_is_not_a_success() -> None:
    assert run(cells=()).conclusion.exit_code == Exit.INCOMPLETE


def test_an_unplanned_cell_is_shown_and_judged() -> None:
    found = run(moving(MOVING), record(STILL), moving(cell(runtime="crun")))
    assert [each.cell.checkpoint.runtime for each in found.cells] == ["runc", "runc", "crun"]
    assert found.conclusion.exit_code == Exit.UNEXPECTED


def test_rows_are_participants_and_columns_policies() -> None:
    pair = STILL.model_copy(update={"restore": Participant(runtime="crun", stack="debian-sid")})
    other = STILL.model_copy(update={"checkpoint": pair.restore, "restore": pair.restore})
    (table,) = run(cells=(STILL, MOVING, other)).tables
    assert table.by_policy
    assert [column.policy for column in table.columns] == [FreezePolicy.NONE, FreezePolicy.PAUSE]
    assert [row.label for row in table.rows] == ["runc@debian-sid", "crun@debian-sid"]
    assert [[entry and entry.cell for entry in row.entries] for row in table.rows] == [[MOVING, STILL], [None, other]]


def test_who_restores_another_s_checkpoints_stands_in_a_table_of_pairs() -> None:
    pair = STILL.model_copy(update={"restore": Participant(runtime="crun", stack="debian-sid")})
    table, rest = run(cells=(STILL, MOVING, pair)).tables
    assert table.by_pair
    assert [column.restore for column in table.columns] == ["runc@debian-sid", "crun@debian-sid"]
    assert [row.label for row in table.rows] == ["runc@debian-sid"]
    assert [[entry and entry.cell for entry in row.entries] for row in table.rows] == [[STILL, pair]]
    assert rest.by_policy
    assert [entry and entry.cell for row in rest.rows for entry in row.entries] == [MOVING]


def test_each_way_has_its_row() -> None:
    commit = STILL.model_copy(update={"way": "commit"})
    (table,) = run(cells=(STILL, commit)).tables
    assert [row.label for row in table.rows] == ["runc@debian-sid", "runc@debian-sid commit"]


def test_what_is_asked_under_one_policy_each_shares_a_table() -> None:
    shm, paused = STILL.model_copy(update={"workload": "shm"}), STILL.model_copy(update={"scenario": Scenario.PAUSED})
    other = cell(FreezePolicy.CGROUP, "criu").model_copy(update={"workload": "shm"})
    matrix, rest = run(record(shm), cells=(STILL, paused, MOVING, shm, other)).tables
    assert [(column.scenario, column.workload) for column in matrix.columns] == [(Scenario.LIVE, "ledger")] * 2
    assert [(column.scenario, column.workload, column.policy) for column in rest.columns] == [
        (Scenario.LIVE, "shm", None),
        (Scenario.PAUSED, "ledger", None),
    ]
    assert rest.columns[0].surfaces == ("rootfs", "volume")
    assert [(row.label, row.policies) for row in rest.rows] == [
        ("runc@debian-sid", (FreezePolicy.PAUSE,)),
        ("criu@debian-sid", (FreezePolicy.CGROUP,)),
    ]
    assert [[entry and entry.cell for entry in row.entries] for row in rest.rows] == [[shm, paused], [other, None]]


def test_a_scenario_under_several_policies_has_its_own_table() -> None:
    paused = [each.model_copy(update={"scenario": Scenario.PAUSED}) for each in (MOVING, STILL)]
    first, second = run(cells=(MOVING, STILL, *paused)).tables
    assert (first.by_policy, second.by_policy) == (True, True)
    assert second.columns[0].scenario is Scenario.PAUSED


def test_no_cell_of_a_large_run_is_lost_or_shown_twice() -> None:
    found = engines.summary()
    shown = [entry.cell for table in found.tables for row in table.rows for entry in row.entries if entry]
    assert len(shown) == len(set(shown)) == len(found.cells)
    assert [table.by_policy for table in found.tables] == [True, False]
    unexpected = {each.cell.id for table in found.tables for each in table.unexpected}
    assert unexpected == {name for finding in found.conclusion.findings for name in finding.cells}


def test_known_issues_are_a_result() -> None:
    found = engines.summary(all_well=True)
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert found.conclusion.sentence == "All 285 cells are as expected, 62 with a known issue, in 621 trials."
    assert [each.expectation for each in found.known_issues] == [engines.AHEAD, engines.LOST, engines.NO_RESTORE]
    assert [(len(each.cells), each.as_expected) for each in found.known_issues] == [(12, 12), (12, 12), (38, 38)]
    wrong = engines.summary()
    assert [(len(each.cells), each.as_expected) for each in wrong.known_issues] == [(12, 10), (12, 12), (38, 38)]


def test_an_issue_past_its_review_is_listed_and_its_cell_has_to_be_right() -> None:
    expired = SHOULD_BE_STILL.model_copy(update={"link": "https://x.example/1", "reason": "to be reviewed by then"})
    some = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: expired}})
    for trial, good in ((record(STILL), 1), (moving(STILL), 0)):
        found = summary(some, [trial])
        (issue,) = found.known_issues
        assert (issue.as_expected, found.cells[0].known) == (good, False)


def test_rows_point_to_their_accommodations() -> None:
    first, second = engines.WORKAROUNDS
    trials = [
        record(STILL).model_copy(update={"accommodations": (first,)}),
        moving(MOVING).model_copy(update={"accommodations": (second, first)}),
        record(cell(runtime="crun")),
    ]
    found = run(*trials, cells=(STILL, MOVING, cell(runtime="crun")))
    assert [(each.accommodation, each.rows) for each in found.accommodations] == [
        (first, ("runc@debian-sid",)),
        (second, ("runc@debian-sid",)),
    ]
    assert [row.marks for row in found.tables[0].rows] == [(1, 2), ()]


def test_trials_with_warnings_are_counted() -> None:
    warned = record(STILL).model_copy(update={"warnings": ("a", "b")})
    assert summary_of(warned, record(STILL, 1)).warned == 1


def test_cells_may_have_fewer_rounds() -> None:
    some = plan((MOVING, STILL), 3).model_copy(update={"fewer": {STILL.id: 1}})
    found = summary(some, [*(moving(MOVING, number) for number in range(3)), record(STILL)])
    assert [(each.planned, each.missing) for each in found.cells] == [(3, 0), (1, 0)]
    assert found.conclusion.exit_code is Exit.EXPECTED


def test_a_cell_that_its_first_violation_has_ended_is_complete() -> None:
    asked = plan((MOVING, STILL), 59).model_copy(update={"rate": 0.05})
    found = summary(asked, [moving(MOVING), *(record(STILL, number) for number in range(59))])
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert [(each.n, each.missing, each.stopped) for each in found.cells] == [(1, 0, True), (59, 0, False)]
    again = summary(asked, [record(MOVING), moving(STILL, 3)])
    assert [(each.missing, each.stopped) for each in again.cells] == [(58, False), (3, False)]


def test_a_sentence_does_not_name_everything() -> None:
    some = [cell(runtime=f"r{number}") for number in range(9)]
    (finding,) = run(*map(moving, some), cells=tuple(some)).conclusion.findings
    assert len(finding.cells) == 9
    assert str(finding).endswith("ledger.pause.r5@debian-sid and 3 more.")


def test_versions_are_by_participant_and_side_and_none_is_lost() -> None:
    upgraded = record(STILL, 1)
    newer = {"checkpoint": (upgraded.components["checkpoint"][0].model_copy(update={"version": "1.4.3"}),)}
    found = run(moving(MOVING), record(STILL), upgraded.model_copy(update={"components": newer}))
    listed = [f"{each.name} {each.version}" for each in found.versions["runc@debian-sid"]]
    assert listed == ["runc 1.3.6", "criu 4.2.1", "runc 1.4.3"]


def test_the_trials_to_look_at() -> None:
    trials = [record(STILL, 0), moving(STILL, 1, 10), record(STILL, 2), moving(STILL, 3, -20), moving(STILL, 4, 15)]
    found = summary_of(*reversed(trials))
    assert [each.trial for each in telling_trials(found)] == [0, 1, 3]
    worst = worst_trial(found)
    assert worst is not None
    assert worst.trial == 3


# ---- the instrument's own proof


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
    assert score(found)[0].startswith("canary: NOT RED")


def test_what_is_tried_besides_has_a_table_of_its_own() -> None:
    one, other = cell(), cell(runtime="crun")
    crossing = one.model_copy(update={"restore": other.checkpoint})
    translated = crossing.model_copy(update={"scenario": Scenario.TRANSLATED})
    cells = [one, other, crossing, translated]
    as_is, over = summary(plan(cells), expected_run(cells)).tables
    assert (len(as_is.columns), len(over.columns)) == (2, 1)
    assert title(over) == "scenario translated: cross-restore, workload ledger"
