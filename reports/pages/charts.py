"""Charts as inline SVG, styled by the page. Each chart has a label with its data in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import svg
from markupsafe import Markup
from rich.filesize import decimal

from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.analysis.pauses import Pause
from reports.pages.timeline import AXIS, LABELS, PLOT, VALUES, WIDTH
from reports.text import clean, counted, shorten
from reports.words.causes import DRAWN, counts, shape
from reports.words.numbers import duration
from reports.words.outcomes import glyph, tone

LANE = 22
MARKS = 6
BOX, STEP, LINE, LETTER, LETTERS = 24, 28, 15, 6.2, 11
"""Side of a box, distance of two boxes, height of a line, largest width and height of a character."""
MOST_DOTS = 400
SQUARE, SPACE, ROW = 12, 15, 15
"""Side of a cell in a picture, distance of two cells, and cells in a row."""
SMALL = ("strip", "picture")
"""Charts that keep their size, however wide the page is."""
PAGE = 4096
"""Bytes of a page in CRIU's statistics."""


def distribution(cell: CellSummary) -> Markup | None:
    """Draw how far each surface was from memory, a dot for each trial and witness; None if nothing was compared."""
    lanes: dict[str, list[tuple[float, Outcome]]] = {}
    for trial in cell.trials[:MOST_DOTS]:
        lags = {(reading.witness, each.surface): each.lag for reading in trial.readings for each in reading.surfaces}
        for skew in trial.skews:
            if skew.microseconds is not None:
                fits = -lags.get((skew.witness, skew.surface), 1) <= (skew.ticks or 0) <= 0
                outcome = Outcome.CONSISTENT if fits else trial.verdict.outcome
                lanes.setdefault(skew.surface, []).append((skew.microseconds, outcome))
    if not lanes:
        return None
    every = [value for lane in lanes.values() for value, _ in lane]
    scale = _Scale(min(0.0, *every), max(0.0, *every))
    height = AXIS + LANE * len(lanes) + 6
    elements: list[svg.Element] = [*_axis(scale, height)]
    elements.append(svg.Line(class_=["cut"], x1=scale(0), x2=scale(0), y1=AXIS - 6, y2=height - 4))
    for number, (surface, dots) in enumerate(lanes.items()):
        y = AXIS + LANE * number + LANE / 2
        elements.append(_text(clean(surface), 0, y + 4, "label"))
        elements.append(_text(f"{len(dots)}", WIDTH, y + 4, "value end"))
        elements += [_dot(scale(value), y, of) for value, of in dots]
    told = "; ".join(f"{clean(surface)}: {_spread([value for value, _ in dots])}" for surface, dots in lanes.items())
    return _drawn("distribution", height, f"Distance of each surface from memory, trial by trial. {told}", elements)


def pauses(cells: Iterable[CellSummary]) -> Markup | None:
    """Draw how long each container was frozen and how much memory was dumped; None if no trial has both."""
    points = [
        (written, frozen, trial.verdict.outcome)
        for cell in cells
        for trial in cell.trials
        if (frozen := stood_still(trial)) is not None and (written := dumped_bytes(trial)) is not None
    ][:MOST_DOTS]
    if not points:
        return None
    height = 220
    x, y = _Scale(0.0, max(each[0] for each in points) or 1.0), max(each[1] for each in points) or 1.0
    elements: list[svg.Element] = []
    for mark in _marks(0.0, x.last):
        at = x(mark)
        elements.append(svg.Line(class_=["grid"], x1=at, x2=at, y1=8, y2=height - 28))
        elements.append(_text(decimal(round(mark)), at, height - 10, "axis middle"))
    for mark in _marks(0.0, y):
        at = round((height - 28) - (height - 40) * mark / y, 1)
        elements.append(svg.Line(class_=["grid"], x1=LABELS, x2=WIDTH - VALUES, y1=at, y2=at))
        elements.append(_text(duration(mark), LABELS - 8, at + 4, "axis end"))
    for written, frozen, outcome in points:
        at = round((height - 28) - (height - 40) * frozen / y, 1)
        elements.append(_dot(x(written), at, outcome))
    told = (
        f"Time frozen and memory dumped, {counted(len(points), 'trial')}: "
        f"{_spread([frozen for _, frozen, _ in points])}, {decimal(round(min(each[0] for each in points)))} to "
        f"{decimal(round(max(each[0] for each in points)))}"
    )
    return _drawn("pauses", height, told, elements)


