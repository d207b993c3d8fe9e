"""Records that are not of the plan turn nothing green."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.records.run_files import append
from reports.runs.pool import pool
from reports.runs.read import read_run
from tests.reports.sharded import CELLS, PLAYED, pages, report_of, sentence
from tests.reports.synthetic import moving, record


def strays(folder: Path, *records: Any) -> tuple[int, str]:
    for each in records:
        append(folder, each)
    return sentence(folder)


def test_a_record_of_another_run_stands_in_for_nothing(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    cell = CELLS[1]
    path = folder / "records" / f"{cell.slug}.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:1]), encoding="utf-8")
    code, verdict = strays(folder, record(cell, 1).model_copy(update={"run": "another"}))
    assert code == 3
    assert f"1 of 30 cells with incomplete evidence: {cell.id}." in verdict
    assert f"1 record from outside the plan, which cannot make a cell green: {cell.id}." in verdict
    summary = read_run(folder).by_id[cell.id]
    assert (summary.n, summary.missing, summary.strays) == (1, 1, 1)
    assert [each.n for each in pool([folder]) if each.cell == cell] == [1]


def test_a_violation_convicts_wherever_it_is_from(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    assert strays(folder, moving(CELLS[1]).model_copy(update={"run": "another"}))[0] == 1
    assert read_run(folder).by_id[CELLS[1].id].k == 1


@pytest.mark.parametrize("trial", [2, 10**6])
def test_a_trial_beyond_the_plan_is_evidence_but_leaves_nothing_green(whole: Path, tmp_path: Path, trial: int) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    code, verdict = strays(folder, record(CELLS[1], trial))
    told = f"1 record from outside the plan, which cannot make a cell green: {CELLS[1].id}."
    assert (code, verdict) == (3, told)
    assert read_run(folder).by_id[CELLS[1].id].n == 3


@pytest.mark.parametrize("run", ["2026-11-23-1", "another"])
def test_a_cell_that_was_not_planned_is_shown_and_not_green(whole: Path, tmp_path: Path, run: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    unplanned = CELLS[1].model_copy(update={"workload": "volumes"})
    code, verdict = strays(folder, record(unplanned).model_copy(update={"run": run}))
    assert code == 3
    assert f"which cannot make a cell green: {unplanned.id}." in verdict
    assert not read_run(folder).by_id[unplanned.id].as_expected
    assert any(unplanned.id in name for name in pages(folder.parent / "site"))


def test_a_control_of_another_run_proves_nothing(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    control = PLAYED[1]
    path = folder / "records" / f"control-fresh-start.{control.cell.slug}.jsonl"
    path.unlink()
    code, verdict = strays(folder, control.model_copy(update={"run": "another"}))
    assert code == 3
    assert "1 of 13 controls did not run: " in verdict


def test_a_line_that_is_there_twice_counts_once(whole: Path, tmp_path: Path, told: dict[str, bytes]) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    for path in (folder / "records").iterdir():
        path.write_bytes(path.read_bytes() * 3)
    assert report_of(folder) == told
