from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest

from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary, summarise
from reports.formats.ctrf import LEFT_OUT, render
from reports.formats.results import MOST_LETTERS, results
from tests.reports import engines, hostile
from tests.reports.synthetic import NOON, STILL, moving, plan, record, summary

KNOWN = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: engines.AHEAD}})
WORDS = {"passed", "failed", "skipped", "pending", "other"}
TEXTS = {"id", "testId", "name", "status", "rawStatus", "message", "trace", "type"}
TEST = {*TEXTS, "duration", "start", "stop", "suite", "tags", "labels", "parameters", "steps", "extra"}
"""The fields of the specification that we use. It allows no other fields."""


def ctrf(run: RunSummary) -> Any:
    return json.loads(render(run, results(run)))


def one(document: Any, name: str) -> Any:
    return next(each for each in document["results"]["tests"] if each["testId"] == name)


@pytest.mark.parametrize("run", [engines.summary(), hostile.run()], ids=["engines", "hostile"])
def test_it_is_what_the_specification_asks_for(run: RunSummary) -> None:
    found = ctrf(run)
    assert (found["reportFormat"], found["specVersion"]) == ("CTRF", "1.0.0")
    assert UUID(found["reportId"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["timestamp"])
    assert set(found["results"]) == {"tool", "summary", "tests", "environment"}
    assert found["results"]["tool"]["name"]
    counts = {word: found["results"]["summary"][word] for word in WORDS}
    tests = found["results"]["tests"]
    assert counts == {word: sum(each["status"] == word for each in tests) for word in WORDS}
    assert found["results"]["summary"]["tests"] == len(tests) == len(results(run))
    for each in tests:
        assert set(each) <= TEST
        assert all(isinstance(each[name], str) for name in TEXTS & set(each))
        assert all(type(each[name]) is int for name in ("duration", "start", "stop") if name in each)
        assert each["name"]
        assert len(each["suite"]) == 2
        assert {type(value) for value in each["labels"].values()} <= {str}
        assert all(set(step) == {"name", "status"} and step["status"] in WORDS for step in each["steps"])


def test_what_passed_and_what_is_known() -> None:
    found = one(ctrf(summary(KNOWN, [moving(STILL)])), STILL.id)
    assert (found["status"], found["rawStatus"]) == ("skipped", "known: inconsistent")
    assert found["message"] == f"known: inconsistent 1/1 disk-ahead +45 ms; {engines.AHEAD.reason}"
    assert found["extra"]["stillframe.result"]["link"] == engines.AHEAD.link
    found = one(ctrf(summary(plan([STILL], 2), [record(STILL), record(STILL, 1)])), STILL.id)
    assert (found["status"], found["rawStatus"], "trace" in found) == ("passed", "passed: consistent", False)
    assert found["extra"]["stillframe.result"]["trials"] == {"consistent": 2}
    assert found["labels"] == {"version of runc": "1.3.6", "version of criu": "4.2.1"}
    assert (found["start"], found["duration"]) == (NOON // 1_000_000, 3_400)


@pytest.mark.parametrize(
    ("outcome", "raw"), [(Outcome.LEAKED, "failed: leaked"), (Outcome.HARNESS_ERROR, "broken: harness-error")]
)
def test_what_is_broken_is_no_less_red_than_what_failed(outcome: Outcome, raw: str) -> None:
    found = one(ctrf(summary(plan([STILL], 1), [record(STILL, outcome=outcome)])), STILL.id)
    assert (found["status"], found["rawStatus"]) == ("failed", raw)
    assert found["trace"] == f"trial 0: {outcome} 0 µs: a trial that was {outcome}"


def test_a_run_that_was_killed_has_failed() -> None:
    found = ctrf(summarise(plan([STILL], 1), [record(STILL)], None))
    assert one(found, "run")["message"] == "the run did not finish"
    assert found["results"]["summary"]["failed"] == 1
    assert found["results"]["summary"]["extra"]["stillframe.run"]["exitCode"] == 3


def test_it_tells_what_it_does_not_carry() -> None:
    told = ctrf(engines.summary())["results"]["summary"]["extra"]["stillframe.run"]
    assert (told["notCarried"], told["seed"]) == (LEFT_OUT, 7)


def test_a_hostile_run_stays_small_and_the_same_run_gives_the_same_bytes() -> None:
    run = hostile.run()
    text = render(run, results(run))
    assert len(text) < 60_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert all(len(each["message"]) <= 2 * MOST_LETTERS + 10 for each in json.loads(text)["results"]["tests"])
    assert text == render(run, results(run))
