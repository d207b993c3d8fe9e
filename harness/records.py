"""Plan and records on disk: what a run promised, and the versioned JSON of each trial.

A run is a folder: `plan.json`, written first; `records/CELL.jsonl`, one line per trial, appended and synced when the
trial ends; and `closing.json`, written last. A shard of a run is such a folder, with the plan of all of it. A line that
was cut off by a crash is skipped; what it would have said is `missing`. Whatever is read is without what never belongs
into a record, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import Field

from harness.description import Description, Statistics
from harness.documents import content, decoded, parse, readable
from harness.errors import RecordError
from harness.expectations import STILL, DeclarationFile, Expectation
from harness.image_path import ImagePath
from harness.model import (
    Accommodation,
    Anomaly,
    Cell,
    Command,
    Component,
    Control,
    Frozen,
    HostFacts,
    Outcome,
    Prediction,
    Reading,
    Refusal,
    Schedule,
    Settings,
    Skew,
    SourceHealth,
    Span,
    Verdict,
    Whole,
)
from harness.redaction import FORMS
from harness.repeated import Repeated
from harness.shard import Shard

SCHEMA_VERSION = 2
IMAGES = "images.jsonl"
TOMBSTONE = "tombstone.json"

T = TypeVar("T", bound=Frozen)


class Record(Frozen):
    """One trial."""

    schema_version: int = SCHEMA_VERSION
    run: str = Field(description="id of the run, as in its plan")
    cell: Cell
    trial: Whole = Field(ge=0, description="index within the cell")
    control: str | None = Field(default=None, description="name of the negative control, if this trial is one")
    verdict: Verdict
    start_ns: Whole
    end_ns: Whole
    schedule: Schedule
    readings: tuple[Reading, ...] = ()
    skews: tuple[Skew, ...] = ()
    source: SourceHealth = SourceHealth()
    timeline: tuple[Span, ...] = ()
    components: dict[str, tuple[Component, ...]] = Field(
        default_factory=dict, description="versions by side: `checkpoint` and `restore`"
    )
    host: HostFacts | None = None
    accommodations: tuple[Accommodation, ...] = Field(
        default=(), description="crutches under which the runtime was used, since the machine lacks something"
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        description="what the runtime said on stderr of a checkpoint that it called a success, and what it did unasked",
    )
    commands: tuple[Command, ...] = ()
    changes: tuple[str, ...] = Field(
        default=(), description="what was changed in a checkpoint, or where it is restored, so that it restores"
    )
    statistics: Statistics | None = Field(default=None, description="what CRIU counted while it dumped")
    prediction: Prediction | None = Field(
        default=None, description="what was predicted of the restore by another, before it was tried"
    )
    refusal: Refusal | None = Field(
        default=None, description="how the restore was declined, where it was; `source` and `leaks` tell of the harm"
    )
    leaks: tuple[str, ...] = ()
    log: tuple[str, ...] = Field(default=(), description="the log lines that matter, most telling last")


CLOSE = frozenset({"commands", "timeline", "readings"})
"""Fields of a record that take a close look at its trial."""
REPEATED = ("run", "cell", "control", "verdict", "skews", "components", "host", "accommodations", "statistics")
"""Fields that are the same in many records."""


class Place(NamedTuple):
    """Where a record is: file, bytes before it, and line from 1; with a digest, which is that of its copies, too."""

    path: Path
    offset: int
    number: int
    digest: bytes

    @property
    def folder(self) -> Path:
        """Of the run, or of the shard."""
        return self.path.parent.parent

    def __str__(self) -> str:
        return f"{self.path}:{self.number}"


class Plan(Frozen):
    """What a run set out to do."""

    schema_version: int = SCHEMA_VERSION
    run: str
    stillframe: str = Field(description="version of this program")
    created_ns: Whole
    seed: int
    rounds: Whole = Field(description="trials of a cell; at the most, where there is a rate")
    rate: float | None = Field(
        default=None,
        description="of violation, below which clean trials have to bound a cell; it ends at its first violation",
    )
    rule: str = Field(default="", description="when a cell has been tried often enough, in words")
    settings: Settings = Settings()
    cells: tuple[Cell, ...]
    controls: tuple[Control, ...] = ()
    host: HostFacts

    expectations: dict[str, Expectation] = Field(
        default_factory=dict, description="cells, by id, that should be other than consistent, or not any more"
    )
    words: dict[str, str] = Field(
        default_factory=dict, description="what the names in ids mean: workloads, and ways as `RUNTIME+WAY`"
    )
    covered: dict[str, int] = Field(
        default_factory=dict, description="cells that are there by default and of which something is declared, by place"
    )
    unmatched: tuple[str, ...] = Field(
        default=(), description="places and patterns of declarations that speak of no cell that there is"
    )
    fewer: dict[str, int] = Field(default_factory=dict, description="cells, by id, with fewer trials than `rounds`")
    shard: Shard | None = Field(
        default=None, description="which share of all this was executed here; null where it was all of it"
    )

    def expected(self, cell: Cell) -> Expectation:
        """What the cell should be."""
        return self.expectations.get(cell.id, STILL)

    def rounds_of(self, cell: Cell) -> int:
        """Trials of a cell, at the most."""
        return self.fewer.get(cell.id, self.rounds)

    @property
    def share(self) -> Plan:
        """What of it was to be executed here."""
        if self.shard is None:
            return self
        cells, controls = self.shard.share(self.cells, self.controls)
        return self.model_copy(update={"cells": cells, "controls": controls})

    def ends(self, cell: Cell, outcome: Outcome) -> bool:
        """Whether a trial with `outcome` is the last of its cell: one violation convicts, where a rate is asked for."""
        return self.rate is not None and cell.id not in self.fewer and bool(outcome.violates)


class Closing(Frozen):
    """The last word of a run that came to its end: what it left on the host."""

    schema_version: int = SCHEMA_VERSION
    run: str
    end_ns: Whole
    leaks: tuple[str, ...]


class Tombstone(Frozen):
    """What was taken out of a run that is kept."""

    schema_version: int = SCHEMA_VERSION
    run: str
    pruned_ns: int
    fields: tuple[str, ...] = Field(description="of its records")
    bytes: int = Field(description="by which it has become smaller")


class Finding(StrEnum):
    """What an inspection came to."""

    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"
    NOTHING_TO_COMPARE = "nothing-to-compare"


class Inspection(Frozen):
    """A checkpoint of anybody's making, read without a restore."""

    schema_version: int = SCHEMA_VERSION
    path: str = Field(description="as it was given")
    layout: str = Field(
        description="how it is laid out: `archive` of an engine, `image` of containerd, `criu`, or `sandbox` of gVisor"
    )
    description: Description = Field(default=Description(), description="what the checkpoint tells of itself")
    workload: str | None = Field(
        default=None, description="null when its memory holds no counter, or no surface tells whose it is"
    )
    finding: Finding
    reason: str
    reading: Reading | None = None
    skews: tuple[Skew, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    absent: dict[str, str] = Field(
        default_factory=dict, description="surfaces that the checkpoint does not reach and that were not compared: why"
    )


def read_plan(folder: Path) -> Plan:
    """Read the plan of the run in `folder`; `RecordError` if there is none or it is of a newer schema."""
    path = folder / "plan.json"
    if not path.exists():
        raise RecordError(f"{folder} holds no run: there is no plan.json", remedy="Name a run's folder.")
    return _parse(Plan, content(path), str(path))


def write_plan(folder: Path, plan: Plan) -> None:
    """Create the run's folder and write its plan."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    write_aside(folder / "plan.json", _text(plan))


def read_closing(folder: Path) -> Closing | None:
    """Read the run's last word; None for a run that goes on or was killed."""
    path = folder / "closing.json"
    return _parse(Closing, content(path), str(path)) if path.exists() else None


def write_closing(folder: Path, closing: Closing) -> None:
    """Write the run's last word."""
    write_aside(folder / "closing.json", _text(closing))


def read_tombstone(folder: Path) -> Tombstone | None:
    """Read what was taken out of a run; None where nothing was."""
    path = folder / TOMBSTONE
    return _parse(Tombstone, content(path), str(path)) if path.exists() else None


def write_tombstone(folder: Path, tombstone: Tombstone) -> None:
    """Write what was taken out of a run."""
    write_aside(folder / TOMBSTONE, _text(tombstone))


def write_aside(path: Path, text: str, *, private: bool = False) -> Path:
    """Write aside and rename, so that a reader never sees half a file; gives the path. `private`: to its owner."""
    aside = path.with_name(f"{path.name}.new")
    if private:
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
    aside.write_text(text, encoding="utf-8")
    return aside.rename(path)


def _text(value: Frozen) -> str:
    return value.model_dump_json(indent=1) + "\n"


def append(folder: Path, record: Record) -> Path:
    """Append one trial to its cell's file, on disk when this returns; the file is private to its owner."""
    stem = record.cell.slug if record.control is None else f"control-{record.control}.{record.cell.slug}"
    path = folder / "records" / f"{stem}.jsonl"
    line = record.model_dump_json().encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def read_records(folder: Path) -> Iterator[Record]:
    """Read all records of a run, cell by cell in name order, in the order of writing.

    A last line without its newline was cut off and is skipped. Anything else that is no record raises `RecordError`.
    """
    return (_parse(Record, decoded(line), str(place)) for place, line in _lines(folder))


def read_briefly(folder: Path, repeated: Repeated[Record] | None = None) -> Iterator[tuple[Place, Record]]:
    """Read all records as `read_records` does, without what only a close look at one trial needs (`CLOSE`).

    Most of a record is the output of commands; what is left out is not checked either, before `read_at` reads it.
    What is `repeated` from record to record is one and the same value.
    """
    read = (repeated or often_repeated()).read
    lines = ((place, decoded(line)) for place, line in _lines(folder))
    return ((place, parse(Record, text, str(place), newest=SCHEMA_VERSION, read=read)) for place, text in lines)


def often_repeated() -> Repeated[Record]:
    """What is often the same in records, for as many runs as are read together."""
    return Repeated(Record, REPEATED, without=CLOSE, fit=FORMS.field)


def read_at(place: Place) -> Record:
    """Read one whole record again."""
    return _parse(Record, decoded(line_at(place)), str(place))


def line_at(place: Place) -> bytes:
    """Read the line of one record again."""
    with readable(place.path), place.path.open("rb") as file:
        file.seek(place.offset)
        return file.readline()


def record_files(folder: Path) -> list[Path]:
    """Files with the records of a run, in name order."""
    return sorted((folder / "records").glob("*.jsonl"))


def _lines(folder: Path) -> Iterator[tuple[Place, bytes]]:
    for path in record_files(folder):
        offset = 0
        with readable(path), path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    yield Place(path, offset, number, hashlib.sha256(line).digest()[:16]), line
                offset += len(line)


def write_images(folder: Path, paths: Sequence[ImagePath]) -> Path:
    """Write what became of checkpoint images into the folder of a run, for its owner's eyes as the records are."""
    return write_aside(folder / IMAGES, "".join(f"{each.model_dump_json()}\n" for each in paths), private=True)


def read_images(folder: Path) -> tuple[ImagePath, ...]:
    """Read what became of checkpoint images; nothing where a run has none. Raises `RecordError`."""
    path = folder / IMAGES
    if not path.exists():
        return ()
    lines = content(path).removesuffix("\n").split("\n")  # whatever else ends a line may stand in one
    return tuple(_parse(ImagePath, line, f"{path}:{number}") for number, line in enumerate(lines, 1))


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of what is published, by file stem."""
    return {
        "expectations": DeclarationFile.model_json_schema(),
        "closing": Closing.model_json_schema(mode="serialization"),
        "image-path": ImagePath.model_json_schema(mode="serialization"),
        "inspection": Inspection.model_json_schema(mode="serialization"),
        "plan": Plan.model_json_schema(mode="serialization"),
        "record": Record.model_json_schema(mode="serialization"),
    }


def missing_trials(plan: Plan, records: Sequence[Record]) -> dict[str, int]:
    """Planned trials that have not come back, by cell id; cells with none are left out.

    A cell that was convicted where the plan asks for a rate owes the trials before that and no others.
    """
    received = by_cell(record for record in records if record.control is None)
    short: dict[str, int] = {}
    for cell in plan.cells:
        own = received.get(cell, [])
        ended = (record.trial + 1 for record in own if plan.ends(cell, record.verdict.outcome))
        due = min((plan.rounds_of(cell), *ended))
        short[cell.id] = due - len({record.trial for record in own if record.trial < due})
    return {cell: count for cell, count in short.items() if count > 0}


def by_cell(records: Iterable[Record]) -> dict[Cell, list[Record]]:
    """Group records by their cells, which are mostly one and the same value: that is quicker to see than equality."""
    found: dict[Cell, list[Record]] = {}
    own: dict[int, list[Record]] = {}
    for record in records:
        trials = own.get(id(record.cell))
        if trials is None:
            trials = own[id(record.cell)] = found.setdefault(record.cell, [])
        trials.append(record)
    return found


def _parse(kind: type[T], text: str, where: str) -> T:
    return FORMS.of(parse(kind, text, where, newest=SCHEMA_VERSION))
