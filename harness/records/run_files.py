"""A run on disk: its plan, its records, and its last words.

A run is a folder: `plan.json`, written first; `records/CELL.jsonl`, one line per trial, appended and synced when the
trial ends; and `closing.json`, written last. A shard of a run is such a folder, with the plan of all of it. A line that
was cut off by a crash is skipped; what it would have said is `missing`. Whatever is read is without what never belongs
into a record, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from harness.model.errors import RecordError
from harness.model.values import Frozen
from harness.privacy.redaction import FORMS
from harness.records.documents import content, decoded, parse, readable
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan, Tombstone
from harness.records.record import CLOSE, SCHEMA_VERSION, Record
from harness.records.repeated import Repeated

IMAGES = "images.jsonl"
TOMBSTONE = "tombstone.json"
REPEATED = ("run", "cell", "control", "verdict", "skews", "components", "host", "accommodations", "statistics")
"""Fields that are the same in many records."""

T = TypeVar("T", bound=Frozen)


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


def _parse(kind: type[T], text: str, where: str) -> T:
    return FORMS.of(parse(kind, text, where, newest=SCHEMA_VERSION))
