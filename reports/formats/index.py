"""A run as small JSON documents at stable addresses: an index, one for each cell, one for each participant. Pure.

An address is relative to its document, so a copy of the site works at any place. The schemas are in `reports/schema`.
New fields in documents do not change `v1`.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Field

from harness.model.cells import FreezePolicy, Scenario
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Anomaly, Outcome
from harness.model.values import Frozen, SchemaVersion
from reports.analysis import newest
from reports.analysis.cells import CellSummary, prevailing
from reports.analysis.participants import Participant, participants, parts
from reports.analysis.tables import RunSummary
from reports.formats.results import cut, moment, stable
from reports.paths import (
    ALLURE,
    BADGE,
    CTRF,
    INDEX,
    JUNIT,
    OVERVIEW,
    badge_of,
    component_feed,
    document_of,
    feed_of,
    page_of,
)
from reports.words.cells import entry, mark
from reports.words.outcomes import VERDICTS

API_VERSION = 1
LEFT_OUT = (
    "single trials, readings, timelines, commands, logs, the instrument's own proof, and checkpoint images: "
    "summary.json has the last two, and records/*.jsonl have all of these"
)


class Document(Frozen):
    """The facts about the run that every document has."""

    schema_version: SchemaVersion = API_VERSION
    run: str = Field(description="id of the run")
    date: dt.date = Field(description="first day of the run, in UTC")
    valid: bool = Field(description="false if the instrument's own proof failed, so no result of the run counts")
    page: str = Field(description="address")
    badge: str = Field(description="address")
    left_out: str = Field(default=LEFT_OUT, description="data that no document has, and the files that have it")


class CellEntry(Frozen):
    """A cell in a list."""

    id: str
    outcome: Outcome
    as_expected: bool
    document: str = Field(description="address")


class CellDocument(Document):
    """A cell and its result."""

    id: str
    workload: str
    scenario: Scenario
    policy: FreezePolicy
    checkpoint: str = Field(description="participant")
    restore: str = Field(description="participant")
    way: str
    outcome: Outcome = Field(description="the worst outcome of its trials; `missing` if a trial is missing")
    entry: str = Field(description="the result as in tables")
    mark: str = Field(description="`known`, `expected`, `unexpected`, ...; empty for a clean cell")
    as_expected: bool
    exit_code: Exit
    expectation: Expectation
    planned: int = Field(description="trials")
    missing: int = Field(description="trials that did not come back")
    n: int = Field(description="trials received")
    k: int = Field(description="trials with another outcome than consistent")
    counts: dict[Outcome, int] = Field(description="trials by outcome")
    rate_bound: float | None = Field(description="exact upper 95 % bound of the violation rate, when k is 0")
    rate_interval: tuple[float, float] | None = Field(description="exact two-sided 95 % interval, when 0 < k < n")
    anomalies: tuple[Anomaly, ...]
    skew_ticks: float | None = Field(description="median of the trials' largest skews, positive if the disk is ahead")
    skew_us: float | None = Field(description="the same in microseconds")
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by side")


class ParticipantEntry(Frozen):
    """A participant in a list."""

    name: str
    exit_code: Exit = Field(description="exit code of its own cells")
    cells: int
    document: str = Field(description="address")


class ParticipantDocument(Document):
    """A participant and its cells."""

    name: str
    verdict: str
    exit_code: Exit = Field(description="exit code of its own cells")
    summary: str = Field(description="the results of its cells, in words")
    versions: tuple[Component, ...]
    cells: tuple[CellEntry, ...]
    feed: str = Field(description="address of the feed of changes from run to run")


class ComponentEntry(Frozen):
    """A component of participants: `criu`, `runc`."""

    name: str
    versions: dict[str, tuple[str, ...]] = Field(description="names of participants by version")
    feed: str = Field(description="address of the feed of changes from run to run")


class IndexDocument(Document):
    """The run, with the addresses of all other documents."""

    stillframe: str = Field(description="version of the program")
    created: dt.datetime
    ended: dt.datetime | None = Field(description="null for a run that did not finish")
    verdict: str
    exit_code: Exit
    sentence: str = Field(description="the verdict and its cells")
    cells: tuple[CellEntry, ...]
    participants: tuple[ParticipantEntry, ...]
    components: tuple[ComponentEntry, ...]
    files: dict[str, str] = Field(description="addresses of the same results in other formats")


def render(run: RunSummary, before: Sequence[RunSummary] = ()) -> Iterator[tuple[str, str]]:
    """Yield the documents with their paths; `before`: older runs, oldest first, for what this run leaves out."""
    yield INDEX, _json(_index(run, participants(run)))
    for tried, those in newest.who(run, before):
        for each in those:
            place = document_of(each.path)
            yield place, _json(_participant(tried, each, place))
    for tried, cells in newest.cells(run, before):
        for cell in cells:
            place = document_of(page_of(cell.cell))
            yield place, _json(_cell(tried, cell, place))


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the documents, by file stem."""
    kinds: dict[str, type[Document]] = {
        "api-index": IndexDocument,
        "api-cell": CellDocument,
        "api-participant": ParticipantDocument,
    }
    return {stem: kind.model_json_schema(mode="serialization") for stem, kind in kinds.items()}


