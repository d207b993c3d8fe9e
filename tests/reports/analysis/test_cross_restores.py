"""Declined cross-restores, and the effect of bridges."""

from __future__ import annotations

from harness.model.cells import Cell, Scenario
from harness.model.outcomes import Outcome, Refusal
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.words.findings import bridge, how_declined, would_restore
from tests.reports.synthetic import cell, plan, record, summary

WELL = Refusal(early=True, named=("runc and crun",))
BADLY = Refusal(early=False, named=())
ONE, OTHER = cell(), cell(runtime="crun")
THERE = ONE.model_copy(update={"restore": OTHER.checkpoint})
BACK = OTHER.model_copy(update={"restore": ONE.checkpoint})


def over(crossing: Cell, scenario: Scenario = Scenario.TRANSLATED, way: str = "") -> Cell:
    return crossing.model_copy(update={"scenario": scenario, "way": way})


def declines(crossing: Cell, refusal: Refusal, *found: Outcome) -> Record:
    made = record(crossing, outcome=found[0], reason="it says no")
    verdict = made.verdict.model_copy(update={"also": found[1:]})
    return made.model_copy(update={"refusal": refusal, "verdict": verdict, "log": ("CRIU says no", "and more")})


def run(*records: Record) -> RunSummary:
    return summary(plan([each.cell for each in records], rounds=1), records)


def test_refusals_are_grouped_by_grade_and_the_best_comes_first() -> None:
    found = run(
        declines(BACK, BADLY, Outcome.LEAKED, Outcome.RESTORE_FAILED), declines(THERE, WELL, Outcome.REFUSED)
    ).declined
    assert [(each.early, each.named, each.unharmed, each.clean, each.cells) for each in found] == [
        (True, ("runc and crun",), True, True, (THERE.id,)),
        (False, (), True, False, (BACK.id,)),
    ]
    assert [each.reason for each in found] == ["it says no", "CRIU says no"], "the reason is not the leftovers"


def test_it_is_told_whether_a_bridge_would_do() -> None:
    crossed = run(declines(THERE, WELL, Outcome.REFUSED), declines(BACK, WELL, Outcome.REFUSED), record(over(THERE)))
    (group,) = crossed.declined
    assert (group.cells, group.would) == ((THERE.id, BACK.id), (THERE.id,))
    assert would_restore(group) == "with a bridge, consistent in 1 of 2 cells"
    assert how_declined(group) == "early, names runc and crun, source unharmed, nothing left behind"


def test_a_bridge_is_held_against_the_same_pair_as_it_is() -> None:
    crossed = run(
        record(ONE),
        declines(THERE, BADLY, Outcome.RESTORE_FAILED),
        record(BACK),
        record(over(THERE)),
        declines(over(BACK), BADLY, Outcome.RESTORE_FAILED),
        declines(over(THERE, Scenario.LIVE, "unmasked"), BADLY, Outcome.RESTORE_FAILED),
        record(over(ONE, Scenario.LIVE, "unmasked")),
    )
    translated, unmasked = crossed.bridges
    assert (translated.name, translated.tried) == (Scenario.TRANSLATED, 2)
    assert (translated.opened, translated.closed, translated.broken) == ((over(THERE).id,), (), (over(BACK).id,))
    assert (unmasked.name, unmasked.tried, len(unmasked.closed)) == ("unmasked", 1, 1), "a participant alone is no pair"
    assert bridge(translated) == "translated: fixes 1 of 1 pair failing without it, and breaks 1 pair"
    assert len(crossed.declined) == 1, "a refusal with a bridge does not count"


def test_the_only_way_in_which_a_pair_is_tried_is_the_plain_one() -> None:
    crossing = over(THERE, Scenario.LIVE, "overlay-memory")
    crossed = run(declines(crossing, BADLY, Outcome.RESTORE_FAILED))
    assert crossed.bridges == ()
    assert [each.cells for each in crossed.declined] == [(crossing.id,)]


def test_who_only_restores_what_is_theirs_is_not_told_of() -> None:
    alone = run(record(ONE, outcome=Outcome.RESTORE_FAILED))
    assert (alone.declined, alone.bridges) == ((), ())
