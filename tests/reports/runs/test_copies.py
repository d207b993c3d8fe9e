"""A run at two stages is one run, and so is a shard."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.model.errors import RecordError
from harness.records.run_files import append, read_records
from reports.runs.read import compare_runs, read_run
from reports.runs.shards import gather
from tests.reports.sharded import BUSY, report_of
from tests.reports.synthetic import MOVING, STILL, expected_run, plan, record, store


@pytest.fixture
def late(tmp_path: Path) -> Path:
    return store(tmp_path / "late", plan((MOVING, STILL), 3), expected_run((MOVING, STILL), 3))


def early(late: Path, name: str = "early") -> Path:
    """Copy a run as it was before its end: without its closing document and its last trials."""
    folder = Path(shutil.copytree(late, late.with_name(name)))
    (folder / "closing.json").unlink()
    for path in (folder / "records").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    return folder


def test_of_a_run_at_two_stages_the_later_one_is_reported(late: Path) -> None:
    told = report_of(late)
    other = early(late)
    assert report_of(other) != told
    assert report_of(other, late) == report_of(late, other) == told


def test_a_copy_that_finished_without_the_last_trials_of_another_contradicts_it(late: Path) -> None:
    other = early(late)
    shutil.copy(late / "closing.json", other)
    (late / "closing.json").unlink()
    with pytest.raises(RecordError, match="contradict each other: early finished with fewer trials"):
        gather([late, other])


def test_a_copy_with_another_plan_contradicts_it(late: Path) -> None:
    other = store(late.with_name("other"), plan((MOVING, STILL), 4), read_records(late))
    with pytest.raises(RecordError, match="contradict each other: their plans differ"):
        gather([late, other])


def test_a_run_is_compared_with_its_own_copy_as_with_itself(late: Path) -> None:
    other = early(late)
    found = compare_runs(other, late)
    assert found == compare_runs(late, other) == compare_runs(late, late)
    assert (found.exit_code, found.unfinished, found.findings) == (0, (), ())


def test_of_a_shard_at_two_stages_the_later_one_counts(parts: list[Path], told: dict[str, bytes]) -> None:
    early(parts[BUSY - 1], "again")
    assert report_of(parts[0].parent) == told


def test_runs_of_the_same_second_are_two_runs(late: Path) -> None:
    twin = plan((MOVING, STILL), 3)
    other = store(late.with_name("twin"), twin.model_copy(update={"created_ns": twin.created_ns + 1}), [record(STILL)])
    assert len(gather([late, other])) == 2
    append(other, record(MOVING))
    assert read_run(other).by_id[MOVING.id].n == 1
