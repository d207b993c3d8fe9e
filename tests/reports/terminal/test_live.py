"""A run while it goes on: rendered for a terminal of any width, and as lines of a log."""

from __future__ import annotations

import time
from io import StringIO

import pytest
from rich.console import Console

from harness.model.errors import Exit
from reports.terminal import live
from reports.terminal.live import LATEST, Progress, log_line, rendered
from reports.words.finished import Finished

GOOD = Finished(name="ledger.pause.runc@debian-sid", code=Exit.EXPECTED, result="consistent", detail="0/5")
KNOWN = Finished(name="a", code=Exit.EXPECTED, result="inconsistent", detail="5/5", known=True)
BAD = Finished(
    name="ledger.hook.crun@debian-sid",
    code=Exit.UNEXPECTED,
    result="restore-failed",
    detail="1/5",
    reason="should be consistent: Error (criu/mount.c:3): no such device, which is a long story that goes on and on",
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def shown(run: Progress, width: int = 80) -> list[str]:
    stream = StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system=None).print(rendered(run, width))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def under_way(clock: list[float]) -> Progress:
    run = Progress(workers=2, planned=("a", "b", "c", "d", "e"), seconds={"e": 400.0})
    for name in "ab":
        run.begin(name)
    clock[0] = 75.0
    run.end("a", GOOD)
    run.end("b", BAD)
    run.begin("c")
    run.begin("d")
    clock[0] = 85.0
    return run


def test_it_tells_what_is_done_what_is_left_and_what_runs(clock: list[float]) -> None:
    first, *more = shown(under_way(clock))
    assert first.startswith("2 of 5 done, about 6 min left ━")
    assert more == [
        "restore-failed (unexpected) 1, consistent 1",
        f"  {'c':73} 10 s",
        f"  {'d':73} 10 s",
        "not as expected: 1 result",
        "  ledger.hook.crun@debian-sid",
        "    restore-failed 1/5, should be consistent: Error (criu/mount.c:3): no such d…",
    ]


@pytest.mark.parametrize("width", [1, 8, 20, 40, 80, 160])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_folded(clock: list[float], width: int) -> None:
    run = under_way(clock)
    assert len(shown(run, width)) == len(shown(run, 160))
    assert max(map(len, shown(run, width))) <= width


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ({}, ""),
        ({"a": 19.0}, ", less than a minute left"),
        ({"a": 600.0}, ", about 30 min left"),
        ({"a": 9e3}, ", about 7 h 30 min left"),
    ],
)
def test_the_time_left_is_guessed_from_what_was_measured(seconds: dict[str, float], told: str) -> None:
    run = Progress(workers=1, planned=("a", "b", "c"), seconds=seconds)
    assert shown(run)[0].partition(" ━")[0] == f"0 of 3 done{told}"


def test_who_runs_longer_than_expected_is_not_owed_time(clock: list[float]) -> None:
    run = Progress(planned=("a", "b"), seconds={"a": 10.0, "b": 30.0})
    run.begin("a")
    assert run.left == 40.0
    clock[0] = 4.0
    assert run.left == 36.0
    clock[0] = 1000.0
    assert run.left == 30.0


def test_of_what_is_wrong_the_latest_are_shown() -> None:
    run = Progress(planned=("a",))
    for number in range(9):
        run.end(f"{number}", BAD.model_copy(update={"name": f"cell-{number}"}))
    text = "\n".join(shown(run))
    assert "not as expected: 9 results" in text
    assert [f"cell-{number}" in text for number in range(9)] == [number >= 9 - LATEST for number in range(9)]


def test_the_preparation_shows_the_latest_step_of_each_stack() -> None:
    run = Progress(note="")
    for text in ("debian-sid: building", "debian-trixie: building", "debian-sid: download", "removed 1 control group"):
        run.step(text)
    assert shown(run) == ["debian-sid: download", "debian-trixie: building", "this machine: removed 1 control group"]
    run.planned = ("a",)
    run.begin("a")
    assert "download" not in "\n".join(shown(run))


def test_what_ends_without_a_result_is_not_done() -> None:
    run = Progress(planned=("a", "b"))
    run.begin("a")
    run.end("a", None)
    assert (run.running, run.measured) == ({}, {})


def test_nothing_that_is_shown_controls_the_terminal() -> None:
    evil = "\x1b[2J\r\n\x07\u202e[red]"
    run = Progress(planned=("a",), note=evil)
    run.step(evil)
    run.begin(evil)
    run.steps[evil] = evil
    run.end("x", BAD.model_copy(update={"name": evil, "reason": evil, "result": evil, "detail": evil}))
    text = "\n".join(shown(run, 200))
    assert not set("\x1b\r\x07\u202e") & set(text)
    assert "[red]" in text


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (GOOD, " 3 of 24  as expected: ledger.pause.runc@debian-sid: consistent 0/5"),
        (KNOWN, " 3 of 24  known: a: inconsistent 5/5"),
        (BAD, f" 3 of 24  UNEXPECTED: ledger.hook.crun@debian-sid: restore-failed 1/5, {BAD.reason}"),
        (
            BAD.model_copy(update={"code": Exit.INCOMPLETE, "reason": "x"}),
            " 3 of 24  INCOMPLETE: ledger.hook.crun@debian-sid: restore-failed 1/5, x",
        ),
    ],
)
def test_a_log_has_a_line_for_each(found: Finished, told: str) -> None:
    assert log_line(3, 24, found) == told


def test_spans_have_units() -> None:
    assert [live._span(seconds) for seconds in (0.4, 59.0, 60.0, 125.0)] == ["0 s", "59 s", "1 min 00 s", "2 min 05 s"]
