from __future__ import annotations

import pytest

from harness.model.cells import FreezePolicy, Scenario
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.expectations import Expectation
from harness.model.outcomes import Anomaly, Outcome
from harness.model.readings import Concurrent, Leftover, Rival
from harness.records.record import Record
from reports.analysis.cells import CellSummary, summarise_cell
from reports.analysis.statistics import rate_interval
from reports.words import cells
from reports.words.cells import brief, mark, source_notes
from reports.words.numbers import duration, interval, percent, skew, ticks_text
from reports.words.outcomes import HOLDERS, MEANINGS, SCENARIOS, found
from reports.words.tables import extent, glossary, row_summary
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, summary


def summary_of(*trials: Record, missing: int = 0, should: Expectation = SHOULD_BE_STILL) -> CellSummary:
    return summarise_cell(STILL, trials, should, planned=len(trials) + missing, missing=missing)


def entry(*trials: Record, missing: int = 0) -> str:
    return cells.entry(summary_of(*trials, missing=missing))


def test_entries() -> None:
    violating = [moving(STILL, number, 3_013) for number in range(5)]
    broken = record(STILL, outcome=Outcome.HARNESS_ERROR, reason="the disk\nis full")
    assert entry(*violating) == "inconsistent 5/5 disk-ahead +45.2 ms"
    assert entry(*[record(STILL, number) for number in range(60)]) == "consistent 0/60 (<4.9 %)"
    assert entry(broken, broken, broken) == "harness-error 3/3: the disk is full"
    assert entry(*[record(STILL)] * 3, missing=2) == "missing 2 of 5"


def test_a_cell_that_is_wrong_sometimes_tells_how_often_it_may_be() -> None:
    trials = [record(STILL, number) for number in range(58)] + [moving(STILL, number, 3_013) for number in (58, 59)]
    summary = summary_of(*trials)
    assert cells.entry(summary) == "inconsistent 2/60 (0.4-11.6 %) disk-ahead +45.2 ms"
    assert brief(summary, bound=False) == "2/60 disk-ahead +45.2 ms"
    assert summary.rate_interval == pytest.approx((0.0041, 0.1153), abs=5e-5)
    assert summary_of(moving(STILL)).rate_interval is None
    assert summary_of(record(STILL)).rate_interval is None


def test_what_proves_nothing_has_no_rate() -> None:
    assert entry(record(STILL), record(STILL, 1, Outcome.VACUOUS)) == "vacuous 1/2: a trial that was vacuous"


def test_a_worse_outcome_hides_no_violation() -> None:
    broken = record(STILL, outcome=Outcome.HARNESS_ERROR, reason="no space")
    assert entry(moving(STILL, 0, 3_013), broken) == "harness-error 1/2, inconsistent 1 disk-ahead +45.2 ms: no space"
    assert entry(moving(STILL, 0, 3_013), missing=1) == "missing 1 of 2, inconsistent 1 disk-ahead +45.2 ms"


