from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from allure_commons.model2 import Status as Word
from allure_commons.model2 import TestResult as AllureResult
from attr import fields

from harness.model.controls import ControlKind
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.formats import allure
from reports.formats.allure import CATEGORIES, MOST_OF_A_FILE, render, sweep
from reports.formats.results import results
from reports.pages.html import MOST_CLOSE
from tests.reports import engines, hostile
from tests.reports.synthetic import MOVING, MS, NOON, STILL, expected_run, matrix, moving, plan, record, summary

KNOWN = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: engines.AHEAD}})


def files(run: RunSummary) -> dict[str, str]:
    return dict(render(run, results(run)))


def cases(run: RunSummary) -> dict[str, Any]:
    found = [json.loads(text) for name, text in files(run).items() if name.endswith("-result.json")]
    return {each["fullName"]: each for each in found}


def labels(case: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in case["labels"]}


def inner(value: Any, name: str) -> Iterator[Any]:
    """Yield everything with this name, at any depth of the steps."""
    yield from value.get(name, ())
    for step in value.get("steps", ()):
        yield from inner(step, name)


def test_a_result_says_what_was_asked_and_what_became_of_it() -> None:
    case = cases(summary(plan(matrix()), expected_run(matrix())))[MOVING.id]
    assert set(case) <= {each.name for each in fields(AllureResult)}
    assert (case["name"], case["status"], case["stage"]) == (MOVING.id, Word.PASSED, "finished")
    assert (case["start"], case["stop"]) == (NOON // MS, NOON // MS + 9_400)
    assert case["statusDetails"]["message"] == "inconsistent 5/5 disk-ahead +45.4 ms"
    told = labels(case)
    assert (told["parentSuite"], told["suite"], told["subSuite"]) == ("workload ledger", "runc@debian-sid", "none")
    assert (told["framework"], told["tag"], "host" in told) == ("stillframe", "inconsistent", False)


def test_what_is_known_is_skipped_and_says_so_with_its_issue() -> None:
    case = cases(summary(KNOWN, [moving(STILL)]))[STILL.id]
    assert (case["status"], case["statusDetails"]["known"]) == (Word.SKIPPED, True)
    assert case["statusDetails"]["message"] == "known: inconsistent 1/1 disk-ahead +45 ms"
    assert case["links"] == [
        {"type": "issue", "url": engines.AHEAD.link, "name": "github.com/containers/podman/issues/28963"}
    ]


def test_each_trial_is_a_step_and_its_stages_are_steps_of_it() -> None:
    case = cases(summary(plan([STILL], 2), [record(STILL), moving(STILL, 1)]))[STILL.id]
    first, second = case["steps"]
    assert [first["name"], second["name"]] == ["trial 0: consistent 0 µs", "trial 1: inconsistent disk-ahead +45 ms"]
    assert [first["status"], second["status"]] == [Word.PASSED, Word.FAILED]
    assert second["statusDetails"]["message"] == "rootfs is ahead"
    by_name = {each["name"]: each for each in first["steps"]}
    assert (by_name["checkpoint"]["start"], by_name["checkpoint"]["stop"]) == (NOON // MS + 430, NOON // MS + 515)
    assert [each["start"] for each in first["steps"]] == sorted(each["start"] for each in first["steps"])


def test_the_stage_at_which_a_trial_ended_has_its_status() -> None:
    trial = record(STILL, outcome=Outcome.RESTORE_FAILED)
    trial = trial.model_copy(update={"verdict": trial.verdict.model_copy(update={"stage": "restore"})})
    (step,) = cases(summary(plan([STILL], 1), [trial]))[STILL.id]["steps"]
    assert {each["name"] for each in step["steps"] if each["status"] == Word.FAILED} == {"restore"}


def test_evidence_is_attached() -> None:
    trial = record(STILL).model_copy(update={"log": ("Error (criu/mem.c:1): no",), "leaks": ("a mount",)})
    made = files(summary(plan([STILL], 1), [trial]))
    case = next(json.loads(text) for name, text in made.items() if '"ledger.pause' in text and "-result" in name)
    found = {each["name"]: (each["type"], made[each["source"]]) for each in inner(case, "attachments")}
    kind, drawing = found["timeline of trial 0"]
    assert (kind, ET.fromstring(drawing).get("role")) == ("image/svg+xml", "img")
    assert found["log of trial 0"] == ("text/plain", "Error (criu/mem.c:1): no")
    assert found["left behind of trial 0"] == ("text/plain", "a mount")
    assert (
        "runc checkpoint --leave-running --image-path '/out/it'\"'\"'s' one </dev/null"
        in found["commands of trial 0"][1]
    )


def test_every_attachment_is_there_and_every_file_is_attached() -> None:
    made = files(engines.summary())
    used = {
        each["source"]
        for name, text in made.items()
        if name.endswith("-result.json")
        for each in inner(json.loads(text), "attachments")
    }
    assert used == {name for name in made if "-attachment." in name}
    assert len(used) < 5 * MOST_CLOSE


def versioned(trial: Record, version: str) -> Record:
    found = {"components": {"checkpoint": (Component(name="podman", version=version),)}}
    return trial.model_copy(update=found)


def test_a_new_version_makes_it_no_other_test() -> None:
    before, after = (
        cases(summary(plan([STILL], 1), [versioned(record(STILL), version)]))[STILL.id] for version in ("5.8", "6.1")
    )
    for name in ("historyId", "testCaseId", "uuid", "fullName"):
        assert before[name] == after[name]
    assert {"name": "podman", "value": "6.1", "excluded": True} in after["parameters"]
    kept = [[each for each in case["parameters"] if not each.get("excluded")] for case in (before, after)]
    assert kept[0] == kept[1]
    assert {each["name"] for each in kept[0]} == {"workload", "scenario", "policy", "checkpoint", "restore"}


def matching(case: Any) -> list[str]:
    """Return the categories of a result, as both versions of Allure find them: the whole message has to match."""
    message = case["statusDetails"]["message"]
    return [
        name
        for name, status, pattern in CATEGORIES
        if status == case["status"] and re.fullmatch(pattern, message, re.DOTALL)
    ]


def test_each_result_that_has_not_passed_has_its_category() -> None:
    some = cases(engines.summary())
    found = {name: matching(case) for name, case in some.items() if case["status"] != Word.PASSED}
    assert {len(each) for each in found.values()} == {1}
    assert {each[0] for each in found.values()} == {
        *("known issue", "better than expected", "source harmed"),
        *("failed checkpoint or restore", "incomplete, or a fault of stillframe or the host"),
    }
    assert not [name for name, case in some.items() if case["status"] == Word.PASSED and matching(case)]


@pytest.mark.parametrize("outcome", Outcome)
def test_there_is_a_category_for_every_outcome(outcome: Outcome) -> None:
    some = plan([STILL], 1)
    if outcome is Outcome.CONSISTENT:
        some = KNOWN
    case = cases(summary(some, [record(STILL, outcome=outcome)]))[STILL.id]
    assert len(matching(case)) == 1


def test_a_blind_instrument_has_categories() -> None:
    control = next(each for each in engines.plan().controls if each.kind is ControlKind.CONTROL)
    some = plan([STILL], 1).model_copy(update={"controls": (control,)})
    found = cases(summary(some, [record(STILL), record(control.cell, control=control.name)]))
    told = {name: matching(case) for name, case in found.items() if case["status"] != Word.PASSED}
    assert sorted(told.values()) == [["does not count: instrument blind"], ["instrument blind"]]


def properties(text: str) -> dict[str, str]:
    """Read properties like java.util.Properties, as far as this is needed here."""
    pairs = (line.split("=", 1) for line in text.splitlines())
    return {name: json.loads(f'"{value}"') for name, value in pairs}


def test_the_environment_is_that_of_the_run_and_tells_what_is_not_here() -> None:
    found = properties(files(engines.summary())["environment.properties"])
    assert (found["run"], found["exit.code"], found["seed"]) == ("2026-11-23-1", "1", "7")
    assert (found["kernel"], found["cgroups"], found["memory_gib"]) == ("6.18.2", "hybrid", "15.6")
    assert found["podman/runc@debian-sid"] == "podman/runc 1.3.6, criu 4.2.1"
    assert "records/*.jsonl" in found["not.in.these.results"]
    assert "executor.json" not in files(engines.summary()), "the CI knows the executor"


def test_a_hostile_run_stays_readable_and_small() -> None:
    made = files(hostile.run())
    assert max(len(text) for text in made.values()) <= MOST_OF_A_FILE + 1_000
    assert sum(len(text) for text in made.values()) < 20 * MOST_OF_A_FILE
    for name, text in made.items():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), name
        assert text.encode().decode() == text
        if name.endswith(".json"):
            json.loads(text)
    found = properties(made["environment.properties"])
    assert made["environment.properties"].isascii()
    assert all(re.fullmatch(r"[\w.@/+-]+", name) for name in found)
    assert "\N{GRINNING FACE}" in found["kernel"]
    for case in (json.loads(text) for name, text in made.items() if name.endswith("-result.json")):
        assert not [link for link in case.get("links", ()) if not link["url"].startswith("https://")]
        assert "<script" not in case["description"], "Allure makes HTML of it"


def test_the_same_run_gives_the_same_bytes() -> None:
    assert files(engines.summary()) == files(engines.summary())


def test_a_folder_keeps_what_others_wrote_and_nothing_of_an_earlier_report(tmp_path: Path) -> None:
    foreign = [f"{uuid4()}-result.json", f"{uuid4()}-attachment.txt", "executor.json", "notes-result.json"]
    old = files(summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)]))
    new = files(summary(plan([STILL], 1), [record(STILL)]))
    for name in (*foreign, *old):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    sweep(tmp_path, new)
    assert {path.name for path in tmp_path.iterdir()} == {*foreign, *new}
    assert set(old) > set(new)


def test_names_tell_whose_they_are() -> None:
    names = [name for name in files(engines.summary()) if "-" in name]
    assert {UUID(name[:36]).version for name in names} == {5}
    assert allure.OURS.version == 5
