"""Cells from records: the outcome of each cell's trials, compared with its expectation. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from pydantic import Field

from harness.model.cells import Cell
from harness.model.controls import Control, ControlKind
from harness.model.errors import Exit
from harness.model.expectations import STILL, Expectation
from harness.model.machine import Accommodation, Component
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.values import Frozen
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.crashes import Struck, too_often, unstruck
from reports.analysis.statistics import largest, middle, rate_bound, rate_interval

T = TypeVar("T")

NO_EVIDENCE = frozenset({Outcome.HARNESS_ERROR, Outcome.MISSING, Outcome.UNSUPPORTED})
"""Outcomes that only concern the environment. Where they are unexpected, the run is incomplete."""

SILENT = NO_EVIDENCE | {Outcome.VACUOUS}
"""Outcomes that say neither good nor bad of a cell."""

BEFORE = frozenset({Stage.PREPARE, Stage.START})
"""Stages before the fault of a mutant or a canary. Where one of them fails, it is not played."""

CLEAN = frozenset({Outcome.CONSISTENT, Outcome.NOT_CAPTURED})
"""Outcomes without a failure."""

MEASURED = frozenset({Outcome.INCONSISTENT, Outcome.NOT_CAPTURED})
"""Outcomes that describe a skew."""


class CellSummary(Frozen):
    """A cell's trials, counted; `k` of `n` have another outcome than consistent."""

    cell: Cell
    expectation: Expectation
    planned: int
    missing: int
    outcome: Outcome = Field(description="the worst outcome of a trial; `missing` if a trial is missing")
    counts: dict[Outcome, int] = Field(description="trials by outcome, mildest first")
    findings: dict[Outcome, int] = Field(description="trials by each outcome found in them, mildest first")
    n: int = Field(description="trials received")
    k: int
    crashed: int = Field(default=0, description="trials that a known crash struck, which say nothing about the cell")
    stopped: bool = Field(description="ended before its planned trials, because one violation convicts it")
    rate_bound: float | None = Field(description="exact upper 95 % bound of the violation rate, when k is 0")
    rate_interval: tuple[float, float] | None = Field(
        description="exact two-sided 95 % interval of the violation rate, when the cell fails sometimes: 0 < k < n"
    )
    anomalies: tuple[Anomaly, ...]
    skew_ticks: float | None = Field(
        description="median of the trials' largest skews; if some outcomes describe a skew, of those trials only"
    )
    skew_us: float | None
    strays: int = Field(description="records outside this run's plan")
    warned: int = Field(description="trials in which the runtime reported a successful checkpoint and wrote to stderr")
    components: dict[str, tuple[Component, ...]] = Field(description="every version seen, by side")
    exit_code: Exit
    trials: tuple[Record, ...] = Field(exclude=True, repr=False)

    @property
    def as_expected(self) -> bool:
        """Whether every planned trial came back with the expected outcome."""
        return self.exit_code is Exit.EXPECTED

    @property
    def cut_short(self) -> bool:
        """Whether it lacks trials and nothing else."""
        return bool(self.missing) and self.exit_code is Exit.INCOMPLETE and NO_EVIDENCE.isdisjoint(self.findings)

    @property
    def telling(self) -> list[Record]:
        """Return the trials that say something of the cell."""
        return [trial for trial in self.trials if trial.verdict.outcome not in SILENT]

    @property
    def known(self) -> bool:
        """Whether this cell has a known issue: a linked expectation other than consistent."""
        return bool(self.expectation.link) and self.expectation.outcome is not Outcome.CONSISTENT

    @property
    def label(self) -> str:
        """Name the participants and the way."""
        return row_label(self.cell)

    @property
    def versions(self) -> tuple[Component, ...]:
        """Components of both sides, each once."""
        return tuple(dict.fromkeys(each for listed in self.components.values() for each in listed))

    @property
    def accommodations(self) -> tuple[Accommodation, ...]:
        """List the workarounds of its trials."""
        every = each_once(trial.accommodations for trial in self.trials)
        return tuple(dict.fromkeys(each for those in every for each in those))


