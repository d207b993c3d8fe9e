"""How long cells and controls take, measured in earlier runs: seconds for each trial, in a file beside the runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from harness.foreign.files import read_regular
from harness.model.cells import Cell
from harness.model.errors import Unwritable
from harness.records.run_files import write_aside
from harness.workload import definitions

FILE = ".durations.json"
Seconds = TypeAdapter(dict[str, float])
DAY = 86_400
"""Seconds; nothing takes longer."""


TYPICAL = {
    "criu": 0.3,
    "runsc": 0.5,
    "runc": 0.8,
    "crun": 0.8,
    "docker": 0.8,
    "cri": 1.1,
    "docker/runsc": 1.3,
    "containerd": 1.6,
    "podman": 2.0,
}
"""Seconds for a trial, by runtime or engine: of a quiet run of the whole matrix on two processors, in November 2026."""
OF_APPLICATION = 4.0
"""How much longer a trial of an application takes; likewise."""
BESIDES = 1.4
"""Time of the workers by that of their trials: nodes that start, and the instrument's own proof; likewise."""


def minutes(cells: Iterable[Cell], rounds: Callable[[Cell], int], out: Path, workers: int) -> float:
    """Guess how many minutes cells take, by earlier runs in `out` where there are any."""
    known, seconds = read(out), 0.0
    for cell in cells:
        runtime = cell.checkpoint.runtime
        typical = TYPICAL.get(runtime) or TYPICAL[runtime.partition("/")[0]]
        each = known.get(cell.id, typical * (OF_APPLICATION if definitions.find(cell.workload).application else 1.0))
        seconds += each * rounds(cell)
    return BESIDES * seconds / workers / 60


def read(out: Path) -> dict[str, float]:
    """Read the durations; none if the file is missing or wrong, since they only serve a guess."""
    try:
        found = Seconds.validate_json(read_regular(out / FILE))
    except (OSError, ValueError):
        return {}
    return {name: seconds for name, seconds in found.items() if 0 <= seconds <= DAY}


def add(out: Path, measured: Mapping[str, float]) -> None:
    """Add measured durations; a file that cannot be written is no reason to fail."""
    with contextlib.suppress(Unwritable):
        write_aside(out / FILE, Seconds.dump_json({**read(out), **measured}).decode() + "\n")
