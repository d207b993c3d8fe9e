"""How far disk and memory, and the containers of a group, are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.model.readings import Reading, Skew

if TYPE_CHECKING:
    from harness.oracle.evidence import Evidence


def skews(reading: Reading) -> tuple[Skew, ...]:
    """Return the distance of each surface from memory in `reading`."""
    return tuple(
        Skew(
            witness=reading.witness,
            surface=surface.surface,
            ticks=None if surface.newest is None else surface.newest - reading.counter,
            microseconds=None
            if surface.newest_wall_ns is None
            else (surface.newest_wall_ns - reading.counter_wall_ns) / 1000,
        )
        for surface in reading.surfaces
    )


def apart(evidence: Evidence) -> tuple[Skew, ...]:
    """Return the distance of each other container's memory from that of the first one, by the same witness."""
    firsts = {each.witness: each for each in (evidence.offline, evidence.restored) if each is not None}
    return tuple(
        Skew(
            witness=reading.witness,
            surface=f"container {number}",
            ticks=reading.counter - firsts[reading.witness].counter,
            microseconds=(reading.counter_wall_ns - firsts[reading.witness].counter_wall_ns) / 1000,
        )
        for number, reading in enumerate(evidence.group, start=2)
        if reading.witness in firsts
    )


def skews_of_others(evidence: Evidence) -> Iterator[Skew]:
    """Give the skews within each other container, with its number in the name of the surface."""
    for number, reading in enumerate(evidence.group, start=2):
        for skew in skews(reading):
            yield skew.model_copy(update={"surface": f"{skew.surface} of container {number}"})
