from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from harness.model.cells import Cell, FreezePolicy
from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.analysis.freezing import FrozenPair
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.pages import site
from reports.runs.summary import summary_json
from reports.terminal.terminal import show_run
from reports.words.findings import freeze_effect, freezing_line, freezing_proved
from reports.words.numbers import p_value
from tests.reports.synthetic import MOVING, STILL, cell, moving, plan, record, summary

ENGINE = cell(FreezePolicy.ENGINE)
HOOK = cell(FreezePolicy.HOOK)


def run(*records: Record) -> RunSummary:
    return summary(plan(dict.fromkeys(each.cell for each in records), 1), records)


def clean(cell: Cell, *trials: int) -> list[Record]:
    return [record(cell, trial) for trial in trials]


def wrong(cell: Cell, *trials: int) -> list[Record]:
    return [moving(cell, trial) for trial in trials]


def pair(*records: Record) -> FrozenPair:
    (found,) = run(*records).freezing
    return found


def test_pairs_of_which_one_violates_are_counted_by_side() -> None:
    found = pair(*wrong(MOVING, *range(7)), *clean(MOVING, 7, 8), *clean(STILL, *range(6)), *wrong(STILL, 6, 7, 8))
    assert (found.label, found.asked, found.without, found.held_by) == ("runc@debian-sid", "ledger", "none", "pause")
    assert (found.pairs, found.only_without, found.only_with) == (9, 6, 2)
    assert found.p == pytest.approx(0.2890625)
    assert not found.differs
    assert freeze_effect(found) == "no difference is proved"


@pytest.mark.parametrize(("pairs", "proved"), [(5, False), (6, True)])
def test_six_pairs_that_differ_in_one_direction_prove_it(pairs: int, proved: bool) -> None:
    bare, held = wrong(MOVING, *range(pairs)), clean(STILL, *range(pairs))
    assert pair(*bare, *held).differs is proved
    assert freeze_effect(pair(*bare, *held)).startswith("fewer trials violate") is proved
    worse = pair(*clean(MOVING, *range(pairs)), *wrong(STILL, *range(pairs)))
    assert freeze_effect(worse).startswith("more trials violate") is proved
    few = f"none has the {pairs + 1} pairs that a proof needs"
    assert (freezing_proved((pair(*bare, *held),)) == few) is not proved
    assert (freeze_effect(worse) == "too few pairs to prove a difference") is not proved


def test_pairs_that_agree_prove_nothing() -> None:
    found = pair(*clean(MOVING, 0, 1), *clean(STILL, 0, 1))
    assert (found.pairs, found.p, freeze_effect(found)) == (2, None, "no pair differs")
    assert p_value(found.p) == "-"


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.violates is None])
def test_a_trial_that_proves_nothing_has_no_partner(outcome: Outcome) -> None:
    silent = record(STILL, 1, outcome)
    assert pair(*wrong(MOVING, 0, 1), *clean(STILL, 0), silent).pairs == 1


def test_trials_of_another_moment_are_no_pairs() -> None:
    other = [
        each.model_copy(update={"schedule": each.schedule.model_copy(update={"seed": 1})}) for each in clean(STILL, 0)
    ]
    assert run(*wrong(MOVING, 0), *other).freezing == ()
    assert run(*wrong(MOVING, 0), *clean(STILL, 1)).freezing == ()


def test_everybody_is_compared_with_the_barest_policy_of_the_same_question() -> None:
    crun = cell(runtime="crun")
    records = [record(each) for each in (MOVING, ENGINE, STILL, HOOK, crun)]
    assert [(each.without, each.held_by) for each in run(*records).freezing] == [("none", "pause"), ("none", "hook")]
    assert [each.without for each in run(record(ENGINE), record(STILL)).freezing] == ["engine"]
    assert run(record(MOVING), record(ENGINE)).freezing == (), "neither policy has a known freeze"


def test_every_report_tells_it() -> None:
    found = run(*wrong(MOVING, *range(6)), *clean(STILL, *range(6)))
    (raw,) = json.loads(summary_json(found))["freezing"]
    assert (raw["pairs"], raw["only_without"], raw["only_with"], raw["p"]) == (6, 6, 0, 0.03125)
    row = "| runc@debian-sid | ledger | none | pause | 6 | 6 | 0 | 0.031 | fewer trials violate with a freeze |"
    assert row in markdown.render(found)
    assert "fewer trials violate with a freeze" in dict(site.render(found))["consistency.html"]
    stream = StringIO()
    show_run(found, Console(file=stream, width=400), verbose=True)
    line = (
        "effect of freezing: 1 comparison, 6 pairs of trials; violations only without a freeze: 6, only with one: 0; "
        "with p < 0.05, a freeze lowers the failure rate in 1 and raises it in 0"
    )
    assert line in stream.getvalue()


def test_a_report_without_pairs_does_not_speak_of_them() -> None:
    found = run(*clean(STILL, 0))
    assert "Effect of freezing" not in markdown.render(found) + dict(site.render(found))["consistency.html"]
    assert freezing_line(found.freezing) == ""


def test_p_values_have_two_digits() -> None:
    assert [p_value(p) for p in (1.0, 0.03125, 0.00012, 1e-9)] == ["1", "0.031", "0.00012", "<0.0001"]
