"""What an inspection found in a checkpoint, in brief."""

from __future__ import annotations

from pathlib import Path

from harness.oracle.inspection import inspect
from harness.records.inspection import InspectedCheckpoint


def only(path: Path) -> InspectedCheckpoint:
    (found,) = inspect(path, {}).checkpoints
    return found


def distances(found: InspectedCheckpoint) -> list[dict[str, int | None]]:
    return [{skew.surface: skew.ticks for skew in each.skews} for each in found.workloads]


def absent(found: InspectedCheckpoint) -> set[str]:
    return {name for each in found.workloads for name in each.absent}
