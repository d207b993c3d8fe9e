"""What a run promised, what each of its trials was, and its last words: versioned documents, published with schemas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from pydantic import Field

from harness.model.description import Description, Statistics, Task
from harness.model.expectations import STILL, DeclarationFile, Expectation
from harness.model.model import (
    Accommodation,
    Anomaly,
    Cell,
    Command,
    Component,
    Control,
    Frozen,
    HostFacts,
    Outcome,
    Prediction,
    Reading,
    Refusal,
    Schedule,
    Settings,
    Skew,
    SourceHealth,
    Span,
    SurfaceReading,
    Verdict,
    Whole,
)
from harness.model.shard import Shard
from harness.records.image_path import ImagePath

SCHEMA_VERSION = 2
INSPECTION_VERSION = 3
"""From 3 on an inspection has several checkpoints, and each several processes."""


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


class Finding(StrEnum):
    """What an inspection came to, best first."""

    CONSISTENT = "consistent"
    NOTHING_TO_COMPARE = "nothing-to-compare"
    INCOMPLETE = "incomplete"
    INCONSISTENT = "inconsistent"


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
        default=(), description="crutches under which the runtime was used, since the machine lacks something"
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


class Plan(Frozen):
    """What a run set out to do."""

    schema_version: int = SCHEMA_VERSION
    run: str
    stillframe: str = Field(description="version of this program")
    created_ns: Whole
    seed: int
    rounds: Whole = Field(description="trials of a cell; at the most, where there is a rate")
    rate: float | None = Field(
        default=None,
        description="of violation, below which clean trials have to bound a cell; it ends at its first violation",
    )
    rule: str = Field(default="", description="when a cell has been tried often enough, in words")
    settings: Settings = Settings()
    cells: tuple[Cell, ...]
    controls: tuple[Control, ...] = ()
    host: HostFacts

    expectations: dict[str, Expectation] = Field(
        default_factory=dict, description="cells, by id, that should be other than consistent, or not any more"
    )
    conditional: dict[str, Expectation] = Field(
        default_factory=dict,
        description="cells, by id, and what they should be instead on a machine of which `when` is true",
    )
    words: dict[str, str] = Field(
        default_factory=dict, description="what the names in ids mean: workloads, and ways as `RUNTIME+WAY`"
    )
    covered: dict[str, int] = Field(
        default_factory=dict, description="cells that are there by default and of which something is declared, by place"
    )
    unmatched: tuple[str, ...] = Field(
        default=(), description="places and patterns of declarations that speak of no cell that there is"
    )
    fewer: dict[str, int] = Field(default_factory=dict, description="cells, by id, with fewer trials than `rounds`")
    shard: Shard | None = Field(
        default=None, description="which share of all this was executed here; null where it was all of it"
    )

    def expected(self, cell: Cell, host: HostFacts | None = None) -> Expectation:
        """What the cell should be on `host`, by default on the machine of the plan."""
        there = self.conditional.get(cell.id)
        if there is not None and there.applies((host or self.host).conditions):
            return there
        return self.expectations.get(cell.id, STILL)

    def rounds_of(self, cell: Cell) -> int:
        """Trials of a cell, at the most."""
        return self.fewer.get(cell.id, self.rounds)

    @property
    def share(self) -> Plan:
        """What of it was to be executed here."""
        if self.shard is None:
            return self
        cells, controls = self.shard.share(self.cells, self.controls)
        return self.model_copy(update={"cells": cells, "controls": controls})

    def ends(self, cell: Cell, outcome: Outcome) -> bool:
        """Whether a trial with `outcome` is the last of its cell: one violation convicts, where a rate is asked for."""
        return self.rate is not None and cell.id not in self.fewer and bool(outcome.violates)


class Closing(Frozen):
    """The last word of a run that came to its end: what it left on the host."""

    schema_version: int = SCHEMA_VERSION
    run: str
    end_ns: Whole
    leaks: tuple[str, ...]


class Tombstone(Frozen):
    """What was taken out of a run that is kept."""

    schema_version: int = SCHEMA_VERSION
    run: str
    pruned_ns: int
    fields: tuple[str, ...] = Field(description="of its records")
    bytes: int = Field(description="by which it has become smaller")


class InspectedProcess(Frozen):
    """A process of a workload in a checkpoint, and whether its memory and its surfaces are of one instant."""

    pid: Whole = Field(description="as the process itself sees it")
    name: str = Field(description="as the process calls itself; empty where the images do not tell it")
    told_by: str = Field(description="what tells which surfaces it has: `its own description`, or `its arguments`")
    finding: Finding
    reason: str
    reading: Reading
    skews: tuple[Skew, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    absent: dict[str, str] = Field(
        default_factory=dict, description="surfaces that are not in the checkpoint, and so were not compared: why"
    )


class InspectedCheckpoint(Frozen):
    """A checkpoint: what it tells of itself, its processes, and what became of those of workloads."""

    where: str = Field(default="", description="in what was inspected; empty where it is all that there is")
    layout: str = Field(
        description="how it is laid out: `archive` of an engine, `image` of containerd, `criu`, or `sandbox` of gVisor"
    )
    description: Description = Field(default=Description(), description="what the checkpoint tells of itself")
    finding: Finding
    reason: str
    workloads: tuple[InspectedProcess, ...] = ()
    tasks: tuple[Task, ...] = Field(default=(), description="all processes, parents first")


class Inspection(Frozen):
    """Checkpoints of anybody's making, read without a restore."""

    schema_version: int = INSPECTION_VERSION
    path: str = Field(description="as it was given")
    finding: Finding = Field(description="the worst of all checkpoints")
    checkpoints: tuple[InspectedCheckpoint, ...]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of what is published, by file stem."""
    return {
        "expectations": DeclarationFile.model_json_schema(),
        "closing": Closing.model_json_schema(mode="serialization"),
        "image-path": ImagePath.model_json_schema(mode="serialization"),
        "inspection": Inspection.model_json_schema(mode="serialization"),
        "plan": Plan.model_json_schema(mode="serialization"),
        "record": Record.model_json_schema(mode="serialization"),
    }


def missing_trials(plan: Plan, records: Sequence[Record]) -> dict[str, int]:
    """Planned trials that have not come back, by cell id; cells with none are left out.

    A cell that was convicted where the plan asks for a rate owes the trials before that and no others.
    """
    received = by_cell(record for record in records if record.control is None)
    short: dict[str, int] = {}
    for cell in plan.cells:
        own = received.get(cell, [])
        ended = (record.trial + 1 for record in own if plan.ends(cell, record.verdict.outcome))
        due = min((plan.rounds_of(cell), *ended))
        short[cell.id] = due - len({record.trial for record in own if record.trial < due})
    return {cell: count for cell, count in short.items() if count > 0}


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
