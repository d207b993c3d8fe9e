"""Runs kept in a folder, without a server. The id of a run is a digest of its content.

    HISTORY/runs/ID/       plan, records, closing, `summary.json`
    HISTORY/latest.json    for each cell, the newest run that tried it, and its outcome

The number of shards does not change a run. Logs may be pruned, which leaves a tombstone. Outcomes, skews, versions and
summaries stay for ever, and so does every part of a run that a known issue cites as evidence. The folder may be a
branch: nothing in it refers to its own path.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from harness.model.errors import RecordError, UsageError
from harness.model.expectations import declared
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.documents import check_writable, writable
from harness.records.plan import Plan, Tombstone
from harness.records.record import CLOSE
from harness.records.run_files import (
    line_at,
    read_plan,
    read_tombstone,
    write_aside,
    write_closing,
    write_images,
    write_plan,
    write_tombstone,
)
from reports.runs.read import read_run
from reports.runs.shards import StoredRun, find
from reports.runs.summary import summary_json

RUNS, LATEST, SUMMARY = "runs", "latest.json", "summary.json"
DIGITS = 16
"""Digits of the digest in a run's id."""


class Kept(NamedTuple):
    """A run in a history."""

    id: str
    folder: Path
    plan: Plan
    tombstone: Tombstone | None

    @property
    def names(self) -> frozenset[str]:
        """Names that may cite the run."""
        return frozenset((self.id, self.plan.run))


class Latest(Frozen):
    """The newest run that tried a cell."""

    run: str = Field(description="id in the history")
    name: str = Field(description="id of the run, as in its plan")
    created_ns: int
    outcome: Outcome
    n: int
    k: int


def is_history(folder: Path) -> bool:
    """Whether a folder is a history."""
    return (folder / RUNS).is_dir() and not (folder / "plan.json").exists()


def kept(history: Path) -> tuple[Kept, ...]:
    """Return all runs of a history, oldest first; `RecordError` if the folder is no history."""
    if not is_history(history):
        raise RecordError(f"{history} is not a history: it has no folder {RUNS}", remedy="Add a run to create one.")
    found = [
        Kept(folder.name, folder, read_plan(folder), read_tombstone(folder))
        for folder in (history / RUNS).iterdir()
        if not folder.name.startswith(".")
    ]
    return tuple(sorted(found, key=lambda each: (each.plan.created_ns, each.id)))


def add(history: Path, run: Path) -> str:
    """Add a run, or the shards of one; return its id, the same for the same content. Raises `RecordError`."""
    stored = find(run)
    aside = history / RUNS / f".{stored.plan.run}.new"
    shutil.rmtree(aside, ignore_errors=True)
    check_writable(aside)
    try:
        with writable(aside):
            aside.mkdir(parents=True, mode=0o700)
        digest = _write(stored, aside)
        place = history / RUNS / digest[:DIGITS]
        if not place.exists():
            write_aside(aside / SUMMARY, summary_json(read_run(aside)))
            with writable(place):
                aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _write_latest(history)
    return place.name


def newest(history: Path, most: int) -> list[Path]:
    """Return the folders of the newest runs, oldest first."""
    return [each.folder for each in kept(history)[-most:]]


def prune(history: Path, keep: int, now_ns: int) -> tuple[Kept, ...]:
    """Remove the logs of all runs but the newest `keep` and the cited runs; return the runs that lost their logs."""
    if keep < 0:
        raise UsageError(
            f"--keep-logs {keep}: must be at least 0", remedy="Give the number of runs that keep their logs."
        )
    runs = kept(history)
    cited = {name for each in declared() for name in each.declaration.evidence}
    old = [each for each in runs[: max(0, len(runs) - keep)] if not each.tombstone and not each.names & cited]
    for each in old:
        _prune(each, now_ns)
    return tuple(old)


def _write(stored: StoredRun, folder: Path) -> str:
    """Write a run as one folder, in an order that does not depend on its paths; return the digest of its content."""
    write_plan(folder, stored.plan)
    if stored.closing:
        write_closing(folder, stored.closing)
    if stored.images:
        write_images(folder, stored.images)
    lines: dict[str, list[tuple[int, int, str]]] = {}
    for place, record in stored.records():
        raw = json.loads(line_at(place))
        text = _line(raw | {"run": stored.plan.run})
        lines.setdefault(place.path.name, []).append((record.trial, record.start_ns, text))
    for name, found in lines.items():
        write_aside(folder / "records" / name, "".join(text for _, _, text in sorted(found)), private=True)
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _prune(run: Kept, now_ns: int) -> None:
    before = _size(run.folder)
    for path in sorted((run.folder / "records").glob("*.jsonl")):
        with path.open("rb") as whole:
            short = [{name: value for name, value in json.loads(raw).items() if name not in CLOSE} for raw in whole]
        write_aside(path, "".join(map(_line, short)), private=True)
    what = Tombstone(run=run.plan.run, pruned_ns=now_ns, fields=tuple(sorted(CLOSE)), bytes=before - _size(run.folder))
    write_tombstone(run.folder, what)


def _line(raw: dict[str, object]) -> str:
    return json.dumps(raw, separators=(",", ":")) + "\n"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_latest(history: Path) -> None:
    found: dict[str, Latest] = {}
    for each in kept(history):
        for raw in json.loads((each.folder / SUMMARY).read_text(encoding="utf-8"))["cells"]:
            if raw["n"]:
                counts = {name: raw[name] for name in ("outcome", "n", "k")}
                name, created = each.plan.run, each.plan.created_ns
                found[raw["id"]] = Latest(run=each.id, name=name, created_ns=created, **counts)
    text = json.dumps({cell: found[cell].model_dump(mode="json") for cell in sorted(found)}, indent=1) + "\n"
    write_aside(history / LATEST, text)
