"""A trial's timeline, as a drawing and in words: the time frozen, and the instants of memory and disk."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Literal

import svg
from markupsafe import Markup

from harness.model.outcomes import Stage
from harness.model.readings import Reading, Witness
from harness.model.values import Frozen
from harness.records.record import Record
from reports.text import clean
from reports.words.numbers import duration
from reports.words.outcomes import tone

WIDTH, LABELS, VALUES = 760, 176, 84
LANE, BAR, AXIS = 20, 10, 24
PLOT = WIDTH - LABELS - VALUES
MOST_MARKS = 8

ASIDE = frozenset({Stage.PREPARE, Stage.START, Stage.READ, Stage.STOP, Stage.CLEAN_UP, Stage.AUDIT})
"""Stages too long and too far from the cut: a drawing with them shows nothing else."""


COLOURS = (
    ".timeline { max-width: 100%; height: auto; background: #fff; --ink: #1d2228; --quiet: #59636e; --line: #d5dbe1; "
    "--memory: #7a3db8; --bar: #8a94a0; --held: #a9c4e0; --tone: #59636e; }\n.timeline.bad { --tone: #a9241b; }\n"
)
"""Colours that a page sets for its drawings. A drawing outside a page has to bring them."""


class Lane(Frozen):
    """One line of the timeline, in nanoseconds since memory was taken, or since the first span."""

    kind: Literal["span", "instant", "memory", "surface"]
    name: str
    start_ns: int
    end_ns: int

    @property
    def value(self) -> str:
        """Length of a span, or distance of an instant from the origin."""
        if self.kind == "span":
            return duration((self.end_ns - self.start_ns) / 1e3)
        return duration(self.start_ns / 1e3, signed=True)


def lanes(record: Record) -> tuple[Lane, ...]:
    """List all lines, in the order of the record: first the spans, then the instants from the readings."""
    reading = _reading(record.readings)
    found = [
        Lane(
            kind="instant" if span.start_ns == span.end_ns else "span",
            name=clean(span.name),
            start_ns=span.start_ns,
            end_ns=span.end_ns,
        )
        for span in record.timeline
    ]
    if reading:
        found.append(_instant("memory", "memory taken", reading.counter_wall_ns))
        found += [
            _instant("surface", f"{clean(each.surface)} taken", each.newest_wall_ns)
            for each in reading.surfaces
            if each.newest_wall_ns is not None
        ]
    origin = reading.counter_wall_ns if reading else min((lane.start_ns for lane in found), default=0)
    return tuple(
        lane.model_copy(update={"start_ns": lane.start_ns - origin, "end_ns": lane.end_ns - origin}) for lane in found
    )


def words(record: Record) -> tuple[str, ...]:
    """Write the timeline as sentences, in order of time."""
    told = [f"0 is {'the moment memory was taken' if _reading(record.readings) else 'the start of the first span'}"]
    for lane in sorted(lanes(record), key=lambda lane: lane.start_ns):
        start = duration(lane.start_ns / 1e3, signed=True)
        to = f" to {duration(lane.end_ns / 1e3, signed=True)}, {lane.value} long" if lane.kind == "span" else ""
        told.append(f"{lane.name}: {start}{to}")
    return tuple(told)


def draw(record: Record, *, alone: bool = False) -> Markup | None:
    """Draw the part around the cut as SVG, styled by its page or by itself (`alone`); None if nothing is known."""
    shown = [lane for lane in lanes(record) if lane.name not in ASIDE and _within(lane, record)]
    if not shown:
        return None
    first, last = min(lane.start_ns for lane in shown), max(lane.end_ns for lane in shown)
    scale = _Scale(first=first, length=max(last - first, 1))
    height = AXIS + LANE * len(shown) + 4
    elements: list[svg.Element] = [svg.Style(text=_style())] if alone else []
    elements += [*_held(shown, scale, height), *_axis(scale, height)]
    if any(lane.kind == "memory" for lane in shown):
        elements.append(svg.Line(class_=["cut"], x1=scale(0), x2=scale(0), y1=AXIS - 6, y2=height - 4))
    for number, lane in enumerate(shown):
        elements += _lane(lane, AXIS + LANE * number + LANE / 2, scale)
    label = f"Timeline of trial {record.trial}: " + "; ".join(f"{lane.name} {lane.value}" for lane in shown)
    drawing = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height),
        class_=["timeline", tone(record.verdict.outcome)],
        width=WIDTH if alone else None,
        height=height if alone else None,
        extra={"role": "img", "aria-label": escape(label)},
        elements=elements,
    )
    return Markup(drawing.as_str())  # noqa: S704 - the library escapes nothing: `_text` and the label above do


@functools.cache
def _style() -> str:
    return COLOURS + (Path(__file__).parent / "templates" / "timeline.css").read_text(encoding="utf-8")


class _Scale(Frozen):
    first: int
    length: int

    def __call__(self, ns: float) -> float:
        return round(LABELS + PLOT * (ns - self.first) / self.length, 1)


def _axis(scale: _Scale, height: float) -> Iterable[svg.Element]:
    step = _nice(scale.length / MOST_MARKS)
    mark = -(-scale.first // step) * step
    while mark <= scale.first + scale.length:
        x = scale(mark)
        yield svg.Line(class_=["grid"], x1=x, x2=x, y1=AXIS - 6, y2=height - 4)
        yield _text(duration(mark / 1e3, signed=True) if mark else "0", x, 12, "axis middle")
        mark += step


def _held(shown: Iterable[Lane], scale: _Scale, height: float) -> Iterable[svg.Element]:
    """Shade the time frozen: data taken outside of it is no still frame."""
    for lane in shown:
        if lane.name == "frozen":
            x, end = scale(lane.start_ns), scale(lane.end_ns)
            yield svg.Rect(class_=["held"], x=x, y=AXIS - 6, width=round(end - x, 1), height=height - AXIS + 2)


def _lane(lane: Lane, y: float, scale: _Scale) -> Iterable[svg.Element]:
    x, end = scale(lane.start_ns), scale(lane.end_ns)
    yield _text(lane.name, 0, y + 4, "label")
    yield _text(lane.value, WIDTH, y + 4, "value end")
    if lane.kind == "span":
        width = max(round(end - x, 1), 1.5)
        yield svg.Rect(class_=["bar", _class(lane.name)], x=x, y=y - BAR / 2, width=width, height=BAR, rx=2)
        return
    if lane.kind == "surface" and lane.start_ns:
        yield svg.Line(class_=["skew"], x1=scale(0), x2=x, y1=y, y2=y)
    points = f"{x - 5},{y} {x},{y - 5} {x + 5},{y} {x},{y + 5}"
    yield svg.Polygon(class_=["mark", lane.kind], extra={"points": points})


def _text(text: str, x: float, y: float, classes: str) -> svg.Text:
    return svg.Text(class_=classes.split(), x=x, y=y, text=escape(text))


def _class(name: str) -> str:
    return f"span-{name}" if name.isascii() and name.isalpha() else "span-other"


def _instant(kind: Literal["memory", "surface"], name: str, at: int) -> Lane:
    return Lane(kind=kind, name=name, start_ns=at, end_ns=at)


def _reading(readings: tuple[Reading, ...]) -> Reading | None:
    """Return the first reading of the checkpoint; its witnesses agree, or the trial is a harness-error."""
    return next((reading for reading in readings if reading.witness is not Witness.SOURCE), None)


def _within(lane: Lane, record: Record) -> bool:
    """Whether the lane fits into the trial: a torn or foreign record may have any time."""
    length = record.end_ns - record.start_ns
    return abs(lane.start_ns) <= length and abs(lane.end_ns) <= length


def _nice(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, ... that is not below `least`."""
    size = 1
    while size * 10 < least:
        size *= 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least)
