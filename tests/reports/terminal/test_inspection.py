from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.checkpoints.layouts import LAYOUTS as KNOWN
from harness.checkpoints.layouts import ContainerdImage
from harness.model.description import Descriptors, Task, TaskState
from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, Skew, SurfaceReading, Witness
from harness.records.inspection import Finding, InspectedCheckpoint, InspectedProcess, Inspection
from reports.terminal.inspection import LAYOUTS, show_inspection

NOW = 1_795_435_200_000_000_000
READING = Reading(
    witness=Witness.OFFLINE,
    nonce="00000000c0ffee00",
    counter=1001,
    counter_wall_ns=NOW,
    surfaces=(
        SurfaceReading(surface="added", newest=3001, newest_wall_ns=NOW + 45_000_000, torn=2),
        SurfaceReading(surface="tmpfs", newest=None, newest_wall_ns=None),
    ),
)
LEDGER = InspectedProcess(
    pid=7,
    name="ledger",
    told_by="its own description",
    finding=Finding.INCONSISTENT,
    reason="why",
    reading=READING,
    skews=(
        Skew(witness=Witness.OFFLINE, surface="added", ticks=2000, microseconds=45_000),
        Skew(witness=Witness.OFFLINE, surface="tmpfs", ticks=None, microseconds=None),
    ),
    anomalies=(Anomaly.DISK_AHEAD, Anomaly.TORN),
    absent={"bind": "it is elsewhere"},
)
SHELL = Task(
    pid=1, parent=None, name="sh", state=TaskState.RUNNING, threads=1, descriptors=None, locks=0, mount_namespace=None
)
OPEN = Descriptors(
    total=9, files=2, pipes=1, unix_sockets=0, inet_sockets=3, netlink_sockets=0, packet_sockets=0, terminals=1
)
BUSY = SHELL.model_copy(update={"pid": 7, "parent": 1, "name": "ledger", "threads": 4, "descriptors": OPEN, "locks": 1})
CHECKPOINT = InspectedCheckpoint(
    layout="archive", finding=Finding.INCONSISTENT, reason="why", workloads=(LEDGER,), tasks=(SHELL, BUSY)
)
AHEAD = Inspection(path="/x/live.tar", finding=Finding.INCONSISTENT, checkpoints=(CHECKPOINT,))


def printed(found: Inspection) -> list[str]:
    out = io.StringIO()
    show_inspection(found, Console(file=out, width=100, no_color=True))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_every_counter_is_printed_with_its_distance_and_the_verdict_last() -> None:
    lines = printed(AHEAD)
    assert lines[0] == "/x/live.tar: an archive that an engine exports"
    assert "workload: process 7 (ledger); list of its surfaces: from its own description" in lines
    assert {"memory 1,001", "added 3,001 +2,000 +45 ms", "tmpfs nothing - -"} <= set(lines)
    assert "added: 2 torn records" in lines
    assert "bind is not in this checkpoint: it is elsewhere" in lines
    assert lines[-1] == "verdict: inconsistent, disk-ahead, torn: why"


def test_processes_are_listed_with_what_they_hold_by_count() -> None:
    lines = printed(AHEAD)
    at = lines.index("processes: 2")
    assert lines[at + 1 : at + 3] == [
        "1 sh",
        "7 ledger, child of 1, 4 threads, 2 files, 1 pipe, 3 inet sockets, a terminal, 1 lock",
    ]
    zombies = tuple(BUSY.model_copy(update={"state": TaskState.ZOMBIE, "name": ""}) for _ in range(50))
    lines = printed(AHEAD.model_copy(update={"checkpoints": (CHECKPOINT.model_copy(update={"tasks": zombies}),)}))
    assert lines[2].startswith("7 (without a name), child of 1, zombie")
    assert "and 10 more; --json lists all" in lines


def test_of_several_workloads_and_checkpoints_each_has_a_verdict() -> None:
    other = LEDGER.model_copy(update={"pid": 8, "name": "", "finding": Finding.CONSISTENT, "anomalies": ()})
    two = CHECKPOINT.model_copy(update={"where": "pod/a", "workloads": (LEDGER, other)})
    empty = InspectedCheckpoint(where="pod/b", layout="criu", finding=Finding.NOTHING_TO_COMPARE, reason="no workload")
    lines = printed(AHEAD.model_copy(update={"checkpoints": (two, empty)}))
    assert "/x/live.tar, in pod/a: an archive that an engine exports" in lines
    assert {"process 7 (ledger): inconsistent, disk-ahead, torn: why", "process 8: consistent: why"} <= set(lines)
    assert lines[-4:] == [
        "/x/live.tar, in pod/b: images of CRIU",
        "verdict: nothing to compare: no workload",
        "",
        "verdict of all: 2 checkpoints: inconsistent",
    ]


def test_what_could_drive_a_terminal_is_not_printed() -> None:
    spoiled = CHECKPOINT.model_copy(update={"reason": "a\x1b[31m", "where": "\x1b[2J"})
    assert "\x1b" not in "".join(printed(AHEAD.model_copy(update={"path": "\x1b[2J", "checkpoints": (spoiled,)})))


@pytest.mark.parametrize("layout", [*KNOWN, ContainerdImage()], ids=lambda layout: layout.name)
def test_every_layout_is_told_in_the_same_words(layout: object) -> None:
    assert LAYOUTS[getattr(layout, "name", "")] == getattr(layout, "what", "")
