from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from harness.host import wait
from harness.host.wait import until
from harness.model.errors import DeadlineExceeded


class Clock:
    """A clock that advances only when the code sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wait, "time", clock)
    return clock


def answers(*values: object) -> Callable[[], object]:
    """A probe that returns `values` one after the other, and then the last one forever."""
    told: Iterator[object] = chain(values, repeat(values[-1]))
    return lambda: next(told)


def test_what_holds_already_is_not_waited_for(clock: Clock) -> None:
    assert until(lambda: "here", seconds=0, what="it") == "here"
    assert clock.naps == []


@pytest.mark.parametrize("found", [True, "x", 0, 0.0, "", ()], ids=repr)
def test_everything_but_none_and_false_is_found(clock: Clock, found: object) -> None:
    result = until(answers(None, False, found), seconds=1, what="it")
    assert result is found
    assert len(clock.naps) == 2


def test_the_pauses_grow_up_to_a_limit(clock: Clock) -> None:
    until(answers(*[None] * 8, True), seconds=10, what="it")
    assert clock.naps == [0.0005, 0.001, 0.002, 0.004, 0.008, 0.01, 0.01, 0.01]


def test_after_the_deadline_it_says_what_it_waited_for(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded, match=r"^the end of one did not happen within 2\.5 s$"):
        until(lambda: None, seconds=2.5, what="the end of one")
    assert clock.now == pytest.approx(102.5), "neither earlier nor later"


def test_there_is_a_last_look_at_the_deadline(clock: Clock) -> None:
    assert until(lambda: clock.now >= 102, seconds=2, what="it") is True


def test_what_the_probe_raises_is_raised(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        until(lambda: 1 // 0, seconds=1, what="it")


@pytest.mark.parametrize(("due", "naps"), [(103.5, [3.5]), (100.0, [0.0]), (99.0, [0.0])])
def test_a_moment_is_waited_for_unless_it_has_passed(clock: Clock, due: float, naps: list[float]) -> None:
    wait.moment(due)
    assert clock.naps == naps
