"""What a site says of older runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis.compare import compare
from reports.analysis.turns import turn
from reports.formats import write as formats
from reports.paths import document_of, feed_of, page_of, participant_page
from reports.words.causes import turned
from tests.reports.pages.parsed import Site, arrive, site
from tests.reports.synthetic import MOVING, STILL, cell, moving, newer, plan, record, summary, versioned


def test_a_cell_that_the_newest_run_has_not_tried_keeps_its_page() -> None:
    old = summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)])
    new = newer(summary(plan([STILL], 1), [moving(STILL)]), 9)
    found = Site(new, before=[old])
    arrive(found)
    age = "Not part of the newest run. This result is from run 2026-11-23-1"
    assert age in " ".join(found.of(MOVING).text.split())
    assert "Not part" not in found.of(STILL).text
    assert found.of(STILL).text.count("inconsistent"), "the newest run prevails"
    assert MOVING.id in found["history.html"].text


def test_a_participant_that_the_newest_run_leaves_out_keeps_its_page_document_and_feed() -> None:
    gone = cell(runtime="crun")
    old = summary(plan([STILL, gone], 1), [record(STILL), record(gone)])
    new = newer(summary(plan([STILL], 1), [record(STILL)]), 9)
    found = Site(new, before=[old], comparison=compare(old, new))
    arrive(found)
    page = participant_page("crun@debian-sid")
    age = "Not part of the newest run. This result is from run 2026-11-23-1"
    assert age in " ".join(found[page].text.split())
    assert "Not part" not in found[participant_page("runc@debian-sid")].text
    forms = dict(formats.render(new, before=[old], now=datetime.now(UTC)))
    assert (
        json.loads(forms[document_of(page)])["run"]
        == json.loads(forms[document_of(page_of(gone))])["run"]
        == old.plan.run
    )
    assert "crun@debian-sid: 1 cell fewer" in forms[feed_of(page)]


def test_older_runs_are_the_past_of_the_newest() -> None:
    old = summary(plan([STILL, MOVING], 1), [versioned(moving(STILL), "5.8"), versioned(moving(MOVING), "5.8")])
    new = newer(
        summary(plan([STILL, MOVING], 1), [versioned(record(STILL), "6.1"), versioned(moving(MOVING), "6.1")]), 9
    )
    found = Site(new, before=[old], comparison=compare(old, new))
    arrive(found)
    for page in (found.of(STILL), found["history.html"]):
        for told in (
            "first good: run 2026-11-29-1",
            "last bad: run 2026-11-23-1",
            "changed in between: podman 5.8 -> 6.1",
        ):
            assert told in page.text
    assert "good in all 2 runs with a result" in found["history.html"].text, "the other cell fails by design"
    assert "Outcome by run. 2026-11-23-1: inconsistent; 2026-11-29-1: consistent" in found.raw[page_of(STILL)]
    assert re.findall(r"5\.8|6\.1", found["history.html"].text.partition("These components")[2])[:2] == ["5.8", "6.1"]
    for page in (found["index.html"], found["compare.html"]):
        assert "fixed: 1 cell" in page.text
        assert "podman 5.8 -> 6.1 (checkpoint): 1 cell: inconsistent" in " ".join(page.text.split())


def test_without_a_past_nothing_is_said_of_one() -> None:
    found = site(record(STILL), cells=[STILL])
    assert not {"history.html", "compare.html"} & set(found.pages)
    assert "Changes since run" not in found.text


def test_the_first_bad_run_is_the_first_of_the_present_state_and_silent_runs_do_not_count() -> None:
    def found(*outcomes: Outcome) -> tuple[str, ...]:
        runs = [summary(plan([STILL], 1), [record(STILL, outcome=outcome)]) for outcome in outcomes]
        last = turn([(newer(each, number), each.cells[0]) for number, each in enumerate(runs)])
        return turned(last) if last else ()

    good, bad, silent = Outcome.CONSISTENT, Outcome.RESTORE_FAILED, Outcome.VACUOUS
    assert found(good, silent, bad, silent, bad) == (
        "first bad: run 2026-11-22-1",
        "last good: run 2026-11-20-1",
        "changed in between: nothing that is known",
    )
    assert found(bad, good, bad)[0] == "first bad: run 2026-11-22-1"
    assert found(good, good) == ("good in all 2 runs with a result",)
    assert found(bad) == ("bad in the only run with a result",)
    assert found(silent) == ()
    run = summary(plan([STILL], 1), [record(STILL, outcome=bad)])
    blind = run.model_copy(update={"conclusion": run.conclusion.model_copy(update={"exit_code": Exit.BLIND})})
    assert turn([(blind, run.cells[0])]) is None, "no result of a blind run counts"
