from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.model.controls import Control, ControlKind
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Anomaly, Outcome, Verdict
from harness.records.image_path import Attempt, Step
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.tables import RunSummary, summarise
from reports.formats.results import (
    BETTER,
    MOST_LETTERS,
    MOST_PARTS,
    UNCOUNTED,
    Kind,
    Result,
    Status,
    cut,
    results,
    stable,
)
from reports.runs.read import with_images
from tests.reports import engines, hostile
from tests.reports.analysis.test_images import GOOD, KNOWN, LOST, MISSING, path
from tests.reports.synthetic import MOVING, NOON, STILL, closing, expected_run, matrix, moving, plan, record, summary

KNOWN_AHEAD = engines.AHEAD
RARELY = KNOWN_AHEAD.model_copy(update={"rate": (0.1, 0.9)})
NOT_RUN = record(STILL, outcome=Outcome.UNSUPPORTED)
CONTROL = Control(name="ring-byte", cell=STILL, outcome=Outcome.INCONSISTENT, anomaly=Anomaly.TORN, what="a byte")
NEUTRAL = CONTROL.model_copy(update={"kind": ControlKind.NEUTRAL, "what": "a copy"})
TORN = record(STILL, outcome=Outcome.INCONSISTENT, anomalies=(Anomaly.TORN,), control="ring-byte")


def known(rounds: int = 1, told: Expectation = KNOWN_AHEAD) -> Plan:
    return plan([STILL], rounds).model_copy(update={"expectations": {STILL.id: told}})


def one(some: Plan, *trials: Record) -> Result:
    return results(summary(some, trials))[0]


def controlled(control: Control, *trials: Record) -> Result:
    some = plan([STILL], 1).model_copy(update={"controls": (control,)})
    return next(each for each in results(summary(some, [record(STILL), *trials])) if each.kind is Kind.CONTROL)


def test_what_is_as_expected_has_passed_and_keeps_its_outcome() -> None:
    clean, meant, own = results(summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)]))
    assert (clean.status, clean.message) == (Status.PASSED, "consistent 0/1 (<95.0 %)")
    assert (meant.status, meant.outcome) == (Status.PASSED, Outcome.INCONSISTENT)
    assert (own.kind, own.status) == (Kind.RUN, Status.PASSED)


def test_a_known_issue_is_known_and_keeps_its_link() -> None:
    found = one(known(), moving(STILL))
    assert (found.status, found.outcome, found.link) == (Status.KNOWN, Outcome.INCONSISTENT, KNOWN_AHEAD.link)
    assert (found.expected, found.reason) == ("inconsistent disk-ahead", KNOWN_AHEAD.reason)
    assert found.owner == KNOWN_AHEAD.owner != ""
    assert found.parts[0].status is Status.KNOWN


def test_a_known_issue_that_is_gone_has_failed_for_the_better() -> None:
    found = one(known(2), record(STILL), record(STILL, 1))
    assert found.status is Status.FAILED
    assert found.message == f"consistent 0/2 (<77.7 %); {BETTER}, should be inconsistent disk-ahead: passes now"
    assert {part.status for part in found.parts} == {Status.FAILED}


def test_a_known_issue_that_is_overdue_has_failed_whatever_shows() -> None:
    found = one(known(told=KNOWN_AHEAD.model_copy(update={"overdue": True})), moving(STILL))
    assert found.status is Status.FAILED
    assert found.message == "inconsistent 1/1 disk-ahead +45 ms; unexpected, should be inconsistent disk-ahead: expired"


def test_a_known_issue_that_shows_sometimes_is_known_in_every_trial_that_shows_it() -> None:
    found = one(known(2, RARELY), record(STILL), moving(STILL, 1))
    assert (found.status, *(part.status for part in found.parts)) == (Status.KNOWN, Status.PASSED, Status.KNOWN)


def test_what_is_worse_than_known_has_failed() -> None:
    found = one(known(), record(STILL, outcome=Outcome.LEAKED, reason="a mount"))
    assert found.status is Status.FAILED
    assert found.message == "leaked 1/1: a mount; unexpected, should be inconsistent disk-ahead: fails differently"
    assert found.unexpected == ("trial 0: leaked 0 µs: a mount",)


