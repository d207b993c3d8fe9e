from __future__ import annotations

import json
import posixpath
from typing import Any

import jsonschema
import pytest

from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.controls import Control
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary, summarise
from reports.formats.index import LEFT_OUT, render, schemas
from reports.formats.results import MOST_LETTERS
from reports.pages.site import render as render_site
from reports.paths import INDEX, TOOLS, document_of, page_of, participant_page
from tests.reports import engines, hostile
from tests.reports.synthetic import MOVING, STILL, expected_run, matrix, moving, plan, record, summary

OTHER = Participant(runtime="crun", stack="debian-sid")
CROSSED = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=STILL.checkpoint, restore=OTHER)


def documents(run: RunSummary) -> dict[str, Any]:
    return {place: json.loads(text) for place, text in render(run)}


def of(run: RunSummary, cell: Cell = STILL) -> Any:
    return documents(run)[document_of(page_of(cell))]


def arriving(place: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), address))


@pytest.mark.parametrize("run", [engines.summary(), hostile.run()], ids=["engines", "hostile"])
def test_documents_fit_their_schemas_and_their_addresses_arrive(run: RunSummary) -> None:
    found = documents(run)
    pages = dict(render_site(run))
    kinds = {"cells": "api-cell", "participants": "api-participant", "v1": "api-index"}
    fits = {stem: jsonschema.Draft202012Validator(schema) for stem, schema in schemas().items()}
    for place, document in found.items():
        fits[kinds[place.split("/")[-2]]].validate(document)
        assert arriving(place, document["page"]) in pages
        assert document["left_out"] == LEFT_OUT
        for entry in (*document.get("cells", ()), *document.get("participants", ())):
            assert arriving(place, entry["document"]) in found
    assert len(found) == 1 + len(found[INDEX]["cells"]) + len(found[INDEX]["participants"])


def test_the_index_is_the_run_and_leads_to_everything() -> None:
    index = documents(engines.summary())[INDEX]
    assert (index["run"], index["date"], index["exit_code"]) == ("2026-11-23-1", "2026-11-23", 1)
    assert (index["verdict"], index["valid"], index["created"]) == ("not as expected", True, "2026-11-23T12:00:00Z")
    assert index["ended"] == "2026-11-23T12:01:00Z"
    assert index["sentence"].startswith("4 of 285 cells not as expected")
    assert len(index["cells"]) == len(engines.cells())
    files = {arriving(INDEX, address) for address in index["files"].values()}
    assert files >= {tool.path.rstrip("/") for tool in TOOLS} - {INDEX, "badges/run.svg"}
    assert summarise(plan([STILL], 1), [record(STILL)], None).closing is None
    assert documents(summarise(plan([STILL], 1), [record(STILL)], None))[INDEX]["ended"] is None


def test_a_cell_says_what_became_of_it_and_how_sure_that_is() -> None:
    run = summary(plan(matrix()), expected_run(matrix()))
    clean, wrong = of(run, STILL), of(run, MOVING)
    assert (clean["id"], clean["outcome"], clean["entry"]) == (STILL.id, "consistent", "consistent 0/5 (<45.1 %)")
    assert (clean["n"], clean["k"], clean["counts"]) == (5, 0, {"consistent": 5})
    assert clean["rate_bound"] == pytest.approx(0.4507, abs=1e-4)
    assert clean["expectation"]["outcome"] == "consistent"
    assert (wrong["k"], wrong["rate_bound"], wrong["skew_us"], wrong["mark"]) == (5, None, 45_390.0, "expected")
    assert wrong["anomalies"] == ["disk-ahead"]
    some = [record(STILL, number) for number in range(4)]
    found = of(summary(plan([STILL]), [*some, moving(STILL, 4)]))
    assert found["rate_interval"] == pytest.approx([0.005, 0.716], abs=1e-3)
    assert (found["mark"], found["as_expected"], found["exit_code"]) == ("unexpected", False, 1)


def test_versions_are_told_by_side() -> None:
    trial = record(CROSSED)
    trial = trial.model_copy(update={"components": {"restore": (Component(name="crun", version="1.28"),)}})
    found = of(summary(plan([CROSSED], 1), [trial]), CROSSED)
    assert found["versions"] == {"restore": [{"name": "crun", "version": "1.28", "sha256": "", "commit": ""}]}
    assert (found["checkpoint"], found["restore"]) == ("runc@debian-sid", "crun@debian-sid")


def test_a_participant_has_its_cells_and_its_verdict() -> None:
    found = documents(engines.summary())[document_of(participant_page("containerd@debian-sid"))]
    assert (found["name"], found["verdict"], found["exit_code"]) == ("containerd@debian-sid", "not as expected", 1)
    assert {entry["id"] for entry in found["cells"] if not entry["as_expected"]} == {
        "paused:ledger.engine.containerd@debian-sid"
    }
    assert {each["name"] for each in found["versions"]} == {"containerd", "criu"}
    assert found["feed"] == "../../../feeds/containerd@debian-sid.atom"


def test_where_the_instrument_is_blind_nothing_is_valid() -> None:
    control = Control(name="ring-byte", cell=STILL, outcome=Outcome.INCONSISTENT)
    some = plan([STILL], 1).model_copy(update={"controls": (control,)})
    found = documents(summary(some, [record(STILL), record(STILL, control="ring-byte")]))
    assert {(each["valid"], each["exit_code"]) for each in found.values()} == {(False, 4)}


def test_addresses_are_the_same_whatever_the_versions_and_the_run() -> None:
    trial = record(STILL)
    other = trial.model_copy(update={"components": {"checkpoint": (Component(name="runc", version="9"),)}})
    newer = plan([STILL], 1, run="2027-01-01-1")
    assert documents(summary(plan([STILL], 1), [trial])).keys() == documents(summary(newer, [other])).keys()


def test_a_hostile_run_has_small_documents() -> None:
    def longest(value: Any) -> int:
        if isinstance(value, dict):
            return max(map(longest, [*value, *value.values()]), default=0)
        if isinstance(value, list):
            return max(map(longest, value), default=0)
        return len(value) if isinstance(value, str) else 0

    for place, document in documents(hostile.run()).items():
        assert longest(document) <= MOST_LETTERS, place
        assert len(place) < 250


def test_the_same_run_gives_the_same_bytes() -> None:
    assert dict(render(engines.summary())) == dict(render(engines.summary()))