class ControlSummary(Frozen):
    """A trial of the instrument's own proof, and whether its finding is right."""

    control: Control
    trial: int
    verdict: Verdict
    detected: bool = Field(description="the fault was noticed; for a neutral neighbour: no fault was reported")
    played: bool = Field(default=True, description="the fault was made, so that it could be noticed")
    crash: bool = Field(default=False, description="a known crash of the runtime ended the trial")
    record: Record | None = Field(default=None, exclude=True, repr=False)

    @property
    def exit_code(self) -> Exit:
        """Return its exit code for the run; a control that could not be played proves nothing either way."""
        if self.detected:
            return Exit.EXPECTED
        if not self.played:
            failed = self.verdict.outcome.violates and not self.crash
            return Exit.UNEXPECTED if failed else Exit.INCOMPLETE
        return Exit.BLIND


class MutantSummary(Frozen):
    """A mutant and its neutral neighbour; null if none is planned."""

    mutant: ControlSummary
    neutral: ControlSummary | None


def summarise_control(control: Control, record: Record | None, struck: Struck = unstruck) -> ControlSummary:
    """Compare a trial with the finding that it must have; a canary must also be red by the rules for cells."""
    if record is None:
        verdict = Verdict(outcome=Outcome.MISSING, reason="planned and not received")
        return ControlSummary(control=control, trial=0, verdict=verdict, detected=False, played=False)
    verdict, crash = record.verdict, struck(record) is not None
    early = control.kind is ControlKind.CONTROL or verdict.stage in BEFORE
    absent = NO_EVIDENCE if early else {Outcome.UNSUPPORTED}
    seen = control.seen_in(verdict)
    if control.kind is ControlKind.CANARY:
        seen &= judge(verdict, record.log, STILL) is Exit.UNEXPECTED
    return ControlSummary(
        control=control,
        trial=record.trial,
        verdict=verdict,
        detected=seen and record.played,
        played=record.played and not crash and verdict.outcome not in absent,
        crash=crash,
        record=record,
    )


def summarise_controls(plan: Plan, records: Iterable[Record], runs: Collection[str]) -> Iterator[ControlSummary]:
    """Yield the planned controls in their order; then the unplanned ones, which prove nothing.

    If a control ran more than once, the worst result counts, but not one that a known crash ended. A control of a run
    outside `runs` proves nothing.
    """
    received: dict[tuple[str, Cell], list[Record]] = {}
    for record in records:
        if record.control is not None:
            received.setdefault((record.control, record.cell), []).append(record)
    for control in plan.controls:
        played = [
            (summarise_control(control, record, plan.crash_of), record.run in runs)
            for record in received.pop((control.id, control.cell), ())
        ]
        telling = [each for each, ours in played if ours or not each.detected]
        telling = [each for each in telling if not each.crash] or telling
        absent = summarise_control(control, None)
        yield min(telling, key=lambda each: list(Exit).index(each.exit_code), default=absent)
    for (name, cell), (record, *_) in received.items():
        control = Control.model_construct(name=name, cell=cell, what="was not planned", outcome=Outcome.MISSING)
        yield summarise_control(control, record)


