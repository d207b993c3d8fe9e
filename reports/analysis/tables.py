"""The run as a whole: its tables, its known issues, and all else that a report shows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pydantic import Field

from harness.model.cells import Cell, FreezePolicy, Scenario
from harness.model.controls import ControlKind
from harness.model.errors import Exit
from harness.model.machine import Accommodation, Component, HostFacts
from harness.model.values import Frozen, SchemaVersion
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan, Tombstone, missing_trials
from harness.records.record import Record, by_cell
from reports.analysis.against import Against, against
from reports.analysis.cells import (
    CellSummary,
    ControlSummary,
    MutantSummary,
    each_once,
    merge,
    summarise_cell,
    summarise_controls,
)
from reports.analysis.conclusion import Conclusion, Finding, conclude
from reports.analysis.crashes import KnownCrash, known_crashes
from reports.analysis.cross_restores import Bridge, Declined, bridges, declined
from reports.analysis.freezing import FrozenPair, freezing
from reports.analysis.known import KnownIssue, known_issues
from reports.analysis.pairs import connected, paired_in
from reports.analysis.predictions import Agreement, Predictions, agreement, predictions
from reports.analysis.sameness import KnownDifferenceSummary, Same, known_differences, rows
from reports.analysis.secrets import Spread, spreads
from reports.analysis.sweeps import Faulted, Sweep, faulted, sweeps

SUMMARY_VERSION = 1


class Column(Frozen):
    """The question of a column and its freeze policy; null: each row has its own policy."""

    scenario: Scenario
    workload: str
    policy: FreezePolicy | None = None
    restore: str = Field(default="", description="who restores, in a cross-restore table")
    surfaces: tuple[str, ...] = Field(default=(), description="names of the surfaces read, in the order of writing")


class Row(Frozen):
    """One participant in one way, with an entry for each column; null where no cell is planned."""

    label: str
    marks: tuple[int, ...] = Field(description="numbers of the workarounds of its trials")
    entries: tuple[CellSummary | None, ...]

    @property
    def policies(self) -> tuple[FreezePolicy, ...]:
        """The freeze policies of this row."""
        return tuple(dict.fromkeys(each.cell.policy for each in self.entries if each))


class Table(Frozen):
    """A matrix: one question under several policies, or several questions with one policy for each row."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def by_policy(self) -> bool:
        """Whether the columns are policies."""
        return all(column.policy for column in self.columns)

    @property
    def by_pair(self) -> bool:
        """Whether this is a cross-restore table: the rows checkpoint, and the columns restore."""
        return all(column.restore for column in self.columns)

    @property
    def unexpected(self) -> tuple[CellSummary, ...]:
        """Cells that are not as expected."""
        return tuple(each for row in self.rows for each in row.entries if each and not each.as_expected)


class Workaround(Frozen):
    """A workaround and the rows that it affects."""

    accommodation: Accommodation
    rows: tuple[str, ...] = Field(description="labels")