def test_what_a_trial_found_besides_is_told() -> None:
    trial = moving(STILL, 0, 3_013)
    verdict = trial.verdict.model_copy(update={"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)})
    told = entry(trial.model_copy(update={"verdict": verdict}))
    assert told == "leaked 1/1, inconsistent 1 disk-ahead +45.2 ms: rootfs is ahead"
    assert found(verdict) == "leaked, inconsistent"


def test_a_table_has_no_reasons_and_the_first_anomaly_alone() -> None:
    trial = moving(STILL, 0, 3_013)
    verdict = trial.verdict.model_copy(update={"anomalies": (Anomaly.DISK_AHEAD, Anomaly.ORDER_BROKEN)})
    both = trial.model_copy(update={"verdict": verdict})
    assert entry(both) == "inconsistent 1/1 disk-ahead, order-broken +45.2 ms"
    assert brief(summary_of(both)) == "1/1 disk-ahead +45.2 ms"
    broken = record(STILL, outcome=Outcome.RESTORE_FAILED, reason="long " * 90)
    assert brief(summary_of(broken)) == "1/1"
    assert brief(summary_of(record(STILL))) == "0/1 (<95.0 %)"
    assert brief(summary_of(record(STILL)), bound=False) == "0/1"


def test_an_entry_says_how_it_is_to_be_taken() -> None:
    known = {"outcome": Outcome.INCONSISTENT, "link": "https://x.example/1"}
    should = SHOULD_BE_STILL.model_copy(update=known)
    meant = should.model_copy(update={"link": ""})
    assert mark(summary_of(record(STILL))) == ""
    assert mark(summary_of(moving(STILL), should=should)) == "known"
    assert mark(summary_of(moving(STILL), should=meant)) == "expected"
    assert mark(summary_of(record(STILL), should=should)) == "unexpected"
    assert mark(summary_of(moving(STILL))) == "unexpected"
    assert mark(summary_of(record(STILL, outcome=Outcome.HARNESS_ERROR), should=should)) == "incomplete"


def test_the_source_tells_what_went_wrong_and_what_was_tried() -> None:
    def noted(**values: bool | int) -> tuple[str, ...]:
        trial = record(STILL)
        return source_notes(trial.model_copy(update={"source": trial.source.model_copy(update=values)}))

    assert noted() == ()
    assert noted(kept_pause=True, stops=True) == ("stayed paused", "stopped when asked")
    assert noted(kept_pause=False, stops=False) == ("no longer paused", "does not stop when asked")
    assert noted(ticking=False, frozen=True, same_nonce=False, lost_ticks=3) == (
        *("stopped ticking", "left frozen", "other nonce", "lost 3 ticks"),
    )


def test_how_much_was_planned() -> None:
    some = plan([MOVING, STILL], 10)
    assert extent(some) == "2 cells, 10 trials each"
    assert extent(some.model_copy(update={"fewer": {STILL.id: 2}})) == "2 cells, 2 to 10 trials each"
    assert extent(plan([STILL], 1)) == "1 cell, 1 trial each"


def test_a_surface_that_held_nothing_has_no_number() -> None:
    trial = moving(STILL)
    skews = tuple(skew.model_copy(update={"ticks": None, "microseconds": None}) for skew in trial.skews)
    assert entry(trial.model_copy(update={"skews": skews})) == "inconsistent 1/1 disk-ahead"
    assert ticks_text(None) == "empty"


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0 µs"),
        (4.25, "+4.25 µs"),
        (999.4, "+999 µs"),
        (999.7, "+1 ms"),
        (-45_230, "-45.2 ms"),
        (297_000, "+297 ms"),
        (1_214_000, "+1.21 s"),
        (7_200_000_000, "+7200 s"),
    ],
)
def test_units(microseconds: float, text: str) -> None:
    assert duration(microseconds, signed=True) == text


def test_a_bound_is_never_rounded_down() -> None:
    assert percent(0.04870) == "4.9 %"
    assert percent(0.04801) == "4.9 %"
    assert percent(0.05) == "5.0 %"


def test_a_rate_that_may_be_anything_says_that_no_trial_counted() -> None:
    assert interval(0, 1) == "no trial counted"
    assert interval(*rate_interval(1, 2)) == "1.2-98.8 %"


def test_skew_falls_back_on_ticks() -> None:
    assert skew(-12_500, None) == "-12,500 ticks"
    assert skew(None, None) == ""


def test_each_word_of_the_vocabulary_is_explained() -> None:
    assert set(MEANINGS) == set(Outcome)
    assert set(HOLDERS) == set(FreezePolicy)
    assert set(SCENARIOS) == set(Scenario)


def test_names_that_mean_the_same_are_explained_once() -> None:
    words = {
        "docker/runc+commit": "memory, then a commit",
        "ledger": "a counter",
        "docker/crun+commit": "memory, then a commit",
    }
    assert glossary(words) == {
        "memory, then a commit": ("docker/runc commit", "docker/crun commit"),
        "a counter": ("ledger",),
    }


def test_a_row_is_summed_up_in_words() -> None:
    run = summary(plan([MOVING, STILL], 1), [moving(MOVING), record(STILL)])
    (table,) = run.tables
    assert [row_summary(row) for row in table.rows] == ["1 of 2 consistent, 1 other expected outcome"]
    unexpected = summary(plan([MOVING, STILL], 1), [moving(MOVING), moving(STILL)])
    assert row_summary(unexpected.tables[0].rows[0]) == "0 of 2 consistent, 1 other expected outcome, 1 unexpected"


def test_two_requests_at_once_have_what_came_of_them() -> None:
    asked = (
        Concurrent(what=Rival.CHECKPOINT, archive=Leftover.WHOLE),
        Concurrent(what=Rival.PAUSE, declined="cannot pause a paused container"),
        Concurrent(what=Rival.STOP),
    )
    trial = record(STILL).model_copy(update={"concurrent": asked})
    assert source_notes(trial) == (
        "asked for at once: checkpoint, done, archive whole",
        "asked for at once: pause, declined: cannot pause a paused container",
        "asked for at once: stop, done",
    )
