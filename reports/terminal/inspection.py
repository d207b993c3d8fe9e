"""Inspected checkpoints on a terminal: processes, memory, each surface, and the verdict last."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from textwrap import fill

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table as Grid
from rich.text import Text

from harness.model.description import Description, DiskForm, Task, TaskState
from harness.model.readings import Skew, SurfaceReading
from harness.records.inspection import Finding, InspectedCheckpoint, InspectedProcess, Inspection
from reports.terminal.terminal import console_for
from reports.text import counted, one_line
from reports.words.numbers import duration

LAYOUTS = {
    "archive": "an archive that an engine exports",
    "image": "a checkpoint image of containerd",
    "criu": "images of CRIU",
    "sandbox": "a checkpoint of gVisor",
}
ENGINES = {"podman": "Podman", "crio": "CRI-O", "containerd": "containerd", "gvisor": "gVisor"}
FORMS = {DiskForm.LIST: "a tar and a list of deleted files", DiskForm.LAYER: "an OCI layer"}
LONGEST = 60
"""Characters shown of a foreign value."""
MOST_TASKS = 40
"""Processes listed."""
INDENT = "  "
ID = 12
"""Digits shown of an id, as engines do."""

STYLES = {
    Finding.CONSISTENT: "green",
    Finding.INCOMPLETE: "yellow",
    Finding.INCONSISTENT: "bold red",
    Finding.NOTHING_TO_COMPARE: "yellow",
}

DEFECTS = {
    "torn": "torn records",
    "foreign": "records of another process",
    "holes": "missing records",
    "backwards": "records whose time runs backwards",
    "repeated": "repeated lines",
}


def show_inspection(found: Inspection, console: Console | None = None) -> None:
    """Print the contents and the verdict of each checkpoint, and the verdict on all of them last."""
    out = console or console_for(sys.stdout)
    for number, each in enumerate(found.checkpoints):
        if number:
            out.print()
        _show(found.path, each, out)
    if len(found.checkpoints) > 1:
        told = f"{len(found.checkpoints)} checkpoints: {_said(found.finding)}"
        out.print()
        _tell(out, f"verdict of all: {told}", STYLES[found.finding])


def _show(path: str, each: InspectedCheckpoint, out: Console) -> None:
    where = f"{path}, in {each.where}" if each.where else path
    _tell(out, f"{where}: {LAYOUTS[each.layout]}")
    for name, value in _told(each.description):
        if value:
            _tell(out, f"{name}: {value}")
    _show_tasks(each.tasks, out)
    for workload in each.workloads:
        _show_workload(workload, out)
        if len(each.workloads) > 1:
            told = ", ".join((_said(workload.finding), *workload.anomalies))
            _tell(out, f"process {_named(workload)}: {told}: {workload.reason}", STYLES[workload.finding])
    seen = dict.fromkeys(anomaly for workload in each.workloads for anomaly in workload.anomalies)
    told = ", ".join((_said(each.finding), *seen))
    _tell(out, f"verdict: {told}: {each.reason}", STYLES[each.finding])


def _show_workload(workload: InspectedProcess, out: Console) -> None:
    _tell(out, f"workload: process {_named(workload)}; list of its surfaces: from {workload.told_by}")
    out.print(_grid(workload))
    for surface in workload.reading.surfaces:
        for line in _defects(surface):
            _tell(out, line)
    for name, why in workload.absent.items():
        _tell(out, f"{name} is not in this checkpoint: {why}")


def _show_tasks(tasks: Sequence[Task], out: Console) -> None:
    if tasks:
        _tell(out, f"processes: {len(tasks):,}")
    for task in tasks[:MOST_TASKS]:
        _tell(out, _task(task), indent=INDENT)
    if len(tasks) > MOST_TASKS:
        _tell(out, f"and {len(tasks) - MOST_TASKS:,} more; --json lists all", indent=INDENT)


def _said(finding: Finding) -> str:
    return finding.value.replace("-", " ")


def _named(workload: InspectedProcess) -> str:
    return f"{workload.pid} ({workload.name})" if workload.name else str(workload.pid)


def _task(task: Task) -> str:
    """Describe a process in one line: its name, and counts of what it has open."""
    what = [f"{task.pid} {task.name or '(without a name)'}"]
    if task.parent is not None:
        what.append(f"child of {task.parent}")
    if task.state not in (None, TaskState.RUNNING):
        what.append(str(task.state))
    if task.threads > 1:
        what.append(f"{task.threads} threads")
    if task.descriptors:
        held = task.descriptors
        counts = {
            "file": held.files,
            "pipe": held.pipes,
            "unix socket": held.unix_sockets,
            "inet socket": held.inet_sockets,
            "netlink socket": held.netlink_sockets,
            "packet socket": held.packet_sockets,
        }
        what += [counted(number, name) for name, number in counts.items() if number]
        what += ["a terminal"] if task.terminal else []
    what += [counted(task.locks, "lock")] if task.locks else []
    return ", ".join(what)


def _told(it: Description) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the checkpoint's description; an empty value is unknown."""
    yield "made by", _joined(ENGINES.get(it.engine, it.engine), it.runtime, it.criu and f"CRIU {it.criu}", it.kernel)
    yield "container", _identified(it.container_name, it.container_id)
    yield "image", _identified(it.image, it.image_id)
    yield "created", it.created
    yield "taken", it.taken
    yield "memory", _of(it.images_bytes, it.pages_bytes and f"{decimal(it.pages_bytes)} of it pages")
    deleted = f"{it.deleted:,} deleted" if it.deleted is not None else ""
    yield "disk", _of(it.disk_bytes, FORMS[it.disk] if it.disk else "", deleted)
    yield "mounts", ", ".join(f"{mount.target} ({mount.kind})" for mount in it.mounts)
    yield "annotations", ", ".join(f"{name}={_short(value)}" for name, value in it.annotations.items())
    yield "header", ", ".join(f"{name}={_short(value)}" for name, value in it.details.items())
    counted = it.statistics
    if counted:
        spans = {"freezing": counted.freezing_us, "frozen": counted.frozen_us}
        spans |= {"memory dumped": counted.memory_dump_us, "written": counted.memory_write_us}
        yield "CRIU's times", ", ".join(f"{name} {duration(span)}" for name, span in spans.items())
        pages = {"scanned": counted.pages_scanned, "in an earlier level": counted.pages_skipped_parent}
        pages |= {"written": counted.pages_written}
        yield "CRIU's pages", ", ".join(f"{number:,} {name}" for name, number in pages.items())


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _identified(name: str, identity: str) -> str:
    return f"{name} ({identity.rpartition(':')[2][:ID]})" if identity else name


