"""States of a known issue: it matches, it passes, it fails in another way, it expires."""

from __future__ import annotations

import datetime as dt
from io import StringIO

import pytest

from harness.commands.plugin import KnownIssueShown, hold
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.known.crashes import Crash
from harness.model.machine import Condition
from harness.model.outcomes import Anomaly, Outcome
from harness.records.record import Record
from reports.analysis.known import State, advice, known_issues
from reports.analysis.tables import RunSummary
from reports.formats.markdown import render
from reports.terminal.terminal import console_for, show_run
from reports.words.cells import flag
from reports.words.findings import crash_of
from tests.reports.synthetic import CRASH, HOST, STILL, cell, crashed, moving, plan, record, summary, versioned

WHERE = "scenarios/expectations/podman.toml:3-17"
KNOWN = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="it runs on",
    link="https://example.org/issues/1",
    owner="podman",
    review=dt.date(2027, 3, 1),
    declared=WHERE,
)
OTHER = cell(runtime="crun")
FAILS, PASSES, HANGS = moving(STILL), record(STILL), record(STILL, outcome=Outcome.HUNG)
MISSING = record(STILL, outcome=Outcome.HARNESS_ERROR)
LIVES = {
    State.MATCHED: (FAILS, Exit.EXPECTED),
    State.PASSES_NOW: (PASSES, Exit.UNEXPECTED),
    State.FAILS_DIFFERENTLY: (HANGS, Exit.UNEXPECTED),
    State.NOT_SEEN: (MISSING, Exit.INCOMPLETE),
}


@pytest.mark.parametrize(("where", "trial", "code"), [(where, *life) for where, life in LIVES.items()])
def test_where_a_declaration_stands_decides_the_exit_code(where: State, trial: Record, code: Exit) -> None:
    run = summary(plan([STILL], 1).model_copy(update={"expectations": {STILL.id: KNOWN}}), [trial])
    (issue,) = run.known_issues
    assert issue.states == {STILL.id: where}
    assert run.conclusion.exit_code is code


@pytest.mark.parametrize("trial", [FAILS, PASSES, HANGS], ids=lambda trial: trial.verdict.outcome)
def test_what_is_overdue_is_red_whatever_it_shows(trial: Record) -> None:
    overdue = KNOWN.model_copy(update={"overdue": True})
    run = summary(plan([STILL], 1).model_copy(update={"expectations": {STILL.id: overdue}}), [trial])
    assert run.known_issues[0].states == {STILL.id: State.EXPIRED}
    assert run.conclusion.exit_code is Exit.UNEXPECTED
    assert run.cells[0].outcome is trial.verdict.outcome, "the outcome does not change"
    (told,) = advice(run.known_issues[0])
    assert told.startswith("expired: review was due by 2027-03-01: check it again, then move")


def test_what_speaks_of_no_cell_is_red() -> None:
    run = summary(plan([STILL], 1).model_copy(update={"unmatched": ("a.toml:3-9: gone@*",)}), [PASSES])
    assert run.conclusion.exit_code is Exit.UNEXPECTED
    assert "Known issues that match no cell: a.toml:3-9: gone@*" in run.conclusion.sentence


def test_the_lines_to_delete_are_named() -> None:
    run = summary(plan([STILL], 1).model_copy(update={"expectations": {STILL.id: KNOWN}}), [PASSES])
    assert advice(run.known_issues[0]) == ("passes now: delete lines 3 to 17 of scenarios/expectations/podman.toml",)


def test_where_only_some_of_its_cells_pass_the_declaration_is_narrowed() -> None:
    both = {STILL.id: KNOWN, OTHER.id: KNOWN}
    run = summary(plan([STILL, OTHER], 1).model_copy(update={"expectations": both}), [PASSES, moving(OTHER)])
    (issue,) = run.known_issues
    assert issue.as_expected == 1
    (told,) = advice(issue)
    assert told.startswith(f"passes now in {STILL.id}: narrow `match` in lines 3 to 17 of")
    assert told.endswith("so that it excludes this cell")


