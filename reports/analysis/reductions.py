"""What can be left out of a trial, so that its script becomes shorter: each part is one change of its commands.

A part knows its commands by when they began, so parts can be left out in any order. Whether the failure still shows
without a part is for the caller to try.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from harness.model.commands import Command
from harness.model.outcomes import Stage
from harness.records.record import Record

SURFACES, PERIOD = ("--surface", "--append", "--sentinel", "--deleted"), "--period-us"
LONGER = 10
"""How many times the period is as long."""
AROUND = frozenset({Stage.PREPARE, Stage.FREEZE, Stage.THAW, Stage.STOP, Stage.CLEAN_UP})
"""Stages whose single commands a trial may do without."""
NEEDED = frozenset({"mkdir", "tar", "sha256sum", "rm", "mv", "ln", "cp"})
"""Programs that lay out files: what comes later needs them."""
KEPT_KEYS = frozenset({"ociVersion", "process", "root", "mounts", "linux"})
KEPT_OF_PROCESS = frozenset({"args", "cwd", "user", "env"})
KEPT_OF_LINUX = frozenset({"cgroupsPath", "namespaces"})
"""Members of an OCI runtime specification that are not left out as a whole."""
REPORT = "/report"
"""Where the workload reports."""


@dataclass(frozen=True)
class Part:
    """Something that a trial may not need."""

    kind: str
    """`step`, `surface`, `mount`, `setting`, `option` or `period`."""
    what: str
    """What it is, in words."""
    without: Callable[[Record], Record]
    """Return the trial without it."""


def parts(record: Record) -> list[Part]:
    """Return everything that could be left out of a trial, those of one kind together; the most telling kinds first."""
    return [
        *_steps(record),
        *_surfaces(record),
        *_mounts(record),
        *_settings(record),
        *_options(record),
        *_period(record),
    ]


def _steps(record: Record) -> Iterator[Part]:
    for command in record.commands:
        if command.stage not in AROUND or _program(command) in NEEDED:
            continue
        told = command.write_path or " ".join(command.argv)
        yield Part("step", f"{command.stage}: {told[:100]}", _each(_dropped(command.start_ns)))


def _surfaces(record: Record) -> Iterator[Part]:
    for option in SURFACES:
        for word in sorted({word for command in record.commands for word in _words_after(command, option)}):
            yield Part("surface", word, _each(_edited(partial(_replaced, old=(option, word)))))


def _mounts(record: Record) -> Iterator[Part]:
    targets = {
        mount["destination"]
        for spec in _specifications(record)
        for mount in spec["mounts"]
        if mount["destination"] != REPORT
    }
    for target in sorted(targets):

        def change(spec: dict[str, Any], target: str = target) -> None:
            spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != target]

        yield Part("mount", target, _each(_respecified(change)))


def _settings(record: Record) -> Iterator[Part]:
    found: dict[tuple[str, str], None] = {}
    for spec in _specifications(record):
        found |= {("", key): None for key in spec if key not in KEPT_KEYS}
        found |= {("process", key): None for key in spec["process"] if key not in KEPT_OF_PROCESS}
        found |= {("linux", key): None for key in spec["linux"] if key not in KEPT_OF_LINUX}
        found |= {("namespace", each["type"]): None for each in spec["linux"]["namespaces"]}
    for place, key in found:

        def change(spec: dict[str, Any], place: str = place, key: str = key) -> None:
            if place == "namespace":
                spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != key]
            else:
                (spec[place] if place else spec).pop(key, None)

        what = f"{key} namespace" if place == "namespace" else f"{place}.{key}".lstrip(".")
        yield Part("setting", what, _each(_respecified(change)))


def _options(record: Record) -> Iterator[Part]:
    found: dict[tuple[str, str], None] = {}
    for command in record.commands:
        program = _program(command)
        if command.runtime and program not in ("", "curl", "sh"):
            found |= {(program, word.partition("=")[0]): None for word in _own_words(command.argv) if word[:1] == "-"}
    for program, option in found:

        def change(command: Command, program: str = program, option: str = option) -> Command:
            if not command.runtime or _program(command) != program:
                return command
            return command.model_copy(update={"argv": _without_option(command.argv, option)})

        yield Part("option", f"{program} {option}", _each(change))


def _period(record: Record) -> Iterator[Part]:
    found = {word for command in record.commands for word in _words_after(command, PERIOD) if word.isdecimal()}
    for word in sorted(found):
        longer = str(int(word) * LONGER)
        change = partial(_replaced, old=(PERIOD, word), new=(PERIOD, longer))
        yield Part("period", f"{word} µs ({longer} µs instead)", _each(_edited(change)))


def _each(change: Callable[[Command], Command | None]) -> Callable[[Record], Record]:
    """Apply a change to each command of a record; None drops it."""

    def without(record: Record) -> Record:
        changed = (change(command) for command in record.commands)
        return record.model_copy(update={"commands": tuple(filter(None, changed))})

    return without


def _dropped(start_ns: int) -> Callable[[Command], Command | None]:
    return lambda command: None if command.start_ns == start_ns else command


def _edited(change: Callable[[list[str]], list[str]]) -> Callable[[Command], Command]:
    """Change a list of words wherever it is: the command line, JSON in it or in a file, or words of a shell script."""

    def edit(command: Command) -> Command:
        argv = tuple(_in_text(word, change) for word in change(list(command.argv)))
        text = command.write_text and _in_text(command.write_text, change)
        return command.model_copy(update={"argv": argv, "write_text": text})

    return edit


def _in_text(text: str, change: Callable[[list[str]], list[str]]) -> str:
    if not any(option in text for option in (*SURFACES, PERIOD)):
        return text
    document = _document(text)
    if document is not None:
        return _written(_in_document(document, change), text)
    return "\n".join(
        " ".join(change(line.split(" "))) if any(option in line for option in (*SURFACES, PERIOD)) else line
        for line in text.split("\n")
    )


def _in_document(value: Any, change: Callable[[list[str]], list[str]]) -> Any:
    if isinstance(value, dict):
        return {key: _in_document(each, change) for key, each in value.items()}
    if isinstance(value, list):
        each_is_word = all(isinstance(each, str) for each in value)
        return change(value) if each_is_word else [_in_document(each, change) for each in value]
    return value


def _document(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _written(document: Any, like: str) -> str:
    """Write JSON on one line or on several, as the text was that it replaces."""
    return json.dumps(document, indent=1) + "\n" if "\n" in like else json.dumps(document)


def _words_after(command: Command, option: str) -> Iterator[str]:
    """Yield the words that follow an option in a command, wherever they are."""
    found: list[str] = []

    def look(words: list[str]) -> list[str]:
        found.extend(words[at + 1] for at, word in enumerate(words[:-1]) if word == option)
        return words

    _edited(look)(command)
    yield from found


def _replaced(words: list[str], old: tuple[str, str], new: tuple[str, ...] = ()) -> list[str]:
    """Replace two words where they follow each other."""
    for at in range(len(words) - 2, -1, -1):
        if tuple(words[at : at + 2]) == old:
            words = [*words[:at], *new, *words[at + 2 :]]
    return words


def _specifications(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the OCI runtime specifications that a trial has written."""
    yield from filter(None, (_specification(command.write_text or "") for command in record.commands))


