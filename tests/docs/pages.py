"""The pages of the documentation: their blocks, how each block is run, and their links.

A comment before a block of commands says how it is run. It is invisible on the page:

    <!-- run: user -->                    as any user, in a folder of a `Desk`
    <!-- run: root -->                    as root on this machine
    <!-- run: node -->                    in a node, by a test of its own
    <!-- run: user, exit 0 1 -->          the last command may end with one of these exit codes
    <!-- run: root, as COMMAND -->        in this smaller form, which takes seconds instead of minutes
    <!-- not run: REASON -->              never; the page says the reason in the same words

A comment `<!-- prints -->` before a block of text says that the commands before it print each of its lines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
MARK = re.compile(r"<!-- (?:run: (user|root|node)(?:, exit ([\d ]+))?(?:, as (.+))?|not run: (.+)) -->")
NOT_RUN, PRINTS = "not run", "<!-- prints -->"


class Mark(NamedTuple):
    """How a block is run."""

    where: str
    """`user`, `root`, `node` or `not run`."""
    codes: tuple[int, ...] = (0,)
    """Exit codes that it may end with."""
    small: str = ""
    """What is run instead."""
    reason: str = ""
    """Why it is not run."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    mark: Mark | None
    prints: tuple[str, ...] = ()
    """Lines that its commands print."""

    @property
    def name(self) -> str:
        """For people: page and line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that are shown, continued ones as one."""
        return tuple(line for line in re.sub(r"\\\n\s*", "", self.text).splitlines() if line.strip())

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines that are typed."""
        return (self.mark.small,) if self.mark and self.mark.small else self.lines


def tokens(page: Path) -> list[Token]:
    """Parse a page as hosted viewers do."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, each with the mark before it."""
    found: list[Block] = []
    comment = ""
    for token in tokens(page):
        if token.type == "fence":
            if comment == PRINTS:
                found[-1] = found[-1]._replace(prints=tuple(token.content.splitlines()))
            found.append(Block(page, (token.map or [0])[0] + 1, token.info, token.content, marked(comment)))
        comment = token.content.strip() if token.type == "html_block" else ""
    yield from found


def marked(comment: str) -> Mark | None:
    """Read a comment; None for one that says something else."""
    said = MARK.fullmatch(comment)
    if said is None:
        return None
    where, codes, small, reason = said.groups()
    if reason:
        return Mark(NOT_RUN, reason=reason)
    return Mark(where, tuple(map(int, codes.split())) if codes else (0,), small or "")


def every_block(language: str) -> list[Block]:
    """All blocks of all pages in a language."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def run_as(where: str) -> list[Block]:
    """All blocks of commands that are run in this way."""
    return [block for block in every_block("sh") if block.mark and block.mark.where == where]


def links(page: Path) -> Iterator[str]:
    """All addresses that a page links to."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                yield str(child.attrs.get("href") or child.attrs.get("src"))


def anchors(page: Path) -> set[str]:
    """The anchors that hosted viewers give the headings of a page."""
    found: Counter[str] = Counter()
    names = set()
    parsed = tokens(page)
    for token, following in pairwise(parsed):
        if token.type == "heading_open":
            text = "".join(child.content for child in following.children or () if child.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            names.add(f"{name}-{found[name]}" if found[name] else name)
            found[name] += 1
    return names


def visible(page: Path) -> str:
    """A page without its comments and blocks, as one line."""
    text = re.sub(r"<!--.*?-->|^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())