def test_where_not_all_of_its_cells_were_tried_nobody_is_told_to_delete_it() -> None:
    some = {"expectations": {STILL.id: KNOWN}, "covered": {WHERE: 8}}
    run = summary(plan([STILL], 1).model_copy(update=some), [PASSES])
    (told,) = advice(run.known_issues[0])
    assert told.startswith("passes now in all cells of this run (1 of 8): narrow `match` in lines 3 to 17 of")


def test_nothing_is_asked_for_where_all_is_as_declared() -> None:
    run = summary(plan([STILL], 1).model_copy(update={"expectations": {STILL.id: KNOWN}}), [FAILS])
    assert [advice(each) for each in run.known_issues] == [()]
    assert known_issues(summary(plan([STILL], 1), [PASSES]).cells, covered={}) == ()


# ---- on some machines

LACKING = KNOWN.model_copy(
    update={
        "when": Condition.LACKS_MEM_DIRTY_TRACK,
        "outcome": Outcome.UNSUPPORTED,
        "anomaly": None,
        "signature": "criu check",
    }
)
UNSUPPORTED = record(STILL, outcome=Outcome.UNSUPPORTED, reason="criu check --feature mem_dirty_track: OFF")


def on(*conditions: Condition, trial: Record) -> RunSummary:
    """Return a run on a machine with these conditions."""
    host = HOST.model_copy(update={"conditions": conditions})
    some = plan([STILL], 1).model_copy(update={"conditional": {STILL.id: LACKING}, "host": host})
    return summary(some, [trial.model_copy(update={"host": host})])


def printed(run: RunSummary) -> str:
    stream = StringIO()
    show_run(run, console_for(stream), verbose=True)
    return stream.getvalue()


def test_where_the_condition_is_true_the_issue_has_to_show() -> None:
    run = on(Condition.LACKS_MEM_DIRTY_TRACK, trial=UNSUPPORTED)
    assert run.conclusion.exit_code is Exit.EXPECTED
    assert run.known_issues[0].states == {STILL.id: State.MATCHED}
    assert "known issue: it runs on" in printed(run)
    passes = on(Condition.LACKS_MEM_DIRTY_TRACK, trial=PASSES)
    assert passes.conclusion.exit_code is Exit.UNEXPECTED, "probe and trial disagree"
    assert flag(passes.cells[0]) == "unexpected, should be unsupported (kernel lacks mem_dirty_track): passes now"


def test_where_the_condition_is_not_true_nothing_is_known_and_only_consistent_will_do() -> None:
    run = on(trial=PASSES)
    assert run.conclusion.exit_code is Exit.EXPECTED
    assert run.known_issues == ()
    text = f"{printed(run)}{render(run)}".lower()
    assert "0/1 consistent" in text
    assert "known" not in text
    assert {on(trial=each).conclusion.exit_code for each in (FAILS, HANGS)} == {Exit.UNEXPECTED}
    assert on(trial=UNSUPPORTED).conclusion.exit_code is Exit.INCOMPLETE, "probe and trial disagree"


@pytest.mark.parametrize("conditions", [(), tuple(Condition)])
def test_a_report_says_which_conditions_are_true_of_the_machine(conditions: tuple[Condition, ...]) -> None:
    assert ("GiB, kernel lacks mem_dirty_track" in render(on(*conditions, trial=PASSES))) is bool(conditions)


# ---- in pytest


def test_a_known_issue_that_shows_is_what_the_xfail_waits_for() -> None:
    with pytest.raises(KnownIssueShown, match="inconsistent disk-ahead: rootfs is ahead"):
        hold([FAILS], KNOWN)


def test_a_known_issue_that_passes_fails_with_the_lines_to_delete() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"consistent, should be .*; passes now: delete lines 3 to 17 of"):
        hold([PASSES], KNOWN)


def test_a_known_issue_that_fails_in_another_way_is_no_xfail() -> None:
    with pytest.raises(pytest.fail.Exception, match="fails differently"):
        hold([HANGS], KNOWN)


def test_a_cell_of_which_nothing_is_declared_passes_or_fails() -> None:
    still = Expectation(outcome=Outcome.CONSISTENT, reason="held still")
    hold([PASSES], still)
    with pytest.raises(pytest.fail.Exception, match=r"^hung, should be consistent: a trial that was hung$"):
        hold([HANGS], still)


