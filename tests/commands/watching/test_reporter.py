"""What pytest tells our reporter, and what it makes of it in a log and on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.commands.watching import durations
from harness.commands.watching.reporter import PROPERTY, Reporter
from harness.model.errors import EnvironmentUnfit, Exit
from harness.run.prepare import Run
from reports.words.finished import Finished
from tests.reports.synthetic import MOVING, STILL, plan

FOUND = Finished(name=STILL.id, code=Exit.EXPECTED, result="consistent", detail="0/1")
TEST = f"scenarios/test_live_consistency.py::test_live_consistency[{STILL.id}]"
CHECK = "scenarios/controls/test_controls.py::test_every_check_of_the_oracle_is_needed[all.runc@debian-sid]"


def report(nodeid: str = TEST, found: Finished | None = None, **changes: Any) -> pytest.TestReport:
    told = [(PROPERTY, found.model_dump(mode="json"))] if found else []
    given: dict[str, Any] = {
        "location": ("", 0, ""),
        "keywords": {},
        "outcome": "passed",
        "longrepr": None,
        "when": "call",
    }
    return pytest.TestReport(nodeid=nodeid, user_properties=told, **{**given, **changes})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "out" / "r1").mkdir(parents=True)
    return Run(tmp_path / "out" / "r1", plan((MOVING, STILL), 2), {}, {})


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        yield tmp_path / "log"


@pytest.fixture
def reporter(run: Run, log: Path) -> Iterator[Reporter]:  # it writes to it
    with Reporter(1) as reporter:
        reporter.begun(run, {STILL.id: 2, MOVING.id: 2, "all.runc@debian-sid": 1})
        reporter._collected([TEST, CHECK])
        yield reporter


def lines(log: Path) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d  ", "TIME ", line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_log_has_a_line_for_each_result_and_nothing_of_pytest(reporter: Reporter, log: Path) -> None:
    reporter.pytest_runtest_logstart(TEST)
    reporter.pytest_runtest_logreport(report(when="setup"))
    reporter.pytest_runtest_logreport(report(found=FOUND))
    reporter.pytest_runtest_logreport(report(when="teardown"))
    reporter.pytest_runtest_logfinish(TEST)
    reporter.pytest_runtest_logreport(report(CHECK))
    assert lines(log) == [
        f"TIME 1 of 2  as expected: {STILL.id}: consistent 0/1",
        "TIME 2 of 2  as expected: every check of the oracle is needed (all.runc@debian-sid): yes",
    ]


def test_what_the_declared_failure_of_a_cell_is_to_pytest_does_not_matter(reporter: Reporter, log: Path) -> None:
    found = FOUND.model_copy(update={"known": True, "result": "hung"})
    reporter.pytest_runtest_logreport(report(found=found, outcome="skipped", longrepr="xfail"))
    assert lines(log) == [f"TIME 1 of 2  known: {STILL.id}: hung 0/1"]


def test_a_cell_that_was_cut_short_is_not_counted(reporter: Reporter, log: Path) -> None:
    reporter.pytest_runtest_logstart(TEST)
    reporter.pytest_runtest_logreport(report(outcome="skipped", longrepr=("x", 1, "the run was asked to end")))
    reporter.pytest_runtest_logfinish(TEST)
    assert lines(log) == []
    assert (reporter._progress.running, reporter._progress.measured) == ({}, {})


def test_a_check_that_fails_is_told_with_its_reason(reporter: Reporter, log: Path) -> None:
    reporter.pytest_runtest_logreport(report(CHECK, outcome="failed", longrepr="these mutants did not run: a, b"))
    (line,) = lines(log)
    told = "every check of the oracle is needed (all.runc@debian-sid): no, these mutants did not run: a, b"
    assert line.endswith(f"INSTRUMENT BLIND: {told}")


def raised(error: Exception) -> pytest.ExceptionInfo[Exception]:
    with pytest.raises(type(error)) as info:
        raise error
    return info


def test_a_failure_that_a_sentence_explains_has_no_traceback(reporter: Reporter, log: Path) -> None:
    sentence = EnvironmentUnfit("the node x left control groups behind", remedy="The next run removes them.")
    error = raised(sentence).getrepr()
    reporter.pytest_runtest_logreport(report(outcome="failed", longrepr=error, when="teardown"))
    assert lines(log) == ["stillframe: the node x left control groups behind. The next run removes them."]


def test_a_fault_of_ours_is_told_with_its_traceback(reporter: Reporter, log: Path) -> None:
    reporter.pytest_runtest_logreport(
        report(outcome="failed", longrepr=raised(KeyError("x\x1b")).getrepr(), when="setup")
    )
    first, *more = lines(log)
    assert first == f"stillframe: {STILL.id} failed:"
    assert "KeyError" in "\n".join(more)
    assert "\x1b" not in "\n".join(more)


def test_an_error_of_the_run_is_kept_for_its_end(reporter: Reporter, log: Path) -> None:
    for error in (EnvironmentUnfit("no root"), KeyError("x")):
        info = raised(error)
        assert reporter.pytest_internalerror(info.getrepr(), info), "pytest says nothing about it"
        assert reporter.error is error
    text = "\n".join(lines(log))
    assert "no root" not in text, "the command says it"
    assert "KeyError" in text


def test_scenarios_that_cannot_be_loaded_are_told(reporter: Reporter, log: Path) -> None:
    error = raised(ImportError("no such module")).getrepr()
    reporter.pytest_collectreport(pytest.CollectReport("scenarios/test_x.py", "passed", None, []))
    reporter.pytest_collectreport(pytest.CollectReport("scenarios/test_x.py", "failed", error, []))
    first, *more = lines(log)
    assert first == "stillframe: scenarios/test_x.py cannot be loaded:"
    assert "no such module" in "\n".join(more)


def test_a_worker_that_crashes_is_told(reporter: Reporter, log: Path) -> None:
    reporter.pytest_testnodedown(None)
    reporter.pytest_testnodedown("Not properly terminated")
    assert lines(log) == ["stillframe: a worker crashed (Not properly terminated); another one goes on with its cells"]


def test_a_preparation_is_told_step_by_step(reporter: Reporter, log: Path) -> None:
    reporter.preparing("debian-sid: building\x1b")
    assert lines(log) == ["TIME debian-sid: building\N{REPLACEMENT CHARACTER}"]


def test_durations_are_kept_for_each_trial(reporter: Reporter, run: Run) -> None:
    reporter.pytest_runtest_logstart(TEST)
    reporter._progress.running[STILL.id] -= 8
    reporter.pytest_runtest_logreport(report(found=FOUND))
    reporter.pytest_runtest_logreport(report(CHECK))
    reporter.pytest_sessionfinish()
    kept = durations.read(run.folder.parent)
    assert set(kept) == {STILL.id}, "what has no beginning has no duration"
    assert 4 <= kept[STILL.id] < 5
    reporter.begun(run, {STILL.id: 10})
    assert reporter._progress.seconds == {STILL.id: 10 * kept[STILL.id]}


def test_a_reader_that_goes_away_costs_no_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    with os.fdopen(writes, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with Reporter(1) as reporter:
            os.close(reads)
            reporter.begun(run, {STILL.id: 1})
            reporter.pytest_runtest_logreport(report(found=FOUND))
            assert list(reporter._progress.measured) == [STILL.id]


def everything(descriptor: int) -> str:
    """What a terminal was given, once nobody writes to it any more."""
    said = b""
    with contextlib.suppress(OSError):  # EIO: that is its end
        while piece := os.read(descriptor, 1 << 16):
            said += piece
    os.close(descriptor)
    return said.decode()


@pytest.mark.parametrize(("term", "live"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_a_display_and_gets_its_cursor_back(
    run: Run, monkeypatch: pytest.MonkeyPatch, term: str, live: bool
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", "1")
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with Reporter(1) as reporter:
            reporter.begun(run, {STILL.id: 1})
            reporter._collected([TEST])
            reporter.pytest_runtest_logstart(TEST)
            if reporter._live:
                reporter._live.refresh()
            reporter.pytest_runtest_logreport(report(found=FOUND))
    text = everything(ours)
    assert ("0 of 1 done" in text) is live
    assert ("1 of 1  as expected" in text) is not live
    assert (text.count("\x1b[?25l"), text.count("\x1b[?25h")) == ((1, 1) if live else (0, 0))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text), "no colour was asked for"
