"""A run on disk: its plan, its records, and its closing document.

A run is a folder. `plan.json` is written first. `records/CELL.jsonl` has one line per trial, appended and synced when
the trial ends. `closing.json` is written last. A shard of a run is a folder of the same form, with the plan of the
whole run. A line that a crash cut off is skipped, and its trial is `missing`. Everything that is read is redacted,
whoever wrote it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from harness.foreign import files
from harness.model.errors import RecordError
from harness.model.values import Frozen
from harness.privacy.redaction import FORMS
from harness.records.documents import content, parse, readable, writable
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
    """The place of a record: file, offset in bytes, and line number from 1; and the digest of its line."""

    path: Path
    offset: int
    number: int
    digest: bytes

    @property
    def folder(self) -> Path:
        """Folder of the run or the shard."""
        return self.path.parent.parent

    def __str__(self) -> str:
        return f"{self.path}:{self.number}"


def read_plan(folder: Path) -> Plan:
    """Read the plan of the run in `folder`; raise `RecordError` if there is none or its schema is newer."""
    plan = _document(Plan, folder / "plan.json")
    if plan is None:
        raise RecordError(f"{folder} holds no run: there is no plan.json", remedy="Name a run's folder.")
    return plan


def holds_plan(folder: Path) -> bool:
    """Return whether there is a plan in `folder`, or anything else of that name."""
    return _is_there(folder / "plan.json")


def write_plan(folder: Path, plan: Plan) -> None:
    """Create the run's folder and write its plan."""
    make_folder(folder / "records")
    write_aside(folder / "plan.json", _text(plan))


def read_closing(folder: Path) -> Closing | None:
    """Read the run's closing document; None for a run that still goes on or was killed."""
    return _document(Closing, folder / "closing.json")


def write_closing(folder: Path, closing: Closing) -> None:
    """Write the run's closing document."""
    write_aside(folder / "closing.json", _text(closing))


def read_tombstone(folder: Path) -> Tombstone | None:
    """Read what was removed from a run; None if nothing was."""
    return _document(Tombstone, folder / TOMBSTONE)


def write_tombstone(folder: Path, tombstone: Tombstone) -> None:
    """Write what was removed from a run."""
    write_aside(folder / TOMBSTONE, _text(tombstone))


def write_aside(path: Path, text: str, *, private: bool = False) -> Path:
    """Write to a file aside and rename it, so that no reader sees half a file; `Unwritable` if that fails.

    `private`: only its owner may read.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")  # others may write the same file
    with writable(path):
        aside.unlink(missing_ok=True)  # it may be a link
        try:
            with os.fdopen(
                os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666), "wb"
            ) as file:
                file.write(text.encode())
            return aside.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise


def make_folder(folder: Path) -> None:
    """Create a folder and those above it; `Unwritable` if that fails."""
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _text(value: Frozen) -> str:
    return value.model_dump_json(indent=1) + "\n"


def append(folder: Path, record: Record) -> Path:
    """Append one trial to its cell's file and sync it; only its owner may read the file.

    A record that cannot be written whole is not written at all, so the records before it stay readable.
    """
    stem = record.cell.slug if record.control is None else f"control-{record.control}.{record.cell.slug}"
    path = folder / "records" / f"{stem}.jsonl"
    line = record.model_dump_json().encode() + b"\n"
    with writable(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        before = os.fstat(descriptor).st_size
        try:
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        finally:
            os.close(descriptor)
    return path


def read_records(folder: Path) -> Iterator[Record]:
    """Read all records of a run, cell by cell in name order, in the order of writing.

    A last line without a newline was cut off and is skipped. Any other line that is not a record raises `RecordError`.
    """
    return (_parse(Record, line, str(place)) for place, line in _lines(folder))


def read_briefly(folder: Path, repeated: Repeated[Record] | None = None) -> Iterator[tuple[Place, Record]]:
    """Read all records like `read_records`, but without the fields in `CLOSE`, which are most of a record.

    These fields are checked only when `read_at` reads them. Records share the parts that are `repeated`.
    """
    read = (repeated or often_repeated()).read
    lines = _lines(folder)
    return ((place, parse(Record, line, str(place), newest=SCHEMA_VERSION, read=read)) for place, line in lines)


def often_repeated() -> Repeated[Record]:
    """Return a reader that shares equal parts of records, for all runs that are read together."""
    return Repeated(Record, REPEATED, without=CLOSE, fit=FORMS.field)


def read_at(place: Place) -> Record:
    """Read one record again, with all fields."""
    return _parse(Record, line_at(place), str(place))


def line_at(place: Place) -> bytes:
    """Read the line of one record again."""
    with readable(place.path):
        return files.line_at(place.path, place.offset)


def record_files(folder: Path) -> list[Path]:
    """Return the files with the records of a run, in name order."""
    records = folder / "records"
    with readable(records):
        every = files.entries(records) if files.is_there(records) else []
    return [records / each.name for each in every if each.name.endswith(".jsonl")]


def _lines(folder: Path) -> Iterator[tuple[Place, bytes]]:
    for path in record_files(folder):
        offset = 0
        with readable(path):
            for number, line in enumerate(files.lines(path), 1):
                if line.endswith(b"\n"):
                    yield Place(path, offset, number, hashlib.sha256(line).digest()[:16]), line
                offset += len(line)


def write_images(folder: Path, paths: Sequence[ImagePath]) -> Path:
    """Write the results for checkpoint images into the folder of a run; only its owner may read them."""
    return write_aside(folder / IMAGES, "".join(f"{each.model_dump_json()}\n" for each in paths), private=True)


def read_images(folder: Path) -> tuple[ImagePath, ...]:
    """Read the results for checkpoint images, empty if the run has none; raise `RecordError` for a wrong line."""
    path = folder / IMAGES
    if not _is_there(path):
        return ()
    lines = content(path).removesuffix(b"\n").split(b"\n")
    return tuple(_parse(ImagePath, line, f"{path}:{number}") for number, line in enumerate(lines, 1))


def _document(kind: type[T], path: Path) -> T | None:
    return _parse(kind, content(path), str(path)) if _is_there(path) else None


def _is_there(path: Path) -> bool:
    with readable(path):
        return files.is_there(path)


def _parse(kind: type[T], text: bytes, where: str) -> T:
    return FORMS.of(parse(kind, text, where, newest=SCHEMA_VERSION))
