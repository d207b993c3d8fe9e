"""Divides a run into shards, like the machines of a real run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.model.controls import CANARY, CONTROLS, ControlKind
from harness.records.plan import Plan
from harness.records.record import Record
from harness.records.run_files import append, read_closing, read_plan, read_records, write_closing, write_plan
from harness.records.shard import Shard
from reports.formats.report import report, write_report
from tests.reports.synthetic import MOVING, matrix, record

CELLS = [*matrix(), *(each.model_copy(update={"workload": "shm"}) for each in matrix() if each.policy == "pause")]
OF = 16
BUSY = next(number for number in range(1, OF + 1) if len(Shard(number=number, of=OF).share(CELLS, ())[0]) > 1)
"""Number of a shard with several cells."""
PLAYED = [
    record(each.cell, outcome=each.outcome, anomalies=(each.anomaly,) if each.anomaly else (), control=each.name)
    for each in (
        CANARY.control(MOVING, ControlKind.CANARY),
        *(CONTROLS["fresh-start"].control(cell, ControlKind.CONTROL) for cell in CELLS if cell.policy == "pause"),
    )
]
CONTROLS_PLANNED = (
    CANARY.control(MOVING, ControlKind.CANARY),
    *(CONTROLS["fresh-start"].control(cell, ControlKind.CONTROL) for cell in CELLS if cell.policy == "pause"),
)


def divide(run: Path, into: Path, of: int) -> list[Path]:
    """Write each shard into its own folder, with the whole plan and its own records; every shard has the canary."""
    plan, records = read_plan(run), list(read_records(run))
    return [write_shard(run, into / f"shard-{number}", plan, records, number, of) for number in range(1, of + 1)]


def write_shard(run: Path, folder: Path, plan: Plan, records: Iterable[Record], number: int, of: int) -> Path:
    part = plan.model_copy(update={"shard": Shard(number=number, of=of)})
    cells, controls = part.share.cells, {(each.id, each.cell) for each in part.share.controls}
    write_plan(folder, part)
    for each in records:
        if each.cell in cells if each.control is None else (each.control, each.cell) in controls:
            append(folder, each)
    if closing := read_closing(run):
        write_closing(folder, closing)
    return folder


def change_plan(folder: Path, **changes: Any) -> Path:
    write_plan(folder, read_plan(folder).model_copy(update=changes))
    return folder


def rename(folder: Path, run: str, **changes: Any) -> Path:
    """Give a part another run name, like the shards of a real run."""
    change_plan(folder, run=run, **changes)
    if closing := read_closing(folder):
        write_closing(folder, closing.model_copy(update={"run": run}))
    records = [each.model_copy(update={"run": run}) for each in read_records(folder)]
    shutil.rmtree(folder / "records")
    (folder / "records").mkdir()
    for each in records:
        append(folder, each)
    return folder


def pages(folder: Path) -> dict[str, bytes]:
    """Return all files of a report."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def canary_of(folder: Path) -> Path:
    (path,) = (folder / "records").glob(f"control-{CANARY.name}.*.jsonl")
    return path


def report_of(*folders: Path) -> dict[str, bytes]:
    return pages(write_report(folders, folders[0].parent / "site").parent)


def sentence(*folders: Path) -> tuple[int, str]:
    run = report(folders, folders[0].parent / "site")[1]
    return run.conclusion.exit_code.value, run.conclusion.sentence
