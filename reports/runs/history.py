"""Runs kept in a folder, without a server. The id of a run is a digest of its content.

    HISTORY/runs/ID/       plan, records, closing, `summary.json`
    HISTORY/latest.json    for each cell, the newest run that tried it, and its outcome

The number of shards does not change a run. A run that was added before it finished gives way to its finished copy.
Logs may be pruned, which leaves a tombstone. Outcomes, skews, versions and summaries stay for ever, and so does every
part of a run that a known issue cites as evidence. The folder may be a branch: nothing in it refers to its own path.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ConfigDict, Field
from pydantic_core import to_json

from harness.foreign import files
from harness.model.errors import RecordError, UsageError
from harness.model.expectations import declared
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.documents import check_writable, content, parse, readable, writable
from harness.records.plan import Closing, Plan, Tombstone
from harness.records.record import CLOSE
from harness.records.run_files import (
    Place,
    holds_plan,
    line_at,
    read_briefly,
    read_closing,
    read_plan,
    read_tombstone,
    record_files,
    write_aside,
    write_closing,
    write_images,
    write_plan,
    write_tombstone,
)
from reports.analysis.tables import SUMMARY_VERSION
from reports.runs.parts import latest
from reports.runs.read import read_run
from reports.runs.shards import StoredRun, find
from reports.runs.summary import summary_json

RUNS, LATEST, SUMMARY = "runs", "latest.json", "summary.json"
DIGITS = 16
"""Digits of the digest in a run's id."""
NAMED = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


class Kept(NamedTuple):
    """A run in a history."""

    id: str
    folder: Path
    plan: Plan
    closing: Closing | None
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


class Tried(Frozen):
    """A cell in the summary of a run; `n` of its trials came back."""

    model_config = ConfigDict(extra="ignore")

    id: str
    outcome: Outcome
    n: int
    k: int


class Summary(Frozen):
    """The part of a summary that a history needs."""

    model_config = ConfigDict(extra="ignore")

    cells: tuple[Tried, ...]


def is_history(folder: Path) -> bool:
    """Whether a folder is a history."""
    return (folder / RUNS).is_dir() and not holds_plan(folder)


def check_apart(folder: Path) -> None:
    """Raise `UsageError` for a folder that belongs to a history's runs, or to the records of a run."""
    for each in (folder, *folder.absolute().parents):
        beside = {RUNS: LATEST, "records": "plan.json"}.get(each.name)
        if beside and (each.parent / beside).exists():
            raise UsageError(f"{folder} is in {each}, which holds runs or records alone", remedy="Name another folder.")


def kept(history: Path) -> tuple[Kept, ...]:
    """Return all runs of a history, oldest first; `RecordError` if the folder is no history."""
    _check_is(history)
    every = [Kept(each.name, each, read_plan(each), read_closing(each), read_tombstone(each)) for each in _all(history)]
    return tuple(sorted(every, key=lambda each: (each.plan.created_ns, each.id)))


def _check_is(history: Path) -> None:
    if not is_history(history):
        raise RecordError(f"{history} is not a history: it has no folder {RUNS}", remedy="Add a run to create one.")


def ids(history: Path) -> frozenset[str]:
    """Return the ids of all runs of a history, none if it does not exist yet."""
    return frozenset(each.name for each in _all(history))


def _all(history: Path) -> list[Path]:
    """Return the folders of all runs; `RecordError` if there is anything else."""
    runs = history / RUNS
    with readable(runs):
        every = files.entries(runs) if files.is_there(runs) else []
    named = [each for each in every if not each.name.startswith(".")]
    for each in named:
        if not (NAMED.fullmatch(each.name) and each.is_dir(follow_symlinks=False)):
            what = f"{runs / each.name} is not a kept run: it is no folder that is named by a digest"
            raise RecordError(what, remedy="Remove it, and add the run with `stillframe history add`.")
    return [runs / each.name for each in named]


def add(history: Path, run: Path) -> str:
    """Add a run, or the shards of one; return its id, the same for the same content. Raises `RecordError`."""
    return keep(history, find(run))


