"""The end of a run: the verdict first, then what is wrong, the report, and the tables."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.model.controls import CANARY, ControlKind
from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary, summarise
from reports.terminal.terminal import MOST_SHOWN, console_for, show_run
from tests.reports import engines
from tests.reports.synthetic import (
    MOVING,
    STILL,
    cell,
    closing,
    expected_run,
    matrix,
    moving,
    plan,
    poisoned,
    record,
    summary,
)

PLAN = plan(matrix())
AS_EXPECTED = expected_run(matrix())
PAGE = Path("out/run/report/index.html")


def printed(run: RunSummary, width: int | None = None, **how: Any) -> str:
    stream = StringIO()
    narrow = Console(file=stream, width=width, force_terminal=True, color_system=None)
    show_run(run, narrow if width else console_for(stream), **how)
    return stream.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_end_has_an_order() -> None:
    trials = [moving(MOVING), moving(STILL)]
    text = printed(summary(plan((MOVING, STILL), 1), trials), 80, page=PAGE, options=("--out", "mine"))
    told = [
        "verdict: 1 of 2 cells not as expected. (exit code 1)\n",
        "inconsistent 1/1 disk-ahead +45 ms [unexpected, should be consistent]\n",
        f"  stillframe show {STILL.id} --out mine\n",
        f"report: {PAGE}\n",
        "workload ledger",
        "✗ wrong, ! not as expected, = wrong, as it must be\n",
        "controls: none ran\n",
    ]
    assert [text.index(each) for each in told] == sorted(text.index(each) for each in told)
    assert text.startswith(told[0])
    assert STILL.id not in text.replace(told[2], ""), "it is named once"


def test_a_log_gets_plain_lines() -> None:
    text = printed(summary(PLAN, AS_EXPECTED))
    assert "\x1b" not in text
    assert text.startswith("verdict: All 24 cells are as expected, in 120 trials. (exit code 0)\n")
    assert "✗= 5/5 inconsistent disk-ahead +45.4 ms  ✓ 0/5 consistent" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160])
@pytest.mark.parametrize("run", [summary(PLAN, AS_EXPECTED), engines.summary()], ids=["small", "large"])
def test_a_terminal_is_never_overrun(run: RunSummary, width: int) -> None:
    commands = [line for line in printed(run, width).splitlines() if line.startswith("  stillframe show ")]
    lines = [line for line in printed(run, width).splitlines() if line not in commands]
    assert max(len(line) for line in lines) <= width
    assert bool(commands) == bool(run.unexpected)


@pytest.mark.parametrize("width", [80, 160])
def test_a_participant_is_a_row(width: int) -> None:
    lines = printed(engines.summary(), width).splitlines()
    for label in {row.label for table in engines.summary().tables for row in table.rows}:
        rows = [line.removeprefix(label).split() for line in lines if line.startswith(f"{label} ")]
        assert rows
        assert all(any(sign in row for sign in ("✓", "✗", "✗*", "✗=", "✓!", "?!", "◇")) for row in rows)


def test_the_heading_of_short_names_is_whole() -> None:
    short = cell(runtime="runc", stack="my")
    run = summary(plan([short], rounds=1), [record(short)])
    (heading,) = [line for line in printed(run, 80).splitlines() if line.startswith("partic")]
    assert heading.split() == ["participant", "pause"]


def test_the_wider_it_is_the_more_is_told() -> None:
    run = summary(PLAN, AS_EXPECTED)
    assert "runc@debian-sid           ✗= 5/5  ✓ 0/5  ✓ 0/5   ✓ 0/5" in printed(run, 60)
    assert "runc@debian-sid           ✗= 5/5 inconsistent  ✓ 0/5 consistent" in printed(run, 110)
    assert "runc@debian-sid           ✗= 5/5 inconsistent disk-ahead +45.4 ms  ✓ 0/5 consistent" in printed(run, 120)
    narrow = printed(run, 40)
    assert "runc@debian-sid           ✗=  ✓  ✓  ✓" in narrow
    assert words("a none, b pause, c cgroup, d hook") in words(narrow)


def test_what_is_known_is_one_line_unless_asked() -> None:
    text = words(printed(engines.summary(), 80))
    assert "known issues: 2 as declared, in 50 cells" in text
    assert engines.NO_RESTORE.link not in text
    assert f"{engines.AHEAD.link} (owner: podman; review by 2027-03-01): 10 of 12 cells as expected" in text
    assert "passes now in ledger.engine.podman/runc@debian-experimental" in text, "somebody has to act"
    assert "runc@debian-sid: runc" not in text
    every = words(printed(engines.summary(), 80, verbose=True))
    assert engines.NO_RESTORE.link in every
    assert "[1] no-resources: lacking controllers in the node's" in every
    assert "runc@debian-sid: runc 1.3.6, criu 4.2.1" in every
    assert "paused: the user pauses the container" in every
    assert "new failures; to declare them" in every


def test_many_unexpected_cells_are_counted_unless_asked() -> None:
    cells = matrix()
    run = summary(plan(cells, 1), [record(each, outcome=Outcome.LEAKED, reason=each.id) for each in cells])
    shown, every = printed(run, 80), printed(run, 80, verbose=True)
    assert shown.count("stillframe show") == MOST_SHOWN
    assert f"and {len(cells) - MOST_SHOWN} cells more" in shown
    assert every.count("stillframe show") == len(cells)


def test_equal_failures_are_told_once_with_a_command_for_each() -> None:
    cells = [each for each in matrix() if each.policy is STILL.policy]
    text = printed(summary(plan(cells, 1), [record(each, outcome=Outcome.LEAKED) for each in cells]), 80)
    assert text.count("leaked 1/1: a trial that was leaked [unexpected") == 1
    assert [line for line in text.splitlines() if line.startswith("  ")][: len(cells)] == [
        f"  stillframe show {each.id}" for each in cells
    ]


def test_a_control_is_told_with_what_was_expected_of_it() -> None:
    trials = [moving(MOVING), record(STILL), record(STILL, control="ring-byte", outcome=Outcome.CONSISTENT)]
    text = words(printed(summary(plan((MOVING, STILL), 1), trials), 80))
    assert "control ring-byte on ledger.pause.runc@debian-sid: NOT DETECTED: consistent" in text
    assert "must be inconsistent torn" in text
    assert "controls: 0 of 1 detected" in text
    assert "(exit code 4)" in text


def test_an_interrupted_run_counts_what_is_missing_and_blames_nobody() -> None:
    controls = tuple(CANARY.control(MOVING, kind) for kind in (ControlKind.CANARY, ControlKind.CONTROL))
    some = plan((MOVING, STILL), 2).model_copy(update={"controls": controls})
    ended = closing().model_copy(update={"interrupted": "SIGINT"})
    text = words(printed(summarise(some, [moving(MOVING), moving(MOVING, 1), record(STILL)], ended), 80))
    told = "verdict: Interrupted by SIGINT: 1 of 2 cells and 0 of 2 controls are complete. (exit code 3)"
    assert text.startswith(told)
    assert "stillframe show" not in text
    assert "NOT R" not in text
    assert "canary: not run controls: none of 1 ran" in text


def test_an_interrupted_run_still_tells_what_it_found() -> None:
    ended = closing().model_copy(update={"interrupted": "SIGTERM"})
    run = summarise(plan((MOVING, STILL), 2), [moving(STILL)], ended)
    text = words(printed(run, 80))
    assert run.conclusion.exit_code == 1
    assert f"stillframe show {STILL.id}" in text
    assert "Interrupted by SIGTERM: 0 of 2 cells are complete." in text


def test_a_record_cannot_drive_the_terminal() -> None:
    trials = [poisoned(each, "\x1b[2J[red]\n") for each in (moving(MOVING), record(STILL, outcome=Outcome.LEAKED))]
    for verbose in (False, True):
        text = printed(summary(plan(()), trials), 80, verbose=verbose)
        assert "\x1b" not in text
        assert "[red]" in text


def test_a_locale_without_the_signs_has_others(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        foreign = record(STILL, outcome=Outcome.LEAKED, reason="größer")
        show_run(summary(plan([STILL, MOVING], 1), [foreign, moving(MOVING)]), console_for(stream))
    text = (tmp_path / "log").read_text(encoding="ascii")
    assert "verdict: 1 of 2 cells not as expected" in text
    assert "x= 1/1 inconsistent" in text
    assert "x! 1/1 leaked" in text
    assert "x wrong, ! not as expected, = wrong, as it must be" in text