def _of(size: int | None, *more: str | int | None) -> str:
    return "" if size is None else _joined(decimal(size), *(str(each) for each in more if each))


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"


def _grid(found: InspectedProcess) -> Grid:
    grid = Grid(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("", overflow="fold")
    for heading in ("tick", "disk - memory", "time"):
        grid.add_column(heading, justify="right", overflow="fold")
    grid.add_row("memory", f"{found.reading.counter:,}", "", "")
    for surface, skew in zip(found.reading.surfaces, found.skews, strict=True):
        grid.add_row(surface.surface, *_entries(surface, skew))
    return grid


def _entries(surface: SurfaceReading, skew: Skew) -> tuple[str, str, str]:
    if surface.newest is None or skew.ticks is None:
        return "nothing", "-", "-"
    time = "-" if skew.microseconds is None else duration(skew.microseconds, signed=True)
    return f"{surface.newest:,}", f"{skew.ticks:+,}", time


def _defects(surface: SurfaceReading) -> list[str]:
    counted = ((getattr(surface, field), told) for field, told in DEFECTS.items())
    return [f"{surface.surface}: {number:,} {told}" for number, told in counted if number]


def _tell(out: Console, text: str, style: str = "", indent: str = "") -> None:
    """Print a fact: folded and indented on a terminal, in one line elsewhere."""
    line = indent + one_line(text)
    if out.is_terminal:
        line = fill(line, out.width, subsequent_indent=indent + INDENT, break_on_hyphens=False)
    out.print(Text(line, style=style), soft_wrap=True)
