"""Results as JUnit XML: a suite for each participant, and one for the instrument's own proof. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from reports.analysis.tables import RunSummary
from reports.formats.results import Kind, Result, Status, cut, moment

LEFT_OUT = (
    "readings, skews, schedules, timelines, commands, logs and statistics are not in this file, and an outcome is only "
    "passed, skipped, failure or error: the site beside it and records/*.jsonl have everything"
)


def render(run: RunSummary, results: Sequence[Result]) -> str:
    """Write the results; a known issue is skipped, with its link."""
    suites: dict[str, list[Result]] = {}
    for each in results:
        suites.setdefault(each.who if each.kind is Kind.CELL else each.group, []).append(each)
    whole = JUnitXml(f"stillframe {cut(run.plan.run)}")
    whole.extend([_suite(run, name, those) for name, those in suites.items()])
    whole.update_statistics()
    return _printed(whole)


def _printed(whole: JUnitXml) -> str:
    text = io.BytesIO()
    whole.write(text)
    return text.getvalue().decode() + "\n"


def _suite(run: RunSummary, name: str, results: Sequence[Result]) -> TestSuite:
    suite = TestSuite(name)
    begun = min((each.start_ns for each in results if each.start_ns is not None), default=run.plan.created_ns)
    suite.timestamp = moment(begun).removesuffix("Z")
    facts = {
        "run": run.plan.run,
        "stillframe": run.plan.stillframe,
        "seed": str(run.plan.seed),
        "verdict": run.conclusion.sentence,
        "not carried": LEFT_OUT,
    }
    for what, told in facts.items():
        suite.add_property(what, cut(told))
    suite.add_testcases([_case(each, name) for each in results])
    return suite


def _case(each: Result, suite: str) -> TestCase:
    seconds = 0.0 if each.kind is Kind.RUN else round(each.seconds, 3)  # or all time counts twice
    case = TestCase(each.name, classname=suite, time=seconds)
    properties = Properties()
    properties.extend([Property(name, told) for name, told in _facts(each)])
    case.append(properties)
    found = _ending(each)
    if found is not None:
        case.result = [found]
    return case


def _facts(each: Result) -> Iterator[tuple[str, str]]:
    yield "found", each.message
    yield "expected", each.expected
    yield from each.parameters.items()
    yield from (("version", f"{name} {version}") for name, version in each.components.items())
    if each.link:
        yield "link", each.link
    if each.owner:
        yield "owner", each.owner
    yield "page", each.page


def _ending(each: Result) -> FinalResult | None:
    """Return why it did not pass; the type is the outcome, so that tools can group by it."""
    kind = each.outcome.value if each.outcome else each.kind.value
    if each.status is Status.PASSED:
        return None
    if each.status is Status.KNOWN:
        return Skipped(f"known: {each.message}; {each.reason}, {each.link}", kind)
    found = Failure(each.message, kind) if each.status is Status.FAILED else Error(each.message, kind)
    found.text = "\n".join(_evidence(each))
    return found


def _evidence(each: Result) -> Iterator[str]:
    yield f"found: {each.message}"
    yield f"expected: {each.expected}, because {each.reason}"
    yield from each.unexpected
    if each.kind is Kind.CELL:
        yield f"commands: stillframe show '{each.id}'"
