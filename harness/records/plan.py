"""The plan of a run, and its closing document."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.model.cells import Cell, Settings
from harness.model.controls import Control
from harness.model.expectations import STILL, Expectation
from harness.model.known.crashes import Crash
from harness.model.known.differences import KnownDifference
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome
from harness.model.readings import Difference, altered
from harness.model.values import Frozen, Whole, Word
from harness.records.record import SCHEMA_VERSION, Record, by_cell
from harness.records.shard import Shard


class Plan(Frozen):
    """What a run is going to do; written before its first trial."""

    schema_version: int = SCHEMA_VERSION
    run: Word
    stillframe: str = Field(description="version of this program")
    created_ns: Whole
    seed: int
    rounds: Whole = Field(description="trials per cell; the maximum if there is a rate")
    rate: float | None = Field(
        default=None,
        description=(
            "violation rate that the clean trials of a cell must rule out; a cell ends at its first violation"
        ),
    )
    rule: str = Field(default="", description="rule for the number of trials per cell, in words")
    settings: Settings = Settings()
    cells: tuple[Cell, ...]
    controls: tuple[Control, ...] = ()
    host: HostFacts

    expectations: dict[str, Expectation] = Field(
        default_factory=dict, description="expectations by cell id, for cells that are or were known to be wrong"
    )
    conditional: dict[str, Expectation] = Field(
        default_factory=dict,
        description="expectations by cell id that apply instead on a machine where `when` is true",
    )
    words: dict[str, str] = Field(
        default_factory=dict, description="meaning of the names in ids: workloads, and ways as `RUNTIME+WAY`"
    )
    covered: dict[str, int] = Field(
        default_factory=dict,
        description="number of default cells that each declaration matches, by the declaration's place",
    )
    unmatched: tuple[str, ...] = Field(
        default=(), description="places and patterns of declarations that match no existing cell"
    )
    crashes: tuple[Crash, ...] = Field(default=(), description="known crashes, which may strike any cell")
    differences: tuple[KnownDifference, ...] = Field(
        default=(), description="known differences of restored containers, beside the cells' expectations"
    )
    fewer: dict[str, int] = Field(default_factory=dict, description="cells, by id, with fewer trials than `rounds`")
    shard: Shard | None = Field(
        default=None, description="share of the plan that was executed here; null for the whole plan"
    )

    def expected(self, cell: Cell, host: HostFacts | None = None) -> Expectation:
        """Return the expectation for a cell on `host`, by default on the machine of the plan."""
        there = self.conditional.get(cell.id)
        if there is not None and there.applies((host or self.host).conditions):
            return there
        return self.expectations.get(cell.id, STILL)

    def crash_of(self, record: Record) -> Crash | None:
        """Return the known crash that struck a trial; None if none did."""
        if not record.verdict.outcome.violates:
            return None
        return next(
            (
                each
                for each in self.crashes
                if each.concerns(record.every_component) and each.signed(record.verdict.reason, *record.log)
            ),
            None,
        )

    def settled(self, record: Record) -> Record:
        """Return a trial's record without the finding `altered` if every difference of the restored container is known.

        The others decide about the cell; if some differences are not known, the verdict names those alone.
        """
        if Outcome.ALTERED not in record.verdict.found or record.sameness is None:
            return record
        strange = tuple(each for each in record.sameness.altered if not self._explains(record, each))
        verdict = record.verdict
        if not strange:
            verdict = verdict.without(Outcome.ALTERED, f"all of it is known: {verdict.reason}")
        elif verdict.outcome is Outcome.ALTERED:
            verdict = verdict.model_copy(update={"reason": altered(strange)})
        return record if verdict == record.verdict else record.model_copy(update={"verdict": verdict})

    def _explains(self, record: Record, difference: Difference) -> bool:
        return any(each.explains(record.cell.id, difference) for each in self.differences)

    def rounds_of(self, cell: Cell) -> int:
        """Return the maximum number of trials of a cell."""
        return self.fewer.get(cell.id, self.rounds)

    @property
    def share(self) -> Plan:
        """The part of the plan that is executed here."""
        if self.shard is None:
            return self
        cells, controls = self.shard.share(self.cells, self.controls)
        return self.model_copy(update={"cells": cells, "controls": controls})

    def ends(self, cell: Cell, outcome: Outcome) -> bool:
        """Return whether a trial with `outcome` is the last of its cell: with a rate, one violation convicts."""
        return self.rate is not None and cell.id not in self.fewer and bool(outcome.violates)


class Effort(Frozen):
    """The time of a run's workers, and how much of it the runtimes themselves took."""

    worker_seconds: float = Field(ge=0, description="seconds of all workers together, without waits for other workers")
    runtime_seconds: float = Field(
        ge=0, description="seconds inside the runtimes' own commands, and until their daemons answer"
    )

    def __add__(self, other: Effort) -> Effort:
        """Add the times of other workers."""
        return Effort(
            worker_seconds=self.worker_seconds + other.worker_seconds,
            runtime_seconds=self.runtime_seconds + other.runtime_seconds,
        )

    @property
    def ratio(self) -> float | None:
        """Worker time for each second of the runtimes; None if there was none."""
        return self.worker_seconds / self.runtime_seconds if self.runtime_seconds else None


class Closing(Frozen):
    """The closing document of a completed run: what the run left behind on the host."""

    schema_version: int = SCHEMA_VERSION
    run: Word
    end_ns: Whole
    leaks: tuple[str, ...]
    effort: Effort | None = None
    interrupted: str = Field(default="", description="signal that ended the run early; empty if none did")


class Tombstone(Frozen):
    """What was removed from a run in a history."""

    schema_version: int = SCHEMA_VERSION
    run: Word
    pruned_ns: int
    fields: tuple[str, ...] = Field(description="fields removed from its records")
    bytes: int = Field(ge=0, description="number of bytes removed")


def missing_trials(plan: Plan, records: Sequence[Record]) -> dict[str, int]:
    """Return the numbers of planned trials without a record, by cell id; without cells that miss none.

    With a rate in the plan, a convicted cell owes only the trials up to its first violation.
    """
    received = by_cell(record for record in records if record.control is None)
    short: dict[str, int] = {}
    for cell in plan.cells:
        own = received.get(cell, [])
        ended = (record.trial + 1 for record in own if plan.ends(cell, record.verdict.outcome))
        due = min((plan.rounds_of(cell), *ended))
        short[cell.id] = due - len({record.trial for record in own if record.trial < due})
    return {cell: count for cell, count in short.items() if count > 0}