def keep(history: Path, stored: StoredRun) -> str:
    """Add a stored run and return its id. Of two copies of a run, only the one that is further stays."""
    if holds_plan(history):
        raise RecordError(f"{history} is a run, not a history", remedy="Name the history's folder first, then the run.")
    check_apart(history)
    check_writable(history / RUNS)
    with _alone(history):
        return _keep(history, stored)


@contextlib.contextmanager
def _alone(history: Path) -> Iterator[None]:
    """Make the folder of runs if there is none, and wait until nobody else adds to it."""
    runs = history / RUNS
    with writable(runs):
        runs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with contextlib.suppress(OSError):
            runs.rmdir()  # if it stayed empty
        os.close(descriptor)


def _keep(history: Path, stored: StoredRun) -> str:
    copies = [each for each in kept(history) if _is_copy(each, stored)]
    aside = history / RUNS / f".{stored.plan.run}.new"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with writable(aside):
            aside.mkdir(parents=True, mode=0o700)
        digest = _write(stored, aside)
        place = history / RUNS / digest[:DIGITS]
        if copies and not place.exists():
            place = _further(stored, copies, place)
        if not place.exists():
            write_aside(aside / SUMMARY, summary_json(read_run(aside)))
            with writable(place):
                aside.rename(place)
                for each in copies:
                    shutil.rmtree(each.folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _write_latest(history)
    return place.name


def _is_copy(one: Kept, stored: StoredRun) -> bool:
    return (one.plan.run, one.plan.created_ns) == (stored.plan.run, stored.plan.created_ns)


def _further(stored: StoredRun, copies: Sequence[Kept], place: Path) -> Path:
    """Return the place of the copy that is further: `place`, or one that is there; `RecordError` if copies differ."""
    new = stored.copy
    furthest = latest([*(find(each.folder).copy for each in copies), new])
    return place if furthest is new else furthest.folder


def newest(history: Path, most: int) -> list[Path]:
    """Return the folders of the newest runs, oldest first."""
    return [each.folder for each in kept(history)[-most:]]


def prune(history: Path, keep: int, now_ns: int) -> tuple[Kept, ...]:
    """Remove the logs of all runs but the newest `keep` and the cited runs; return the runs that lost their logs."""
    if keep < 0:
        raise UsageError(
            f"--keep-logs {keep}: must be at least 0", remedy="Give the number of runs that keep their logs."
        )
    _check_is(history)
    with _alone(history):
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
    places: dict[str, list[Place]] = {}
    for place, _ in stored.records():
        places.setdefault(place.path.name, []).append(place)
    for name, those in places.items():
        raws = [json.loads(line_at(place)) | {"run": stored.plan.run} for place in those]
        lines = sorted((raw["trial"], raw["start_ns"], _line(raw)) for raw in raws)
        write_aside(folder / "records" / name, "".join(line for _, _, line in lines), private=True)
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _prune(run: Kept, now_ns: int) -> None:
    before = _size(run.folder)
    for _ in read_briefly(run.folder):
        pass  # or it is told what is wrong, before anything is removed
    for path in record_files(run.folder):
        raws = [json.loads(line) for line in files.lines(path) if line.endswith(b"\n")]
        short = [{name: value for name, value in raw.items() if name not in CLOSE} for raw in raws]
        write_aside(path, "".join(map(_line, short)), private=True)
    what = Tombstone(run=run.plan.run, pruned_ns=now_ns, fields=tuple(sorted(CLOSE)), bytes=before - _size(run.folder))
    write_tombstone(run.folder, what)


def _line(raw: dict[str, object]) -> str:
    return to_json(raw).decode() + "\n"  # as a run writes its own


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_latest(history: Path) -> None:
    newest: dict[str, Latest] = {}
    for each in kept(history):
        summary = parse(Summary, content(each.folder / SUMMARY), str(each.folder / SUMMARY), newest=SUMMARY_VERSION)
        for cell in summary.cells:
            if cell.n:
                name, created = each.plan.run, each.plan.created_ns
                newest[cell.id] = Latest(
                    run=each.id, name=name, created_ns=created, outcome=cell.outcome, n=cell.n, k=cell.k
                )
    text = json.dumps({cell: newest[cell].model_dump(mode="json") for cell in sorted(newest)}, indent=1) + "\n"
    write_aside(history / LATEST, text)
