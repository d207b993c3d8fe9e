"""Kept runs: an id from the content, the newest result of each cell, and logs as long as needed."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.commands.cli import main
from harness.model.errors import RecordError
from harness.model.expectations import About, Declaration, Declared
from harness.model.outcomes import Outcome
from harness.records.plan import Plan, Tombstone
from harness.records.record import Record
from harness.records.run_files import read_records, read_tombstone, write_tombstone
from reports.runs import history
from reports.runs.read import read_run
from reports.runs.summary import summary_json
from tests.reports.synthetic import MOVING, NOON, STILL, expected_run, moving, plan, record, store

DAY = 86_400_000_000_000


def run(folder: Path, day: int, *trials: Record, **changes: Any) -> Path:
    """Store a run of this day, with the day in its name."""
    cells = tuple(dict.fromkeys(each.cell for each in trials))
    name = f"run-{day}"
    told: Plan = plan(cells, 1, run=name).model_copy(update={"created_ns": NOON + day * DAY, **changes})
    return store(folder / name, told, [each.model_copy(update={"run": name}) for each in trials])


def latest(kept: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((kept / "latest.json").read_text(encoding="utf-8"))
    return found


def test_a_run_goes_by_its_content(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    one = history.add(kept, run(tmp_path / "a", 1, moving(STILL)))
    assert history.add(kept, run(tmp_path / "b", 1, moving(STILL))) == one, "another copy"
    other = history.add(kept, run(tmp_path / "c", 2, moving(STILL, ticks=7)))
    assert other != one
    assert {each.id for each in history.kept(kept)} == {one, other}
    assert {path.name for path in (kept / "runs").iterdir()} == {one, other}, "no temporary folder stays"


def test_what_is_kept_says_what_the_run_said(tmp_path: Path) -> None:
    source = store(tmp_path / "run", plan((MOVING, STILL), 2), expected_run((MOVING, STILL), 2))
    kept = tmp_path / "kept" / "runs" / history.add(tmp_path / "kept", source)
    assert summary_json(read_run(kept)) == summary_json(read_run(source))
    assert (kept / "summary.json").read_text(encoding="utf-8") == summary_json(read_run(source))
    assert {(path.stat().st_mode & 0o777) for path in (kept / "records").iterdir()} == {0o600}


def test_of_each_cell_is_known_which_run_tried_it_last(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    new = history.add(kept, run(tmp_path, 2, record(STILL)))
    old = history.add(kept, run(tmp_path, 1, moving(STILL), moving(MOVING)))
    found = latest(kept)
    assert {cell: (each["run"], each["outcome"]) for cell, each in found.items()} == {
        STILL.id: (new, "consistent"),
        MOVING.id: (old, "inconsistent"),
    }


def test_pruning_takes_logs_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    old, new = (history.add(kept, run(tmp_path, day, moving(STILL))) for day in (1, 2))
    before = summary_json(read_run(kept / "runs" / old))
    assert [each.id for each in history.prune(kept, 1, NOON)] == [old]
    (short,), (whole,) = (list(read_records(kept / "runs" / each)) for each in (old, new))
    assert (short.commands, short.timeline, short.readings) == ((), (), ())
    assert short.skews == whole.skews
    assert whole.commands
    tombstone = read_tombstone(kept / "runs" / old)
    assert tombstone is not None
    assert (tombstone.pruned_ns, tombstone.fields) == (NOON, ("commands", "readings", "timeline"))
    assert tombstone.bytes > 1_000
    after = json.loads(summary_json(read_run(kept / "runs" / old)))
    assert after.pop("tombstone") is not None
    assert after == {name: value for name, value in json.loads(before).items() if name != "tombstone"}
    assert history.prune(kept, 1, NOON + 1) == (), "a second time has no effect"


def test_what_a_declaration_cites_keeps_its_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    first, _, third = (history.add(kept, run(tmp_path, day, moving(STILL))) for day in (1, 2, 3))
    day = dt.date(2026, 11, 27)
    known = Declaration(
        match=(STILL.id,),
        outcome=Outcome.INCONSISTENT,
        reason="why",
        link="https://example.org/1",
        owner="runc",
        added=day,
        review_by=day,
        evidence=(first, "run-2"),
    )
    found = Declared(about=About.CELLS, declaration=known, where="a.toml:1-9")
    monkeypatch.setattr("reports.runs.history.declared", lambda: (found,))
    assert [each.id for each in history.prune(kept, 0, NOON)] == [third]


def test_a_site_of_a_history_tells_of_the_newest_run_and_of_its_past(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for day, trial in ((2, record(STILL)), (1, moving(STILL))):
        assert main(["history", "add", str(kept), str(run(tmp_path, day, trial))]) == 0
    assert main(["report", str(kept), "--out", str(tmp_path / "site")]) == 0
    assert "run-2" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "Outcome by run. run-1: inconsistent; run-2: consistent" in (tmp_path / "site/history.html").read_text(
        encoding="utf-8"
    )


def test_a_page_tells_what_was_taken_out(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    history.add(kept, run(tmp_path, 1, moving(STILL)))
    assert main(["history", "prune", str(kept), "--keep-logs", "0"]) == 0
    assert main(["report", str(kept), "--out", str(tmp_path / "site")]) == 0
    (page,) = (tmp_path / "site/cells").iterdir()
    assert "Removed from this run's records on " in page.read_text(encoding="utf-8")


def test_a_history_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    name = history.add(kept, run(tmp_path, 1, moving(STILL)))
    history.prune(kept, 0, NOON)
    assert main(["history", "list", str(kept)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "run-1" in line]
    assert name in line
    assert "pruned, " in line


def test_wrong_words_are_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError, match="is not a history: it has no folder runs"):
        history.kept(tmp_path)
    assert main(["history", "add", str(tmp_path / "kept"), str(tmp_path)]) == 2
    assert not list((tmp_path / "kept").glob("runs/*")), "no partial run stays"
    history.add(tmp_path / "kept", run(tmp_path, 1, record(STILL)))
    assert main(["history", "prune", str(tmp_path / "kept"), "--keep-logs", "-1"]) == 2
    assert "--keep-logs -1: must be at least 0" in capsys.readouterr().err


def test_a_run_that_several_add_at_once_is_there_once(tmp_path: Path) -> None:
    kept, source = tmp_path / "kept", run(tmp_path, 1, *(record(STILL, number) for number in range(200)))
    with ThreadPoolExecutor(4) as several:
        added = list(several.map(lambda _: history.add(kept, source), range(8)))
    assert {each.name for each in (kept / "runs").iterdir()} == set(added)
    assert len(set(added)) == 1


def test_a_run_is_no_place_for_a_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = run(tmp_path, 1, record(STILL)), run(tmp_path, 2, record(STILL))
    assert main(["history", "add", str(one), str(other)]) == 2
    assert "is a run, not a history" in capsys.readouterr().err
    assert not (one / "runs").exists()


@pytest.mark.parametrize("inside", ["kept/runs", "kept/runs/site", "run-1/records", "run-1/records/new"])
def test_nothing_else_is_written_among_runs_and_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    one = run(tmp_path, 1, record(STILL))
    history.add(tmp_path / "kept", one)
    assert main(["report", str(one), "--out", str(tmp_path / inside)]) == 2
    assert "which holds runs or records alone" in capsys.readouterr().err
    assert len(history.kept(tmp_path / "kept")) == 1


def test_a_history_without_runs_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept" / "runs").mkdir(parents=True)
    assert main(["report", str(tmp_path / "kept")]) == 2
    assert "kept holds no run" in capsys.readouterr().err


def test_papers_of_another_run_are_no_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = run(tmp_path, 1, record(STILL)), run(tmp_path, 2, record(STILL))
    (one / "closing.json").write_bytes((other / "closing.json").read_bytes())
    assert main(["history", "add", str(tmp_path / "kept"), str(one)]) == 2
    assert "is of run run-2, but the plan is of run-1" in capsys.readouterr().err
    write_tombstone(other, Tombstone(run="run-1", pruned_ns=1, fields=(), bytes=0))
    assert main(["report", str(other)]) == 2
    assert "is of run run-1, but the plan is of run-2" in capsys.readouterr().err
