from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from harness.model.controls import Control
from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary
from reports.formats.badges import AMBER, GREEN, GREY, LEFT_OUT, MOST_LETTERS, RED, draw, render, width
from reports.paths import BADGE, badge_of, page_of, participant_page
from tests.reports import engines, hostile
from tests.reports.synthetic import (
    MOVING,
    NOON,
    STILL,
    cell,
    expected_run,
    matrix,
    moving,
    newer,
    plan,
    record,
    summary,
)

SVG = "{http://www.w3.org/2000/svg}"
DAY = datetime.fromtimestamp(NOON / 1e9, UTC)
GONE = cell(runtime="crun")
KNOWN = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: engines.AHEAD}})


def badges(run: RunSummary, now: datetime = DAY) -> dict[str, ET.Element]:
    return {place: ET.fromstring(text) for place, text in render(run, now)}


def told(badge: ET.Element) -> tuple[str, str]:
    """Return the text and the colour of a badge."""
    return badge.findtext(f"{SVG}title", ""), badge.findall(f"{SVG}rect")[0].get("fill", "")


def test_the_run_each_participant_and_each_cell_have_one() -> None:
    found = badges(summary(plan(matrix()), expected_run(matrix())))
    assert told(found[BADGE]) == ("stillframe: as expected, 24 cells, 2026-11-23", GREEN)
    participant = found[badge_of(participant_page("runc@debian-sid"))]
    assert told(participant) == ("runc@debian-sid: as expected, 4 cells, 2026-11-23", GREEN)
    still, meant = (told(found[badge_of(page_of(cell))]) for cell in (STILL, MOVING))
    assert still == (f"{STILL.id}: consistent, 5 trials, 2026-11-23", GREEN)
    assert meant == (f"{MOVING.id}: inconsistent (expected), 5 trials, 2026-11-23", AMBER)
    assert len(found) == 1 + 6 + 24


def test_what_is_known_to_be_wrong_is_not_green() -> None:
    found = badges(summary(KNOWN, [moving(STILL)]))
    assert told(found[BADGE]) == ("stillframe: as expected (1 known), 1 cell, 2026-11-23", AMBER)
    assert told(found[badge_of(page_of(STILL))]) == (
        f"{STILL.id}: inconsistent (known), 1 trial, 2026-11-23",
        AMBER,
    )


@pytest.mark.parametrize(
    ("outcome", "run", "cell", "colour"),
    [
        (Outcome.LEAKED, "not as expected", "leaked (unexpected)", RED),
        (Outcome.HARNESS_ERROR, "incomplete", "harness-error (incomplete)", GREY),
    ],
)
def test_what_is_not_as_expected_says_so(outcome: Outcome, run: str, cell: str, colour: str) -> None:
    found = badges(summary(plan([STILL], 1), [record(STILL, outcome=outcome)]))
    assert told(found[BADGE]) == (f"stillframe: {run}, 1 cell, 2026-11-23", colour)
    assert told(found[badge_of(page_of(STILL))]) == (f"{STILL.id}: {cell}, 1 trial, 2026-11-23", colour)


def test_where_the_instrument_is_blind_none_says_anything_else() -> None:
    control = Control(name="ring-byte", cell=STILL, outcome=Outcome.INCONSISTENT)
    some = plan([STILL], 1).model_copy(update={"controls": (control,)})
    found = badges(summary(some, [record(STILL), record(STILL, control="ring-byte")]))
    assert {colour for _, colour in map(told, found.values())} == {RED}
    assert all("instrument blind" in text for text, _ in map(told, found.values()))


@pytest.mark.parametrize(("days", "stale"), [(-1, False), (0, False), (14, False), (15, True), (400, True)])
def test_what_is_old_is_stale_and_grey(days: int, *, stale: bool) -> None:
    text, colour = told(badges(summary(plan([STILL], 1), [record(STILL)]), DAY + timedelta(days=days))[BADGE])
    assert text == f"stillframe: {'stale: ' if stale else ''}as expected, 1 cell, 2026-11-23"
    assert colour == (GREY if stale else GREEN)


def test_the_age_from_which_on_it_is_stale_can_be_chosen() -> None:
    run = summary(plan([STILL], 1), [record(STILL)])
    (text, *_) = (text for _, text in render(run, DAY + timedelta(days=3), stale_after=timedelta(days=2)))
    assert "stale: as expected" in text


def test_what_the_newest_run_leaves_out_keeps_its_badge_and_is_as_old_as_it_is() -> None:
    old = summary(plan([STILL, GONE], 1), [record(STILL), moving(GONE)])
    new = newer(summary(plan([STILL], 1), [record(STILL)]), 9)
    found = {place: told(ET.fromstring(text)) for place, text in render(new, DAY + timedelta(days=16), before=[old])}
    assert found[badge_of(page_of(STILL))] == (f"{STILL.id}: consistent, 1 trial, 2026-12-02", GREEN)
    assert found[badge_of(page_of(GONE))] == (f"{GONE.id}: stale: inconsistent (unexpected), 1 trial, 2026-11-23", GREY)
    assert found[badge_of(participant_page("crun@debian-sid"))][0] == (
        "crun@debian-sid: stale: not as expected, 1 cell, 2026-11-23"
    )


def test_everybody_can_read_it_and_it_needs_nothing() -> None:
    for badge in badges(engines.summary()).values():
        title = badge.findtext(f"{SVG}title")
        assert badge.findtext(f"{SVG}desc") == LEFT_OUT
        assert (badge.get("role"), badge.get("aria-label")) == ("img", title)
        assert {each.tag.removeprefix(SVG) for each in badge.iter()} == {"svg", "title", "desc", "rect", "text"}
        assert not [name for each in badge.iter() for name in each.attrib if "href" in name or name.startswith("on")]


def test_a_long_name_is_cut_and_its_title_has_more() -> None:
    badge = ET.fromstring(draw("x" * 200, "as expected", GREEN))
    shown = badge.findall(f"{SVG}text")[0].text
    assert shown == "x" * (MOST_LETTERS - 1) + "…"
    assert "x" * 200 in told(badge)[0]
    assert float(badge.get("width", 0)) == width(str(shown)) + width("as expected")


def test_letters_of_unknown_width_are_not_drawn() -> None:
    badge = ET.fromstring(draw("a\N{ARABIC LIGATURE BISMILLAH AR-RAHMAN AR-RAHEEM}", "x", GREEN))
    assert badge.findall(f"{SVG}text")[0].text == "a\N{REPLACEMENT CHARACTER}"


def test_a_hostile_run_has_small_badges() -> None:
    found = dict(render(hostile.run(), DAY))
    assert max(map(len, found.values())) < 3_000
    for text in found.values():
        assert "<script" not in text
        assert told(ET.fromstring(text))[0].isprintable()


def test_the_same_run_gives_the_same_bytes() -> None:
    assert dict(render(engines.summary(), DAY)) == dict(render(engines.summary(), DAY))
