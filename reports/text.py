"""Strings of records, made safe to print: they cannot control a terminal or break a table. Pure."""

from __future__ import annotations

import re
from typing import Any

MOST_LETTERS = 1_000
"""Characters of one value in Markdown, so that no row is as long as a page."""
_HALF = re.compile("[\ud800-\udfff]")
_MARKUP = re.compile(r"[\\`*\[\]~]|(?<![^\W_])_|_(?![^\W_])")
_UNIT = re.compile(r"(?<=\d) (?=[%µmst])")


def clean(text: str) -> str:
    """Replace control characters, which could control a terminal or reorder a line; keep tabs and line breaks."""
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
    """Replace surrogates in all texts of a JSON value: UTF-8 cannot encode them."""
    if isinstance(value, str):
        return _HALF.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {sayable(name): sayable(each) for name, each in value.items()}
    return [sayable(each) for each in value] if isinstance(value, list) else value


def unbroken(text: str) -> str:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", text)


def shorten(text: str, limit: int = 90) -> str:
    """Cut to one line of at most `limit` characters; read only the beginning of a very long text."""
    line = one_line(text[: 20 * limit])
    return line if len(line) <= limit and len(text) <= 20 * limit else line[: limit - 1].rstrip() + "…"


def in_markdown(value: object) -> str:
    """Return one line of text that Markdown shows literally: no markup, no HTML, no end of a table cell."""
    text = shorten(str(value), MOST_LETTERS).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", text).replace("|", "&#124;")


def counted(number: int, noun: str, several: str = "") -> str:
    """Write a number of things: `1 cell`, `3 cells`; `several`: the plural, if it is not `noun` with an s."""
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"
