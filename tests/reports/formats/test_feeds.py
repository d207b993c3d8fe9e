from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from harness.model.cells import CgroupVersion
from harness.model.controls import Control
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.formats.feeds import ATOM, MOST_CELLS, MOST_RUNS, render
from reports.paths import component_feed, feed_of, participant_page
from tests.reports import engines, hostile
from tests.reports.synthetic import (
    MOVING,
    STILL,
    cell,
    expected_run,
    matrix,
    moving,
    newer,
    plan,
    record,
    summary,
    versioned,
)

RUNC, CRUN = (feed_of(participant_page(name)) for name in ("runc@debian-sid", "crun@debian-sid"))
OTHER = cell(runtime="crun")


def feeds(*runs: RunSummary) -> dict[str, ET.Element]:
    return {place: ET.fromstring(text) for place, text in render(runs[-1], runs[:-1])}


def text(element: ET.Element, tag: str) -> str:
    return element.findtext(f"{{{ATOM}}}{tag}", "")


def entries(feed: ET.Element) -> list[ET.Element]:
    return feed.findall(f"{{{ATOM}}}entry")


def titles(*runs: RunSummary, place: str = RUNC) -> list[str]:
    return [text(each, "title").partition(": ")[2] for each in entries(feeds(*runs)[place])]


def run(number: int, *trials: Record, of: Sequence[object] = (STILL,)) -> RunSummary:
    """A run in which each trial happened often enough to prove a difference."""
    cells = [STILL, OTHER][: len(of)]
    every = [each.model_copy(update={"trial": again}) for each in trials for again in range(5)]
    return newer(summary(plan(cells, 5), every), number)


def test_a_first_run_has_an_entry_with_its_verdict() -> None:
    found = feeds(summary(plan(matrix()), expected_run(matrix())))
    assert len(found) == 6 + 3, "participants and components"
    (entry,) = entries(found[RUNC])
    assert text(entry, "title") == "runc@debian-sid: as expected"
    assert text(entry, "content") == (
        "<p>3 of 4 cells consistent, 0 known issues, 0 not as expected; the first run.</p>"
    )
    assert text(entry, "updated") == text(found[RUNC], "updated") == "2026-11-23T12:00:00Z"


def test_only_what_has_changed_has_an_entry_the_newest_first() -> None:
    clean, wrong = run(1, record(STILL)), run(3, moving(STILL))
    found = feeds(clean, run(2, record(STILL)), wrong, run(4, moving(STILL)), run(5, record(STILL)))[RUNC]
    assert [text(each, "title") for each in entries(found)] == [
        *("runc@debian-sid: 1 fixed", "runc@debian-sid: 1 new"),
        "runc@debian-sid: as expected",
    ]
    assert text(entries(found)[1], "content").startswith(
        "<p>new: no known change in versions or machine: 1 cell: consistent -&gt; inconsistent disk-ahead.</p><ul>"
    )
    assert f"<li>{STILL.id}</li>" in text(entries(found)[1], "content")
    assert [text(each, "updated")[:10] for each in entries(found)] == ["2026-11-28", "2026-11-26", "2026-11-24"]


def test_a_change_of_another_is_no_news() -> None:
    both = (STILL, OTHER)
    before = run(1, record(STILL), record(OTHER), of=both)
    after = run(2, record(STILL), moving(OTHER), of=both)
    assert titles(before, after) == ["as expected"]
    assert titles(before, after, place=CRUN) == ["1 new", "as expected"]


def test_a_new_version_is_news_and_so_are_new_cells_and_cells_that_are_gone() -> None:
    old, new = run(1, versioned(record(STILL), "5.8")), run(2, versioned(record(STILL), "6.1"))
    assert titles(old, new)[0] == "versions: podman 5.8 -> 6.1"
    more = newer(summary(plan([STILL, MOVING], 1), [record(STILL), moving(MOVING)]), 2)
    assert titles(run(1, record(STILL)), more)[0] == "1 cell more"
    assert titles(more, run(3, record(STILL)))[0] == "1 cell fewer"


def test_who_comes_later_begins_with_a_verdict() -> None:
    late = run(2, record(STILL), record(OTHER, outcome=Outcome.LEAKED), of=(STILL, OTHER))
    assert titles(run(1, record(STILL)), late, place=CRUN) == ["not as expected"]


def test_runs_that_cannot_be_compared_say_why() -> None:
    other = run(2, record(STILL))
    settings = other.plan.settings.model_copy(update={"cgroups": CgroupVersion.V1})
    other = other.model_copy(update={"plan": other.plan.model_copy(update={"settings": settings})})
    (entry, _) = entries(feeds(run(1, record(STILL)), other)[RUNC])
    assert "not compared with 2026-11-21-1: 2026-11-21-1 ran with cgroups v2" in text(entry, "content")