def summarise_cell(
    cell: Cell,
    trials: Sequence[Record],
    expectation: Expectation,
    *,
    planned: int,
    missing: int,
    foreign: Sequence[Record] = (),
    struck: Struck = unstruck,
) -> CellSummary:
    """Count a cell's trials; `missing`: trials that did not come back; `foreign`: trials of another run.

    A foreign trial counts if it violates, or if the plan has no trial of this cell.
    """
    strays = len(foreign) + sum(trial.trial >= planned for trial in trials)
    waits = bool(missing and expectation.link)  # a known issue may show in the trials that are missing
    told = [trial for trial in trials if not (waits and trial.verdict.outcome in CLEAN)]
    codes = judge_all(told, expectation, struck) | {judge(each.verdict, each.log, expectation) for each in foreign}
    if not trials or missing or not planned:
        codes.add(Exit.INCOMPLETE)
    trials = [*trials, *(each for each in foreign if each.verdict.outcome.violates or not planned)]
    received = Counter(trial.verdict.outcome for trial in trials)
    counts = received + Counter({Outcome.MISSING: missing})
    findings = Counter(outcome for trial in trials for outcome in trial.verdict.found)
    telling = [trial for trial in trials if not MEASURED.isdisjoint(trial.verdict.found)] or trials
    seen = {anomaly for trial in trials for anomaly in trial.verdict.anomalies}
    violations = len(trials) - received[Outcome.CONSISTENT]
    return CellSummary(
        cell=cell,
        expectation=expectation,
        planned=planned,
        missing=missing,
        outcome=max(counts, key=lambda outcome: outcome.severity, default=Outcome.MISSING),
        counts={outcome: counts[outcome] for outcome in Outcome if counts[outcome]},
        findings={outcome: findings[outcome] for outcome in Outcome if findings[outcome]},
        n=len(trials),
        k=violations,
        crashed=sum(struck(trial) is not None for trial in trials),
        stopped=not missing and 0 < len(trials) < planned,
        rate_bound=rate_bound(0, len(trials)) if trials and not violations else None,
        rate_interval=rate_interval(violations, len(trials)) if 0 < violations < len(trials) else None,
        anomalies=tuple(anomaly for anomaly in Anomaly if anomaly in seen),
        skew_ticks=middle(largest_ticks(trial) for trial in telling),
        skew_us=middle(largest_us(trial) for trial in telling),
        strays=strays,
        warned=sum(bool(trial.warnings) for trial in trials),
        components=merge(each_once(trial.components for trial in trials)),
        exit_code=prevailing(codes),
        trials=tuple(sorted(trials, key=lambda trial: trial.trial)),
    )


def judge(verdict: Verdict, log: tuple[str, ...], expectation: Expectation) -> Exit:
    """Return the exit code of one trial; the instrument is not blind if the trial found more, and worse, as well.

    A known issue shows also where a declared other outcome of the same trial is worse.
    """
    same_anomaly = expectation.anomaly is None or expectation.anomaly in verdict.anomalies
    signed = expectation.signed(verdict.reason, *log)
    seen = expectation.outcome in verdict.found and same_anomaly and signed
    allowed = (expectation.outcome, *expectation.besides)
    if seen and verdict.outcome in allowed and not strange(verdict, expectation):
        return Exit.EXPECTED
    if verdict.outcome in NO_EVIDENCE:
        return Exit.INCOMPLETE
    return Exit.BLIND if expectation.control and not seen else Exit.UNEXPECTED


def strange(verdict: Verdict, expectation: Expectation) -> bool:
    """Return whether a restored container differs in a way that nothing declares, whatever else was found."""
    return Outcome.ALTERED in verdict.found and Outcome.ALTERED not in (expectation.outcome, *expectation.besides)


def judge_all(trials: Sequence[Record], expectation: Expectation, struck: Struck = unstruck) -> set[Exit]:
    """Return the exit codes of a cell's trials; a known issue has to show once: clean trials only bound its rate.

    A known issue with a rate may show in any number of trials that the rate allows. A known issue that is overdue is
    not as expected, whatever the trials show. Trials that a known crash struck say nothing about the cell.
    """
    found = [(trial, struck(trial)) for trial in trials]
    crashes = Counter(crash for _, crash in found if crash)
    if crashes:
        others = [trial for trial, crash in found if not crash]
        codes = judge_all(others, expectation) if others else {Exit.INCOMPLETE}
        often = any(too_often(shown, len(trials), crash) for crash, shown in crashes.items())
        return codes | {Exit.UNEXPECTED} if often else codes
    if expectation.overdue:
        current = expectation.model_copy(update={"overdue": False})
        return judge_all(trials, current) - {Exit.EXPECTED} | {Exit.UNEXPECTED}
    if expectation.rate:
        return _judge_rate(trials, expectation, *expectation.rate)
    codes = {judge(trial.verdict, trial.log, expectation) for trial in trials}
    if not expectation.link or Exit.EXPECTED not in codes:
        return codes
    beside = CLEAN.union(expectation.besides)
    unexpected = (each for each in trials if each.verdict.outcome not in beside or strange(each.verdict, expectation))
    return {judge(trial.verdict, trial.log, expectation) for trial in unexpected} | {Exit.EXPECTED}


