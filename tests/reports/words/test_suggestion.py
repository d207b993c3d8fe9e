"""A new failure becomes an entry that fits only this failure, and that a person has to complete."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ValidationError

from harness.model.errors import Exit
from harness.model.expectations import DeclarationFile
from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.words.suggestion import suggested
from tests.reports.synthetic import STILL, cell, moving, plan, record, summary

OTHER = cell(runtime="crun")
REASON = (
    "restore: Error (criu/mount.c:1234): mnt: No mapping for 57:(null) mountpoint [x] in 0x7ffe12, "
    "which is a long story of its own that nobody wants to read to its end"
)


def failing(trial: int, number: int, of: object = STILL) -> Record:
    return record(of, trial, Outcome.RESTORE_FAILED, reason=REASON.replace("57", str(number)))  # type: ignore[arg-type]


def completed(text: str) -> DeclarationFile:
    for empty, full in (('link = ""', 'link = "https://example.org/issues/1"'), ('owner = ""', 'owner = "criu"')):
        assert empty in text
        text = text.replace(empty, full)
    return DeclarationFile.model_validate(tomllib.loads(text))


CASES: dict[str, list[Record]] = {
    "inconsistent": [moving(STILL, trial) for trial in range(3)],
    "inconsistent at times": [moving(STILL, 0), record(STILL, 1), record(STILL, 2)],
    "failed, in words that change": [failing(0, 57), failing(1, 1024), failing(2, 9)],
    "failed and worse at times": [failing(0, 57), record(STILL, 1, Outcome.LEAKED), failing(2, 9)],
    "failed in two ways": [failing(0, 57), record(STILL, 1, Outcome.RESTORE_FAILED, reason="(no) such [thing] + .*?")],
}


@pytest.mark.parametrize("trials", CASES.values(), ids=CASES)
def test_an_entry_that_was_completed_makes_its_cell_as_expected(trials: list[Record]) -> None:
    run = summary(plan([STILL, OTHER], len(trials)), [*trials, *(record(OTHER, each.trial) for each in trials)])
    assert run.conclusion.exit_code is Exit.UNEXPECTED
    (declaration,) = completed(suggested(run)).expectation
    assert declaration.match == (STILL.id,)
    known = run.plan.model_copy(update={"expectations": {STILL.id: declaration.expectation("a.toml:1-9")}})
    assert summary(known, [*trials, *(record(OTHER, each.trial) for each in trials)]).conclusion.exit_code is (
        Exit.EXPECTED
    )


def test_what_changes_each_time_is_no_part_of_a_signature() -> None:
    run = summary(plan([STILL], 2), [failing(0, 57), failing(1, 58)])
    (declaration,) = completed(suggested(run)).expectation
    assert "57" not in declaration.signature
    assert "No mapping for" in declaration.signature
    assert "|" not in declaration.signature, "one expression for both"
    other = record(STILL, 0, Outcome.RESTORE_FAILED, reason="something else altogether")
    assert not declaration.signed(other.verdict.reason)


def test_where_one_rate_would_fit_anything_each_cell_has_an_entry_of_its_own() -> None:
    rarely = [moving(STILL), *(record(STILL, number) for number in range(1, 200))]
    mostly = [record(OTHER), *(moving(OTHER, number) for number in range(1, 200))]
    run = summary(plan([STILL, OTHER], 200), [*rarely, *mostly])
    entries = completed(suggested(run)).expectation
    assert [each.match for each in entries] == [(STILL.id,), (OTHER.id,)]
    assert [each.rate for each in entries] == [(0.0, 0.03), (0.97, 1.0)]


def test_where_a_trial_gave_no_reason_there_is_no_signature() -> None:
    verdict = record(STILL, 1, Outcome.RESTORE_FAILED).verdict.model_copy(update={"reason": ""})
    silent = record(STILL, 1, Outcome.RESTORE_FAILED).model_copy(update={"verdict": verdict})
    (declaration,) = completed(suggested(summary(plan([STILL], 2), [failing(0, 57), silent]))).expectation
    assert declaration.signature == ""


def test_an_entry_is_declined_until_a_person_has_completed_it() -> None:
    run = summary(plan([STILL], 1), [moving(STILL)])
    with pytest.raises(ValidationError, match="link"):
        DeclarationFile.model_validate(tomllib.loads(suggested(run)))


def test_cells_that_fail_alike_share_an_entry() -> None:
    run = summary(plan([STILL, OTHER], 1), [failing(0, 57), failing(0, 3, OTHER)])
    (declaration,) = completed(suggested(run)).expectation
    assert declaration.match == (STILL.id, OTHER.id)


def test_nothing_is_suggested_of_what_passes_or_did_not_come_back() -> None:
    assert suggested(summary(plan([STILL], 1), [record(STILL)])) == ""
    assert suggested(summary(plan([STILL], 1), [])) == ""
    assert suggested(summary(plan([STILL], 1), [record(STILL, outcome=Outcome.HARNESS_ERROR)])) == ""


def test_hostile_words_stay_in_their_strings() -> None:
    poison = "\"\"\"\n[[expectation]]\n]\x00\u202e\\ '''" + "x" * 100_000
    run = summary(plan([STILL], 1), [record(STILL, outcome=Outcome.RESTORE_FAILED, reason=poison)])
    (declaration,) = completed(suggested(run)).expectation
    assert len(suggested(run)) < 2_000
    assert declaration.outcome is Outcome.RESTORE_FAILED
