"""Badges: the verdict on a run, a participant or a cell in one line, as self-contained SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape

import svg

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis import newest
from reports.analysis.cells import CellSummary
from reports.analysis.tables import RunSummary
from reports.paths import BADGE, badge_of, page_of
from reports.text import counted, shorten
from reports.words.cells import mark
from reports.words.outcomes import VERDICTS

LEFT_OUT = "Only the verdict. The report has the cells and the statistics."

STALE_AFTER = timedelta(days=14)
"""Age from which a badge says `stale`."""

MOST_LETTERS = 64
"""Characters of a name."""

HEIGHT, PADDING, BASELINE, CORNER = 20, 6, 14, 3
FONT = "Verdana, DejaVu Sans, sans-serif"
SIZE = 11
NARROW, WIDE = frozenset("fijlrtI .,:;!|'()[]/\\-"), frozenset("mwMW@%&#+<>=~^…\N{REPLACEMENT CHARACTER}")
SLIM, PLAIN, TALL, BROAD = 5.0, 7.5, 9.0, 11.5
"""Widths of characters of this size in the widest of the fonts, and a little more."""

GREEN, RED, AMBER, GREY, DARK = "#17692f", "#a9241b", "#7c5200", "#59636e", "#33383f"


def render(
    run: RunSummary, now: datetime, *, before: Sequence[RunSummary] = (), stale_after: timedelta = STALE_AFTER
) -> Iterator[tuple[str, str]]:
    """Yield the badges with their paths: one for the run, one for each participant and one for each cell.

    If the instrument is blind, all badges say so. `before`: older runs, oldest first, for cells and participants that
    this run leaves out.
    """

    def badge(run: RunSummary, name: str, verdict: str, colour: str, n: str) -> str:
        made = datetime.fromtimestamp(run.plan.created_ns // 1_000_000_000, UTC)
        stale = now - made > stale_after
        if run.conclusion.exit_code is Exit.BLIND:
            verdict, colour = VERDICTS[Exit.BLIND], RED
        told = f"{verdict}, {n}, {made:%Y-%m-%d}"
        return draw(name, f"stale: {told}" if stale else told, GREY if stale else colour)

    known = sum(each.known and each.as_expected for each in run.cells)
    cells = counted(len(run.cells), "cell")
    yield BADGE, badge(run, "stillframe", *_verdict(run.conclusion.exit_code, known), cells)
    for tried, members in newest.who(run, before):
        for who in members:
            n = counted(len(who.cells), "cell")
            yield badge_of(who.path), badge(tried, who.name, *_verdict(who.exit_code, who.known), n)
    for tried, those in newest.cells(run, before):
        for each in those:
            n = counted(each.n, "trial")
            yield badge_of(page_of(each.cell)), badge(tried, each.cell.id, *_outcome(each), n)


def _verdict(code: Exit, known: int) -> tuple[str, str]:
    """Return text and colour of a verdict; a badge that is as expected still counts the known issues."""
    if code is not Exit.EXPECTED:
        return VERDICTS[code], GREY if code is Exit.INCOMPLETE else RED
    return (f"as expected ({known} known)", AMBER) if known else ("as expected", GREEN)


def _outcome(each: CellSummary) -> tuple[str, str]:
    taken = mark(each)
    told = f"{each.outcome} ({taken})" if taken else each.outcome.value
    if not each.as_expected:
        return told, GREY if each.exit_code is Exit.INCOMPLETE else RED
    return told, GREEN if each.outcome is Outcome.CONSISTENT and not taken else AMBER


def draw(left: str, right: str, colour: str) -> str:
    """Draw a badge with the text `left: right`; a long name is cut, and the title has more of it."""
    shown = "".join(sign if sign.isascii() else "\N{REPLACEMENT CHARACTER}" for sign in shorten(left, 5_000))
    shown = shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 1]}…"
    first, second = width(shown), width(right)
    told = escape(f"{shorten(left, 300)}: {right}")
    drawing = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, first + second, HEIGHT),
        width=first + second,
        height=HEIGHT,
        extra={"role": "img", "aria-label": told},
        elements=[
            svg.Title(text=told),
            svg.Desc(text=LEFT_OUT),
            svg.Rect(width=first + second, height=HEIGHT, rx=CORNER, fill=colour),
            svg.Rect(width=first, height=HEIGHT, rx=CORNER, fill=DARK),
            svg.Rect(x=first - CORNER, width=CORNER, height=HEIGHT, fill=DARK),
            _text(shown, first / 2),
            _text(right, first + second / 2),
        ],
    )
    return drawing.as_str() + "\n"


def width(text: str) -> int:
    """Estimate the width of a text with its padding, never too small."""
    return round(sum(map(_width, text))) + 2 * PADDING


def _width(sign: str) -> float:
    if sign in NARROW:
        return SLIM
    return BROAD if sign in WIDE else TALL if sign.isupper() else PLAIN


def _text(text: str, middle: float) -> svg.Text:
    return svg.Text(
        x=middle, y=BASELINE, fill="#fff", font_family=FONT, font_size=SIZE, text_anchor="middle", text=escape(text)
    )