def test_a_blind_instrument_has_found_nothing() -> None:
    control = Control(name="ring-byte", cell=STILL, outcome=Outcome.INCONSISTENT)
    some = plan([STILL], 1).model_copy(update={"controls": (control,)})
    blind = newer(summary(some, [record(STILL), record(STILL, control="ring-byte")]), 2)
    assert titles(run(1, moving(STILL)), blind)[0] == "instrument blind"


def test_ids_and_addresses_are_stable_and_name_no_machine() -> None:
    first, second = run(1, record(STILL)), run(2, moving(STILL))
    alone, both = feeds(first)[RUNC], feeds(first, second)[RUNC]
    assert text(alone, "id") == text(both, "id") == "tag:stillframe,2026:feeds/runc%40debian-sid"
    assert text(entries(alone)[0], "id") == text(entries(both)[1], "id")
    assert text(entries(both)[0], "id") == "tag:stillframe,2026-11-25:2026-11-22-1/runc%40debian-sid"
    links = {each.get("rel"): each.get("href") for each in both.findall(f"{{{ATOM}}}link")}
    assert links == {"self": "runc@debian-sid.atom", "alternate": "../participants/runc@debian-sid.html"}


def test_a_feed_is_what_the_standard_asks_for() -> None:
    for feed in feeds(engines.summary(all_well=True), newer(engines.summary(), 9)).values():
        for each in (feed, *entries(feed)):
            assert all(text(each, tag) for tag in ("id", "title", "updated"))
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text(each, "updated"))
        assert feed.findtext(f"{{{ATOM}}}author/{{{ATOM}}}name") == "stillframe"
        ids = [text(each, "id") for each in entries(feed)]
        assert len(set(ids)) == len(ids) > 0


def test_a_feed_has_an_end() -> None:
    trials = (record, moving)
    runs = [run(number, trials[number % 2](STILL)) for number in range(MOST_RUNS + 5)]
    assert titles(*runs) == ["1 new" if number % 2 else "1 fixed" for number in range(MOST_RUNS + 4, 4, -1)]
    many = [STILL.model_copy(update={"workload": f"w{number}"}) for number in range(MOST_CELLS + 3)]
    before = summary(plan(many, 5), [record(each, trial) for each in many for trial in range(5)])
    after = newer(summary(plan(many, 5), [moving(each, trial) for each in many for trial in range(5)]), 2)
    content = text(entries(feeds(before, after)[RUNC])[0], "content")
    assert (content.count("<li>"), "<li>and 3 more</li>" in content) == (MOST_CELLS + 1, True)


def test_a_hostile_run_stays_a_feed_and_small() -> None:
    one = hostile.run()
    well = one.model_copy(update={"conclusion": summary(plan([STILL], 1), [record(STILL)]).conclusion})
    for runs in ((one,), (well, newer(well, 9)), (one, newer(one, 9))):
        for place, source in render(runs[-1], runs[:-1]):
            feed = ET.fromstring(source)
            assert len(source) < 20_000
            assert len(place) < 250
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", source)
            assert {each.tag.rpartition("}")[2] for each in feed.iter()} <= {
                *(
                    "feed",
                    "id",
                    "title",
                    "subtitle",
                    "updated",
                    "generator",
                    "author",
                    "name",
                    "link",
                    "entry",
                    "content",
                )
            }
            assert "<script" not in "".join(text(each, "content") for each in entries(feed))


@pytest.mark.parametrize("past", [0, 1])
def test_the_same_runs_give_the_same_bytes(past: int) -> None:
    runs = [engines.summary(all_well=True), newer(engines.summary(), 9)][past:]
    assert dict(render(runs[-1], runs[:-1])) == dict(render(runs[-1], runs[:-1]))


def test_versions_of_a_cell_do_not_hide_what_came_of_them() -> None:
    def at(version: str, trial: Record) -> Record:
        return trial.model_copy(update={"components": {"checkpoint": (Component(name="runc", version=version),)}})

    title = titles(run(1, at("1.3", record(STILL))), run(2, at("1.4", moving(STILL))))[0]
    assert title == "1 new, versions: runc 1.3 -> 1.4"


def test_a_component_has_a_feed_of_the_cells_in_which_it_takes_part() -> None:
    podman, criu = component_feed("podman"), component_feed("criu")
    old = summary(plan([STILL, MOVING], 1), [versioned(moving(STILL), "5.8"), moving(MOVING)])
    new = newer(summary(plan([STILL, MOVING], 1), [versioned(record(STILL), "6.1"), moving(MOVING)]), 9)
    found = feeds(old, new)
    assert {podman, criu} < found.keys()
    first, *_ = entries(found[podman])
    assert text(first, "title") == "podman: 1 fixed, versions: podman 5.8 -> 6.1"
    link = first.find(f"{{{ATOM}}}link")
    assert link is not None
    assert link.get("href") == "../../index.html#components"
    assert [text(each, "title") for each in entries(feeds(new, newer(new, 10))[podman])][1:] == []
