"""Charts as inline SVG, styled by the page: what people would rather look at than read. Each says itself in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import svg
from markupsafe import Markup
from rich.filesize import decimal

from harness.model import Outcome
from harness.records import Record
from reports.cells import CellSummary
from reports.phrases import clean, duration, glyph, tone
from reports.timeline import AXIS, LABELS, PLOT, VALUES, WIDTH

LANE = 22
MARKS = 6
MOST_DOTS = 400
PAGE = 4096
"""Bytes in which CRIU counts."""


def distribution(cell: CellSummary) -> Markup | None:
    """Draw how far each surface was from memory, a dot for each trial and witness; null where nothing was compared."""
    lanes: dict[str, list[tuple[float, Outcome]]] = {}
    for trial in cell.trials[:MOST_DOTS]:
        for skew in trial.skews:
            if skew.microseconds is not None:
                lanes.setdefault(skew.surface, []).append((skew.microseconds, trial.verdict.outcome))
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
        elements += [svg.Circle(class_=["dot", tone(of)], cx=scale(value), cy=y, r=4) for value, of in dots]
    told = "; ".join(f"{clean(surface)}: {_spread([value for value, _ in dots])}" for surface, dots in lanes.items())
    return _drawn("distribution", height, f"Distance of each surface from memory, trial by trial. {told}", elements)


def pauses(cells: Iterable[CellSummary]) -> Markup | None:
    """Draw how long each trial stood still against how much memory was dumped; null where neither is known."""
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
        elements.append(svg.Circle(class_=["dot", tone(outcome)], cx=x(written), cy=at, r=4))
    told = (
        f"Time held still against memory dumped, {len(points)} trials: "
        f"{_spread([frozen for _, frozen, _ in points])}, {decimal(round(min(each[0] for each in points)))} to "
        f"{decimal(round(max(each[0] for each in points)))}"
    )
    return _drawn("pauses", height, told, elements)


def strip(outcomes: Sequence[tuple[str, Outcome | None]]) -> Markup:
    """Draw a cell's outcome in each run, oldest first: a box with a sign, empty where it was not tried."""
    size = 24
    elements: list[svg.Element] = []
    for number, (_, outcome) in enumerate(outcomes):
        x = number * (size + 4)
        elements.append(
            svg.Rect(class_=["box", tone(outcome) if outcome else "none"], x=x, y=1, width=size, height=size, rx=3)
        )
        if outcome:
            elements.append(_text(glyph(outcome), x + size / 2, 18, "sign middle"))
    told = "; ".join(f"{clean(run)}: {outcome or 'not tried'}" for run, outcome in outcomes)
    width = max(1, len(outcomes)) * (size + 4)
    return _drawn("strip", size + 2, f"Outcome by run. {told}", elements, width=width)


def stood_still(trial: Record) -> float | None:
    """Time for which the container was held still, in microseconds."""
    held = [span for span in trial.timeline if span.name == "frozen"]
    return sum(span.end_ns - span.start_ns for span in held) / 1e3 if held else None


def dumped_bytes(trial: Record) -> float | None:
    """Bytes of memory that CRIU has written."""
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
    """Round numbers between two, about as many as `MARKS`."""
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


def _text(text: str, x: float, y: float, classes: str) -> svg.Text:
    return svg.Text(class_=classes.split(), x=x, y=y, text=escape(text))


def _drawn(kind: str, height: float, told: str, elements: list[svg.Element], *, width: float = WIDTH) -> Markup:
    drawing = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, width, height),
        class_=["chart", kind],
        width=width if kind == "strip" else None,
        height=height if kind == "strip" else None,
        extra={"role": "img", "aria-label": escape(told)},
        elements=elements,
    )
    return Markup(drawing.as_str())  # noqa: S704 - the library escapes nothing: `_text` and the label above do
