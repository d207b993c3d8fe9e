"""One trial, as it is written down and published."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness.model.cells import Cell
from harness.model.commands import Command, Schedule, Span
from harness.model.description import Statistics
from harness.model.machine import Accommodation, Component, HostFacts
from harness.model.outcomes import Prediction, Refusal, Verdict
from harness.model.readings import Reading, Skew, SourceHealth, SurfaceReading
from harness.model.values import Frozen, Whole
from harness.records.inspection import Finding

SCHEMA_VERSION = 2


class Continuation(Frozen):
    """How the log of a restored container goes on, by the lines of its workload, which are named by their ticks."""

    surface: SurfaceReading = Field(description="what the log holds, some ticks after the restore")
    every: Whole = Field(default=1, description="there is a line at every tick of so many")
    kept: bool = Field(default=True, description="the engine keeps a log of the restored container")
    travels: bool = Field(description="the log is in the checkpoint, so the restored one has the source's lines, too")
    first: Whole | None = None
    lost: tuple[Whole, Whole] | None = Field(
        default=None, description="first and last of the first lines that are missing"
    )
    again: tuple[Whole, Whole] | None = Field(
        default=None, description="first and last of the first lines that are there twice"
    )
    due: Whole = Field(description="the counter of the restored workload, before the log was read for the last time")


class Inspected(Frozen):
    """What `stillframe inspect` says of a trial's checkpoint, held against the oracle's own reading of it."""

    finding: Finding | None = Field(description="null where it cannot be read or believed")
    reason: str
    agrees: bool = Field(description="the oracle's reading without a restore comes to the same")


class Record(Frozen):
    """One trial."""

    schema_version: int = SCHEMA_VERSION
    run: str = Field(description="id of the run, as in its plan")
    cell: Cell
    trial: Whole = Field(ge=0, description="index within the cell")
    control: str | None = Field(default=None, description="name of the negative control, if this trial is one")
    verdict: Verdict
    start_ns: Whole
    end_ns: Whole
    schedule: Schedule
    readings: tuple[Reading, ...] = ()
    skews: tuple[Skew, ...] = ()
    continuation: Continuation | None = Field(
        default=None, description="how the log of what was restored goes on, of a workload that prints"
    )
    source: SourceHealth = SourceHealth()
    timeline: tuple[Span, ...] = ()
    components: dict[str, tuple[Component, ...]] = Field(
        default_factory=dict, description="versions by side: `checkpoint` and `restore`"
    )
    host: HostFacts | None = None
    accommodations: tuple[Accommodation, ...] = Field(
        default=(), description="workarounds under which the runtime was used, since the machine lacks something"
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        description="what the runtime said on stderr of a checkpoint that it called a success, and what it did unasked",
    )
    commands: tuple[Command, ...] = ()
    changes: tuple[str, ...] = Field(
        default=(), description="what was changed in a checkpoint, or where it is restored, so that it restores"
    )
    statistics: Statistics | None = Field(default=None, description="what CRIU counted while it dumped")
    inspection: Inspected | None = Field(
        default=None,
        description="of the files that are to be restored: by another participant, or in the last trial of a cell",
    )
    prediction: Prediction | None = Field(
        default=None, description="what was predicted of the restore by another, before it was tried"
    )
    refusal: Refusal | None = Field(
        default=None, description="how the restore was declined, where it was; `source` and `leaks` tell of the harm"
    )
    leaks: tuple[str, ...] = ()
    log: tuple[str, ...] = Field(default=(), description="the log lines that matter, most telling last")


CLOSE = frozenset({"commands", "timeline", "readings"})
"""Fields of a record that take a close look at its trial."""


def by_cell(records: Iterable[Record]) -> dict[Cell, list[Record]]:
    """Group records by their cells, which are mostly one and the same value: that is quicker to see than equality."""
    found: dict[Cell, list[Record]] = {}
    own: dict[int, list[Record]] = {}
    for record in records:
        trials = own.get(id(record.cell))
        if trials is None:
            trials = own[id(record.cell)] = found.setdefault(record.cell, [])
        trials.append(record)
    return found
