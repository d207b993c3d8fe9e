"""Records to tables: what each cell came to, and what the run comes to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum

from pydantic import Field

from harness.expectations import CONTROLS, Expectation, expected
from harness.model import Anomaly, Cell, Component, FreezePolicy, Frozen, HostFacts, Outcome, SchemaVersion, Verdict
from harness.records import Closing, Plan, Record, missing_trials
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
    findings: dict[Outcome, int] = Field(description="trials by all that was found in them, mildest first")
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
        return self.expected in self.verdict.found

    @property
    def exit_code(self) -> Exit:
        """What it means for the run: one that did not take place proves nothing either way."""
        if self.detected:
            return Exit.EXPECTED
        return Exit.INCOMPLETE if self.verdict.outcome in NO_EVIDENCE else Exit.BLIND


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
    closing: Closing | None = Field(description="null for a run that did not come to its end")
    conclusion: Conclusion
    cells: tuple[CellSummary, ...]
    controls: tuple[ControlSummary, ...]
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by participant")
    hosts: tuple[HostFacts, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """One matrix per workload, in the plan's order."""
        return tuple(_table(name, self.cells) for name in dict.fromkeys(each.cell.workload for each in self.cells))


def summarise(plan: Plan, records: Sequence[Record], closing: Closing | None) -> RunSummary:
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
    controls = (
        *(_control(each.control, each.cell, each.trial, each.verdict) for each in records if each.control is not None),
        *_missing_controls(plan, records),
    )
    return RunSummary(
        plan=plan,
        closing=closing,
        conclusion=conclude(cells, controls, closing),
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
    findings = Counter(outcome for trial in trials for outcome in trial.verdict.found)
    telling = [trial for trial in trials if not MEASURED.isdisjoint(trial.verdict.found)] or trials
    seen = {anomaly for trial in trials for anomaly in trial.verdict.anomalies}
    codes = {judge(trial.verdict, expectation) for trial in trials}
    violations = len(trials) - received[Outcome.CONSISTENT]
    return CellSummary(
        cell=cell,
        expectation=expectation,
        planned=planned,
        missing=missing,
        outcome=max(counts, key=_severity, default=Outcome.MISSING),
        counts={outcome: counts[outcome] for outcome in Outcome if counts[outcome]},
        findings={outcome: findings[outcome] for outcome in Outcome if findings[outcome]},
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
    """Say what one trial means for the run; what was seen and then outdone by worse is no blindness."""
    same_anomaly = expectation.anomaly is None or expectation.anomaly in verdict.anomalies
    seen = expectation.outcome in verdict.found and same_anomaly
    if seen and verdict.outcome is expectation.outcome:
        return Exit.EXPECTED
    if verdict.outcome in NO_EVIDENCE:
        return Exit.INCOMPLETE
    return Exit.BLIND if expectation.control and not seen else Exit.UNEXPECTED


def conclude(cells: Sequence[CellSummary], controls: Sequence[ControlSummary], closing: Closing | None) -> Conclusion:
    """Sum the run up, what prevails first."""
    by_code = {code: tuple(each.cell.id for each in cells if each.exit_code is code) for code in Exit}
    of_code = {
        code: tuple(f"control {each.name} on {each.cell.id}" for each in controls if each.exit_code is code)
        for code in Exit
    }
    of_all = f"of {_count(len(cells), 'cell')}"
    findings: list[tuple[Exit, Finding]] = []

    def find(code: Exit, what: str, cells: tuple[str, ...] = (), controls: tuple[str, ...] = ()) -> None:
        findings.append((code, Finding(what=what, cells=cells, controls=controls)))

    if by_code[Exit.BLIND] or of_code[Exit.BLIND]:
        what = "The instrument's own proof failed, so no result of this run counts"
        find(Exit.BLIND, what, by_code[Exit.BLIND], of_code[Exit.BLIND])
    if found := by_code[Exit.UNEXPECTED]:
        find(Exit.UNEXPECTED, f"{len(found)} {of_all} not as expected", found)
    if closing is not None and closing.leaks:
        find(Exit.UNEXPECTED, f"Left behind on the host: {', '.join(closing.leaks)}")
    if lacking := by_code[Exit.INCOMPLETE]:
        find(Exit.INCOMPLETE, f"{len(lacking)} {of_all} without complete evidence", lacking)
    if lacking := of_code[Exit.INCOMPLETE]:
        find(Exit.INCOMPLETE, f"{len(lacking)} of {_count(len(controls), 'control')} did not run", (), lacking)
    if not cells:
        find(Exit.INCOMPLETE, "Nothing was planned, so nothing was found")
    if closing is None:
        find(Exit.INCOMPLETE, "The run did not come to its end")
    if not findings:
        trials = _count(sum(each.n for each in cells), "trial")
        find(Exit.EXPECTED, f"All {_count(len(cells), 'cell')} as expected, {trials}")
    return Conclusion(
        exit_code=_prevailing({code for code, _ in findings}), findings=tuple(finding for _, finding in findings)
    )


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


def _control(name: str, cell: Cell, trial: int, verdict: Verdict) -> ControlSummary:
    return ControlSummary(name=name, cell=cell, trial=trial, expected=CONTROLS.get(name), verdict=verdict)


def _missing_controls(plan: Plan, records: Sequence[Record]) -> Iterator[ControlSummary]:
    received = {(record.control, record.cell) for record in records}
    for each in plan.controls:
        if (each.name, each.cell) not in received:
            verdict = Verdict(outcome=Outcome.MISSING, reason="planned and not received")
            yield _control(each.name, each.cell, 0, verdict)


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
