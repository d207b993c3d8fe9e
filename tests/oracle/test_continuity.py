"""Logs of restored containers, written by hand, and what is wrong with each."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.oracle.continuity import breaks
from harness.oracle.lines import lag
from harness.records.record import Continuation

CUT = 90_000
DUE = CUT + lag() + 1
LOST, REPEATED, TORN = Anomaly.RECORD_LOST, Anomaly.RECORD_REPEATED, Anomaly.TORN


def cut(witness: Witness = Witness.OFFLINE, counter: int = CUT) -> Reading:
    return Reading(witness=witness, nonce="00000000c0ffee00", counter=counter, counter_wall_ns=1, surfaces=())


def log(first: int | None, newest: int | None = DUE, /, **changes: Any) -> Continuation:
    """A log without gaps or repetitions, with `changes`."""
    counts = {name: changes.pop(name) for name in ("holes", "repeated", "torn", "foreign") if name in changes}
    every = changes.get("every", 1)
    surface = SurfaceReading(surface="stdout", newest=newest, newest_wall_ns=None, lag=lag(every), **counts)
    return Continuation(surface=surface, first=first, **({"travels": False, "due": DUE} | changes))


def found(it: Continuation, reading: Reading | None = None) -> list[Anomaly]:
    return [anomaly for anomaly, _ in breaks(it, reading or cut())]


@pytest.mark.parametrize("first", [CUT, CUT + 1])
def test_a_new_log_begins_with_the_line_of_the_cut_or_with_the_next(first: int) -> None:
    assert found(log(first)) == []


@pytest.mark.parametrize(("first", "anomaly"), [(CUT - 1, REPEATED), (1, REPEATED), (CUT + 2, LOST), (DUE, LOST)])
def test_a_new_log_that_begins_elsewhere_repeats_lines_or_has_lost_some(first: int, anomaly: Anomaly) -> None:
    assert list(breaks(log(first), cut())) == [(anomaly, f"the first line is {first:,}")]


@pytest.mark.parametrize("first", [1, 500, CUT, CUT + 1])
def test_a_log_that_travels_has_the_source_s_lines_too(first: int) -> None:
    assert found(log(first, travels=True)) == []


def test_a_log_that_should_travel_and_begins_after_the_cut_has_lost_all_before() -> None:
    assert found(log(CUT + 2, travels=True)) == [LOST]


@pytest.mark.parametrize("first", range(CUT - 2, CUT + 2))
def test_without_a_reading_of_the_checkpoint_the_restored_one_may_have_finished_ticks(first: int) -> None:
    assert found(log(first), cut(Witness.RESTORED)) == []
    assert found(log(CUT - 3), cut(Witness.RESTORED)) == [REPEATED]
    assert found(log(CUT + 2), cut(Witness.RESTORED)) == [LOST]


@pytest.mark.parametrize(
    ("counter", "first", "anomalies"),
    [
        (90_000, 90_000, []),
        (90_000, 90_010, []),
        (90_000, 89_990, [REPEATED]),
        (90_000, 90_020, [LOST]),
        (90_001, 90_010, []),
        (90_001, 90_000, [REPEATED]),
        (90_009, 90_010, []),
        (90_009, 90_020, [LOST]),
    ],
)
def test_with_a_line_every_few_ticks_the_first_is_the_next_that_is_due(
    counter: int, first: int, anomalies: list[Anomaly]
) -> None:
    it = log(first, 120_000, every=10, due=120_009)
    assert found(it, cut(counter=counter)) == anomalies


@pytest.mark.parametrize("travels", [True, False])
def test_a_log_that_stays_silent_although_the_counter_goes_on_has_lost_lines(travels: bool) -> None:
    first, newest = (1, CUT) if travels else (None, None)
    ((anomaly, told),) = breaks(log(first, newest, travels=travels), cut())
    assert anomaly is LOST
    assert told.endswith(f"but the counter is at {DUE:,}")
    assert told.startswith(f"the last line is {CUT:,}" if travels else "there is no line")


def test_lines_on_their_way_are_not_lost() -> None:
    assert found(log(CUT + 1, DUE - lag())) == []
    assert found(log(CUT + 1, DUE - lag() - 1, due=DUE + 1)) == [LOST]
    assert found(log(None, None, due=CUT + lag())) == []


def test_a_counter_that_has_not_gone_far_enough_proves_nothing() -> None:
    """The source's log may be behind memory; lines that are lost on the way show as a gap."""
    assert found(log(1, CUT - 7, travels=True, due=CUT + 3)) == []


def test_lines_that_are_missing_repeated_or_damaged_are_counted_and_named() -> None:
    it = log(1, travels=True, holes=4, lost=(90_001, 90_003), repeated=99, again=(89_902, 90_000), torn=1)
    assert list(breaks(it, cut())) == [
        (LOST, "4 lines are missing, first at 90,001 to 90,003"),
        (REPEATED, "99 lines are repeated, first at 89,902 to 90,000"),
        (TORN, "1 line is damaged"),
    ]
    assert list(breaks(log(1, travels=True, holes=1, lost=(7, 7)), cut())) == [(LOST, "1 line is missing, first at 7")]


def test_lines_of_others_are_nobody_s_fault() -> None:
    assert found(log(CUT, foreign=9)) == []


def test_a_log_that_is_not_kept_tells_nothing() -> None:
    assert found(log(None, None, kept=False)) == []
