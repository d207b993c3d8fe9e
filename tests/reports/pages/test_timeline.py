from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from harness.records.record import Record
from reports.pages.timeline import draw, lanes, words
from tests.reports.synthetic import MOVING, MS, STILL, moving, poisoned, record


def drawn(trial: Record) -> ET.Element:
    drawing = draw(trial)
    assert drawing is not None
    return ET.fromstring(drawing)


def labels(trial: Record) -> list[str | None]:
    return [each.text for each in drawn(trial).iter() if "label" in each.get("class", "")]


def test_the_drawing_shows_the_cut_and_leaves_out_what_is_far_from_it() -> None:
    assert labels(record(STILL)) == [
        *("frozen", "checkpoint", "capture", "thaw", "container ran again", "restore"),
        *("memory taken", "rootfs taken", "volume taken"),
    ]


def test_a_drawing_that_stands_alone_brings_every_colour() -> None:
    alone = str(draw(moving(MOVING), alone=True))
    assert set(re.findall(r"var\((--\w+)\)", alone)) == set(re.findall(r"(--\w+):", alone))
    assert ET.fromstring(alone).get("width") == "760"
    assert "<style" not in str(draw(moving(MOVING)))


def test_instants_count_from_memory() -> None:
    by_name = {lane.name: lane for lane in lanes(moving(MOVING, ticks=2_000))}
    assert by_name["memory taken"].start_ns == 0
    assert by_name["rootfs taken"].start_ns == 30 * MS
    assert by_name["rootfs taken"].value == "+30 ms"
    assert by_name["checkpoint"].start_ns == -30 * MS
    assert by_name["checkpoint"].value == "85 ms"


def test_a_surface_ahead_is_drawn_right_of_memory() -> None:
    marks = {each.get("class"): each for each in drawn(moving(MOVING)).iter() if "mark" in each.get("class", "")}
    left = {kind: float(marks[f"mark {kind}"].get("points", "").split(",")[0]) for kind in ("memory", "surface")}
    assert left["surface"] > left["memory"] + 10


def test_the_words_say_all_of_it() -> None:
    told = words(moving(MOVING, ticks=2_000))
    assert told[0] == "0 is the moment memory was taken"
    assert "prepare: -460 ms to -160 ms, 300 ms long" in told
    assert "memory taken: 0 µs" in told
    assert "volume taken: +30 ms" in told


def test_a_clock_that_lies_does_not_squeeze_the_drawing() -> None:
    trial = record(STILL)
    liar = trial.readings[0].surfaces[0].model_copy(update={"newest_wall_ns": 0})
    reading = trial.readings[0].model_copy(update={"surfaces": (liar, trial.readings[0].surfaces[1])})
    trial = trial.model_copy(update={"readings": (reading,)})
    assert "rootfs taken" not in labels(trial)
    assert any(line.startswith("rootfs taken: -1") for line in words(trial))


def test_nothing_known_is_nothing_drawn() -> None:
    assert draw(record(STILL).model_copy(update={"timeline": (), "readings": ()})) is None


def test_an_instant_alone_is_drawn() -> None:
    trial = record(STILL)
    again = next(span for span in trial.timeline if span.start_ns == span.end_ns)
    assert labels(trial.model_copy(update={"timeline": (again,), "readings": ()})) == ["container ran again"]


def test_names_are_escaped() -> None:
    trial = poisoned(record(STILL), '"><script>alert(1)</script>&')
    assert not [each for each in drawn(trial).iter() if each.tag.endswith("script")]
    assert '"><script>alert(1)</script>&frozen' in labels(trial)
