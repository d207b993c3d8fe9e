"""A shard that was run again adds evidence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.model.errors import Exit
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.records.run_files import append, read_plan, read_records
from harness.records.shard import Shard
from reports.runs.pool import pool
from reports.runs.read import read_run
from tests.reports.sharded import BUSY, CELLS, OF, PLAYED, change_plan, rename, report_of, sentence
from tests.reports.synthetic import HOST, NOON, record


def again(part: Path, *, outcome: Outcome | None = None) -> Path:
    """Run the same shard once more, on another day."""
    copy = Path(shutil.copytree(part, part.with_name(f"{part.name}-again")))
    records = [each for each in read_records(copy) if each.control is None]
    rename(copy, copy.name, created_ns=NOON + 99)
    shutil.rmtree(copy / "records")
    (copy / "records").mkdir()
    for each in records:
        verdict = each.verdict.model_copy(update={"outcome": outcome or each.verdict.outcome})
        append(copy, each.model_copy(update={"run": copy.name, "start_ns": each.start_ns + 5, "verdict": verdict}))
    return copy


def test_a_rerun_adds_evidence(parts: list[Path]) -> None:
    again(parts[BUSY - 1])
    run = read_run(parts[0].parent)
    cells, _ = Shard(number=BUSY, of=OF).share(CELLS, ())
    assert {each.cell.id: each.n for each in run.cells} == {cell.id: 4 if cell in cells else 2 for cell in CELLS}
    assert run.conclusion.exit_code == Exit.EXPECTED
    assert {each.n for each in pool([parts[0].parent]) if each.cell in cells} == {4}


def test_a_rerun_is_told_the_same_in_any_order(parts: list[Path]) -> None:
    """Two reruns that differ only in their records have an order, too."""
    copy = Path(shutil.copytree(parts[BUSY - 1], parts[0].parent / "again"))
    versions = {
        "checkpoint": (Component(name="criu", version="5.0"),),
        "restore": (Component(name="criu", version="5.1"),),
    }
    change_plan(copy, created_ns=read_plan(copy).created_ns + 1)
    changes = {"host": HOST.model_copy(update={"cpus": 99}), "components": versions}
    records = [each for each in read_records(copy) if each.control is None]
    shutil.rmtree(copy / "records")
    (copy / "records").mkdir()
    for each in records:
        append(copy, each.model_copy(update={**changes, "start_ns": each.start_ns - 5}))
    told = report_of(*parts, copy)
    assert b"5.1" in told["summary.json"]
    assert report_of(copy, *parts) == told


@pytest.mark.parametrize("first", [True, False])
def test_a_rerun_turns_nothing_green(parts: list[Path], first: bool) -> None:
    other = again(parts[BUSY - 1], outcome=Outcome.LEAKED)
    if first:
        shutil.rmtree(parts[BUSY - 1])
        again(other, outcome=Outcome.CONSISTENT)
    assert sentence(parts[0].parent)[0] == Exit.UNEXPECTED


def test_of_a_control_the_worst_counts(parts: list[Path]) -> None:
    control = PLAYED[1]
    shard = next(
        part for part in parts if (part / "records" / f"control-fresh-start.{control.cell.slug}.jsonl").exists()
    )
    append(shard, record(control.cell, outcome=Outcome.CONSISTENT, control="fresh-start", reason="so it seems"))
    run = read_run(parts[0].parent)
    assert run.conclusion.exit_code == Exit.BLIND
    assert [each.verdict.reason for each in run.controls if not each.detected] == ["so it seems"]
