from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.measure.growth import RENDERERS, WHOLE, main, measure, multiply
from harness.records.run_files import read_plan, read_records
from reports.runs.read import read_run
from tests.reports.synthetic import MOVING, STILL, expected_run, plan, store

STEPS = ("plan", "read", *RENDERERS, WHOLE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return store(tmp_path / "source", plan((MOVING, STILL), 2), expected_run((MOVING, STILL), 2))


@pytest.mark.parametrize("records", [1, 2, 3, 11])
def test_a_run_of_any_size_is_complete_and_as_real_as_its_source(source: Path, tmp_path: Path, records: int) -> None:
    folder = multiply(source, tmp_path / "large", records)
    found = list(read_records(folder))
    assert len(found) == records
    assert len({(each.cell, each.trial) for each in found}) == records
    assert read_run(folder).conclusion.exit_code == 0
    assert {len(each.commands) for each in found} == {len(next(read_records(source)).commands)}
    assert len(read_plan(folder).cells) == min(records, 2)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_costs_something_and_makes_what_it_is_named_for(source: Path, tmp_path: Path, step: str) -> None:
    folder = multiply(source, tmp_path / "large", 4)
    cost = measure(step, folder, 4)
    assert cost.seconds > 0
    assert cost.mebibytes > 1
    assert (cost.output_bytes > 0) is (step != "read")
    assert (folder / "report/index.html").exists() is (step == WHOLE)


def test_what_it_costs_is_printed(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(source), "--sizes", "3", "--json"]) == 0
    costs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["step"] for each in costs] == list(STEPS)
    assert {each["records"] for each in costs} == {3}


def test_a_source_that_is_none_is_an_error_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(store(tmp_path / "empty", plan((STILL,)), []))]) == 2
    told = capsys.readouterr().err
    assert "holds no run: there is no plan.json. Name a run's folder." in told
    assert "holds no records to repeat" in told


@pytest.mark.parametrize("sizes", [["0"], ["10", "-1"]])
def test_a_size_that_is_none_is_refused(source: Path, sizes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(source), "--sizes", *sizes]) == 2
    assert f"--sizes {min(map(int, sizes))}: must be at least 1" in capsys.readouterr().err
