"""Strings of records, made fit for a line: whatever they hold, it drives no terminal and breaks no table. Pure."""

from __future__ import annotations

import re
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")
_UNIT = re.compile(r"(?<=\d) (?=[%µmst])")


def clean(text: str) -> str:
    """Replace control characters, which could drive a terminal or reorder a line; tabs and line breaks stay."""
    if text.isprintable():
        return text
    unprintable = {
        ord(sign): "\N{REPLACEMENT CHARACTER}" for sign in set(text) if not (sign.isprintable() or sign in "\t\n")
    }
    return text.translate(unprintable) if unprintable else text


def one_line(text: str) -> str:
    """Clean text and put it on one line."""
    return clean(" ".join(text.split()))


def sayable(value: Any) -> Any:
    """Replace, in all texts of a JSON value, what no text in UTF-8 holds: bytes of names, and halves of letters."""
    if isinstance(value, str):
        return _HALF.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {sayable(name): sayable(each) for name, each in value.items()}
    return [sayable(each) for each in value] if isinstance(value, list) else value


def unbroken(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", text)


def shorten(text: str, limit: int = 90) -> str:
    """Cut to one line of at most `limit` characters; of a very long text only the beginning is looked at."""
    line = one_line(text[: 20 * limit])
    return line if len(line) <= limit and len(text) <= 20 * limit else line[: limit - 1].rstrip() + "…"
