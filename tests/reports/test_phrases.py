from __future__ import annotations

import pytest

from harness.model import FreezePolicy, Outcome
from harness.records import Record
from reports import phrases
from reports.tables import summarise_cell
from tests.reports.synthetic import STILL, moving, record


def entry(*trials: Record, missing: int = 0) -> str:
    return phrases.entry(summarise_cell(STILL, trials, planned=len(trials) + missing, missing=missing))


def test_entries() -> None:
    violating = [moving(STILL, number, 3_013) for number in range(5)]
    broken = record(STILL, outcome=Outcome.HARNESS_ERROR, reason="the disk\nis full")
    assert entry(*violating) == "inconsistent 5/5 disk-ahead +45.2 ms"
    assert entry(*[record(STILL, number) for number in range(60)]) == "consistent 0/60 (<4.9 %)"
    assert entry(broken, broken, broken) == "harness-error 3/3: the disk is full"
    assert entry(*[record(STILL)] * 3, missing=2) == "missing 2 of 5"


def test_a_worse_outcome_hides_no_violation() -> None:
    broken = record(STILL, outcome=Outcome.HARNESS_ERROR, reason="no space")
    assert entry(moving(STILL, 0, 3_013), broken) == "harness-error 1/2, inconsistent 1 disk-ahead +45.2 ms: no space"
    assert entry(moving(STILL, 0, 3_013), missing=1) == "missing 1 of 2, inconsistent 1 disk-ahead +45.2 ms"


def test_what_a_trial_found_besides_is_told() -> None:
    trial = moving(STILL, 0, 3_013)
    verdict = trial.verdict.model_copy(update={"outcome": Outcome.LEAKED, "also": (Outcome.INCONSISTENT,)})
    told = entry(trial.model_copy(update={"verdict": verdict}))
    assert told == "leaked 1/1, inconsistent 1 disk-ahead +45.2 ms: rootfs is ahead"
    assert phrases.found(verdict) == "leaked, inconsistent"


def test_a_surface_that_held_nothing_has_no_number() -> None:
    trial = moving(STILL)
    skews = tuple(skew.model_copy(update={"ticks": None, "microseconds": None}) for skew in trial.skews)
    assert entry(trial.model_copy(update={"skews": skews})) == "inconsistent 1/1 disk-ahead"
    assert phrases.ticks_text(None) == "empty"


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
    assert phrases.duration(microseconds, signed=True) == text


def test_a_bound_is_never_rounded_down() -> None:
    assert phrases.percent(0.04870) == "4.9 %"
    assert phrases.percent(0.04801) == "4.9 %"
    assert phrases.percent(0.05) == "5.0 %"


def test_skew_falls_back_on_ticks() -> None:
    assert phrases.skew(-12_500, None) == "-12,500 ticks"
    assert phrases.skew(None, None) == ""


def test_each_word_of_the_vocabulary_is_explained() -> None:
    assert set(phrases.MEANINGS) == set(Outcome)
    assert set(phrases.HOLDERS) == set(FreezePolicy)


def test_control_characters_are_replaced() -> None:
    assert phrases.clean("a\x1b[31m\u202eb\tc\n") == "a\ufffd[31m\ufffdb\tc\n"
