from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reports.analysis.tables import RunSummary
from reports.formats.report import write_report, write_summary
from reports.formats.write import render, write_formats
from reports.paths import ALLURE, TOOLS
from reports.runs.read import read_run
from tests.reports import engines, hostile
from tests.reports.synthetic import MOVING, STILL, moving, newer, plan, record, store, summary

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BOTH = summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_has_every_form_and_leaves_nothing_aside(tmp_path: Path) -> None:
    folder = store(tmp_path / "run", plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)])
    site = write_report([folder]).parent
    for tool in TOOLS:
        assert (site / tool.path).exists(), tool.path
    written = contents(site)
    assert {place for place, _ in render(read_run(folder), now=NOW)} <= set(written)
    assert not [name for name in written if name.endswith(".new")]


def test_names_of_files_are_not_taken_twice() -> None:
    places = [place for place, _ in render(engines.summary(), now=NOW)]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("run", [engines.summary(), hostile.run()], ids=["engines", "hostile"])
def test_the_same_run_gives_the_same_bytes_wherever_it_is_written(run: RunSummary, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_formats(run, tmp_path / name, before=[run], now=NOW)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_results_of_an_earlier_report_are_not_added_up(tmp_path: Path) -> None:
    others = tmp_path / ALLURE / "executor.json"
    others.parent.mkdir()
    others.write_text("{}", encoding="utf-8")
    write_formats(BOTH, tmp_path, now=NOW)
    before = set((tmp_path / ALLURE).iterdir())
    write_formats(summary(plan([STILL], 1), [record(STILL)]), tmp_path, now=NOW)
    after = set((tmp_path / ALLURE).iterdir())
    assert others in after < before


def test_the_moment_of_writing_tells_what_is_stale(tmp_path: Path) -> None:
    fresh = newer(BOTH, int((datetime.now(UTC) - NOW).days))
    write_summary(fresh, tmp_path / "now")
    write_summary(fresh, tmp_path / "then", now=datetime(2099, 1, 1, tzinfo=UTC))
    told = [(tmp_path / name / "badges/run.svg").read_text(encoding="utf-8") for name in ("now", "then")]
    assert ["stale" in text for text in told] == [False, True]


def test_the_past_goes_into_feeds(tmp_path: Path) -> None:
    write_summary(newer(BOTH, 2), tmp_path, before=[summary(plan([STILL], 1), [moving(STILL)])])
    feed = (tmp_path / "feeds/runc@debian-sid.atom").read_text(encoding="utf-8")
    assert "1 sometimes, 1 cell more" in feed