def struck(*trials: Record, crash: Crash = CRASH, expectation: Expectation | None = None) -> RunSummary:
    """Return a run of one cell in which the crash is declared; the trials have the component that crashes."""
    own = [versioned(trial, "6.0").model_copy(update={"trial": number}) for number, trial in enumerate(trials)]
    given = {"crashes": (crash,), "expectations": {STILL.id: expectation} if expectation else {}}
    return summary(plan([STILL], len(own)).model_copy(update=given), own)


def test_a_known_crash_says_nothing_about_the_cell_that_it_strikes() -> None:
    run = struck(PASSES, PASSES, crashed(PASSES), PASSES, PASSES)
    (cell,) = run.cells
    assert (cell.exit_code, cell.outcome, cell.crashed) == (Exit.EXPECTED, Outcome.SOURCE_HARMED, 1)
    assert run.conclusion.sentence == "The cell is as expected, in 5 trials; a known crash struck 1 trial."
    (crash,) = run.crashes
    assert (crash.shown, crash.trials, crash.cells, crash.unlike) == (1, 5, (STILL.id,), False)
    assert crash_of(crash) == "known crash of podman 6.0, 1 of 5 trials (declared: 0.0-10.0 %)"


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.violates])
def test_a_crash_is_known_whatever_it_breaks(outcome: Outcome) -> None:
    run = struck(PASSES, crashed(PASSES, outcome), PASSES, PASSES)
    assert run.conclusion.exit_code is Exit.EXPECTED


def test_a_crash_with_other_words_or_of_another_version_is_new() -> None:
    other = crashed(PASSES).model_copy(update={"log": ("panic: elsewhere",)})
    assert struck(PASSES, PASSES, other).conclusion.exit_code is Exit.UNEXPECTED
    assert struck(PASSES, crashed(PASSES), crash=CRASH.model_copy(update={"versions": ("6.1",)})).crashes == ()


def test_the_other_trials_are_still_held_against_what_is_declared_of_the_cell() -> None:
    assert struck(crashed(FAILS), FAILS, FAILS, FAILS, expectation=KNOWN).conclusion.exit_code is Exit.EXPECTED
    assert struck(crashed(FAILS), PASSES, PASSES, PASSES, expectation=KNOWN).conclusion.exit_code is Exit.UNEXPECTED
    assert struck(crashed(FAILS), HANGS, PASSES, PASSES).conclusion.exit_code is Exit.UNEXPECTED


def test_where_a_crash_strikes_every_trial_nothing_is_proved() -> None:
    assert struck(crashed(PASSES)).cells[0].exit_code is Exit.INCOMPLETE


def test_a_crash_that_strikes_more_often_than_declared_is_new() -> None:
    run = struck(crashed(PASSES), crashed(PASSES), crashed(PASSES), PASSES)
    assert run.cells[0].exit_code is Exit.UNEXPECTED
    assert "look for another cause, or correct lines 3 to 12 of scenarios/expectations/podman.toml" in str(
        run.conclusion.sentence
    )


def test_a_crash_that_strikes_less_often_than_declared_is_told() -> None:
    often = CRASH.model_copy(update={"rate": (0.8, 0.9)})
    run = struck(*[PASSES] * 6, crash=often)
    assert (run.cells[0].exit_code, run.conclusion.exit_code) == (Exit.EXPECTED, Exit.UNEXPECTED)
    assert run.crashes[0].too_seldom


def test_a_crash_that_is_overdue_is_told_whatever_it_shows() -> None:
    run = struck(PASSES, PASSES, crash=CRASH.model_copy(update={"overdue": True}))
    assert run.conclusion.exit_code is Exit.UNEXPECTED
    assert "Known crash of podman, 0 of 2 trials: review was due by 2027-05-01" in run.conclusion.sentence


def test_a_crash_is_told_on_a_terminal_and_in_markdown() -> None:
    run, out = struck(PASSES, crashed(PASSES), PASSES, PASSES), StringIO()
    show_run(run, console_for(out))
    for told in (out.getvalue(), render(run)):
        assert "known crash of podman 6.0, 1 of 4 trials" in told
        assert "https://example.org/issues/3" in told
