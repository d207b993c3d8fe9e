from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from junitparser import JUnitXml

from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary, summarise
from reports.formats.junit import LEFT_OUT, render
from reports.formats.results import MOST_ODD, results
from tests.reports import engines, hostile
from tests.reports.synthetic import STILL, closing, expected_run, matrix, moving, plan, record, summary

KNOWN = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: engines.AHEAD}})


def junit(run: RunSummary) -> ET.Element:
    return ET.fromstring(render(run, results(run)))


def case(root: ET.Element, name: str) -> ET.Element:
    (found,) = (each for each in root.iter("testcase") if each.get("name") == name)
    return found


def ending(root: ET.Element, name: str) -> tuple[str, str | None, str | None, str]:
    (found,) = (each for each in case(root, name) if each.tag != "properties")
    return found.tag, found.get("type"), found.get("message"), found.text or ""


def test_each_participant_has_a_suite_and_so_have_the_proof_and_the_run() -> None:
    root = junit(engines.summary(all_well=True))
    names = [suite.get("name") for suite in root]
    assert len(names) == len(set(names))
    assert {"runc@debian-sid", "podman/runc@debian-sid image", "proof of the instrument", "run"} <= set(names)
    for suite in root:
        assert {each.get("classname") for each in suite.iter("testcase")} == {suite.get("name")}
        assert suite.get("timestamp") == "2026-11-23T12:00:00"
        assert "hostname" not in suite.attrib
        told = {each.get("name"): each.get("value") for each in suite.find("properties") or ()}
        assert (told["run"], told["seed"], told["stillframe"]) == ("2026-11-23-1", "7", "0.1.0")
        assert told["not carried"] == LEFT_OUT


def test_the_counts_are_those_of_the_run() -> None:
    run = engines.summary()
    found = results(run)
    whole = JUnitXml.fromstring(render(run, found).encode())
    by_status = [sum(each.status == status for each in found) for status in ("failed", "broken", "known")]
    assert [whole.failures, whole.errors, whole.skipped] == by_status
    assert min(by_status) > 0
    assert whole.time == pytest.approx(sum(each.seconds for each in found[:-1])), (
        "the result of the run itself has no time of its own"
    )
    assert whole.tests == len(found) == sum(suite.tests for suite in whole)


def test_what_passed_has_nothing_but_properties() -> None:
    root = junit(summary(plan(matrix()), expected_run(matrix())))
    found = case(root, STILL.id)
    assert [each.tag for each in found] == ["properties"]
    assert found.get("time") == "9.4"
    told = [(each.get("name"), each.get("value")) for each in found.iter("property")]
    assert ("found", "consistent 0/5 (<45.1 %)") in told
    assert ("version", "criu 4.2.1") in told
    assert ("policy", "pause") in told


def test_what_is_known_is_skipped_with_its_link() -> None:
    tag, kind, message, _ = ending(junit(summary(KNOWN, [moving(STILL)])), STILL.id)
    assert (tag, kind) == ("skipped", "inconsistent")
    assert message == f"known: inconsistent 1/1 disk-ahead +45 ms; {engines.AHEAD.reason}, {engines.AHEAD.link}"


def test_what_is_unexpected_is_a_failure_with_its_evidence() -> None:
    tag, kind, message, text = ending(junit(summary(plan([STILL], 1), [moving(STILL)])), STILL.id)
    assert (tag, kind) == ("failure", "inconsistent")
    assert message == "inconsistent 1/1 disk-ahead +45 ms; unexpected, should be consistent"
    assert "trial 0: inconsistent disk-ahead +45 ms: rootfs is ahead\n" in text
    assert f"stillframe show '{STILL.id}'" in text


def test_what_did_not_come_back_is_an_error() -> None:
    tag, kind, message, _ = ending(junit(summary(plan([STILL], 3), [record(STILL)])), STILL.id)
    assert (tag, kind, message) == ("error", "missing", "missing 2 of 3; incomplete, should be consistent")


def test_what_was_left_behind_is_a_failure_of_the_run() -> None:
    root = junit(summarise(plan([STILL], 1), [record(STILL)], closing("a mount")))
    assert ending(root, "the run itself")[:3] == ("failure", "run", "left behind on the host: a mount")


def test_evidence_has_an_end() -> None:
    some = [record(STILL, number, outcome=Outcome.LEAKED) for number in range(MOST_ODD + 7)]
    text = ending(junit(summary(plan([STILL], len(some)), some)), STILL.id)[3]
    assert (text.count("\ntrial "), "and 7 more" in text) == (MOST_ODD, True)


def test_a_hostile_run_stays_xml_and_small() -> None:
    run = hostile.run()
    text = render(run, results(run))
    root = ET.fromstring(text)
    assert len(list(root.iter("testcase"))) == len(results(run))
    assert {each.tag for each in root.iter()} <= {
        *("testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped")
    }
    assert len(text) < 60_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028\ufffe]", text)


@pytest.mark.parametrize("run", [engines.summary(), hostile.run()], ids=["engines", "hostile"])
def test_the_same_run_gives_the_same_bytes(run: RunSummary) -> None:
    assert render(run, results(run)) == render(run, results(run))