def curves(found: Sequence[Pause], what: str) -> Markup:
    """Draw how long sources stood still by size, a line for each participant and policy, with its number at the end.

    `what`: `memory` or `files`. The numbers are those of `numbered`.
    """
    drawn = [each for each in found if each.what == what]
    height = 260
    x, y = _Scale(0.0, float(max(each.mebibytes for each in drawn))), max(each.typical for each in drawn) or 1.0
    elements: list[svg.Element] = []
    for mark in _marks(0.0, x.last):
        elements.append(svg.Line(class_=["grid"], x1=x(mark), x2=x(mark), y1=8, y2=height - 28))
        elements.append(_text(f"{mark:,.0f} MiB", x(mark), height - 10, "axis middle"))
    for mark in _marks(0.0, y):
        at = round((height - 28) - (height - 40) * mark / y, 1)
        elements.append(svg.Line(class_=["grid"], x1=LABELS, x2=WIDTH - VALUES, y1=at, y2=at))
        elements.append(_text(duration(mark * 1000), LABELS - 8, at + 4, "axis end"))
    ends: list[tuple[float, float, int]] = []
    for who, number in numbered(found).items():
        own = [each for each in drawn if each.who == who]
        points = [(x(each.mebibytes), round((height - 28) - (height - 40) * each.typical / y, 1)) for each in own]
        if points:
            elements.append(svg.Polyline(class_=["curve"], extra={"points": " ".join(f"{a},{b}" for a, b in points)}))
            elements += [svg.Circle(class_=["dot"], cx=a, cy=b, r=3) for a, b in points]
            ends.append((points[-1][1], points[-1][0], number))
    room = height - 28.0
    for end, at, number in sorted(ends, reverse=True):  # from below, each number above the one before
        room = min(end, room - LETTERS)
        elements.append(svg.Line(class_=["grid"], x1=at + 4, x2=at + 18, y1=end, y2=room))
        elements.append(_text(f"{number}", at + 21, room + 4, "value"))
    told = "; ".join(f"{clean(each.who)} at {each.mebibytes} MiB: {duration(each.typical * 1000)}" for each in drawn)
    return _drawn("curves", height, f"Time that the source stood still by size of {what}. {told}", elements)


def numbered(found: Iterable[Pause]) -> dict[str, int]:
    """Number participants with their policies, in the order of their first pause."""
    return {who: number for number, who in enumerate(dict.fromkeys(each.who for each in found), 1)}


