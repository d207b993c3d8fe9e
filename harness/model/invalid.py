"""What is wrong with a file or value that a person wrote, in sentences: where it is, what it should be, what to do."""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from harness.model.errors import WrongFile

T = TypeVar("T", bound=BaseModel)
Place = tuple[str | int, ...]
"""Names of fields and numbers of elements that lead to a value."""

LARGEST_TOML = 1 << 20
_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxother = 60
_WORDS: Mapping[str, str] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": "must be a list in brackets",
    "model_type": "must be a table",
    "date_type": "must be a date such as 2026-11-28",
    "date_parsing": "must be a date such as 2026-11-28",
    "date_from_datetime_parsing": "must be a date such as 2026-11-28",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "missing": "is missing",
    "extra_forbidden": "is not a field",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
"""What each kind of pydantic's errors says; any other says what pydantic says."""
_QUOTED = re.compile(r"'([^']*)'")
_TABLE = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")


def fault(what: str, *at: str | int) -> PydanticCustomError:
    """Build the error that a validator raises about the value at a place inside of what it validates."""
    return PydanticCustomError("told", "{what}", {"what": what, "at": at})


def regular_expression(text: str) -> str:
    """Return a text that is a regular expression; for the validator of a field."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise fault(f"{_BRIEFLY.repr(text)} is not a regular expression: {error}. Correct it") from error
    return text


def read_toml(kind: type[T], path: Path, more: Mapping[str, Any] | None = None) -> T:
    """Read a TOML file as a value of `kind`, with `more` fields; `WrongFile` says what is wrong and in which line."""
    more = more or {}
    try:
        if path.exists() and not path.is_file():
            raise WrongFile([f"{shown(path)} is not a regular file."])
        if path.exists() and path.stat().st_size > LARGEST_TOML:
            raise WrongFile([f"{shown(path)} has more than {LARGEST_TOML >> 20} MiB, so it is something else."])
        text = path.read_text(encoding="utf-8")
        return kind.model_validate({**tomllib.loads(text), **more})
    except ValidationError as error:
        raise WrongFile(_in_file(path, text, sentences(error, kind, without=more))) from error
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rstrip(")").partition(" (at ")
        number = re.search(r"line (\d+)", where)
        line = int(number[1]) if number else len(text.splitlines())
        raise WrongFile([f"{shown(path)}:{line}: not TOML: {what}. Correct this line."]) from error
    except RecursionError as error:
        raise WrongFile([f"{shown(path)}: values are nested too deeply."]) from error
    except UnicodeDecodeError as error:
        raise WrongFile([f"{shown(path)}: byte {error.start} is not UTF-8. Save the file as UTF-8."]) from error
    except OSError as error:
        raise WrongFile([f"{shown(path)} cannot be read: {error.strerror}."]) from error


def wrong(path: Path, place: Place, what: str) -> WrongFile:
    """Build the error about one place of a TOML file that can be read."""
    return WrongFile(_in_file(path, path.read_text(encoding="utf-8"), [(place, f"{field(place)}: {what}")]))


def _in_file(path: Path, text: str, told: Iterable[tuple[Place, str]]) -> Iterator[str]:
    """Put file and line before what is said of each place; of what is not there, the line of its table."""
    lines = lines_of(text)
    for place, sentence in told:
        line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
        yield f"{shown(path)}:{line}: {sentence}" if line else f"{shown(path)}: {sentence}"


def shown(path: Path) -> str:
    """Write a path as briefly as a terminal can open it: relative if it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def sentences(
    error: ValidationError, kind: type[BaseModel], *, without: Container[str] = ()
) -> Iterator[tuple[Place, str]]:
    """Say of each place what is wrong there, as `rounds: must be at least 1, not 0`, in a sentence.

    `kind` is what was validated; `without` names fields of it that nobody writes.
    """
    for each in error.errors(include_url=False):
        place = (*each["loc"], *each.get("ctx", {}).get("at", ()))
        fields = {name: of for name, of in _fields(kind, place[:-1]).items() if name not in without}
        of_it = fields.get(str(place[-1])) if place else None
        said = _said(each, fields, (of_it and of_it.description) or "")
        yield place, ": ".join(filter(None, (field(place), said)))


def brief(error: ValidationError) -> str:
    """Say the first thing that is wrong with what a program wrote, as `cell.policy: is missing`."""
    first = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), requirement(first))))


def field(place: Place) -> str:
    """Name a field as its file does, without the numbers of tables: `expectation.match[2]`, counted from 1."""
    names = [str(part) for part in place if isinstance(part, str)]
    last = place[-1] if place else ""
    return ".".join(names) + (f"[{last + 1}]" if isinstance(last, int) else "")


def _said(error: ErrorDetails, fields: Mapping[str, FieldInfo], description: str) -> str:
    context, kind = error.get("ctx", {}), error["type"]
    it_is = f" It is: {description}." if description else ""
    if kind == "told":
        return f"{context['what']}."
    if kind == "missing":
        return "is missing. Add it" + (f": {description}." if description else ".")
    if kind == "extra_forbidden":
        return f"is not a field here.{_near(str(error['loc'][-1]), fields)} Fields: {', '.join(fields)}."
    if kind in ("too_short", "string_too_short") and context["min_length"] == 1:
        return f"must not be empty.{it_is}"
    if kind == "tuple_type" and isinstance(error["input"], dict):
        return f"must be written in two brackets, as [[{error['loc'][-1]}]]."
    known = re.findall(_QUOTED, context["expected"]) if kind in ("enum", "literal_error") else []
    more = _near(str(error["input"]), known) if known else it_is
    return f"{requirement(error)}, not {_BRIEFLY.repr(error['input'])}.{more}"


def requirement(error: ErrorDetails) -> str:
    """Say what a value should be, as `must be at least 1`."""
    words = _WORDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else error["msg"].replace("Input should be", "must be")


def _near(value: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(valid), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _fields(kind: type[BaseModel], place: Place) -> dict[str, FieldInfo]:
    """Fields of the table at a place, by the names that its file uses; none where there is no table."""
    fields = {of.alias or name: of for name, of in kind.model_fields.items()}
    names = [part for part in place if isinstance(part, str)]
    if not names:
        return fields
    inner = _table(fields[names[0]].annotation) if names[0] in fields else None
    return _fields(inner, tuple(names[1:])) if inner else {}


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model in a type such as `tuple[Surface, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table, get_args(annotation))), None)


def lines_of(text: str) -> dict[Place, int]:
    """Number of the line in which each table and field of a TOML file begins, from 1.

    Good enough to point at: it takes a line within a text of several lines for a field if it looks like one.
    """
    found: dict[Place, int] = {}
    counts: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if head := _TABLE.match(line):
            brackets, name = head.groups()
            table = tuple(name.split("."))
            if brackets == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = (*table, counts[name])
            found.setdefault(table, number)
            found.setdefault(table[:1], number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1]), number)
    return found
