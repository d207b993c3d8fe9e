"""Results in the Common Test Report Format: one JSON document for many plugins (ctrf.io, specification 1.0.0). Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reports.analysis.tables import RunSummary
from reports.formats.results import Result, Status, cut, moment

LEFT_OUT = (
    "readings, skews, schedules, timelines, commands, logs and statistics are not in this file: the site beside it and "
    "records/*.jsonl have all of these; known issues have the status skipped, and broken results have the status "
    "failed: rawStatus tells them apart"
)
OURS = uuid5(NAMESPACE_URL, "tag:stillframe,2026:ctrf")
WORDS = {Status.PASSED: "passed", Status.KNOWN: "skipped", Status.FAILED: "failed", Status.BROKEN: "failed"}
"""A broken result is `failed`, because tools do not show `other` in red."""


def render(run: RunSummary, results: Sequence[Result]) -> str:
    """Write the results as a document; its timestamp is the end of the run."""
    plan, host = run.plan, run.plan.host
    document = {
        "reportFormat": "CTRF",
        "specVersion": "1.0.0",
        "reportId": str(uuid5(OURS, plan.run)),
        "runId": cut(plan.run),
        "timestamp": moment(_end(run)),
        "generatedBy": cut(f"stillframe {plan.stillframe}"),
        "results": {
            "tool": {"name": "stillframe", "version": cut(plan.stillframe)},
            "summary": _summary(run, results),
            "tests": [_test(each) for each in results],
            "environment": {
                "reportName": cut(f"stillframe {plan.run}"),
                "osPlatform": "linux",
                "osRelease": cut(host.kernel),
                "osVersion": cut(host.os),
                "extra": {"stillframe.host": {"architecture": cut(host.architecture), "cgroups": cut(host.cgroups)}},
            },
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _summary(run: RunSummary, results: Sequence[Result]) -> dict[str, Any]:
    counts = Counter(WORDS[each.status] for each in results)
    start, stop = run.plan.created_ns // 1_000_000, _end(run) // 1_000_000
    return {
        "tests": len(results),
        **{word: counts[word] for word in ("passed", "failed", "skipped", "pending", "other")},
        "suites": len({tuple(_suite(each)) for each in results}),
        "start": start,
        "stop": stop,
        "duration": stop - start,
        "extra": {
            "stillframe.run": {
                "verdict": cut(run.conclusion.sentence),
                "exitCode": run.conclusion.exit_code.value,
                "seed": run.plan.seed,
                "notCarried": LEFT_OUT,
            }
        },
    }


def _end(run: RunSummary) -> int:
    return run.closing.end_ns if run.closing else run.plan.created_ns


def _suite(each: Result) -> list[str]:
    return [each.group, each.who]


def _test(each: Result) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": str(uuid5(OURS, each.id)),
        "testId": each.id,
        "name": each.name,
        "status": WORDS[each.status],
        "rawStatus": f"{each.status}: {each.outcome}" if each.outcome else each.status.value,
        "duration": round(each.seconds * 1_000),
        "suite": _suite(each),
        "message": f"known: {each.message}; {each.reason}" if each.status is Status.KNOWN else each.message,
        "type": each.kind.value,
        "tags": [each.outcome.value] if each.outcome else [],
        "labels": {f"version of {name}": version for name, version in each.components.items()},
        "parameters": each.parameters,
        "steps": [{"name": part.name, "status": WORDS[part.status]} for part in each.parts],
        "extra": {"stillframe.result": _told(each)},
    }
    if each.start_ns is not None and each.end_ns is not None:
        found |= {"start": each.start_ns // 1_000_000, "stop": each.end_ns // 1_000_000}
    if each.status in (Status.FAILED, Status.BROKEN):
        found["trace"] = "\n".join(each.unexpected)
    return found


def _told(each: Result) -> dict[str, Any]:
    told = {
        "expected": each.expected,
        "reason": each.reason,
        "link": each.link,
        "owner": each.owner,
        "page": each.page,
        "trials": {outcome.value: count for outcome, count in each.counts.items()},
    }
    return {name: value for name, value in told.items() if value}