@pytest.mark.parametrize("outcome", [Outcome.HARNESS_ERROR, Outcome.UNSUPPORTED, Outcome.MISSING])
def test_what_has_no_evidence_is_broken(outcome: Outcome) -> None:
    assert one(plan([STILL], 1), record(STILL, outcome=outcome)).status is Status.BROKEN


def test_trials_that_did_not_come_back_break_a_cell_and_are_told() -> None:
    found = one(plan([STILL], 3), record(STILL))
    assert (found.status, found.outcome) == (Status.BROKEN, Outcome.MISSING)
    assert found.parts[-1].name == "2 of 3 trials: missing"
    assert results(summary(plan([STILL], 3), []))[0].start_ns is None


def test_controls_pass_when_they_are_detected() -> None:
    found = controlled(CONTROL, TORN)
    assert (found.status, found.message) == (Status.PASSED, "as it must be: inconsistent torn")
    assert found.id == f"control:ring-byte:{STILL.id}"
    assert (found.start_ns, found.seconds, found.components["criu"]) == (NOON, 1.4, "4.2.1")


@pytest.mark.parametrize(
    ("control", "trials", "status"),
    [
        (CONTROL, [record(STILL, control="ring-byte")], Status.FAILED),
        (CONTROL, [TORN.model_copy(update={"verdict": NOT_RUN.verdict})], Status.BROKEN),
        (CONTROL, [], Status.BROKEN),
        (NEUTRAL, [TORN.model_copy(update={"control": "ring-byte.neutral"})], Status.FAILED),
    ],
)
def test_controls_that_are_not_detected_have_not_passed(control: Control, trials: list[Record], status: Status) -> None:
    assert controlled(control, *trials).status is status


def test_of_a_run_whose_proof_failed_no_cell_has_passed() -> None:
    some = plan([STILL, MOVING], 1).model_copy(update={"controls": (CONTROL,)})
    missed = record(STILL, control="ring-byte")
    clean, worse, control, _ = results(summary(some, [record(STILL), record(MOVING, outcome=Outcome.LEAKED), missed]))
    assert (clean.status, clean.message) == (Status.BROKEN, f"consistent 0/1 (<95.0 %); {UNCOUNTED}")
    assert (worse.status, control.status) == (Status.FAILED, Status.FAILED)


def test_images_are_judged_as_their_tables_are() -> None:
    run = with_images(summary(plan([STILL], 1), [record(STILL)]), (GOOD, LOST, MISSING, KNOWN))
    found = {each.id: each for each in results(run) if each.kind is Kind.IMAGE}
    good, lost = found["image:podman.registry@s"], found["image:podman.docker-schema@s"]
    assert (good.status, lost.status, found["image:podman.registry.missing@s"].status) == (
        *(Status.PASSED, Status.PASSED),
        Status.FAILED,
    )
    assert good.components == {"skopeo": "1.22"}


def test_an_image_that_was_declined_has_failed_and_one_that_is_known_to_be_is_known() -> None:
    linked = KNOWN.model_copy(
        update={"expectation": KNOWN.expectation.model_copy(update={"link": "https://x.example"})}
    )
    nothing = Attempt(step=Step.MAKE, verdict=Verdict(outcome=Outcome.MISSING, reason="planned and not received"))
    missing = path("skopeo", nothing)
    run = with_images(summary(plan([STILL], 1), [record(STILL)]), (LOST, linked, missing))
    lost, declined, gone = (each for each in results(run) if each.kind is Kind.IMAGE)
    assert (lost.status, declined.status, gone.status) == (Status.FAILED, Status.KNOWN, Status.BROKEN)
    assert lost.message == "refused: <b>no checkpoint</b> | *x*; unexpected, should be consistent"
    assert [part.name for part in declined.parts] == ["restore: refused", "unpack: consistent"]


