from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.model.outcomes import Outcome
from reports.analysis.tables import RunSummary
from reports.terminal.terminal import console_for, show_run
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, expected_run, matrix, moving, plan, poisoned, record, summary

PLAN = plan(matrix())
AS_EXPECTED = expected_run(matrix())


def printed(run: RunSummary, width: int | None = None) -> str:
    stream = StringIO()
    narrow = Console(file=stream, width=width, force_terminal=True, color_system=None)
    show_run(run, narrow if width else console_for(stream))
    return stream.getvalue()


def test_a_log_gets_wide_plain_lines() -> None:
    text = printed(summary(PLAN, AS_EXPECTED))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) >= 120
    assert "inconsistent 5/5" in text
    assert "disk-ahead +45.4 ms" in text
    assert "runc@debian-sid: runc 1.3.6, criu 4.2.1" in text
    assert "controls: none ran" in text
    assert text.splitlines()[-1].startswith("verdict: All 24 cells are as expected, in 120 trials. (exit code 0)")


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_is_never_overrun_and_no_word_is_lost(width: int) -> None:
    text = printed(summary(PLAN, AS_EXPECTED), width)
    assert max(map(len, text.splitlines())) <= width
    assert (text.count("inconsistent"), text.count("consistent"), text.count("0/5")) == (6, 24, 18)
    assert text.count("(expected)") == 6
    assert "…" not in text


def test_what_is_wrong_is_said_in_words() -> None:
    trials = [moving(MOVING), moving(STILL), record(STILL, control="ring-byte", outcome=Outcome.CONSISTENT)]
    text = " ".join(printed(summary(plan((MOVING, STILL), 1), trials)).split())
    assert "[unexpected]" in text
    told = f"{STILL.id}: inconsistent 1/1 disk-ahead +45 ms [unexpected, should be consistent]"
    assert told in text, "the line below the table"
    assert "control ring-byte on ledger.pause.runc@debian-sid: NOT DETECTED: consistent" in text
    assert "must be inconsistent torn" in text
    assert "controls: 0 of 1 detected" in text
    assert "(exit code 4)" in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_engines_fit_however_narrow_it_is(width: int) -> None:
    text = printed(engines.summary(), width)
    assert max(map(len, text.splitlines())) <= width
    for word in (
        "inconsistent",
        "not-captured",
        "[unexpected]",
        "[incomplete]",
        "(known)",
        "(expected)",
        "unsupported",
    ):
        assert word in text, "no word is cut"
    assert text.count("experim") == text.count("experimental")
    assert text.count("(known)") == 60


def test_a_table_is_not_blown_up_by_reasons_which_are_told_below() -> None:
    text = printed(engines.summary())
    told = " ".join(text.split())
    lost = (
        "deleted-file.cgroup.runsc@debian-experimental and 5 cells more: unsupported 1/1: checkpoint: no runsc in this"
    )
    assert lost in told
    assert "more [unexpected, should be consistent]" in told
    below = text.index("deleted-file.cgroup.runsc@debian-trixie: checkpoint-failed 1/1: runsc checkpoint")
    assert text.index("surfaces and scenarios") < below < text.index("paused: the user") + 2000


def test_footnotes_and_known_issues_are_told() -> None:
    told = " ".join(printed(engines.summary()).split())
    assert "[1] no-resources: lacking controllers in the node's" in told
    act = "owner: podman; review by 2027-03-01"
    assert f"known issue: {engines.AHEAD.reason} {engines.AHEAD.link} ({act}): 10 of 12" in told
    assert "runsc@debian-trixie [1] -" in told
    assert "paused: the user pauses the container" in told


def test_a_record_cannot_drive_the_terminal() -> None:
    trials = [poisoned(each, "\x1b[2J[red]\n") for each in (moving(MOVING), record(STILL, outcome=Outcome.LEAKED))]
    text = printed(summary(plan(()), trials))
    assert "\x1b" not in text
    assert "[red]" in text


def test_a_locale_without_the_letters_costs_no_table(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        foreign = record(STILL, outcome=Outcome.LEAKED, reason="größer")
        show_run(summary(plan([STILL], 1), [foreign]), console_for(stream))
    assert "verdict: 1 of 1 cell not as expected" in (tmp_path / "log").read_text(encoding="ascii")
