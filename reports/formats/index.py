"""A run as small JSON documents at stable addresses: an index, one of each cell, one of each participant. Pure.

An address is relative to the document that names it, so that a copy of the site works wherever it is. Schemas are in
`reports/schema`; what is added to documents later leaves `v1` as it is.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, Field

from harness.model.cells import FreezePolicy, Scenario
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Anomaly, Outcome
from harness.model.values import Frozen, SchemaVersion
from reports.analysis import newest
from reports.analysis.cells import CellSummary, Exit, prevailing
from reports.analysis.participants import Participant, participants
from reports.analysis.tables import RunSummary
from reports.formats.results import cut, moment, stable
from reports.paths import ALLURE, BADGE, CTRF, INDEX, JUNIT, badge_of, document_of, feed_of, page_of
from reports.words.cells import entry, mark
from reports.words.outcomes import VERDICTS

API_VERSION = 1
LEFT_OUT = (
    "trials one by one, readings, timelines, commands and logs, the instrument's own proof, and checkpoint images: "
    "summary.json has the last two, and records/*.jsonl have all of it"
)


class Document(Frozen):
    """What every document says of the run that it is about."""

    schema_version: SchemaVersion = API_VERSION
    run: str = Field(description="id of the run")
    date: dt.date = Field(description="on which it began, in UTC")
    valid: bool = Field(
        description="false where the instrument's own proof failed, so that no result of the run counts"
    )
    page: str = Field(description="address")
    badge: str = Field(description="address")
    left_out: str = Field(default=LEFT_OUT, description="what no document has, and where it is")


class CellEntry(Frozen):
    """A cell in a list."""

    id: str
    outcome: Outcome
    as_expected: bool
    document: str = Field(description="address")


class CellDocument(Document):
    """A cell, and what became of it."""

    id: str
    workload: str
    scenario: Scenario
    policy: FreezePolicy
    checkpoint: str = Field(description="participant")
    restore: str = Field(description="participant")
    way: str
    outcome: Outcome = Field(description="the worst of its trials; `missing` when any is")
    entry: str = Field(description="as tables say it")
    mark: str = Field(description="how to take it: `known`, `expected`, `unexpected`, ...; empty for a clean cell")
    as_expected: bool
    exit_code: Exit
    expectation: Expectation
    planned: int = Field(description="trials")
    missing: int = Field(description="trials that did not come back")
    n: int = Field(description="trials received")
    k: int = Field(description="trials with another outcome than consistent")
    counts: dict[Outcome, int] = Field(description="trials by outcome")
    rate_bound: float | None = Field(description="exact upper 95 % bound of the violation rate, when k is 0")
    rate_interval: tuple[float, float] | None = Field(description="exact two-sided 95 % interval, where 0 < k < n")
    anomalies: tuple[Anomaly, ...]
    skew_ticks: float | None = Field(description="median of the trials' largest, positive when the disk is ahead")
    skew_us: float | None = Field(description="the same in microseconds")
    versions: dict[str, tuple[Component, ...]] = Field(description="every version seen, by side")


class ParticipantEntry(Frozen):
    """A participant in a list."""

    name: str
    exit_code: Exit = Field(description="of its own cells")
    cells: int
    document: str = Field(description="address")


class ParticipantDocument(Document):
    """Who took part, and in what."""

    name: str
    verdict: str
    exit_code: Exit = Field(description="of its own cells")
    summary: str = Field(description="how its cells came out, in words")
    versions: tuple[Component, ...]
    cells: tuple[CellEntry, ...]
    feed: str = Field(description="address of what has changed from run to run")


class IndexDocument(Document):
    """The run, and where everything else is."""

    stillframe: str = Field(description="version of the program")
    created: dt.datetime
    ended: dt.datetime | None = Field(description="null for a run that did not come to its end")
    verdict: str
    exit_code: Exit
    sentence: str = Field(description="the verdict, and which cells it is about")
    cells: tuple[CellEntry, ...]
    participants: tuple[ParticipantEntry, ...]
    files: dict[str, str] = Field(description="addresses of the same in other forms")


def render(run: RunSummary, before: Sequence[RunSummary] = ()) -> Iterator[tuple[str, str]]:
    """Give the documents, each with its place; `before`: older runs, oldest first, for what this one leaves out."""
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
    """JSON Schemas of the documents, by file stem."""
    kinds: dict[str, type[Document]] = {
        "api-index": IndexDocument,
        "api-cell": CellDocument,
        "api-participant": ParticipantDocument,
    }
    return {stem: kind.model_json_schema(mode="serialization") for stem, kind in kinds.items()}


def _index(run: RunSummary, who: tuple[Participant, ...]) -> IndexDocument:
    files = {"site": "index.html", "summary": "summary.json", "report": "report.md", "junit": JUNIT, "ctrf": CTRF}
    return IndexDocument(
        **_about(run, INDEX, "index.html", BADGE),
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
    """What a part of the run comes to: where the instrument is blind, no more than the run itself."""
    return prevailing({own, Exit.BLIND}) if run.conclusion.exit_code is Exit.BLIND else own


def _cell_entry(each: CellSummary, place: str) -> CellEntry:
    return CellEntry(
        id=stable(each.cell.id),
        outcome=each.outcome,
        as_expected=each.as_expected,
        document=_address(document_of(page_of(each.cell)), place),
    )


def _address(place: str, document: str) -> str:
    """Tell where something is, as seen from a document."""
    return posixpath.relpath(place, posixpath.dirname(document))


def _json(document: Document) -> str:
    bounded: Document = _bounded(document)
    return bounded.model_dump_json(indent=1) + "\n"


def _bounded(value: Any) -> Any:
    """Cut every string of a document, however deep."""
    if type(value) is str:
        return cut(value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _bounded(getattr(value, name)) for name in type(value).model_fields})
    if isinstance(value, tuple):
        return tuple(map(_bounded, value))
    if isinstance(value, dict):
        return {_bounded(key): _bounded(each) for key, each in value.items()}
    return value
