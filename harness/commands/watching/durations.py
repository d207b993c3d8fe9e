"""How long cells and controls take, measured in earlier runs: seconds for each trial, in a file beside the runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from harness.foreign.files import read_regular
from harness.model.errors import Unwritable
from harness.records.run_files import write_aside

FILE = ".durations.json"
Seconds = TypeAdapter(dict[str, float])
DAY = 86_400
"""Seconds; nothing takes longer."""


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
