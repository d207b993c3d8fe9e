"""How long sources stood still, by the size that their workload says."""

from __future__ import annotations

import pytest

from harness.model.cells import Cell
from harness.records.record import Record
from reports.analysis.pauses import pauses_of
from reports.pages.charts import curves, numbered
from tests.reports.synthetic import MOVING, STILL, record


def sized(workload: str, milliseconds: float | None, cell: Cell = STILL, trial: int = 0) -> Record:
    made = record(cell.model_copy(update={"workload": workload}), trial)
    gap = None if milliseconds is None else milliseconds * 1000
    return made.model_copy(update={"source": made.source.model_copy(update={"longest_gap_us": gap})})


SOME = [
    sized("files-100-mib", 40),
    *(sized("memory-512-mib", each, trial=number) for number, each in enumerate((900, 700, 800))),
    sized("memory-16-mib", 100),
    sized("memory-16-mib", 10, MOVING),
    sized("memory-16-mib", None, MOVING, 1),
]


def test_pauses_are_in_the_order_of_who_what_and_size() -> None:
    found = [(each.who, each.what, each.mebibytes, each.typical) for each in pauses_of(SOME)]
    of_still, of_moving = (f"{each.checkpoint} ({each.policy})" for each in (STILL, MOVING))
    assert found == sorted(
        [
            (of_still, "memory", 16, 100),
            (of_still, "memory", 512, 800),
            (of_still, "files", 100, 40),
            (of_moving, "memory", 16, 10),
        ],
        key=lambda each: each[0],
    )


@pytest.mark.parametrize("name", ["memory", "memory-0-mib", "memory-16-mib-more", "disk-16-mib", "memory-99999999-mib"])
def test_a_workload_that_says_no_size_is_none_of_them(name: str) -> None:
    assert pauses_of([sized(name, 10)]) == ()


def test_controls_are_not_measured() -> None:
    assert pauses_of([SOME[0].model_copy(update={"control": "canary"})]) == ()


def test_a_curve_says_the_same_in_words_and_ends_with_the_number_of_its_row() -> None:
    found = pauses_of(SOME)
    drawn = str(curves(found, "memory"))
    assert drawn.count("<polyline") == 2
    assert f"{STILL.checkpoint} ({STILL.policy}) at 512 MiB: 800 ms" in drawn
    for number in numbered(found).values():
        assert f">{number}</text>" in drawn
    assert str(curves(found, "files")).count("<polyline") == 1
