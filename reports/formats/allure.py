"""Results as files for Allure, with a step for each trial and with the evidence attached. Pure, except `sweep`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from allure_commons.model2 import (
    ATTACHMENT_PATTERN,
    TEST_CASE_PATTERN,
    Attachment,
    Label,
    Link,
    Parameter,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.model2 import Status as Word
from allure_commons.types import AttachmentType, LabelType, LinkType
from attr import asdict

from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.formats.results import BETTER, UNCOUNTED, Part, Result, Status, cut
from reports.pages import timeline
from reports.pages.html import detailed_trials
from reports.text import clean, in_markdown
from reports.words.cells import source_notes
from reports.words.script import script

LEFT_OUT = (
    "readings, skews of each witness, schedules, CRIU's statistics, and statistics over all cells: the site and "
    "records/*.jsonl have all of these; only the most important trials have timelines and commands here"
)
OURS = uuid5(NAMESPACE_URL, "tag:stillframe,2026:allure")
"""Namespace of our names. The files of other programs have names with another version of UUID."""

MOST_SPANS = 100
"""Steps of one trial."""

MOST_OF_A_FILE = 100_000
"""Characters of an attachment."""

WORDS = {
    Status.PASSED: Word.PASSED,
    Status.KNOWN: Word.SKIPPED,
    Status.FAILED: Word.FAILED,
    Status.BROKEN: Word.BROKEN,
}
CATEGORIES = (
    ("known issue", Word.SKIPPED, ".*"),
    (BETTER, Word.FAILED, f".*; {BETTER}, should be .*"),
    ("known issue that is overdue", Word.FAILED, ".*; unexpected, should be .*: expired"),
    ("memory and disk from different instants", Word.FAILED, r"inconsistent\b.*"),
    ("of one instant, but not the same container", Word.FAILED, r"altered\b.*"),
    ("of one instant, but the application cannot go on", Word.FAILED, r"unfit\b.*"),
    ("restored as a new process", Word.FAILED, r"cold-start\b.*"),
    ("failed checkpoint or restore", Word.FAILED, r"(checkpoint-failed|restore-failed|refused)\b.*"),
    ("source harmed", Word.FAILED, r"source-harmed\b.*"),
    ("broken checkpoint", Word.FAILED, r"checkpoint-broken\b.*"),
    ("left behind", Word.FAILED, r"(leaked|left behind)\b.*"),
    ("known issue that matches no cell", Word.FAILED, "(.*; )?known issues that match no cell: .*"),
    ("hung", Word.FAILED, r"hung\b.*"),
    ("outside the checkpoint", Word.FAILED, r"not-captured\b.*"),
    ("proves nothing", Word.FAILED, r"vacuous\b.*"),
    ("instrument blind", Word.FAILED, "(NOT DETECTED|FALSE ALARM).*"),
    ("does not count: instrument blind", Word.BROKEN, f".*; {UNCOUNTED}"),
    ("incomplete, or a fault of stillframe or the host", Word.BROKEN, f"(?!.*; {UNCOUNTED}$).*"),
)
"""Name, status, and a regular expression for the whole message."""

_KEY = re.compile(r"[^\w.@/+-]", re.ASCII)
_NAME = re.compile(r"([0-9a-f-]{36})-(result|attachment)\.\w+")


def render(run: RunSummary, results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Yield the files with their names; a name depends only on the stable id, so it is the same in every run."""
    close = {id(trial) for trials in detailed_trials(run).values() for trial in trials}
    for each in results:
        files: dict[str, str] = {}
        made = _test(each, run, close, files)
        yield from files.items()
        yield TEST_CASE_PATTERN.format(prefix=made.uuid), _json(asdict(made, filter=_told))
    yield "categories.json", _json([_category(*each) for each in CATEGORIES])
    yield "environment.properties", _properties(_environment(run))


def sweep(folder: Path, kept: Collection[str]) -> None:
    """Remove the files of an earlier report that this report did not write; keep the files of other programs."""
    for path in folder.iterdir():
        found = _NAME.fullmatch(path.name)
        if found and path.name not in kept and _version(found[1]) == OURS.version:
            path.unlink()


def _version(text: str) -> int | None:
    try:
        return UUID(text).version
    except ValueError:
        return None


def _test(each: Result, run: RunSummary, close: set[int], files: dict[str, str]) -> TestResult:
    identity, known = str(uuid5(OURS, each.id)), each.status is Status.KNOWN
    return TestResult(
        uuid=identity,
        historyId=identity,
        testCaseId=identity,
        name=each.name,
        fullName=each.id,
        titlePath=[each.group, each.who],
        description=f"{in_markdown(f'Expected: {each.expected}')}\n\n{in_markdown(each.reason)}",
        status=WORDS[each.status],
        statusDetails=StatusDetails(
            known=known or None,
            message=f"known: {each.message}" if known else each.message,
            trace="\n".join(each.unexpected),
        ),
        stage="finished",
        start=_ms(each.start_ns),
        stop=_ms(each.end_ns),
        parameters=[*_parameters(each, run)],
        labels=[Label(name=name, value=value) for name, value in _labels(each)],
        links=[Link(type=LinkType.ISSUE, url=each.link, name=each.link.removeprefix("https://"))] if each.link else [],
        steps=[_step(part, each, close, files) for part in each.parts],
    )


