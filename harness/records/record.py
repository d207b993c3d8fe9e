"""The record of one trial, as written and published."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness.model.cells import Cell
from harness.model.commands import Command, Schedule, Span
from harness.model.description import Statistics
from harness.model.machine import Accommodation, Component, HostFacts
from harness.model.outcomes import Prediction, Refusal, Verdict
from harness.model.readings import (
    Abandoned,
    Concurrent,
    Fault,
    Reading,
    Sameness,
    Secret,
    Skew,
    SourceHealth,
    SurfaceReading,
)
from harness.model.values import Frozen, Whole, Word
from harness.records.inspection import Finding

SCHEMA_VERSION = 2


class Continuation(Frozen):
    """How a restored container's log goes on: its workload's lines, each named by its tick."""

    surface: SurfaceReading = Field(description="what the log holds, some ticks after the restore")
    every: Whole = Field(default=1, description="ticks per line of the log")
    kept: bool = Field(default=True, description="the engine keeps a log of the restored container")
    travels: bool = Field(description="the log is in the checkpoint, so the restored log also has the source's lines")
    first: Whole | None = None
    lost: tuple[Whole, Whole] | None = Field(
        default=None, description="first and last line of the first gap in the log"
    )
    again: tuple[Whole, Whole] | None = Field(
        default=None, description="first and last line of the first repetition in the log"
    )
    due: Whole = Field(description="counter of the restored workload just before the last reading of the log")


class Inspected(Frozen):
    """What `stillframe inspect` says about a trial's checkpoint, compared with the oracle's own reading."""

    finding: Finding | None = Field(description="null if the checkpoint cannot be read or trusted")
    reason: str
    agrees: bool = Field(description="the oracle's offline reading has the same result")


class Record(Frozen):
    """One trial."""

    schema_version: int = SCHEMA_VERSION
    run: Word = Field(description="id of the run, as in its plan")
    cell: Cell
    trial: Whole = Field(ge=0, description="index within the cell")
    control: Word | None = Field(default=None, description="name of the negative control, if this trial is one")
    verdict: Verdict
    start_ns: Whole
    end_ns: Whole
    schedule: Schedule
    readings: tuple[Reading, ...] = ()
    skews: tuple[Skew, ...] = ()
    continuation: Continuation | None = Field(
        default=None, description="how the restored container's log goes on, for a workload that prints"
    )
    source: SourceHealth = SourceHealth()
    abandoned: Abandoned | None = Field(
        default=None, description="the live checkpoint before this one, whose client gave up on it"
    )
    fault: Fault | None = Field(
        default=None, description="the live checkpoint before this one, in the middle of which something failed"
    )
    secrets: tuple[Secret, ...] = Field(
        default=(), description="files in which the checkpoint has put canaries, in a trial that looks for them"
    )
    concurrent: tuple[Concurrent, ...] = Field(
        default=(), description="two requests for the source at the same time, before its live checkpoint"
    )
    timeline: tuple[Span, ...] = ()
    components: dict[str, tuple[Component, ...]] = Field(
        default_factory=dict, description="versions by side: `checkpoint` and `restore`"
    )
    host: HostFacts | None = None
    accommodations: tuple[Accommodation, ...] = Field(
        default=(), description="workarounds for the runtime, since the machine lacks something"
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        description="the runtime's stderr from a successful checkpoint, and what the runtime did without being asked",
    )
    commands: tuple[Command, ...] = ()
    changes: tuple[str, ...] = Field(
        default=(), description="changes to the checkpoint, or to the restoring side, that make it restore"
    )
    statistics: Statistics | None = Field(default=None, description="what CRIU counted during the dump")
    inspection: Inspected | None = Field(
        default=None,
        description="inspection of the checkpoint before the restore: in a cross-restore, or in a cell's last trial",
    )
    prediction: Prediction | None = Field(
        default=None, description="prediction of a cross-restore, made before the restore"
    )
    refusal: Refusal | None = Field(
        default=None, description="how clearly the restore was declined; `source` and `leaks` tell the harm"
    )
    sameness: Sameness | None = Field(
        default=None, description="the kernel's facts about the source and about what was restored; null: not compared"
    )
    leaks: tuple[str, ...] = ()
    log: tuple[str, ...] = Field(default=(), description="log lines that matter, the most telling line last")
    played: bool = Field(
        default=True, description="false for a control whose fault was not made, because the trial ended before"
    )

    @property
    def every_component(self) -> tuple[Component, ...]:
        """Components of both sides."""
        return tuple(each for side in self.components.values() for each in side)


CLOSE = frozenset({"commands", "timeline", "readings"})
"""Fields of a record that only a close look at one trial needs."""


def by_cell(records: Iterable[Record]) -> dict[Cell, list[Record]]:
    """Group records by cell; equal cells are mostly the same object, and identity is faster than equality."""
    found: dict[Cell, list[Record]] = {}
    own: dict[int, list[Record]] = {}
    for record in records:
        trials = own.get(id(record.cell))
        if trials is None:
            trials = own[id(record.cell)] = found.setdefault(record.cell, [])
        trials.append(record)
    return found