class RunSummary(Frozen):
    """All data of a report."""

    schema_version: SchemaVersion = SUMMARY_VERSION
    plan: Plan
    closing: Closing | None = Field(description="null for a run that did not finish")
    unfinished: bool = Field(description="it was killed, or a shard did not come back")
    conclusion: Conclusion
    cells: tuple[CellSummary, ...]
    controls: tuple[ControlSummary, ...]
    freezing: tuple[FrozenPair, ...] = Field(description="effect of freezing, in pairs of trials")
    against: Against | None = Field(
        default=None, description="variants against the unmodified stacks; null in a run without both"
    )
    sweeps: tuple[Sweep, ...] = Field(default=(), description="live checkpoints whose client gave up, by cell")
    faulted: tuple[Faulted, ...] = Field(default=(), description="live checkpoints in which something failed, by cell")
    spreads: tuple[Spread, ...] = Field(default=(), description="files in which checkpoints have put canaries, by cell")
    declined: tuple[Declined, ...] = Field(description="declined cross-restores")
    bridges: tuple[Bridge, ...] = Field(description="bridges that may make declined cross-restores work")
    agreement: Agreement = Field(description="agreement of `stillframe inspect` and the oracle on checkpoints")
    predictions: Predictions = Field(description="predictions of cross-restores, made before the restores")
    known_issues: tuple[KnownIssue, ...]
    crashes: tuple[KnownCrash, ...] = Field(default=(), description="known crashes of components that took part")
    same: tuple[Same, ...] = Field(default=(), description="sources and restored containers, compared, by row")
    differences: tuple[KnownDifferenceSummary, ...] = Field(
        default=(), description="known differences of restored containers that this run could show"
    )
    accommodations: tuple[Workaround, ...] = Field(description="workarounds; the tables number them from 1")
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by participant")
    hosts: tuple[HostFacts, ...]
    tombstone: Tombstone | None = Field(default=None, description="fields that were later removed from its records")
    images: tuple[ImagePath, ...] = Field(default=(), description="results of checkpoint images, if the run has any")

    @property
    def by_id(self) -> dict[str, CellSummary]:
        """Cells by id."""
        return {each.cell.id: each for each in self.cells}

    @property
    def interrupted(self) -> str:
        """Name of the signal that ended the run early; empty if none did."""
        return self.closing.interrupted if self.closing else ""

    @property
    def unexpected(self) -> tuple[CellSummary, ...]:
        """Cells that somebody has to look at, by exit code; not those that an interrupted run has left out.

        In a run with variants these are cells that are worse, or of which nobody can tell.
        """
        compared = {each.cell: each.exit_code for each in self.against.cells} if self.against else {}
        cells = (each for each in self.cells if not each.as_expected and not (self.interrupted and each.cut_short))
        if compared:
            cells = (each for each in self.cells if compared.get(each.cell, Exit.EXPECTED) is not Exit.EXPECTED)
        return tuple(sorted(cells, key=lambda each: list(Exit).index(each.exit_code)))

    def found(self, code: Exit, *findings: Finding) -> RunSummary:
        """Return the run with more findings in its conclusion."""
        return self.model_copy(update={"conclusion": self.conclusion.joined(code, *findings)})

    def of_kind(self, kind: ControlKind) -> tuple[ControlSummary, ...]:
        """Return the controls of one kind."""
        return tuple(each for each in self.controls if each.control.kind is kind)

    @property
    def mutants(self) -> tuple[MutantSummary, ...]:
        """Mutants with their neutral neighbours."""
        beside = {each.control.name: each for each in self.of_kind(ControlKind.NEUTRAL)}
        return tuple(
            MutantSummary(mutant=each, neutral=beside.get(each.control.name))
            for each in self.of_kind(ControlKind.MUTANT)
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """Cross-restore tables; a table for each question under several policies; one table for all other questions."""
        paired = paired_in(self.cells)
        pairs = tuple(self._pairs(cells) for cells in connected(paired))
        asked: dict[tuple[Scenario, str], list[CellSummary]] = {}
        for each in (each for each in self.cells if each not in paired):
            asked.setdefault((each.cell.scenario, each.cell.workload), []).append(each)
        alone: list[Table] = []
        beside: list[CellSummary] = []
        for cells in asked.values():
            if len(asked) == 1 or _several_policies(cells):
                alone.append(self._table(cells, by_policy=True))
            else:
                beside += cells
        return (*pairs, *alone, *([self._table(beside, by_policy=False)] if beside else []))

    def _pairs(self, cells: Sequence[CellSummary]) -> Table:
        columns: dict[Column, dict[str, CellSummary]] = {}
        for each in cells:
            cell = each.cell
            column = Column(
                scenario=cell.scenario, workload=cell.workload, restore=f"{cell.restore} {cell.way}".rstrip()
            )
            columns.setdefault(column, {})[_checkpoints(each)] = each
        rows = list(dict.fromkeys(map(_checkpoints, cells)))
        places = {label: number for number, label in enumerate(rows)}
        columns = dict(sorted(columns.items(), key=lambda item: places.get(item[0].restore, len(places))))
        return self._laid_out(columns, rows)

    def _table(self, cells: Sequence[CellSummary], *, by_policy: bool) -> Table:
        columns: dict[Column, dict[str, CellSummary]] = {}
        for each in cells:
            columns.setdefault(_column(each.cell, by_policy=by_policy), {})[each.label] = each
        order = (*Scenario, *FreezePolicy)
        columns = dict(sorted(columns.items(), key=lambda item: order.index(item[0].policy or item[0].scenario)))
        return self._laid_out(columns, dict.fromkeys(each.label for each in cells))

    def _laid_out(self, columns: dict[Column, dict[str, CellSummary]], rows: Iterable[str]) -> Table:
        return Table(
            columns=tuple(
                column.model_copy(update={"surfaces": _surfaces(entries.values())})
                for column, entries in columns.items()
            ),
            rows=tuple(
                Row(
                    label=label,
                    marks=tuple(
                        number for number, workaround in enumerate(self.accommodations, 1) if label in workaround.rows
                    ),
                    entries=tuple(entries.get(label) for entries in columns.values()),
                )
                for label in rows
            ),
        )


def summarise(
    plan: Plan, records: Sequence[Record], closing: Closing | None, *, runs: Collection[str] = ()
) -> RunSummary:
    """Compare the records with the plan and the expectations; show unplanned cells, too.

    `runs`: further names of this run in records. Records of another run cannot make a cell green.
    """
    names = {plan.run, *runs}
    own = [record for record in records if record.control is None and record.run in names]
    trials = by_cell(own)
    foreign = by_cell(record for record in records if record.control is None and record.run not in names)
    missing = missing_trials(plan, own)
    planned = {cell: plan.rounds_of(cell) for cell in plan.cells}
    cells = tuple(
        summarise_cell(
            cell,
            trials.get(cell, ()),
            plan.expected(cell, next((trial.host for trial in trials.get(cell, ()) if trial.host), None)),
            planned=planned.get(cell, 0),
            missing=missing.get(cell.id, 0),
            foreign=foreign.get(cell, ()),
            struck=plan.crash_of,
        )
        for cell in dict.fromkeys((*plan.cells, *trials, *foreign))
    )
    controls = tuple(summarise_controls(plan, records, names))
    compared = against(plan, cells)
    differences = known_differences(plan, cells)
    crashes = tuple(known_crashes(plan, [record for record in records if record.run in names]))
    return RunSummary(
        plan=plan,
        closing=closing,
        unfinished=closing is None,
        conclusion=conclude(
            cells,
            controls,
            closing,
            plan.unmatched,
            plan.shard,
            crashes=crashes,
            differences=differences,
            against=compared,
        ),
        cells=cells,
        controls=controls,
        freezing=freezing(cells),
        against=compared,
        sweeps=sweeps(cells),
        faulted=faulted(cells),
        spreads=spreads(cells),
        declined=declined(cells),
        bridges=bridges(cells),
        agreement=agreement(cells),
        predictions=predictions(cells),
        known_issues=known_issues(cells, covered=plan.covered),
        crashes=crashes,
        same=rows(plan, cells),
        differences=differences,
        accommodations=_accommodations(cells),
        versions=_versions(cells),
        hosts=tuple(dict.fromkeys((plan.host, *each_once(record.host for record in records if record.host)))),
    )


def _checkpoints(each: CellSummary) -> str:
    return f"{each.cell.checkpoint} {each.cell.way}".rstrip()


def _several_policies(cells: Iterable[CellSummary]) -> bool:
    """Whether a participant has cells under more than one policy."""
    labels = [each.label for each in cells]
    return len(labels) > len(set(labels))


def _column(cell: Cell, *, by_policy: bool) -> Column:
    return Column(scenario=cell.scenario, workload=cell.workload, policy=cell.policy if by_policy else None)


def _surfaces(cells: Iterable[CellSummary]) -> tuple[str, ...]:
    read = (surface.surface for each in cells for trial in each.trials for surface in trial.skews)
    return tuple(dict.fromkeys(read))


def _accommodations(cells: Iterable[CellSummary]) -> tuple[Workaround, ...]:
    rows: dict[Accommodation, dict[str, None]] = {}
    for each in cells:
        for accommodation in each.accommodations:
            rows.setdefault(accommodation, {})[each.label] = None
    return tuple(Workaround(accommodation=accommodation, rows=tuple(labels)) for accommodation, labels in rows.items())


def _versions(cells: Iterable[CellSummary]) -> dict[str, tuple[Component, ...]]:
    return merge(
        {str(each.cell.checkpoint if side == "checkpoint" else each.cell.restore): components}
        for each in cells
        for side, components in each.components.items()
    )
