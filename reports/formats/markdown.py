"""The run as Markdown, for step summaries and issues."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.records.image_path import ImagePath
from reports.analysis import crashes, images, known
from reports.analysis.sameness import demanded_of
from reports.analysis.tables import RunSummary
from reports.pages.html import WORDS
from reports.text import counted, in_markdown
from reports.words import proof

MOST_BYTES = 1024 * 1024
"""Limit of GitHub for the summary of a step. It shows nothing of a longer summary."""

RULE = "| ---"
"""Start of the line below the head of a table."""


def render(run: RunSummary) -> str:
    """Write the run as Markdown; the environment escapes every value that the template prints."""
    template = _environment().get_template("run.md.j2")
    text = template.render(
        run=run,
        by_id=run.by_id,
        images=images,
        known=known,
        crashes=crashes,
        demanded_of=demanded_of,
        words=WORDS,
        proof=proof,
    )
    return fitting(text, MOST_BYTES)


def render_images(paths: Sequence[ImagePath]) -> str:
    """Write checkpoint images as Markdown."""
    template = _environment().get_template("images.md.j2")
    return fitting(template.render(images=images, paths=paths, words=WORDS), MOST_BYTES)


def fitting(text: str, most_bytes: int) -> str:
    """Cut a long text at the end of a line and name the rest; empty if not even that fits."""
    if len(text.encode()) <= most_bytes:
        return text
    lines = text.splitlines()
    ends = list(itertools.accumulate(len(line.encode()) + 1 for line in lines))
    kept = bisect.bisect_right(ends, most_bytes)
    while kept := _whole(lines, kept):
        told = _left_out(lines[:kept], lines[kept:])
        if ends[kept - 1] + len(told.encode()) <= most_bytes:
            return "\n".join((*lines[:kept], told))
        kept -= 1
    return ""


def _whole(lines: Sequence[str], kept: int) -> int:
    """Return the number of lines without a heading or the head of a table at the end."""
    while kept and (not lines[kept - 1] or lines[kept - 1].startswith(("#", RULE)) or lines[kept].startswith(RULE)):
        kept -= 1
    return kept


def _left_out(kept: Sequence[str], rest: Sequence[str]) -> str:
    """Name the sections that are left out, and count the missing lines of the section that is cut."""
    begun = [line for line in itertools.takewhile(lambda line: not line.startswith("#"), rest) if line]
    own = next((line.lstrip("# ") for line in reversed(kept) if line.startswith("#")), "this page")
    what = [f"{counted(len(begun), 'line')} of “{own}”"] if begun else []
    told = ", ".join((*what, *(line.lstrip("# ") for line in rest if line.startswith("#"))))
    return f"\nThe page has a size limit. Left out: {told}. The site and summary.json have everything.\n"


def _environment() -> Environment:
    return Environment(  # noqa: S701 - `in_markdown` escapes HTML and Markdown
        loader=PackageLoader("reports.pages"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=in_markdown,
        keep_trailing_newline=True,
    )
