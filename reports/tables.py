"""Records to tables: what each cell came to, and what the run comes to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from pydantic import Field

from harness.expectations import CONTROLS, Expectation, expected
from harness.model import Anomaly, Cell, Component, FreezePolicy, Frozen, HostFacts, Outcome, SchemaVersion, Verdict
from harness.records import Plan, Record, missing_trials
from reports.statistics import largest, middle, rate_bound

SUMMARY_VERSION = 1

NO_EVIDENCE = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING, Outcome.UNSUPPORTED})
"""Outcomes that speak about the environment, so where unexpected they leave a run incomplete."""

MEASURED = frozenset({Outcome.INCONSISTENT, Outcome.NOT_CAPTURED})
"""Outcomes that are about a skew."""


class Exit(IntEnum):
    """Exit code of a run, the one that prevails first."""

    BLIND = 4
    UNEXPECTED = 1
    INCOMPLETE = 3
    EXPECTED = 0


class CellSummary(Frozen):
    """A cell's trials, counted; `k` of `n` had another outcome than consistent."""

    cell: Cell
    expectation: Expectation
    planned: int
    missing: int
    outcome: Outcome = Field(description="the worst of the trials; `missing` when any is")
    counts: dict[Outcome, int] = Field(description="trials by outcome, mildest first")
    n: int = Field(description="trials received")
    k: int
    rate_bound: float | None = Field(description="upper 95 % bound of the violation rate, when k is 0")
    anomalies: tuple[Anomaly, ...]
    skew_ticks: float | None = Field(
        description="median of the trials' largest; where trials ended with an outcome about a skew, of those alone"
    )
    skew_us: float | None
    components: dict[str, tuple[Component, ...]] = Field(description="every version seen, by side")
    exit_code: Exit
    trials: tuple[Record, ...] = Field(exclude=True, repr=False)

    @property
    def as_expected(self) -> bool:
        """Whether every planned trial came back and was what it should be."""
        return self.exit_code is Exit.EXPECTED


class ControlSummary(Frozen):
    """A trial in which something was broken on purpose, and whether that was noticed."""

    name: str
    cell: Cell
    trial: int
    expected: Outcome | None = Field(description="null when no control of this name is known, which is no detection")
    verdict: Verdict

    @property
    def detected(self) -> bool:
        """Whether the instrument saw what it had to see."""
        return self.verdict.outcome is self.expected


class Row(Frozen):
    """A participant's entries, one per policy of the table; null where no cell was planned."""

    label: str
    entries: tuple[CellSummary | None, ...]


class Table(Frozen):
    """The matrix of one workload."""

    workload: str
    policies: tuple[FreezePolicy, ...]
    rows: tuple[Row, ...]


class Finding(Frozen):
    """A part of the verdict, and what it is about."""

    what: str
    cells: tuple[str, ...] = Field(default=(), description="ids")
    controls: tuple[str, ...] = Field(default=(), description="names and ids")

    def __str__(self) -> str:
        about = ", ".join((*self.cells, *self.controls))
        return f"{self.what}: {about}." if about else f"{self.what}."


class Conclusion(Frozen):
    """The run as a number for programs and as a sentence for people."""

    exit_code: Exit
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """The verdict first, then which cells."""
        return " ".join(map(str, self.findings))