def _index(run: RunSummary, who: tuple[Participant, ...]) -> IndexDocument:
    files = {"site": OVERVIEW, "summary": "summary.json", "report": "report.md", "junit": JUNIT, "ctrf": CTRF}
    return IndexDocument(
        **_about(run, INDEX, OVERVIEW, BADGE),
        stillframe=run.plan.stillframe,
        created=dt.datetime.fromisoformat(moment(run.plan.created_ns)),
        ended=dt.datetime.fromisoformat(moment(run.closing.end_ns)) if run.closing else None,
        verdict=VERDICTS[run.conclusion.exit_code],
        exit_code=run.conclusion.exit_code,
        sentence=run.conclusion.sentence,
        cells=tuple(_cell_entry(each, INDEX) for each in run.cells),
        participants=tuple(
            ParticipantEntry(
                name=each.name,
                exit_code=_code(run, each.exit_code),
                cells=len(each.cells),
                document=_address(document_of(each.path), INDEX),
            )
            for each in who
        ),
        components=tuple(
            ComponentEntry(name=each.name, versions=each.versions, feed=_address(component_feed(each.name), INDEX))
            for each in parts(run)
        ),
        files={name: _address(place, INDEX) for name, place in {**files, "allure": ALLURE}.items()},
    )


def _participant(run: RunSummary, each: Participant, place: str) -> ParticipantDocument:
    code = _code(run, each.exit_code)
    return ParticipantDocument(
        **_about(run, place, each.path, badge_of(each.path)),
        name=each.name,
        verdict=VERDICTS[code],
        exit_code=code,
        summary=each.sentence,
        versions=run.versions.get(each.name, ()),
        cells=tuple(_cell_entry(cell, place) for cell in each.cells),
        feed=_address(feed_of(each.path), place),
    )


def _cell(run: RunSummary, each: CellSummary, place: str) -> CellDocument:
    cell = each.cell
    same = CellDocument.model_fields.keys() & CellSummary.model_fields.keys()
    return CellDocument(
        **_about(run, place, page_of(cell), badge_of(page_of(cell))),
        **{name: getattr(each, name) for name in same - {"exit_code"}},
        id=stable(cell.id),
        workload=cell.workload,
        scenario=cell.scenario,
        policy=cell.policy,
        checkpoint=str(cell.checkpoint),
        restore=str(cell.restore),
        way=cell.way,
        entry=entry(each),
        mark=mark(each),
        as_expected=each.as_expected,
        exit_code=_code(run, each.exit_code),
        versions=each.components,
    )


def _about(run: RunSummary, place: str, page: str, badge: str) -> dict[str, Any]:
    return {
        "run": run.plan.run,
        "date": dt.datetime.fromtimestamp(run.plan.created_ns // 1_000_000_000, dt.UTC).date(),
        "valid": run.conclusion.exit_code is not Exit.BLIND,
        "page": _address(page, place),
        "badge": _address(badge, place),
    }


def _code(run: RunSummary, own: Exit) -> Exit:
    """Return the exit code of a part of the run; if the instrument is blind, all parts have that code."""
    return prevailing({own, Exit.BLIND}) if run.conclusion.exit_code is Exit.BLIND else own


def _cell_entry(each: CellSummary, place: str) -> CellEntry:
    return CellEntry(
        id=stable(each.cell.id),
        outcome=each.outcome,
        as_expected=each.as_expected,
        document=_address(document_of(page_of(each.cell)), place),
    )


def _address(place: str, document: str) -> str:
    """Return a path relative to a document."""
    return posixpath.relpath(place, posixpath.dirname(document))


def _json(document: Document) -> str:
    bounded: Document = _bounded(document)
    return bounded.model_dump_json(indent=1) + "\n"


def _bounded(value: Any) -> Any:
    """Cut every string of a document, at any depth."""
    if type(value) is str:
        return cut(value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _bounded(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, tuple):
        return tuple(map(_bounded, value))
    if isinstance(value, dict):
        return {_bounded(key): _bounded(each) for key, each in value.items()}
    return value