def _specification(text: str) -> dict[str, Any] | None:
    """Return an OCI runtime specification; None for other texts, and for one whose members have other types."""
    found = _document(text)
    if not found or "ociVersion" not in found:
        return None
    inner = [found.setdefault(key, {}) for key in ("process", "linux")]
    if not all(isinstance(each, dict) for each in inner):
        return None
    mounts, namespaces = found.setdefault("mounts", []), inner[1].setdefault("namespaces", [])
    named = _all_have(mounts, "destination") and _all_have(namespaces, "type")
    return found if named else None


def _all_have(found: Any, key: str) -> bool:
    return isinstance(found, list) and all(isinstance(each, dict) and isinstance(each.get(key), str) for each in found)


def _respecified(change: Callable[[dict[str, Any]], None]) -> Callable[[Command], Command]:
    """Change an OCI runtime specification in place."""

    def edit(command: Command) -> Command:
        document = _specification(command.write_text or "")
        if document is None:
            return command
        change(document)
        return command.model_copy(update={"write_text": _written(document, command.write_text or "")})

    return edit


def _program(command: Command) -> str:
    return PurePosixPath(command.argv[0]).name if command.argv else ""


def _own_words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a command before those of the workload that it starts."""
    ends = [at for at, word in enumerate(argv) if re.fullmatch(r"/[\w.-]+", word) and PERIOD in argv[at + 1 : at + 2]]
    return argv[: ends[0]] if ends else argv


def _without_option(argv: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Leave an option out; the next word is its value unless it is an option, too, or the last word."""
    own = len(_own_words(argv))
    kept, at = [], 0
    while at < len(argv):
        word = argv[at]
        if at < own and word == option:
            at += 2 if at + 2 < own and not argv[at + 1].startswith("-") else 1
            continue
        if not (at < own and word.startswith(f"{option}=")):
            kept.append(word)
        at += 1
    return tuple(kept)