class RunSummary(Frozen):
    """All that a report tells."""

    schema_version: SchemaVersion = SUMMARY_VERSION
    plan: Plan
    conclusion: Conclusion
    cells: tuple[CellSummary, ...]
    controls: tuple[ControlSummary, ...]
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by participant")
    hosts: tuple[HostFacts, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """One matrix per workload, in the plan's order."""
        return tuple(_table(name, self.cells) for name in dict.fromkeys(each.cell.workload for each in self.cells))


def summarise(plan: Plan, records: Sequence[Record]) -> RunSummary:
    """Hold what came back against what was planned and expected; unplanned cells are shown too."""
    trials: dict[Cell, list[Record]] = {cell: [] for cell in plan.cells}
    for record in records:
        if record.control is None:
            trials.setdefault(record.cell, []).append(record)
    missing = missing_trials(plan, records)
    cells = tuple(
        summarise_cell(cell, own, planned=plan.rounds if cell in plan.cells else 0, missing=missing.get(cell.id, 0))
        for cell, own in trials.items()
    )
    controls = tuple(_control(record) for record in records if record.control is not None)
    return RunSummary(
        plan=plan,
        conclusion=conclude(cells, controls),
        cells=cells,
        controls=controls,
        versions=_versions(cells),
        hosts=tuple(dict.fromkeys((plan.host, *(record.host for record in records if record.host)))),
    )


def summarise_cell(cell: Cell, trials: Sequence[Record], *, planned: int, missing: int) -> CellSummary:
    """Count a cell's trials; `missing` of them have not come back."""
    expectation = expected(cell)
    received = Counter(trial.verdict.outcome for trial in trials)
    counts = received + Counter({Outcome.MISSING: missing})
    telling = [trial for trial in trials if trial.verdict.outcome in MEASURED] or trials
    seen = {anomaly for trial in trials for anomaly in trial.verdict.anomalies}
    codes = {judge(trial.verdict, expectation) for trial in trials}
    violations = len(trials) - received[Outcome.CONSISTENT]
    return CellSummary(
        cell=cell,
        expectation=expectation,
        planned=planned,
        missing=missing,
        outcome=max(counts, key=_severity, default=Outcome.MISSING),
        counts=dict(sorted(counts.items(), key=lambda item: item[0].severity)),
        n=len(trials),
        k=violations,
        rate_bound=rate_bound(0, len(trials)) if trials and not violations else None,
        anomalies=tuple(anomaly for anomaly in Anomaly if anomaly in seen),
        skew_ticks=middle(largest_ticks(trial) for trial in telling),
        skew_us=middle(largest_us(trial) for trial in telling),
        components=_merge(trial.components for trial in trials),
        exit_code=_prevailing(codes | ({Exit.INCOMPLETE} if missing or not trials else set())),
        trials=tuple(sorted(trials, key=lambda trial: trial.trial)),
    )


def judge(verdict: Verdict, expectation: Expectation) -> Exit:
    """Say what one trial means for the run."""
    same_anomaly = expectation.anomaly is None or expectation.anomaly in verdict.anomalies
    if verdict.outcome is expectation.outcome and same_anomaly:
        return Exit.EXPECTED
    if verdict.outcome in NO_EVIDENCE:
        return Exit.INCOMPLETE
    return Exit.BLIND if expectation.control else Exit.UNEXPECTED


def exit_code(cells: Iterable[CellSummary], controls: Iterable[ControlSummary]) -> Exit:
    """Choose the exit code of a run; one without cells has shown nothing."""
    codes = {each.exit_code for each in cells} or {Exit.INCOMPLETE}
    return _prevailing(codes | {Exit.BLIND for control in controls if not control.detected})


def conclude(cells: Sequence[CellSummary], controls: Sequence[ControlSummary]) -> Conclusion:
    """Sum the run up, what prevails first."""
    by_code = {code: tuple(each.cell.id for each in cells if each.exit_code is code) for code in Exit}
    undetected = tuple(f"control {each.name} on {each.cell.id}" for each in controls if not each.detected)
    of_all = f"of {_count(len(cells), 'cell')}"
    findings = []
    if by_code[Exit.BLIND] or undetected:
        what = "The instrument's own proof failed, so no result of this run counts"
        findings.append(Finding(what=what, cells=by_code[Exit.BLIND], controls=undetected))
    if found := by_code[Exit.UNEXPECTED]:
        findings.append(Finding(what=f"{len(found)} {of_all} not as expected", cells=found))
    if lacking := by_code[Exit.INCOMPLETE]:
        findings.append(Finding(what=f"{len(lacking)} {of_all} without complete evidence", cells=lacking))
    if not cells:
        findings.append(Finding(what="Nothing was planned, so nothing was found"))
    if not findings:
        trials = _count(sum(each.n for each in cells), "trial")
        findings.append(Finding(what=f"All {_count(len(cells), 'cell')} as expected, {trials}"))
    return Conclusion(exit_code=exit_code(cells, controls), findings=tuple(findings))


def largest_ticks(record: Record) -> float | None:
    """Find the trial's largest skew in ticks, with its sign."""
    return largest(skew.ticks for skew in record.skews)


def largest_us(record: Record) -> float | None:
    """Find the trial's largest skew in microseconds, with its sign."""
    return largest(skew.microseconds for skew in record.skews)


def worst_trial(cell: CellSummary) -> Record | None:
    """Choose the trial to look at first: of the worst outcome the one with the largest skew."""
    return max(
        cell.trials,
        key=lambda trial: (trial.verdict.outcome.severity, abs(largest_ticks(trial) or 0)),
        default=None,
    )


def telling_trials(cell: CellSummary) -> tuple[Record, ...]:
    """Choose the first trial of each outcome, and the one with the largest skew."""
    first: dict[Outcome, Record] = {}
    for trial in cell.trials:
        first.setdefault(trial.verdict.outcome, trial)
    most = max(cell.trials, key=lambda trial: abs(largest_ticks(trial) or 0), default=None)
    chosen = [*first.values(), *([most] if most else [])]
    return tuple(trial for trial in cell.trials if any(trial is each for each in chosen))


def _severity(outcome: Outcome) -> int:
    return outcome.severity


def _prevailing(codes: Iterable[Exit]) -> Exit:
    return min(codes, key=list(Exit).index)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _control(record: Record) -> ControlSummary:
    name = record.control or ""
    return ControlSummary(
        name=name, cell=record.cell, trial=record.trial, expected=CONTROLS.get(name), verdict=record.verdict
    )


def _table(workload: str, cells: Sequence[CellSummary]) -> Table:
    own = [each for each in cells if each.cell.workload == workload]
    policies = tuple(policy for policy in FreezePolicy if any(each.cell.policy is policy for each in own))
    entries = {(row_label(each.cell), each.cell.policy): each for each in own}
    labels = dict.fromkeys(label for label, _ in entries)
    return Table(
        workload=workload,
        policies=policies,
        rows=tuple(
            Row(label=label, entries=tuple(entries.get((label, policy)) for policy in policies)) for label in labels
        ),
    )


def row_label(cell: Cell) -> str:
    """Name the participants of a cell: one when it restores itself."""
    return str(cell.checkpoint) if cell.restore == cell.checkpoint else f"{cell.checkpoint} -> {cell.restore}"


def _versions(cells: Iterable[CellSummary]) -> dict[str, tuple[Component, ...]]:
    return _merge(
        {str(each.cell.checkpoint if side == "checkpoint" else each.cell.restore): components}
        for each in cells
        for side, components in each.components.items()
    )


def _merge(maps: Iterable[Mapping[str, Iterable[Component]]]) -> dict[str, tuple[Component, ...]]:
    merged: dict[str, dict[Component, None]] = {}
    for each in maps:
        for key, components in each.items():
            merged.setdefault(key, {}).update(dict.fromkeys(components))
    return {key: tuple(components) for key, components in merged.items()}
