"""Cells and tables of a run."""

from __future__ import annotations

import pytest

from harness.model.cells import FreezePolicy, Participant, Scenario
from harness.model.errors import Exit
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.outcomes import Outcome
from reports.analysis.cells import telling_trials, worst_trial
from reports.words.tables import title
from tests.reports import engines
from tests.reports.synthetic import (
    MOVING,
    STILL,
    cell,
    expected_run,
    moving,
    of_still,
    plan,
    record,
    run,
    summary,
    summary_of,
)

CONSISTENT, ERROR = Outcome.CONSISTENT, Outcome.HARNESS_ERROR


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


def test_pairs_with_different_workloads_stand_in_different_tables() -> None:
    pair = STILL.model_copy(update={"restore": Participant(runtime="crun", stack="debian-sid")})
    across = pair.model_copy(update={"workload": "deleted-file"})
    first, second = run(cells=(STILL, pair, across)).tables
    assert {column.workload for column in first.columns} == {"ledger"}
    assert [[entry and entry.cell for entry in row.entries] for row in second.rows] == [[across]]


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


def test_what_is_tried_besides_has_a_table_of_its_own() -> None:
    one, other = cell(), cell(runtime="crun")
    crossing = one.model_copy(update={"restore": other.checkpoint})
    translated = crossing.model_copy(update={"scenario": Scenario.TRANSLATED})
    cells = [one, other, crossing, translated]
    as_is, over = summary(plan(cells), expected_run(cells)).tables
    assert (len(as_is.columns), len(over.columns)) == (2, 1)
    assert title(over) == "scenario translated: cross-restore, workload ledger"
