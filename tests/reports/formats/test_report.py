from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands.cli import main
from harness.model.errors import RecordError
from harness.model.outcomes import Anomaly, Outcome
from reports.formats.markdown import MOST_BYTES
from reports.formats.report import add_to_step_summary, write_report
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, store

RING_BYTE = record(STILL, outcome=Outcome.INCONSISTENT, control="ring-byte", anomalies=(Anomaly.TORN,))
RECORDS = [moving(MOVING), record(STILL), RING_BYTE]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return store(tmp_path / "run", plan((MOVING, STILL), 1), RECORDS)


def test_a_site_and_two_files_and_nothing_left_aside(run_folder: Path) -> None:
    page = write_report([run_folder])
    assert page == run_folder / "report/index.html"
    assert {path.name for path in run_folder.iterdir()} == {"plan.json", "closing.json", "records", "report"}
    assert {"index.html", "report.md", "summary.json", "cells"} <= {path.name for path in page.parent.iterdir()}
    assert not list(page.parent.rglob("*.new"))
    assert "All 2 cells are as expected, in 2 trials." in (run_folder / "report/report.md").read_text(encoding="utf-8")


def test_another_folder_may_take_the_report(run_folder: Path, tmp_path: Path) -> None:
    assert write_report([run_folder], tmp_path / "site" / "tonight") == tmp_path / "site" / "tonight" / "index.html"
    assert not (run_folder / "report").exists()


def test_the_summary_is_for_programs(run_folder: Path) -> None:
    write_report([run_folder])
    summary = json.loads((run_folder / "report/summary.json").read_text(encoding="utf-8"))
    assert summary["schema_version"] == 1
    assert summary["conclusion"]["exit_code"] == 0
    assert summary["conclusion"]["sentence"] == "All 2 cells are as expected, in 2 trials."
    first, second = summary["cells"]
    assert (first["id"], first["as_expected"], first["skew_ticks"]) == (MOVING.id, True, 3_000)
    assert second["entry"] == "consistent 0/1 (<95.0 %)"
    assert summary["controls"][0]["detected"] is True
    assert "trials" not in first


def test_a_line_that_was_cut_off_is_missing(run_folder: Path) -> None:
    (path,) = (run_folder / "records").glob(f"{STILL.slug}.jsonl")
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    write_report([run_folder])
    summary = json.loads((run_folder / "report/summary.json").read_text(encoding="utf-8"))
    assert summary["conclusion"]["exit_code"] == 3
    assert summary["cells"][1]["entry"] == "missing 1 of 1"


def test_a_step_summary_takes_the_report_after_what_it_has(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "step"
    place.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    assert main(["report", str(run_folder)]) == 0
    written = (run_folder / "report/report.md").read_text(encoding="utf-8")
    assert place.read_text(encoding="utf-8") == f"before\n{written}"


def test_a_step_summary_never_becomes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "step"
    place.write_bytes(b"x" * (MOST_BYTES - 300))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    add_to_step_summary("## Verdict\n\n### Odd\n\n" + "- one\n" * 100)
    assert MOST_BYTES - 300 < place.stat().st_size <= MOST_BYTES
    add_to_step_summary("## Verdict\n\n### Odd\n\n" + "- one\n" * 100)
    assert place.stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("place", [None, "", "/proc/none/there"])
def test_without_a_step_summary_nothing_is_written(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if place is None:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    else:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)
    add_to_step_summary("## Verdict\n")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError):
        write_report([tmp_path])
