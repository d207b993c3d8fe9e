"""A checkpoint that was inspected, on a terminal: its memory, each surface, and the verdict last."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.model import Skew, SurfaceReading
from harness.records import Finding, Inspection
from reports import phrases
from reports.terminal import console_for

LAYOUTS = {
    "podman": "an exported checkpoint of Podman",
    "containerd": "a checkpoint image of containerd",
    "criu": "images of CRIU",
}

STYLES = {
    Finding.CONSISTENT: "green",
    Finding.INCONSISTENT: "bold red",
    Finding.NOTHING_TO_COMPARE: "yellow",
}

DEFECTS = {
    "torn": "torn records",
    "foreign": "records of another process",
    "holes": "missing records",
    "backwards": "records whose time runs backwards",
}


def show_inspection(found: Inspection, console: Console | None = None) -> None:
    """Print what the checkpoint holds, and what that means."""
    out = console or console_for(sys.stdout)
    unknown = "of an unknown workload" if found.reading else "of no workload of ours"
    whose = f"of the workload {found.workload}" if found.workload else unknown
    out.print(_plain(f"{found.path}: {LAYOUTS[found.layout]}, {whose}"))
    if found.reading:
        out.print(_grid(found))
        for surface in found.reading.surfaces:
            for line in _defects(surface):
                out.print(line)
    for name, why in found.absent.items():
        out.print(_plain(f"{name} was not compared: {why}"))
    told = ", ".join((found.finding.value.replace("-", " "), *found.anomalies))
    out.print(_plain(f"verdict: {told}: {found.reason}", STYLES[found.finding]))


def _grid(found: Inspection) -> Grid:
    grid = Grid(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("", overflow="fold")
    for heading in ("tick", "disk - memory", "time"):
        grid.add_column(heading, justify="right", overflow="fold")
    if found.reading:
        grid.add_row("memory", f"{found.reading.counter:,}", "", "")
        for surface, skew in zip(found.reading.surfaces, found.skews, strict=True):
            grid.add_row(surface.surface, *_entries(surface, skew))
    return grid


def _entries(surface: SurfaceReading, skew: Skew) -> tuple[str, str, str]:
    if surface.newest is None or skew.ticks is None or skew.microseconds is None:
        return "nothing", "-", "-"
    return f"{surface.newest:,}", f"{skew.ticks:+,}", phrases.duration(skew.microseconds, signed=True)


def _defects(surface: SurfaceReading) -> list[Text]:
    counted = ((getattr(surface, field), told) for field, told in DEFECTS.items())
    return [_plain(f"{surface.surface}: {number:,} {told}") for number, told in counted if number]


def _plain(text: str, style: str = "") -> Text:
    return Text(phrases.one_line(text), style=style)
