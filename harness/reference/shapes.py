"""Shapes as Markdown: tables of values, the fields of a JSON Schema, the options of a parser. Pure."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.commands.declarations.command import Command

WIDTH = 120
"""Columns of a line that can be wrapped."""
TOLD = {
    "Outcome": "[outcome](outcomes.md#outcomes-of-a-trial)",
    "Anomaly": "[anomaly](outcomes.md#anomalies)",
    "Stage": "[stage](outcomes.md#stages-of-a-trial)",
    "Finding": "[finding](outcomes.md#findings-of-inspect)",
    "Witness": "[witness](outcomes.md#witnesses)",
    "Condition": "[condition](outcomes.md#conditions)",
    "FreezePolicy": "[policy](cells.md#freeze-policies)",
    "Scenario": "[scenario](cells.md#scenarios)",
    "SurfaceKind": "[kind](cells.md#surfaces)",
}
"""Values that have a table of their own; of others a field's type lists all."""
TYPES = {"integer": "number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [tuple(headings), ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def bullets(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out a list of names and what they mean."""
    return "\n".join(_bullet(f"{name}: {text}" if text else name) for name, text in rows)


def _bullet(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def code(text: str) -> str:
    """Mark a name."""
    return f"`{text}`"


def listed(names: Iterable[str]) -> str:
    """Put names in one line."""
    return ", ".join(map(code, names))


Documents = Mapping[str, Mapping[str, Any]]


def schema_fields(documents: Documents, elsewhere: Mapping[str, str] = MappingProxyType({})) -> str:
    """List the fields of JSON Schemas by title, and then once each part that several of them share.

    `elsewhere`: pages that list a part already, by the part's name.
    """
    defs = _definitions(documents)
    sections = [_section(f"## {title}", schema, defs, elsewhere) for title, schema in documents.items()]
    parts = sorted(parts_of(documents).items())
    sections += [_section(f"### {name}", part, defs, elsewhere) for name, part in parts if name not in elsewhere]
    return "\n\n".join(sections)


def parts_of(documents: Documents) -> dict[str, Mapping[str, Any]]:
    """Return the parts of JSON Schemas that have fields, by name."""
    return {name: each for name, each in _definitions(documents).items() if "properties" in each}


def _definitions(documents: Documents) -> dict[str, Mapping[str, Any]]:
    return {name: each for schema in documents.values() for name, each in schema.get("$defs", {}).items()}


def _section(heading: str, schema: Mapping[str, Any], defs: Mapping[str, Any], elsewhere: Mapping[str, str]) -> str:
    told = " ".join(schema.get("description", "").split())
    return "\n\n".join(filter(None, (heading, textwrap.fill(told, WIDTH), bullets(_fields(schema, defs, elsewhere)))))


def _fields(
    schema: Mapping[str, Any], defs: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        needed = "" if name in required else ", optional"
        yield f"{code(name)} ({_kind(field, defs, elsewhere)}{needed})", field.get("description", "")


def _kind(field: Mapping[str, Any], defs: Mapping[str, Any], elsewhere: Mapping[str, str]) -> str:
    """Tell the type of a field in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if "properties" in defs[name]:
            return f"[{name}]({elsewhere.get(name, '')}#{name.lower()})"
        return TOLD.get(name) or listed(map(str, defs[name]["enum"]))
    if "anyOf" in field:
        return " or ".join(_kind(each, defs, elsewhere) for each in field["anyOf"])
    if field.get("type") == "array":
        items = field.get("items")
        return f"list of {_kind(items, defs, elsewhere)}" if items else "pair of numbers"
    if field.get("type") == "object":
        return f"{_kind(field['additionalProperties'], defs, elsewhere)} by name"
    return str(field.get("format") or TYPES[field["type"]])


def command_sections(commands: Iterable[Command], replaced: Mapping[str, str]) -> str:
    """List each command: what it does, its arguments and options, its examples and exit codes.

    `replaced`: words that differ between machines, and the word to print for each.
    """
    sections = [_command(each) for command in commands for each in (command, *command.tasks)]
    text = "\n\n".join(sections)
    for word, other in replaced.items():
        text = text.replace(word, other)
    return text


def _command(command: Command) -> str:
    parser = command.parser()
    level = "#" * (len(command.name.split()) + 1)
    own = [each for each in parser._actions if each.help is not argparse.SUPPRESS and each.dest != "help"]  # noqa: SLF001
    tasks = ["TASK ..."] if command.tasks else []
    usage = " ".join((parser.prog, *(_usage(each) for each in own if not each.option_strings), *tasks))
    told = [f"{level} {parser.prog}", _paragraphs(parser.description)]
    told.append(f"Usage: `{usage}{' [options]' if any(each.option_strings for each in own) else ''}`")
    told.append(bullets((_spelled(each), _meaning(each, parser)) for each in own))
    if parser.epilog:
        told.append(f"```text\n{parser.epilog.strip()}\n```")
    return "\n\n".join(filter(None, told))


def _paragraphs(text: str | None) -> str:
    """Keep a text of one paragraph as Markdown, and any other as it was laid out."""
    stripped = (text or "").strip()
    if "\n" not in stripped:
        return f"{stripped[:1].upper()}{stripped[1:].rstrip('.')}." if stripped else ""
    return f"```text\n{stripped}\n```"


def _metavar(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _usage(action: argparse.Action) -> str:
    name = _metavar(action)
    return {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name)


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        return code(_metavar(action))
    value = "" if action.nargs == 0 else f" {_metavar(action)}"
    return code(", ".join(f"{each}{value}" for each in action.option_strings))


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Fill in what argparse itself would fill in."""
    values = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    return ((action.help or "") % {**values, "prog": parser.prog}).strip()