def _parameters(each: Result, run: RunSummary) -> Iterator[Parameter]:
    """Yield the parameters; a new version or a new run is shown, too, but does not make it another test."""
    yield from (Parameter(name=name, value=value) for name, value in each.parameters.items())
    told = (*each.components.items(), ("run", cut(run.plan.run)))
    yield from (Parameter(name=name, value=value, excluded=True) for name, value in told)


def _labels(each: Result) -> Iterator[tuple[str, str]]:
    yield LabelType.PARENT_SUITE, each.group
    yield LabelType.SUITE, each.who
    yield from [(LabelType.SUB_SUITE, each.how)] if each.how else ()
    yield LabelType.FRAMEWORK, "stillframe"
    yield LabelType.LANGUAGE, "python"
    yield from [(LabelType.TAG, each.outcome.value)] if each.outcome else ()
    yield from [("owner", each.owner)] if each.owner else ()


def _step(part: Part, each: Result, close: set[int], files: dict[str, str]) -> TestStepResult:
    made = TestStepResult(
        name=part.name,
        status=WORDS[part.status],
        statusDetails=StatusDetails(message=part.reason) if part.reason else None,
        stage="finished",
        start=_ms(part.start_ns),
        stop=_ms(part.end_ns),
    )
    if part.record is not None:
        made.steps = [*_spans(part.record, WORDS[part.status])]
        if id(part.record) in close:
            made.attachments = [*_attached(part.record, each, files)]
    return made


def _spans(trial: Record, ending: str) -> Iterator[TestStepResult]:
    """Yield the trial's timeline as steps; the stage at which the trial ended has its status."""
    for span in sorted(trial.timeline, key=lambda span: span.start_ns)[:MOST_SPANS]:
        status = ending if span.name == trial.verdict.stage else Word.PASSED
        start, stop = _ms(span.start_ns), _ms(span.end_ns)
        yield TestStepResult(name=cut(span.name), status=status, stage="finished", start=start, stop=stop)


def _attached(trial: Record, each: Result, files: dict[str, str]) -> Iterator[Attachment]:
    said = {
        "log": trial.log,
        "left behind": trial.leaks,
        "warnings": trial.warnings,
        "source": source_notes(trial),
    }
    drawing = timeline.draw(trial, alone=True)
    found = {
        "timeline": (AttachmentType.SVG, str(drawing) if drawing else ""),
        **{name: (AttachmentType.TEXT, "\n".join(lines)) for name, lines in said.items()},
        "commands": (AttachmentType.TEXT, "\n".join(script(trial)) if trial.commands else ""),
    }
    for name, (kind, text) in found.items():
        if text and (kind is AttachmentType.TEXT or len(text) <= MOST_OF_A_FILE):
            prefix = uuid5(OURS, f"{each.id} {trial.trial} {name}")
            source = ATTACHMENT_PATTERN.format(prefix=prefix, ext=kind.extension)
            files[source] = _short(clean(text), each)
            yield Attachment(name=f"{name} of trial {trial.trial}", source=source, type=kind.mime_type)


def _short(text: str, each: Result) -> str:
    if len(text) <= MOST_OF_A_FILE:
        return text
    kept = text[:MOST_OF_A_FILE].rpartition("\n")[0]
    return f"{kept}\n# the rest is left out; `stillframe show '{each.id}'` prints all of it\n"


def _category(name: str, status: str, message: str) -> dict[str, Any]:
    return {"name": name, "matchedStatuses": [status], "messageRegex": message}


def _environment(run: RunSummary) -> Iterator[tuple[str, str]]:
    plan = run.plan
    yield "stillframe", plan.stillframe
    yield "run", plan.run
    yield "verdict", run.conclusion.sentence
    yield "exit.code", str(run.conclusion.exit_code.value)
    yield "seed", str(plan.seed)
    for name in ("os", "kernel", "architecture", "cgroups", "cpus", "memory_gib"):
        yield name, ", ".join(dict.fromkeys(str(getattr(host, name)) for host in run.hosts))
    for who, components in run.versions.items():
        yield who, ", ".join(map(str, components))
    yield "not.in.these.results", LEFT_OUT


def _properties(facts: Iterable[tuple[str, str]]) -> str:
    """Write facts for java.util.Properties, in ASCII; its escapes are the same as in JSON."""
    return "".join(f"{_KEY.sub('_', cut(name))}={json.dumps(cut(told))[1:-1]}\n" for name, told in facts)


def _ms(ns: int | None) -> int | None:
    return None if ns is None else ns // 1_000_000


def _told(_: Any, value: Any) -> bool:
    """Leave out empty values, as Allure's own writers do."""
    return bool(value) or value is False


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
