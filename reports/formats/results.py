"""A run as one list of results for tools with few statuses: cells, images, the proof, and the run itself. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field

from harness.model.cells import Cell
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.image_path import Attempt, ImagePath
from harness.records.record import Record
from reports.analysis import images
from reports.analysis.cells import CLEAN, CellSummary, ControlSummary, judge, largest_ticks, largest_us
from reports.analysis.tables import RunSummary
from reports.paths import page_of
from reports.text import counted, one_line, shorten
from reports.words import proof
from reports.words.cells import entry, flag
from reports.words.numbers import skew
from reports.words.outcomes import FLAGS, expectation, found
from reports.words.tables import title

MOST_LETTERS = 500
"""Characters of a string in a format; strings in records have no limit."""

MOST_OF_A_LINK = 1_000
"""Characters of a link; a longer link is left out, because a cut link leads nowhere."""

MOST_PARTS = 400
"""Trials listed for one cell."""

MOST_ODD = 50
"""Listed trials that did not simply pass."""

BETTER = "better than expected"
UNCOUNTED = "does not count, because the instrument's own proof failed"
PROOF = "proof of the instrument"


class Status(StrEnum):
    """Status of a result in other tools, the best first."""

    PASSED = "passed"
    KNOWN = "known"
    FAILED = "failed"
    BROKEN = "broken"


STATUSES = {
    Exit.EXPECTED: Status.PASSED,
    Exit.UNEXPECTED: Status.FAILED,
    Exit.BLIND: Status.FAILED,
    Exit.INCOMPLETE: Status.BROKEN,
}


class Kind(StrEnum):
    """Subject of a result."""

    CELL = "cell"
    IMAGE = "image"
    CONTROL = "control"
    RUN = "run"


class Part(Frozen):
    """A trial, or a step of a checkpoint image."""

    name: str = Field(description="the trial or step, with its outcome")
    status: Status
    outcome: Outcome
    reason: str
    start_ns: int | None = None
    end_ns: int | None = None
    record: Record | None = Field(default=None, exclude=True, repr=False)


class Result(Frozen):
    """One subject and its result; every string is short and on one line."""

    id: str = Field(description="the same in every run, for any versions; for a cell its own id")
    name: str
    kind: Kind
    group: str = Field(description="the question: the title of its table")
    who: str = Field(description="the participant that checkpoints")
    how: str = Field(default="", description="the freeze policy, or the participant that restores")
    status: Status
    outcome: Outcome | None = Field(default=None, description="null for the run as a whole")
    message: str = Field(description="the verdict in words; for a cell or an image it begins with the outcome")
    expected: str = ""
    reason: str = Field(default="", description="why this is expected")
    link: str = Field(default="", description="the upstream discussion")
    owner: str = Field(default="", description="who has to act")
    start_ns: int | None = Field(default=None, description="null for a result without a trial")
    end_ns: int | None = None
    counts: dict[Outcome, int] = Field(default_factory=dict, description="trials by outcome")
    versions: dict[str, tuple[Component, ...]] = Field(default_factory=dict, description="by side")
    parameters: dict[str, str] = Field(default_factory=dict)
    page: str = Field(description="place in the site")
    parts: tuple[Part, ...] = ()

    @property
    def seconds(self) -> float:
        """Time from its start to its end, in seconds."""
        return 0.0 if self.start_ns is None or self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    @property
    def components(self) -> dict[str, str]:
        """Versions by component, and by side if the two sides differ."""
        alike = len({frozenset(each) for each in self.versions.values()}) == 1
        listed: dict[str, dict[str, None]] = {}
        for side, components in self.versions.items():
            for each in components:
                listed.setdefault(each.name if alike else f"{each.name} ({side})", {})[each.told] = None
        return {name: ", ".join(versions) for name, versions in listed.items()}

    @property
    def unexpected(self) -> tuple[str, ...]:
        """Name and reason of each part that did not simply pass."""
        told = tuple(f"{each.name}: {each.reason}" for each in self.parts if each.status is not Status.PASSED)
        return told if len(told) <= MOST_ODD else (*told[:MOST_ODD], f"and {len(told) - MOST_ODD} more")


def results(run: RunSummary) -> tuple[Result, ...]:
    """List all results, and last the run itself; with exit code 0, no result is failed or broken.

    If the instrument is blind, no result of the run counts. Then no cell and no image passes.
    """
    found = [*_cells(run), *map(_of_image, run.images)]
    if run.conclusion.exit_code is Exit.BLIND:
        found = list(map(_uncounted, found))
    return (*found, *map(_of_control, run.controls), _of_run(run))


def cut(text: str, limit: int = MOST_LETTERS) -> str:
    """Cut a string of a record to one short line without control characters."""
    return shorten(text, limit)


def moment(ns: int) -> str:
    """Write a time in the form of RFC 3339, to the second: `2026-11-23T12:00:00Z`."""
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def stable(name: str) -> str:
    """Return an id unchanged, or the part that fits and a digest of the whole id."""
    return (
        name
        if cut(name) == name
        else f"{cut(name, 200)}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"
    )


def _cells(run: RunSummary) -> Iterator[Result]:
    asked = {
        each.cell.id: title(table)
        for table in run.tables
        for row in table.rows
        for each in row.entries
        if each is not None
    }
    return (_of_cell(each, asked[each.cell.id]) for each in run.cells)


def _of_cell(each: CellSummary, asked: str) -> Result:
    cell = each.cell
    known = each.as_expected and each.known
    wanted = "" if each.as_expected else f"; {_surprise(each)}"
    found = Result(
        id=stable(cell.id),
        name=cut(cell.id),
        kind=Kind.CELL,
        group=cut(asked),
        who=cut(f"{cell.checkpoint} {cell.way}"),
        how=cut(cell.policy if cell.restore == cell.checkpoint else f"restored by {cell.restore}"),
        status=Status.KNOWN if known else STATUSES[each.exit_code],
        outcome=each.outcome,
        message=cut(entry(each), MOST_LETTERS - len(wanted)) + wanted,
        start_ns=min((trial.start_ns for trial in each.trials), default=None),
        end_ns=max((trial.end_ns for trial in each.trials), default=None),
        counts=each.counts,
        versions=_versions(each.components),
        parameters=_parameters(cell),
        page=page_of(cell),
        parts=tuple(_trials(each)),
    )
    return found.model_copy(update=_expected(each.expectation))


def _surprise(each: CellSummary) -> str:
    told = flag(each)
    better = each.outcome in CLEAN and each.outcome.severity < each.expectation.outcome.severity
    return BETTER + told.removeprefix(FLAGS[each.exit_code]) if better else told


def _trials(each: CellSummary) -> Iterator[Part]:
    """Yield the trials; of very many trials only those that did not simply pass, and the first ones."""
    parts = [_trial(trial, _status(trial, each)) for trial in each.trials]
    first = sorted(range(len(parts)), key=lambda number: parts[number].status is Status.PASSED)
    yield from (parts[number] for number in sorted(first[:MOST_PARTS]))
    if rest := [parts[number] for number in first[MOST_PARTS:]]:
        worst = max(rest, key=lambda part: list(Status).index(part.status))
        yield Part(
            name=f"{counted(len(rest), 'trial')} more",
            status=worst.status,
            outcome=worst.outcome,
            reason=f"for instance {worst.name}",
        )
    if each.missing:
        name = f"{each.missing} of {counted(each.planned, 'trial')}: {Outcome.MISSING}"
        yield Part(name=name, status=Status.BROKEN, outcome=Outcome.MISSING, reason="planned and not received")


def _trial(trial: Record, status: Status) -> Part:
    verdict, distance = trial.verdict, skew(largest_ticks(trial), largest_us(trial))
    told = " ".join(filter(None, (found(verdict), *verdict.anomalies, distance)))
    return Part(
        name=f"trial {trial.trial}: {told}",
        status=status,
        outcome=verdict.outcome,
        reason=cut(verdict.reason),
        start_ns=trial.start_ns,
        end_ns=trial.end_ns,
        record=trial,
    )


def _status(trial: Record, each: CellSummary) -> Status:
    """Return the status of one trial; a cell that is as expected may have trials that are not."""
    code = judge(trial.verdict, trial.log, each.expectation)
    if code is Exit.EXPECTED:
        return Status.KNOWN if each.known else Status.PASSED
    if not each.as_expected:
        return STATUSES[code]
    return Status.PASSED if trial.verdict.outcome in CLEAN else Status.KNOWN


def _of_image(path: ImagePath) -> Result:
    told, code = path.expectation, images.exit_code((path,))
    known = path.as_expected and bool(told.link) and told.outcome is not Outcome.CONSISTENT
    status = Status.KNOWN if known else STATUSES[code]
    wanted = "" if path.as_expected else f"; {FLAGS[code]}, should be {expectation(told)}"
    message = f"{path.outcome}: {path.attempts[0].verdict.reason}"
    facts = {"stack": path.stack, "producer": path.producer, "route": path.route, "base image": path.base.value}
    found = Result(
        id=stable(f"image:{path.id}"),
        name=cut(f"checkpoint image {path.id}"),
        kind=Kind.IMAGE,
        group=cut(f"checkpoint images in {path.stack}"),
        who=cut(path.producer),
        how=cut(path.route),
        status=status,
        outcome=path.outcome,
        message=cut(message, MOST_LETTERS - len(wanted)) + wanted,
        start_ns=min((each.start_ns for each in path.commands), default=None),
        end_ns=max((each.start_ns + round(each.seconds * 1e9) for each in path.commands), default=None),
        counts={path.outcome: 1},
        versions=_versions({"checkpoint": path.components}),
        parameters={name: cut(value) for name, value in facts.items()},
        page="interoperability.html",
        parts=(_attempt(path.attempts[0], status), *(_attempt(each, Status.KNOWN) for each in path.attempts[1:])),
    )
    return found.model_copy(update=_expected(told))


def _attempt(each: Attempt, status: Status) -> Part:
    outcome = each.verdict.outcome
    return Part(name=f"{each.step}: {outcome}", status=status, outcome=outcome, reason=cut(each.verdict.reason))


def _of_control(each: ControlSummary) -> Result:
    control, record, status = each.control, each.record, STATUSES[each.exit_code]
    told = proof.came(each)
    return Result(
        id=stable(f"{control.kind}:{control.name}:{control.cell.id}"),
        name=cut(f"{control.kind} {control.name} on {control.cell.id}"),
        kind=Kind.CONTROL,
        group=PROOF,
        who=cut(str(control.cell.checkpoint)),
        how=control.kind.value,
        status=status,
        outcome=each.verdict.outcome,
        message=cut(f"as it must be: {told}" if each.detected else told),
        expected=proof.must_be(control),
        reason=cut(control.what),
        start_ns=record.start_ns if record else None,
        end_ns=record.end_ns if record else None,
        counts={each.verdict.outcome: 1},
        versions=_versions(record.components if record else {}),
        parameters=_parameters(control.cell),
        page="proof.html",
        parts=(_trial(record, status),) if record else (),
    )


def _of_run(run: RunSummary) -> Result:
    """Return the result of the run itself: it finished, left nothing behind, and every known issue matches a cell."""
    leaks = run.closing.leaks if run.closing else ()
    lists = {"left behind on the host": leaks, "known issues that match no cell": run.plan.unmatched}
    told = [f"{what}: {', '.join(which)}" for what, which in lists.items() if which]
    ended = {"the run did not finish": run.closing, "nothing was planned, so there is no result": run.cells}
    lacking = [what for what, well in ended.items() if not well]
    status = Status.FAILED if told else Status.BROKEN if lacking else Status.PASSED
    return Result(
        id="run",
        name="the run itself",
        kind=Kind.RUN,
        group="run",
        who="stillframe",
        status=status,
        message=cut("; ".join((*told, *lacking)) or "finished, and left nothing behind on the host"),
        expected="finishes, and leaves nothing behind on the host",
        start_ns=run.plan.created_ns,
        end_ns=run.closing.end_ns if run.closing else None,
        page="index.html",
    )


def _uncounted(found: Result) -> Result:
    if found.status not in (Status.PASSED, Status.KNOWN):
        return found
    told = cut(found.message, MOST_LETTERS - len(UNCOUNTED) - 2)
    return found.model_copy(update={"status": Status.BROKEN, "message": f"{told}; {UNCOUNTED}"})


def _expected(told: Expectation) -> dict[str, str]:
    link = one_line(told.link[: MOST_OF_A_LINK + 1])
    return {
        "expected": expectation(told),
        "reason": cut(told.reason),
        "link": link if link.startswith("https://") and len(link) <= MOST_OF_A_LINK else "",
        "owner": cut(told.owner),
    }


def _parameters(cell: Cell) -> dict[str, str]:
    facts = {
        "workload": cell.workload,
        "scenario": cell.scenario.value,
        "policy": cell.policy.value,
        "checkpoint": str(cell.checkpoint),
        "restore": str(cell.restore),
        "way": cell.way,
    }
    return {name: cut(value) for name, value in facts.items() if value}


def _versions(components: Mapping[str, Iterable[Component]]) -> dict[str, tuple[Component, ...]]:
    return {
        cut(side): tuple(Component.model_validate({what: cut(said) for what, said in each}) for each in those)
        for side, those in components.items()
    }
