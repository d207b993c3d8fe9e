from __future__ import annotations

import gc
from pathlib import Path

import pytest

from harness.model.errors import RecordError
from harness.model.outcomes import Outcome
from harness.records import run_files
from harness.records.record import CLOSE
from reports.analysis.cells import telling_trials
from reports.runs.read import read_run
from reports.terminal.show import show_cell
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, store

TRIALS = [record(STILL, number) for number in range(6)]
TRIALS[4] = record(STILL, 4, Outcome.LEAKED)
RECORDS = [moving(MOVING), *TRIALS]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return store(tmp_path / "run", plan((MOVING, STILL), 6), RECORDS)


def test_what_is_looked_at_is_whole_and_the_rest_is_brief(run_folder: Path) -> None:
    cell = read_run(run_folder).by_id[STILL.id]
    assert [each.trial for each in telling_trials(cell)] == [0, 4]
    assert [bool(each.commands) for each in cell.trials] == [True, False, False, False, True, False]
    assert (cell.trials[0], cell.trials[4]) == (TRIALS[0], TRIALS[4])
    left_out = dict.fromkeys(CLOSE, ())
    assert cell.trials[1] == TRIALS[1].model_copy(update=left_out), "all other fields are there"


def test_everything_can_be_looked_at(run_folder: Path) -> None:
    found = read_run(run_folder, lambda cell: cell.trials)
    assert sum((each.trials for each in found.cells), ()) == tuple(RECORDS)


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_runs_afterwards_if_it_ran_before(run_folder: Path, running: bool) -> None:
    (gc.enable if running else gc.disable)()
    try:
        read_run(run_folder)
        assert gc.isenabled() is running
        (run_folder / "records" / "damaged.jsonl").write_bytes(b"{}\n")
        with pytest.raises(RecordError):
            read_run(run_folder)
        assert gc.isenabled() is running
    finally:
        gc.enable()


def test_any_trial_can_be_shown_with_its_commands(run_folder: Path) -> None:
    assert all("checkpoint" in show_cell(run_folder, STILL.id, trial).split("# commands of")[1] for trial in range(6))


def test_what_is_left_out_is_not_checked_before_it_is_looked_at(run_folder: Path) -> None:
    path = run_folder / "records" / f"{STILL.slug}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    for number in (0, 1):
        lines[number] = lines[number].replace('"argv":', '"unheard-of":7,"argv":', 1)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"{path}:1 is not a valid record"):
        read_run(run_folder)
    found = read_run(run_folder, lambda cell: cell.trials[2:])
    assert len(found.by_id[STILL.id].trials) == 6


def test_records_are_found_again_behind_others_whatever_they_hold(tmp_path: Path) -> None:
    unusual = [record(STILL, number, reason="é\u2028\r\n" * number) for number in range(3)]
    folder = store(tmp_path / "run", plan((STILL,), 3), unusual)
    assert [run_files.read_at(place) for place, _ in run_files.read_briefly(folder)] == unusual
