"""Reading of JSON documents that may hold anything: the result is a value, or an error that says what is wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from harness.foreign import files
from harness.model.errors import RecordError, Unwritable
from harness.model.invalid import brief
from harness.model.values import Frozen

LONGEST_REASON = 200

T = TypeVar("T", bound=Frozen)


def parse(
    kind: type[T],
    text: bytes,
    where: str,
    *,
    newest: int,
    read: Callable[[dict[str, Any]], T] | None = None,
    name: str = "",
) -> T:
    """Read a JSON object of a schema version up to `newest`.

    `read`: reads instead of pydantic, where speed counts; then of a name that is there twice, the last value counts.

    Raise `RecordError` with the place of the document and what is wrong with it; `name` says what it should be.
    """
    name = name or kind.__name__.lower()
    try:
        raw = from_json(text, allow_inf_nan=False)
        if read is None and to_json(raw) != text.rstrip():  # as we write it, so no name is there twice
            json.loads(text, object_pairs_hook=_once)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int | float) and version > newest:
            raise RecordError(
                f"{where} has schema version {version}, but this program reads versions up to {newest}",
                remedy="Use a newer stillframe.",
            )
        return read(raw) if read and isinstance(raw, dict) else kind.model_validate(raw)
    except ValidationError as error:
        raise RecordError(f"{where} is not a valid {name}: {_reason(brief(error))}") from error
    except ValueError as error:
        raise RecordError(f"{where} is not a valid {name}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    """Return one short line without unprintable characters, since names may be hostile."""
    told = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return told if len(told) <= LONGEST_REASON else f"{told[:LONGEST_REASON]}…"


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Raise `ValueError` if an object has a name twice: two programs may read two different values."""
    names = Counter(name for name, _ in pairs)
    if len(names) < len(pairs):
        raise ValueError(f"{names.most_common(1)[0][0]} is there twice")


def content(path: Path) -> bytes:
    """Return a whole file, which may be foreign."""
    with readable(path):
        return files.read_regular(path)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn `OSError` into `RecordError`, which says what to do about an unreadable file."""
    try:
        yield
    except OSError as error:
        remedy = "Only the user who made the run can read its records: become that user."
        denied = isinstance(error, PermissionError)
        raise RecordError(f"{path} cannot be read: {error.strerror}", remedy=remedy if denied else "") from error


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn `OSError` into `Unwritable`, which names the path and the cause."""
    try:
        yield
    except OSError as error:
        raise Unwritable(path, error) from error


def check_writable(folder: Path) -> None:
    """Raise `Unwritable` for a folder that cannot be made or written, before there is anything to write."""
    with writable(folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder.lstat()
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    with writable(there):
        number = 0
        if not there.is_dir():
            number = errno.ENOTDIR
        elif not os.statvfs(there).f_bavail:
            number = errno.ENOSPC
        elif not os.access(there, os.W_OK | os.X_OK):
            number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        if number:
            raise OSError(number, os.strerror(number))
