"""Cells to tables, and the run as a whole: what stands where, what is known, what it comes to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pydantic import Field

from harness.model.cells import Cell, FreezePolicy, Scenario
from harness.model.controls import Control, ControlKind
from harness.model.machine import Accommodation, Component, HostFacts
from harness.model.shard import Shard
from harness.model.values import Frozen, SchemaVersion
from harness.records.image_path import ImagePath
from harness.records.plan import Closing, Plan, Tombstone, missing_trials
from harness.records.record import Record, by_cell
from reports.analysis.cells import (
    CellSummary,
    ControlSummary,
    Exit,
    MutantSummary,
    each_once,
    merge,
    prevailing,
    summarise_cell,
    summarise_controls,
)
from reports.analysis.cross_restores import Bridge, Declined, bridges, declined
from reports.analysis.freezing import FrozenPair, freezing
from reports.analysis.known import KnownIssue, known_issues
from reports.analysis.pairs import connected, paired_in
from reports.analysis.predictions import Agreement, Predictions, agreement, predictions

SUMMARY_VERSION = 1

MOST_NAMED = 6
"""Cells and controls that a sentence names; the rest it counts."""


class Column(Frozen):
    """What is asked in a column, and under which policy; of null, each row has the policy that holds it still."""

    scenario: Scenario
    workload: str
    policy: FreezePolicy | None = None
    restore: str = Field(default="", description="who restores, where that is what the table is about")
    surfaces: tuple[str, ...] = Field(default=(), description="names of the surfaces that were read, in writing order")


class Row(Frozen):
    """The entries of one participant, used in one way, one per column; null where no cell was planned."""

    label: str
    marks: tuple[int, ...] = Field(description="numbers of the accommodations that its trials ran under")
    entries: tuple[CellSummary | None, ...]

    @property
    def policies(self) -> tuple[FreezePolicy, ...]:
        """Who held still in this row."""
        return tuple(dict.fromkeys(each.cell.policy for each in self.entries if each))


class Table(Frozen):
    """A matrix: one question by policies, or several questions side by side, each row under its own policy."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def by_policy(self) -> bool:
        """Whether the columns are policies."""
        return all(column.policy for column in self.columns)

    @property
    def by_pair(self) -> bool:
        """Whether the columns are those who restore what the rows have checkpointed."""
        return all(column.restore for column in self.columns)

    @property
    def unexpected(self) -> tuple[CellSummary, ...]:
        """Cells that are not as expected."""
        return tuple(each for row in self.rows for each in row.entries if each and not each.as_expected)


class Workaround(Frozen):
    """An accommodation, and which rows ran under it."""

    accommodation: Accommodation
    rows: tuple[str, ...] = Field(description="labels")


class Finding(Frozen):
    """A part of the verdict, and all that it is about."""

    what: str
    cells: tuple[str, ...] = Field(default=(), description="ids")
    controls: tuple[str, ...] = Field(default=(), description="names and ids")

    def __str__(self) -> str:
        about = (*self.cells, *self.controls)
        more = f" and {len(about) - MOST_NAMED} more" if len(about) > MOST_NAMED else ""
        return f"{self.what}: {', '.join(about[:MOST_NAMED])}{more}." if about else f"{self.what}."


class Conclusion(Frozen):
    """The run as a number for programs and as a sentence for people."""

    exit_code: Exit
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """The verdict first, then which cells."""
        return " ".join(map(str, self.findings))

    def joined(self, code: Exit, *findings: Finding) -> Conclusion:
        """The same with more that was found, of a code of its own."""
        before = () if self.exit_code is Exit.EXPECTED else self.findings
        return Conclusion(exit_code=prevailing((self.exit_code, code)), findings=(*before, *findings))


