"""Predictions, compared with results."""

from __future__ import annotations

from harness.model.outcomes import Answer, Outcome, Prediction, Refusal
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.runs.fingerprint import Edge, grouped
from reports.terminal.fingerprint import lines
from reports.words.findings import missed, score_of
from tests.reports.synthetic import cell, plan, record, summary

CROSSING = [
    cell(runtime=runtime).model_copy(update={"restore": cell(runtime=other).checkpoint})
    for runtime, other in (("runc", "crun"), ("crun", "runc"), ("runc", "criu"))
]


def trial(number: int, answer: Answer, outcome: Outcome) -> Record:
    declined = None if outcome is Outcome.CONSISTENT else Refusal(early=False, named=())
    foretold = Prediction(answer=answer, reasons=("the fields differ",) if answer is Answer.NO else ())
    return record(CROSSING[number], outcome=outcome).model_copy(update={"prediction": foretold, "refusal": declined})


def run(*records: Record) -> RunSummary:
    return summary(plan([each.cell for each in records], rounds=1), records)


def test_predictions_are_scored_by_cells() -> None:
    found = run(
        trial(0, Answer.YES, Outcome.CONSISTENT),
        trial(1, Answer.NO, Outcome.LEAKED),
        trial(2, Answer.YES, Outcome.RESTORE_FAILED),
    ).predictions
    assert (found.cells, found.right) == (3, 2)
    assert [each.cell for each in found.of(Answer.YES)] == [CROSSING[2].id]
    assert score_of(found) == "right in 2 of 3 cells (66.7 %), false yes 1, false no 0, unknown 0"


def test_a_miss_tells_what_was_said_and_why() -> None:
    (miss,) = run(trial(0, Answer.NO, Outcome.CONSISTENT)).predictions.missed
    told = "predicted no, because the fields differ; the result is consistent: a trial that was consistent"
    assert missed(miss) == told


def test_what_says_nothing_about_the_restore_is_left_out() -> None:
    spoilt = trial(0, Answer.YES, Outcome.HARNESS_ERROR).model_copy(update={"refusal": None})
    found = run(spoilt, record(CROSSING[1])).predictions
    assert (found.cells, found.right, found.missed) == (0, 0, ())


def edge(one: str, other: str, consistent: int = 1, refused: int = 0, failed: int = 0) -> Edge:
    return Edge(checkpoint=one, restore=other, consistent=consistent, refused=refused, other=failed)


def test_versions_that_restore_each_other_are_a_class() -> None:
    mutual = [edge(one, other) for one in "bc" for other in "bc"]
    found = grouped(
        [*mutual, edge("a", "a"), edge("a", "b"), edge("a", "c"), edge("b", "a", 1, 0, 1), edge("c", "a", 0, 1)]
    )
    assert [(each.members, each.restores) for each in found.classes] == [(("a",), ()), (("b", "c"), ("class 1",))]
    assert list(lines(found)) == [
        "class 1:", "  a", "class 2: also restores class 1", "  b", "  c",
        "from 10 trials of 9 ordered pairs; --json lists all pairs",
    ]  # fmt: skip


def test_a_member_that_one_of_the_others_does_not_restore_is_in_a_class_of_its_own() -> None:
    pairs = [edge(one, other) for one in "abc" for other in "abc" if (one, other) != ("c", "a")]
    assert [each.members for each in grouped(pairs).classes] == [("a", "b"), ("c",)]


def test_who_was_tried_alone_is_in_no_class() -> None:
    assert grouped([edge("a", "a")]).classes == ()