def runs() -> dict[str, RunSummary]:
    many, trials = plan(matrix()), expected_run(matrix())
    silent = plan([STILL], 1).model_copy(update={"controls": (CONTROL,)})
    return {
        "well": summary(many, trials),
        "known": summary(known(), [moving(STILL)]),
        "engines": engines.summary(),
        "engines, all well": engines.summary(all_well=True),
        "missing": summary(many, trials[3:]),
        "not run": summary(plan([STILL], 1), [NOT_RUN]),
        "better": summary(known(), [record(STILL)]),
        "blind": summary(silent, [record(STILL), record(STILL, control="ring-byte")]),
        "not controlled": summary(silent, [record(STILL)]),
        "image": with_images(summary(plan([STILL], 1), [record(STILL)]), (LOST,)),
        "left behind": summarise(plan([STILL], 1), [record(STILL)], closing("a mount")),
        "overdue": summary(known(told=KNOWN_AHEAD.model_copy(update={"overdue": True})), [moving(STILL)]),
        "known issue without a cell": summary(
            plan([STILL], 1).model_copy(update={"unmatched": ("a:1-2: b",)}), [record(STILL)]
        ),
        "killed": summarise(plan([STILL], 1), [record(STILL)], None),
        "empty": summary(plan([], 1), []),
    }


RUNS = runs()


@pytest.mark.parametrize("name", RUNS)
def test_none_is_red_where_the_run_is_as_expected_and_some_are_where_it_is_not(name: str) -> None:
    run = RUNS[name]
    found = results(run)
    red = [each.id for each in found if each.status not in (Status.PASSED, Status.KNOWN)]
    assert bool(red) is (run.conclusion.exit_code is not Exit.EXPECTED), red
    assert len({each.id for each in found}) == len(found)


def test_that_some_runs_are_red_and_some_are_not() -> None:
    assert {run.conclusion.exit_code for run in RUNS.values()} == set(Exit)


def test_of_very_many_trials_those_that_are_odd_are_told() -> None:
    trials = [record(STILL, number) for number in range(MOST_PARTS + 50)]
    trials[-1] = moving(STILL, MOST_PARTS + 49)
    found = one(plan([STILL], len(trials)), *trials)
    assert len(found.parts) == MOST_PARTS + 1
    assert found.parts[-2].name.startswith(f"trial {MOST_PARTS + 49}: inconsistent")
    assert (found.parts[-1].name, found.parts[-1].status) == ("50 trials more", Status.PASSED)


def test_versions_are_told_by_side_where_the_sides_differ() -> None:
    both = record(STILL)
    other = both.model_copy(
        update={"components": both.components | {"restore": (Component(name="runc", version="1.4"),)}}
    )
    assert one(plan([STILL], 1), both).components == {"runc": "1.3.6", "criu": "4.2.1"}
    assert one(plan([STILL], 1), other).components == {
        "runc (checkpoint)": "1.3.6",
        "criu (checkpoint)": "4.2.1",
        "runc (restore)": "1.4",
    }


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://x.example", "https://x.example/" + "x" * 2_000])
def test_a_link_that_leads_nowhere_good_is_none(link: str) -> None:
    found = one(known(told=KNOWN_AHEAD.model_copy(update={"link": link})), moving(STILL))
    assert (found.status, found.link) == (Status.KNOWN, "")


def test_strings_are_short_and_of_one_line() -> None:
    assert cut("a\n\x1b b" + "x" * 1_000) == "a \N{REPLACEMENT CHARACTER} b" + "x" * (MOST_LETTERS - 6) + "…"
    assert stable(STILL.id) == STILL.id
    assert stable("a\x00") != stable("a\x01")
    assert len({stable("x" * 1_000 + end) for end in "abc"}) == 3


def texts(value: Any) -> Sequence[str]:
    if isinstance(value, dict):
        return [*texts([*value]), *texts([*value.values()])]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_of_a_hostile_record_nothing_is_long() -> None:
    found = results(hostile.run())
    every = [text for each in found for text in texts(each.model_dump(mode="json"))]
    assert max(map(len, every)) <= MOST_LETTERS + 40
    assert all(text.isprintable() for text in every)
    assert sum(len(each.model_dump_json()) for each in found) < 60_000