class RunSummary(Frozen):
    """All that a report tells."""

    schema_version: SchemaVersion = SUMMARY_VERSION
    plan: Plan
    closing: Closing | None = Field(description="null for a run that did not come to its end")
    conclusion: Conclusion
    cells: tuple[CellSummary, ...]
    controls: tuple[ControlSummary, ...]
    freezing: tuple[FrozenPair, ...] = Field(description="what holding still changes, trial by trial")
    declined: tuple[Declined, ...] = Field(description="restores of another's checkpoints that did not come about")
    bridges: tuple[Bridge, ...] = Field(description="what brings them about after all")
    agreement: Agreement = Field(description="of what is said of checkpoints that are handed to another")
    predictions: Predictions = Field(description="of restores of another's checkpoints, before they were tried")
    known_issues: tuple[KnownIssue, ...]
    accommodations: tuple[Workaround, ...] = Field(description="the tables number them from 1")
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by participant")
    hosts: tuple[HostFacts, ...]
    tombstone: Tombstone | None = Field(default=None, description="what was taken out of its records since")
    images: tuple[ImagePath, ...] = Field(
        default=(), description="what became of checkpoint images, where that was asked"
    )

    @property
    def by_id(self) -> dict[str, CellSummary]:
        """The cells by their ids."""
        return {each.cell.id: each for each in self.cells}

    def found(self, code: Exit, *findings: Finding) -> RunSummary:
        """The same run with more in its conclusion."""
        return self.model_copy(update={"conclusion": self.conclusion.joined(code, *findings)})

    def of_kind(self, kind: ControlKind) -> tuple[ControlSummary, ...]:
        """The trials of the instrument's own proof that play one part in it."""
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
        """What was asked under several policies, a table each; then all other questions in one table."""
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
    """Hold what came back against what was planned and expected; unplanned cells are shown, too.

    `runs`: names under which records of this run go besides that of its plan. Those of another turn nothing green.
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
        )
        for cell in dict.fromkeys((*plan.cells, *trials, *foreign))
    )
    controls = tuple(summarise_controls(plan, records, names))
    return RunSummary(
        plan=plan,
        closing=closing,
        conclusion=conclude(cells, controls, closing, plan.unmatched, plan.shard),
        cells=cells,
        controls=controls,
        freezing=freezing(cells),
        declined=declined(cells),
        bridges=bridges(cells),
        agreement=agreement(cells),
        predictions=predictions(cells),
        known_issues=known_issues(cells, covered=plan.covered),
        accommodations=_accommodations(cells),
        versions=_versions(cells),
        hosts=tuple(dict.fromkeys((plan.host, *each_once(record.host for record in records if record.host)))),
    )


def conclude(
    cells: Sequence[CellSummary],
    controls: Sequence[ControlSummary],
    closing: Closing | None,
    unmatched: Sequence[str] = (),
    shard: Shard | None = None,
) -> Conclusion:
    """Sum the run up, or the one shard of it, what prevails first."""
    findings = [*_against(cells, controls, closing, unmatched)]
    if not (cells or shard):
        findings.append((Exit.INCOMPLETE, Finding(what="Nothing was planned, so nothing was found")))
    if closing is None:
        findings.append((Exit.INCOMPLETE, Finding(what="The run did not come to its end")))
    if not findings:
        what = _all_well(cells) if cells else "No cell of the run falls to it"
        findings.append((Exit.EXPECTED, Finding(what=what)))
    if shard:
        code, first = findings[0]
        findings[0] = code, first.model_copy(update={"what": f"Shard {shard}: {first.what}"})
    return Conclusion(
        exit_code=prevailing({code for code, _ in findings}), findings=tuple(finding for _, finding in findings)
    )


def _all_well(cells: Sequence[CellSummary]) -> str:
    trials = counted(sum(each.n for each in cells), "trial")
    known = sum(each.known for each in cells)
    told = f", {known} of them known to be wrong" if known else ""
    return f"All {counted(len(cells), 'cell')} as expected{told}, {trials}"


def _against(
    cells: Sequence[CellSummary],
    controls: Sequence[ControlSummary],
    closing: Closing | None,
    unmatched: Sequence[str],
) -> Iterator[tuple[Exit, Finding]]:
    """What is not as it should be, what prevails first."""
    by_code = {code: tuple(each.cell.id for each in cells if each.exit_code is code) for code in Exit}
    of_code = {code: tuple(named(each.control) for each in controls if each.exit_code is code) for code in Exit}
    of_all = f"of {counted(len(cells), 'cell')}"
    if by_code[Exit.BLIND] or of_code[Exit.BLIND]:
        what = "The instrument's own proof failed, so no result of this run counts"
        yield Exit.BLIND, Finding(what=what, cells=by_code[Exit.BLIND], controls=of_code[Exit.BLIND])
    if found := by_code[Exit.UNEXPECTED]:
        yield Exit.UNEXPECTED, Finding(what=f"{len(found)} {of_all} not as expected", cells=found)
    leaks = closing.leaks if closing else ()
    for what, which in (("Left behind on the host", leaks), ("Declared of no cell that there is", unmatched)):
        if which:
            yield Exit.UNEXPECTED, Finding(what=f"{what}: {', '.join(which)}")
    if lacking := by_code[Exit.INCOMPLETE]:
        yield Exit.INCOMPLETE, Finding(what=f"{len(lacking)} {of_all} without complete evidence", cells=lacking)
    if lacking := of_code[Exit.INCOMPLETE]:
        what = f"{len(lacking)} of {counted(len(controls), 'control')} did not run"
        yield Exit.INCOMPLETE, Finding(what=what, controls=lacking)
    if strays := [each for each in cells if each.strays]:
        what = f"{counted(sum(each.strays for each in strays), 'record')} not of this plan, turning nothing green"
        yield Exit.INCOMPLETE, Finding(what=what, cells=tuple(each.cell.id for each in strays))


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 cell`, `3 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _checkpoints(each: CellSummary) -> str:
    return f"{each.cell.checkpoint} {each.cell.way}".rstrip()


def _several_policies(cells: Iterable[CellSummary]) -> bool:
    """Whether somebody was asked the same under more than one policy."""
    labels = [each.label for each in cells]
    return len(labels) > len(set(labels))


def _column(cell: Cell, *, by_policy: bool) -> Column:
    return Column(scenario=cell.scenario, workload=cell.workload, policy=cell.policy if by_policy else None)


def _surfaces(cells: Iterable[CellSummary]) -> tuple[str, ...]:
    read = (surface.surface for each in cells for trial in each.trials for surface in trial.skews)
    return tuple(dict.fromkeys(read))


def named(control: Control) -> str:
    """Name a control and the cell that it is played on."""
    return f"{control.kind} {control.name} on {control.cell.id}"


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
