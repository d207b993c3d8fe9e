"""Synthetic runs: plans and records made by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.commands import Command, Schedule, Span
from harness.model.controls import CONTROLS, ControlKind
from harness.model.expectations import MOVING as SHOULD_MOVE
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.expectations import Expectation
from harness.model.known.crashes import Crash
from harness.model.machine import Component, HostFacts
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.readings import Reading, Skew, SourceHealth, SurfaceReading, Witness
from harness.records.plan import Closing, Plan
from harness.records.record import Record
from harness.records.run_files import append, write_closing, write_plan
from reports.analysis.cells import CellSummary, summarise_cell
from reports.analysis.tables import RunSummary, summarise

NOON = 1_795_435_200_000_000_000
MS = 1_000_000
HOST = HostFacts(
    kernel="6.18.2", architecture="x86_64", cgroups="hybrid", cpus=4, memory_gib=15.6, os="Debian GNU/Linux 12"
)
SURFACES = ("rootfs", "volume")
RAW = (FreezePolicy.NONE, FreezePolicy.PAUSE, FreezePolicy.CGROUP, FreezePolicy.HOOK)
"""Policies for runtimes without an engine."""


def cell(policy: FreezePolicy = FreezePolicy.PAUSE, runtime: str = "runc", stack: str = "debian-sid") -> Cell:
    both = Participant(runtime=runtime, stack=stack)
    return Cell(workload="ledger", policy=policy, checkpoint=both, restore=both)


MOVING = cell(FreezePolicy.NONE)
STILL = cell()


def plan(cells: Iterable[Cell], rounds: int = 5, run: str = "2026-11-23-1") -> Plan:
    cells = tuple(cells)
    return Plan(
        run=run,
        stillframe="0.1.0",
        created_ns=NOON,
        seed=7,
        rounds=rounds,
        cells=cells,
        host=HOST,
        expectations={each.id: SHOULD_MOVE for each in cells if each.policy is FreezePolicy.NONE},
    )


def record(
    cell: Cell,
    trial: int = 0,
    outcome: Outcome = Outcome.CONSISTENT,
    *,
    anomalies: tuple[Anomaly, ...] = (),
    ticks: int = 0,
    reason: str = "",
    control: str | None = None,
) -> Record:
    start = NOON + trial * 2_000 * MS
    memory = start + 460 * MS
    return Record(
        run="2026-11-23-1",
        cell=cell,
        trial=trial,
        control=control,
        verdict=Verdict(outcome=outcome, reason=reason or f"a trial that was {outcome}", anomalies=anomalies),
        start_ns=start,
        end_ns=start + 1_400 * MS,
        schedule=Schedule(seed=7 + trial, planned_delay_us=40_000, realised_delay_us=41_250),
        readings=_readings(memory, ticks),
        skews=tuple(
            Skew(witness=witness, surface=surface, ticks=ticks, microseconds=ticks * 15.0)
            for surface in SURFACES
            for witness in (Witness.RESTORED, Witness.OFFLINE)
        ),
        source=SourceHealth(ticking=True, frozen=False, same_nonce=True, lost_ticks=0, longest_gap_us=92_400),
        timeline=_timeline(start, held=cell.policy is not FreezePolicy.NONE),
        components=_components(cell),
        host=HOST,
        commands=commands(cell, start),
    )


def moving(cell: Cell, trial: int = 0, ticks: int = 3_000) -> Record:
    return record(
        cell, trial, Outcome.INCONSISTENT, anomalies=(Anomaly.DISK_AHEAD,), ticks=ticks, reason="rootfs is ahead"
    )


def expected_run(cells: Iterable[Cell], rounds: int = 5) -> list[Record]:
    return [
        moving(each, trial, 3_000 + 13 * trial) if each.policy is FreezePolicy.NONE else record(each, trial)
        for each in cells
        for trial in range(rounds)
    ]


def matrix() -> list[Cell]:
    return [
        cell(policy, runtime, f"debian-{suite}")
        for suite in ("trixie", "sid", "experimental")
        for runtime in ("runc", "crun")
        for policy in RAW
    ]


def closing(*leaks: str) -> Closing:
    return Closing(run="2026-11-23-1", end_ns=NOON + 60_000 * MS, leaks=leaks)


def summary(plan: Plan, records: Iterable[Record]) -> RunSummary:
    """Return the summary of a run that finished and left nothing behind."""
    records = of_run(plan, records)
    return summarise(promising(plan, records), records, closing())


def run(*records: Record, cells: tuple[Cell, ...] = (MOVING, STILL), rounds: int = 1) -> RunSummary:
    """The summary of a small run."""
    return summary(plan(cells, rounds), records)


def summary_of(*trials: Record, planned: int | None = None, should: Expectation = SHOULD_BE_STILL) -> CellSummary:
    """The summary of the cell `STILL` with these trials."""
    planned = len(trials) if planned is None else planned
    return summarise_cell(STILL, trials, should, planned=planned, missing=planned - len(trials))


def of_still(*outcomes: Outcome, planned: int | None = None, should: Expectation = SHOULD_BE_STILL) -> CellSummary:
    """The summary of the cell `STILL` with a trial of each outcome."""
    trials = [record(STILL, number, outcome) for number, outcome in enumerate(outcomes)]
    return summary_of(*trials, planned=planned, should=should)


def of_run(plan: Plan, records: Iterable[Record]) -> list[Record]:
    """Return the records with the run id of this plan."""
    return [each.model_copy(update={"run": plan.run}) for each in records]


def promising(plan: Plan, records: Iterable[Record]) -> Plan:
    """Return the plan with the controls that ran, unless it has its own controls."""
    played = tuple(
        CONTROLS[each.control].control(each.cell, ControlKind.CONTROL) for each in records if each.control in CONTROLS
    )
    return plan.model_copy(update={"controls": plan.controls or played})


def store(folder: Path, plan: Plan, records: Iterable[Record]) -> Path:
    records = of_run(plan, records)
    write_plan(folder, promising(plan, records))
    for each in records:
        append(folder, each)
    write_closing(folder, closing().model_copy(update={"run": plan.run}))
    return folder


def newer(run: RunSummary, number: int) -> RunSummary:
    """The same run, made `number` days later."""
    name = {"run": f"2026-11-2{number}-1", "created_ns": run.plan.created_ns + number * 86_400_000 * MS}
    return run.model_copy(update={"plan": run.plan.model_copy(update=name)})


def versioned(trial: Record, version: str) -> Record:
    """The trial, with this version of Podman on the checkpoint's side."""
    found = {"components": {"checkpoint": (Component(name="podman", version=version),)}}
    return trial.model_copy(update=found)