def picture(cells: Sequence[CellSummary]) -> Markup:
    """Draw each cell of a participant as a sign, the worst first; its shape shows how to take it."""
    order = list(DRAWN)
    drawn = sorted(cells, key=lambda each: order.index(shape(each)))
    elements = [
        _sign(shape(each), SPACE * (at % ROW) + 1, SPACE * (at // ROW) + 1, f"{each.cell.id}: {each.outcome}")
        for at, each in enumerate(drawn)
    ]
    height = SPACE * -(-len(drawn) // ROW) + 1
    return _drawn("picture", height, f"{counted(len(drawn), 'cell')}: {counts(drawn)}", elements, width=SPACE * ROW + 1)


def key(kind: str) -> Markup:
    """Draw the sign of a kind of cell for the text that explains it."""
    return _drawn("picture", SPACE - 1, DRAWN[kind], [_sign(kind, 1, 1, DRAWN[kind])], width=SPACE - 1)


def _sign(kind: str, x: float, y: float, told: str) -> svg.Element:
    middle = SQUARE / 2
    title: list[svg.Element] = [svg.Title(text=escape(clean(told)))]
    if kind == "known":
        points = f"{x},{y + middle} {x + middle},{y} {x + SQUARE},{y + middle} {x + middle},{y + SQUARE}"
        return svg.Polygon(class_=[kind], extra={"points": points}, elements=title)
    if kind == "off":
        corners = (svg.M(x + 1, y + 1), svg.L(x + 11, y + 11), svg.M(x + 1, y + 11), svg.L(x + 11, y + 1))
        return svg.Path(class_=[kind], d=list(corners), elements=title)
    if kind == "void":
        return svg.Circle(class_=[kind], cx=x + middle, cy=y + middle, r=middle - 1, elements=title)
    return svg.Rect(class_=[kind], x=x, y=y, width=SQUARE, height=SQUARE, rx=2, elements=title)


class Past(NamedTuple):
    """A cell in one run; without an outcome if it was not tried."""

    run: str
    outcome: Outcome | None
    versions: Mapping[str, str] = {}
    """Versions by component, and by side if there are two sides."""


def strip(past: Sequence[Past]) -> Markup:
    """Draw a cell's outcome in each run, oldest first: a box with a sign, empty if the cell was not tried.

    Changed versions are below the box of their run.
    """
    elements: list[svg.Element] = []
    changes = [(number, told) for number, told in enumerate(_changes(past)) if told]
    for number, each in enumerate(past):
        x, outcome = number * STEP, each.outcome
        kind = tone(outcome) if outcome else "none"
        elements.append(svg.Rect(class_=["box", kind], x=x, y=1, width=BOX, height=BOX, rx=3))
        if outcome:
            elements.append(_text(glyph(outcome), x + BOX / 2, 18, "sign middle"))
    for line, (number, told) in enumerate(changes):
        at, y = number * STEP + BOX / 2, BOX + 6 + LINE * (line + 1)
        elements.append(svg.Line(class_=["grid"], x1=at, x2=at, y1=BOX + 3, y2=y))
        elements.append(_text(told, at + 5, y, "axis"))
    told = "; ".join(f"{clean(each.run)}: {each.outcome or 'not tried'}" for each in past)
    changed = "".join(f"; in {clean(past[number].run)} {clean(told)}" for number, told in changes)
    ends = (number * STEP + BOX + len(told) * LETTER for number, told in changes)
    width = max(float(STEP), len(past) * STEP, *ends)
    height = BOX + 2 + (LINE * len(changes) + 12 if changes else 0)
    return _drawn("strip", height, f"Outcome by run. {told}{changed}", elements, width=width)


def _changes(past: Sequence[Past]) -> Iterator[str]:
    """Yield for each run the versions that changed since the cell was last tried."""
    before: Mapping[str, str] = {}
    for each in past:
        changed = [name for name, version in each.versions.items() if before.get(name, version) != version]
        yield shorten(", ".join(f"{clean(name)} {clean(each.versions[name])}" for name in changed))
        before = {**before, **each.versions}


def stood_still(trial: Record) -> float | None:
    """Return how long the container was frozen, in microseconds."""
    held = [span for span in trial.timeline if span.name == "frozen"]
    return sum(span.end_ns - span.start_ns for span in held) / 1e3 if held else None


def dumped_bytes(trial: Record) -> float | None:
    """Return the memory that CRIU has written, in bytes."""
    return None if trial.statistics is None else float(trial.statistics.pages_written * PAGE)


class _Scale:
    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last if last > first else first + 1.0

    def __call__(self, value: float) -> float:
        return round(LABELS + PLOT * (value - self.first) / (self.last - self.first), 1)


def _axis(scale: _Scale, height: float) -> Iterable[svg.Element]:
    for mark in _marks(scale.first, scale.last):
        x = scale(mark)
        yield svg.Line(class_=["grid"], x1=x, x2=x, y1=AXIS - 6, y2=height - 4)
        yield _text(duration(mark, signed=True) if mark else "0", x, 12, "axis middle")


def _marks(first: float, last: float) -> list[float]:
    """Return about `MARKS` round numbers between two values."""
    least, size = (last - first) / MARKS, 1e-3
    while size * 10 < least:
        size *= 10
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least)
    start = int(first // step)
    found = [step * number for number in range(start, start + 3 * MARKS)]
    return [mark for mark in found if first <= mark <= last]


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    low, median, high = (duration(ordered[at], signed=True) for at in (0, len(ordered) // 2, -1))
    return f"{low} to {high}, median {median}"


def _dot(x: float, y: float, outcome: Outcome) -> svg.Element:
    """Draw a trial; its shape shows the outcome, too."""
    kind, size = tone(outcome), 4
    if kind == "bad":
        strokes = (
            svg.M(x - size, y - size),
            svg.L(x + size, y + size),
            svg.M(x - size, y + size),
            svg.L(x + size, y - size),
        )
        return svg.Path(class_=["dot", kind], d=list(strokes))
    if kind == "mild":
        corners = f"{x - 5},{y} {x},{y - 5} {x + 5},{y} {x},{y + 5}"
        return svg.Polygon(class_=["dot", kind], extra={"points": corners})
    return svg.Circle(class_=["dot", kind], cx=x, cy=y, r=size)


def _text(text: str, x: float, y: float, classes: str) -> svg.Text:
    return svg.Text(class_=classes.split(), x=x, y=y, text=escape(text))


def _drawn(kind: str, height: float, told: str, elements: list[svg.Element], *, width: float = WIDTH) -> Markup:
    drawing = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, width, height),
        class_=["chart", kind],
        width=width if kind in SMALL else None,
        height=height if kind in SMALL else None,
        extra={"role": "img", "aria-label": escape(told)},
        elements=elements,
    )
    return Markup(drawing.as_str())  # noqa: S704 - the library escapes nothing: `_text` and the label above do
