from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.checkpoints.layouts import LAYOUTS as KNOWN
from harness.model import Anomaly, Reading, Skew, SurfaceReading, Witness
from harness.records import Finding, Inspection
from reports.inspection import LAYOUTS, show_inspection

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
AHEAD = Inspection(
    path="/x/live.tar",
    layout="archive",
    workload="ledger",
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


def printed(found: Inspection) -> list[str]:
    out = io.StringIO()
    show_inspection(found, Console(file=out, width=100, no_color=True))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_every_counter_is_printed_with_its_distance_and_the_verdict_last() -> None:
    lines = printed(AHEAD)
    assert lines[0] == "/x/live.tar: an archive that an engine exports, of the workload ledger"
    assert {"memory 1,001", "added 3,001 +2,000 +45 ms", "tmpfs nothing - -"} <= set(lines)
    assert "added: 2 torn records" in lines
    assert "bind was not compared: it is elsewhere" in lines
    assert lines[-1] == "verdict: inconsistent, disk-ahead, torn: why"


def test_without_a_counter_there_is_only_the_verdict() -> None:
    nothing = Inspection(path="x", layout="criu", finding=Finding.NOTHING_TO_COMPARE, reason="why")
    assert printed(nothing) == ["x: images of CRIU, of no workload of ours", "verdict: nothing to compare: why"]


def test_what_could_drive_a_terminal_is_not_printed() -> None:
    assert "\x1b" not in "".join(printed(AHEAD.model_copy(update={"path": "\x1b[2J", "reason": "a\x1b[31m"})))


@pytest.mark.parametrize("layout", KNOWN, ids=lambda layout: layout.name)
def test_every_layout_is_told_in_the_same_words(layout: object) -> None:
    assert LAYOUTS[getattr(layout, "name", "")] == getattr(layout, "what", "")