CRASH = Crash(
    component="podman",
    versions=("6.0",),
    signature="panic: in line [0-9]+",
    rate=(0.0, 0.1),
    reason="it looks in the wrong place",
    link="https://example.org/issues/3",
    owner="podman",
    added=dt.date(2026, 11, 1),
    review_by=dt.date(2027, 5, 1),
    declared="scenarios/expectations/podman.toml:3-12",
)


def crashed(trial: Record, outcome: Outcome = Outcome.SOURCE_HARMED) -> Record:
    """The trial, ended by the crash that is declared."""
    verdict = Verdict(outcome=outcome, reason="the source no longer ticks")
    log = ("podman: 1", "panic: in line 44")
    return versioned(trial, "6.0").model_copy(update={"verdict": verdict, "log": log, "played": not trial.control})


def poisoned(value: Any, poison: str) -> Any:
    """Return the value with `poison` before each free string, at any depth; enum members stay."""
    if type(value) is str:
        return poison + value
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return value.model_copy(update={name: poisoned(getattr(value, name), poison) for name in names})
    if isinstance(value, tuple):
        return tuple(poisoned(each, poison) for each in value)
    if isinstance(value, dict):
        return {key: poisoned(each, poison) for key, each in value.items()}
    return value


def commands(cell: Cell, start: int = NOON) -> tuple[Command, ...]:
    stack, runtime = cell.checkpoint.stack, cell.checkpoint.runtime
    rows = [
        (Stage.PREPARE, False, ("mkdir", "-p", "/bundle/rootfs"), 0),
        (Stage.START, True, (runtime, "run", "--detach", "one"), 0),
        (Stage.FREEZE, True, (runtime, "pause", "one"), 0),
        (Stage.CHECKPOINT, True, (runtime, "checkpoint", "--leave-running", "--image-path", "/out/it's", "one"), 0),
        (Stage.CAPTURE, False, ("cp", "-a", "/layers/upper", "/out/upper"), 0),
        (Stage.READ, False, (runtime, "state", "one"), 1),
    ]
    config = Command(
        where=stack,
        stage=Stage.PREPARE,
        write_path="/bundle/config.json",
        write_mode=0o644,
        write_text='{\n "ociVersion": "1.2.0",\n "EOF": true\n}\n',
        start_ns=start,
        seconds=0,
    )
    ran = (
        Command(
            argv=argv,
            where=stack,
            stage=stage,
            runtime=own,
            cwd="/bundle" if stage is Stage.START else "/",
            exit_code=code,
            start_ns=start,
            seconds=0.043,
            stderr="" if not code else "no container of that name\n",
        )
        for stage, own, argv, code in rows
    )
    return (config, *ran)


def _readings(memory_ns: int, ticks: int) -> tuple[Reading, ...]:
    surfaces = tuple(
        SurfaceReading(surface=surface, newest=90_000 + ticks, newest_wall_ns=memory_ns + ticks * 15_000)
        for surface in SURFACES
    )
    return tuple(
        Reading(witness=witness, nonce="c0ffee", counter=90_000, counter_wall_ns=memory_ns, surfaces=surfaces)
        for witness in (Witness.RESTORED, Witness.OFFLINE)
    )


def _timeline(start: int, *, held: bool) -> tuple[Span, ...]:
    spans = [("prepare", 0, 300), ("start", 300, 410), ("checkpoint", 430, 515), ("capture", 520, 548)]
    if held:
        spans += [("frozen", 418, 560), ("thaw", 556, 560), ("container ran again", 560, 560)]
    spans += [("restore", 600, 742), ("clean-up", 900, 1_400)]
    return tuple(
        Span(name=name, start_ns=start + first * MS, end_ns=start + last * MS)
        for name, first, last in sorted(spans, key=lambda span: span[1])
    )


def _components(cell: Cell) -> dict[str, tuple[Component, ...]]:
    own = (Component(name=cell.checkpoint.runtime, version="1.3.6"), Component(name="criu", version="4.2.1"))
    return {"checkpoint": own, "restore": own}
