"""What a run promised, and its last words."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.model.cells import Cell, Settings
from harness.model.controls import Control
from harness.model.expectations import STILL, Expectation
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome
from harness.model.shard import Shard
from harness.model.values import Frozen, Whole
from harness.records.record import SCHEMA_VERSION, Record, by_cell


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
