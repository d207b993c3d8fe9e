"""What the judge says of a log, and of how it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.outcomes import Anomaly, Outcome, Stage
from harness.model.readings import Reading
from harness.oracle.evidence import Evidence
from harness.oracle.judge import anomalies, judge
from harness.records.record import Continuation
from tests.oracle.histories import (
    AGAIN,
    AHEAD,
    BEHIND,
    COUNTER,
    LAG,
    LOST,
    ORDER,
    TORN,
    both,
    log_of,
    of_printing,
    printing,
    reading,
    surface,
    trial,
)


@pytest.mark.parametrize("skew", [0, -1, -2, -LAG])
def test_a_log_may_be_behind_by_what_is_on_its_way(skew: int) -> None:
    assert judge(of_printing(skew)).found == (Outcome.CONSISTENT,)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (of_printing(-LAG - 1), (BEHIND,)),
        (of_printing(None), (BEHIND,)),
        (of_printing(1), (AHEAD, ORDER)),
        (of_printing(40), (AHEAD, ORDER)),
        (of_printing(40, 40, 40), (AHEAD,)),
        (of_printing(45, 40, 40), (AHEAD, ORDER)),
        (of_printing(0, 0, -1), (ORDER,)),
        (of_printing(0, torn=1), (TORN,)),
        (of_printing(0, holes=1), (LOST,)),
        (of_printing(0, repeated=1), (AGAIN,)),
    ],
)
def test_a_log_is_neither_ahead_nor_further_behind_and_has_each_line_once(
    evidence: Evidence, expected: tuple[Anomaly, ...]
) -> None:
    verdict = judge(evidence)
    assert (verdict.outcome, verdict.anomalies) == (Outcome.INCONSISTENT, expected)
    assert verdict.also == (), "the restored workload cannot see the log, so the readings do not disagree"


def test_a_log_that_is_behind_neither_disagrees_with_a_file_nor_is_overtaken_by_one() -> None:
    held = printing(-30)
    first = held.model_copy(update={"surfaces": (held.surfaces[-1], *held.surfaces[:-1])})
    assert anomalies(held) == anomalies(first) == ()


def test_before_the_first_record_a_ring_holds_nothing_yet_and_what_was_deleted_is_gone() -> None:
    def early(counter: int, **lag: int) -> Reading:
        held = (surface(None, "added", **lag),)
        return reading(None).model_copy(update={"counter": counter, "surfaces": held})

    assert anomalies(early(0)) == anomalies(early(1)) == ()
    assert anomalies(early(2)) == anomalies(early(1, lag=0)) == anomalies(early(0, lag=0)) == (BEHIND,)


def test_a_log_without_a_line_is_nothing_yet_while_all_of_them_can_be_on_their_way() -> None:
    for counter, expected in ((LAG, ()), (LAG + 1, (BEHIND,))):
        early = printing(None).model_copy(update={"counter": counter})
        log = early.model_copy(update={"surfaces": early.surfaces[-1:]})
        assert anomalies(log) == expected


def test_lines_of_an_earlier_life_of_the_container_are_nobody_s_fault() -> None:
    assert judge(of_printing(0, foreign=700)).found == (Outcome.CONSISTENT,)


def test_the_log_of_what_was_restored_goes_on() -> None:
    evidence = replace(of_printing(0), log=log_of(1, COUNTER + 60))
    assert judge(evidence).found == (Outcome.CONSISTENT,)


@pytest.mark.parametrize(
    ("log", "anomaly", "words"),
    [
        (
            log_of(1, COUNTER + 60, holes=7, lost=(COUNTER + 1, COUNTER + 7)),
            LOST,
            "7 lines are missing, first at 90,001 to",
        ),
        (
            log_of(1, COUNTER + 60, repeated=2, again=(COUNTER - 1, COUNTER)),
            AGAIN,
            "2 lines are repeated, first at 89,999 to",
        ),
        (log_of(1, COUNTER + 60, torn=2), TORN, "2 lines are damaged"),
        (log_of(1, COUNTER), LOST, "the last line is 90,000, but the counter is at 90,060"),
        (log_of(COUNTER + 9, COUNTER + 60, travels=False), LOST, "the first line is 90,009"),
        (log_of(COUNTER - 9, COUNTER + 60, travels=False), AGAIN, "the first line is 89,991"),
    ],
)
def test_a_log_that_does_not_go_on_convicts_and_names_the_lines(
    log: Continuation, anomaly: Anomaly, words: str
) -> None:
    verdict = judge(replace(of_printing(0), log=log))
    assert (verdict.outcome, verdict.stage, verdict.anomalies) == (Outcome.INCONSISTENT, Stage.READ, (anomaly,))
    assert verdict.reason.startswith(f"{anomaly}: memory was at 90,000, and in the restored container's log {words}")


@pytest.mark.parametrize(
    ("first", "told"),
    [(COUNTER + 1, "the restored container's log begins with line 90,001"), (None, "the engine keeps no log of it")],
)
def test_a_log_outside_of_the_checkpoint_is_told_and_not_called_consistent(first: int | None, told: str) -> None:
    log = log_of(first, first and COUNTER + 60, travels=False, kept=first is not None)
    verdict = judge(replace(both(0, 0), outside=frozenset({"stdout"}), log=log))
    assert (verdict.outcome, verdict.stage) == (Outcome.NOT_CAPTURED, Stage.READ)
    assert verdict.reason == f"documented as outside the checkpoint: stdout ({told})"


def test_a_log_outside_of_the_checkpoint_that_does_not_begin_where_memory_was_convicts() -> None:
    log = log_of(COUNTER + 9, COUNTER + 60, travels=False)
    verdict = judge(replace(both(0, 0), outside=frozenset({"stdout"}), log=log))
    assert verdict.found == (Outcome.INCONSISTENT, Outcome.NOT_CAPTURED)


def test_a_restored_workload_that_is_stuck_with_its_output_does_not_move() -> None:
    verdict = judge(trial(restored_moves=False, stood_at=COUNTER + 2_431))
    assert verdict.outcome is Outcome.RESTORE_FAILED
    assert verdict.reason == "the restored counter stands still after 2,431 ticks"
