from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from harness.model.outcomes import Outcome
from harness.records import repeated
from harness.records.record import CLOSE, Record
from harness.records.repeated import Repeated
from harness.records.run_files import often_repeated, read_briefly
from tests.reports.synthetic import MOVING, STILL, expected_run, moving, plan, record, store


def brief(value: Record) -> Record:
    return value.model_copy(update=dict.fromkeys(CLOSE, ()))


def raw(value: Record) -> dict[str, object]:
    whole: dict[str, object] = json.loads(value.model_dump_json())
    return whole


@pytest.mark.parametrize(
    "value", [record(STILL), moving(MOVING), record(STILL, outcome=Outcome.HUNG, control="canary")]
)
def test_what_is_read_is_what_was_written(value: Record) -> None:
    lately = often_repeated()
    assert [lately.read(raw(value)) for _ in range(3)] == [brief(value)] * 3


def test_equal_parts_are_one() -> None:
    lately = often_repeated()
    first, second, other = (lately.read(raw(each)) for each in (record(STILL, 0), record(STILL, 1), moving(STILL, 2)))
    for name in ("cell", "host", "components", "verdict", "skews"):
        assert getattr(first, name) is getattr(second, name)
    assert first.schedule != second.schedule
    assert first.components is other.components
    assert (first.verdict, first.skews) != (other.verdict, other.skews)
    assert other == brief(moving(STILL, 2))


def test_what_looks_alike_is_not_taken_for_the_same() -> None:
    """1, true, "1" and 1.0 are equal after reading, but each is read by itself."""
    lately = Repeated(Record, ("trial",))
    assert [lately.read(raw(record(STILL)) | {"trial": trial}).trial for trial in (1, True, "1", 1.0)] == [1] * 4


def test_it_is_forgotten_before_it_gets_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "MOST_KEPT", 20)
    lately = often_repeated()
    trials = [moving(STILL, number, 100 + number) for number in range(50)]
    assert [lately.read(raw(each)) for each in trials] == [*map(brief, trials)]
    assert len(lately._kept) <= 20 + len(lately.names)


def test_what_is_kept_is_made_fit_once() -> None:
    asked: list[str] = []

    def fit(name: str, part: object) -> object:
        asked.append(name)
        return part.model_copy(update={"reason": "another"}) if name == "verdict" else part  # type: ignore[attr-defined]

    lately = Repeated(Record, ("verdict",), fit=fit)
    read = [lately.read(raw(record(STILL, number))) for number in range(3)]
    assert [each.verdict.reason for each in read] == ["another"] * 3
    assert (asked.count("verdict"), asked.count("log")) == (1, 3)


def test_a_part_can_be_copied_as_any_value() -> None:
    read = often_repeated().read(raw(record(STILL)))
    changed = read.model_copy(update={"trial": 7, "verdict": read.verdict.model_copy(update={"reason": "other"})})
    assert (changed.trial, changed.verdict.reason, read.trial) == (7, "other", 0)
    assert changed != read


def test_many_records_take_little_memory(tmp_path: Path) -> None:
    """A million records must fit into memory; only number, schedule and times differ in each."""
    rounds = 500
    folder = store(tmp_path / "run", plan((MOVING, STILL), rounds), expected_run((MOVING, STILL), rounds))
    list(read_briefly(folder))  # fills the caches
    tracemalloc.start()
    try:
        kept = list(read_briefly(folder))
        each = tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()
    assert len(kept) == 2 * rounds
    assert each < 4_000
    assert not any(getattr(one, name) for _, one in kept for name in CLOSE)
