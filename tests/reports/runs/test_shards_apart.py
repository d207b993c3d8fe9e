"""Folders that are not shards of one run are refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import Exit, RecordError
from harness.model.expectations import Expectation
from harness.model.machine import Condition
from harness.model.outcomes import Outcome, Verdict
from harness.records.run_files import append, read_plan, read_records
from harness.records.shard import Shard
from reports.runs.read import read_run
from reports.runs.shards import find, gather
from tests.reports import engines
from tests.reports.sharded import CELLS, change_plan, report_of
from tests.reports.synthetic import HOST, NOON, STILL

LINK = "https://example.org/1"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 8}, "seed 7 and 8"),
        ({"rounds": 3, "rule": "other"}, "rounds 2 and 3"),
        ({"rate": 0.05}, "rate None and 0.05"),
        ({"cells": tuple(CELLS[:3])}, "cells"),
        ({"stillframe": "0.2"}, "stillframe 0.1.0 and 0.2"),
        ({"shard": Shard(number=5, of=17)}, "16 and 17 shards"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_shards_of_two_plans_are_refused_by_what_differs(
    parts: list[Path], changes: dict[str, Any], told: str, named: bool
) -> None:
    change_plan(parts[4], created_ns=NOON + 1, **changes)
    with pytest.raises(RecordError, match=f"are shards of different plans: {told}") as raised:
        gather(parts if named else [parts[0].parent])
    assert str(parts[4]) in str(raised.value)
    assert raised.value.remedy


def test_of_a_review_that_was_due_between_two_beginnings_the_first_day_counts(parts: list[Path]) -> None:
    for number, part in enumerate(parts):
        known = {STILL.id: engines.AHEAD.model_copy(update={"overdue": number > 4})}
        change_plan(part, expectations=known, conditional=known, created_ns=NOON + number)
    assert not find(parts[0].parent).plan.expected(STILL).overdue


def test_shards_of_machines_that_differ_are_one_run_and_each_cell_is_held_against_its_own(parts: list[Path]) -> None:
    there = Expectation(when=Condition.LACKS_MEM_DIRTY_TRACK, outcome=Outcome.UNSUPPORTED, reason="x", link=LINK)
    conditional = {each.id: there for each in CELLS if each.policy == "pause"}
    lacking: set[str] = set()
    for number, part in enumerate(parts):
        lacks = number % 2
        host = HOST.model_copy(update={"conditions": tuple(Condition)[:lacks]})
        cells = {each.id for each in read_plan(part).share.cells} & conditional.keys()
        change_plan(part, host=host, conditional=conditional)
        records = list(read_records(part))
        shutil.rmtree(part / "records")
        (part / "records").mkdir()
        for each in records:
            verdict = each.verdict
            if lacks and each.cell.id in cells and each.control is None:
                verdict = Verdict(outcome=Outcome.UNSUPPORTED, reason="no tracking")
            append(part, each.model_copy(update={"host": host, "verdict": verdict}))
        lacking |= cells if lacks else set()
    run = read_run(parts[0].parent)
    assert lacking
    assert lacking < conditional.keys(), "the machines have to differ"
    assert run.conclusion.exit_code is Exit.EXPECTED
    assert {each.cell.id for each in run.cells if each.known} == lacking


@pytest.mark.parametrize("named", [True, False])
def test_an_undivided_run_among_shards_is_refused(whole: Path, parts: list[Path], named: bool) -> None:
    copy = Path(shutil.copytree(whole, parts[0].parent / "whole"))
    with pytest.raises(RecordError, match=rf"{copy} is a whole run among shards like "):
        gather([*parts, copy] if named else [parts[0].parent])


def test_an_older_run_may_be_named_beside_shards(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    older = change_plan(Path(shutil.copytree(whole, tmp_path / "older")), seed=1, created_ns=NOON - 9)
    pages = report_of(*parts, older)
    assert "history.html" in pages
    assert report_of(older, parts[0].parent) == pages


def test_several_runs_in_a_folder_are_refused(whole: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        change_plan(Path(shutil.copytree(whole, tmp_path / "out" / name)), created_ns=NOON + number)
    with pytest.raises(RecordError, match=rf"{tmp_path / 'out'} has 2 runs that are not shards of one run"):
        gather([tmp_path / "out"])


@pytest.mark.parametrize(("depth", "found"), [(0, True), (3, True), (4, False)])
def test_a_run_is_found_some_folders_below(whole: Path, tmp_path: Path, depth: int, found: bool) -> None:
    place = tmp_path.joinpath("named", *["deeper"] * depth)
    shutil.copytree(whole, place)
    if found:
        assert find(tmp_path / "named").parts[0].folder == place
    else:
        with pytest.raises(RecordError, match=r"named holds no run: there is no plan\.json"):
            find(tmp_path / "named")