def _judge_rate(trials: Sequence[Record], expectation: Expectation, low: float, high: float) -> set[Exit]:
    """Judge each trial with a failure outside the issue by itself; judge the other trials by their rate."""
    judged = [(judge(trial.verdict, trial.log, expectation), trial.verdict) for trial in trials]
    beside = {Outcome.CONSISTENT, *expectation.besides}
    others = [
        code
        for code, verdict in judged
        if code is not Exit.EXPECTED and (verdict.outcome not in beside or strange(verdict, expectation))
    ]
    shown, counted = sum(code is Exit.EXPECTED for code, _ in judged), len(judged) - len(others)
    codes: set[Exit] = set(others)
    if not counted:
        return codes
    least, most = rate_interval(shown, counted)
    return codes | {Exit.EXPECTED if least <= high and low <= most else Exit.UNEXPECTED}


def largest_ticks(record: Record) -> float | None:
    """Return the trial's largest skew in ticks, with its sign."""
    return largest(skew.ticks for skew in record.skews)


def largest_us(record: Record) -> float | None:
    """Return the distance of the surface with the largest skew in microseconds, with its sign; None if unknown."""
    known = [(abs(skew.ticks), abs(skew.microseconds or 0), skew) for skew in record.skews if skew.ticks is not None]
    return max(known, key=lambda each: each[:2])[2].microseconds if known else None


def worst_trial(cell: CellSummary) -> Record | None:
    """Choose the trial to look at first: the largest skew among the trials with the worst outcome."""
    return max(
        cell.trials,
        key=lambda trial: (trial.verdict.outcome.severity, abs(largest_ticks(trial) or 0)),
        default=None,
    )


def telling_trials(cell: CellSummary) -> tuple[Record, ...]:
    """Choose the first trial of each outcome, and the trial with the largest skew."""
    first: dict[Outcome, Record] = {}
    for trial in cell.trials:
        first.setdefault(trial.verdict.outcome, trial)
    most = max(cell.trials, key=lambda trial: abs(largest_ticks(trial) or 0), default=None)
    chosen = [*first.values(), *([most] if most else [])]
    return tuple(trial for trial in cell.trials if any(trial is each for each in chosen))


def row_label(cell: Cell) -> str:
    """Name the participants of a cell, or the only one, and the way: `docker/runc@debian-sid commit`."""
    both = str(cell.checkpoint) if cell.restore == cell.checkpoint else f"{cell.checkpoint} -> {cell.restore}"
    return f"{both} {cell.way}".rstrip()


def prevailing(codes: Iterable[Exit]) -> Exit:
    """Return the exit code that prevails."""
    return min(codes, key=list(Exit).index)


def each_once(values: Iterable[T]) -> Iterable[T]:
    """Leave out repetitions of one object: most values that records repeat are the same object."""
    return {id(value): value for value in values}.values()


def merge(maps: Iterable[Mapping[str, Iterable[Component]]]) -> dict[str, tuple[Component, ...]]:
    """Merge the components under each key, each version once."""
    merged: dict[str, dict[Component, None]] = {}
    for each in maps:
        for key, components in each.items():
            merged.setdefault(key, {}).update(dict.fromkeys(components))
    return {key: tuple(components) for key, components in merged.items()}
