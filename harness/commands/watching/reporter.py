"""Our own reporter for `stillframe run`: pytest tells it what happens, and it shows a display or writes a log."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

import pytest
from rich.console import ConsoleDimensions
from rich.live import Live

from harness.commands.watching import durations
from harness.model.errors import Exit, StillframeError
from harness.run import stopping
from harness.run.prepare import Run
from reports.analysis.tables import RunSummary
from reports.terminal.live import Progress, log_line, rendered
from reports.terminal.terminal import console_for
from reports.text import clean, one_line
from reports.words.finished import Finished

PROPERTY = "stillframe"
"""Name of the property by which a worker's report tells the result of a cell or a control."""
REPORTER: pytest.StashKey[Reporter] = pytest.StashKey()
BLOCKED = ("-p", "no:terminalreporter")
"""Options that keep pytest's own reporter away."""
REFRESHES = 2
"""Per second: trials run on the same processors."""
SHOW_CURSOR = "\x1b[?25h\n"
ECHO = "^C "
"""What a terminal writes for Ctrl-C behind the last line, which must not fold because of it."""
OUR_ERRORS = "harness.model.errors."


class Reporter:
    """Shows a run that pytest executes; `with` gives the terminal back at the end."""

    def __init__(self, workers: int) -> None:
        self.run: Run | None = None
        self.error: BaseException | None = None
        """What kept the run from its end, if anything."""
        self.summary: RunSummary | None = None
        """What the run found, once it has ended."""
        self.page: Path | None = None
        """First page of its report."""
        self._progress = Progress(workers=workers)
        self._rounds: Mapping[str, int] = {}
        self._stream = _own(sys.stdout)
        self._console = console_for(self._stream)
        self._live: Live | None = None
        self._width = self._console.width

    def __enter__(self) -> Self:
        stopping.STOPPING.tell = self._tell_from_handler
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._measure()
            self._live = Live(
                console=self._console,
                get_renderable=self._rendered,
                refresh_per_second=REFRESHES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_live()
        stopping.STOPPING.tell = stopping.tell
        self._stream.close()

    # ---- what the run tells

    def preparing(self, text: str) -> None:
        """Show the latest step of the preparation."""
        self._progress.step(text)
        self._log(one_line(text))

    def begun(self, run: Run, rounds: Mapping[str, int]) -> None:
        """Take the run that is ready, and the number of trials of each cell and control."""
        self.run, self._rounds = run, rounds
        self._progress.steps.clear()
        self._progress.note = "starting the workers"
        self._progress.planned = tuple(rounds)
        known = durations.read(run.folder.parent)
        self._progress.seconds = {name: known[name] * number for name, number in rounds.items() if name in known}

    def summarised(self, summary: RunSummary) -> None:
        """Take what the run found; its report is written next."""
        self.summary = summary
        self._progress.note = "writing the report"

    # ---- what pytest tells

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the plugin find this reporter."""
        config.stash[REPORTER] = self

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Any:
        """Start workers that hear no signal."""
        with stopping.unheard():
            return (yield)

    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Count what the workers are going to run."""
        self._collected(ids)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what is going to run here."""
        if session.items:
            self._collected([item.nodeid for item in session.items])

    def _collected(self, ids: Iterable[str]) -> None:
        names = {said(nodeid) for nodeid in ids}
        self._progress.planned = tuple(name for name in self._rounds if name in names)
        self._progress.note = ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show what has begun."""
        if said(nodeid) in self._rounds:
            self._progress.begin(said(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show a result; tell a failure that is none of a cell."""
        results = [value for name, value in report.user_properties if name == PROPERTY]
        if report.when == "call" and said(report.nodeid) in self._rounds and not (report.skipped and not results):
            found = Finished.model_validate(results[0]) if results else _of_test(report)
            self._progress.end(said(report.nodeid), found)
            self._log(log_line(len(self._progress.measured), len(self._progress.planned), found))
        elif report.failed:
            self._progress.end(said(report.nodeid), None)
            self._problem(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Forget what has ended without a result."""
        self._progress.end(said(nodeid), None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell that a scenario cannot be loaded."""
        if report.failed:
            self._problem(report, f"{report.nodeid} cannot be loaded")

    def pytest_testnodedown(self, error: object) -> None:
        """Tell that a worker ended."""
        if error:
            self._say(f"a worker crashed ({one_line(str(error))}); another one goes on with its cells")

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Keep an error of the run for its end; tell the traceback of a fault of ours."""
        self.error = excinfo.value
        if not isinstance(excinfo.value, StillframeError):
            self._say(clean(str(excrepr)))
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Show that the nodes end, which takes a moment; keep the durations."""
        if self.run is not None:
            self._progress.note = self._progress.note or "ending the nodes"
            measured = self._progress.measured.items()
            each = {name: seconds / self._rounds[name] for name, seconds in measured if seconds}
            durations.add(self.run.folder.parent, each)

    # ---- how it is shown

    def _problem(self, report: pytest.TestReport | pytest.CollectReport, what: str = "") -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else report.longreprtext
        if message.startswith(OUR_ERRORS):
            self._say(one_line(message.partition(": ")[2]))
        else:
            self._say(
                one_line(what or f"{said(report.nodeid) or report.nodeid} failed") + f":\n{clean(report.longreprtext)}"
            )

    def _rendered(self) -> Any:
        before = self._console.width
        self._measure()
        if self._console.width != before:
            self._stream.write("\x1b[H\x1b[2J")  # the terminal has folded what stands there
        return rendered(self._progress, self._console.width - len(ECHO))

    def _measure(self) -> None:
        """Measure the terminal: rich asks the standard streams, which pytest replaces."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._stream.fileno())
            self._console.size = ConsoleDimensions(size.columns or 80, size.lines or 25)  # some say 0

    def _log(self, line: str) -> None:
        if self._live is None:
            self._stream.write(f"{time.strftime('%H:%M:%S')}  {clean(line)}\n")
            self._stream.flush()

    def _say(self, text: str) -> None:
        if self._live is None:
            self._stream.write(f"stillframe: {text}\n")
            self._stream.flush()
        else:
            self._live.console.print(f"stillframe: {text}", markup=False, highlight=False, soft_wrap=True)

    def _tell_from_handler(self, text: str, last: bool) -> None:  # noqa: FBT001
        """Tell what a signal does; the display shows it at its next refresh, since a handler may not wait for it."""
        self._progress.note = text
        if self._live is None or last:
            shown = "" if self._live is None else SHOW_CURSOR
            with contextlib.suppress(OSError):
                os.write(self._stream.fileno(), f"{shown}stillframe: {text}\n".encode())

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def said(nodeid: str) -> str:
    """Return what the name of a test says in brackets: a cell or a control."""
    return nodeid.partition("[")[2].removesuffix("]")


def _of_test(report: pytest.TestReport) -> Finished:
    """Tell a test that is no trial, such as whether each check of the oracle is needed."""
    words = report.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
    name = f"{words} ({said(report.nodeid)})"
    if not report.failed:
        return Finished(name=name, code=Exit.EXPECTED, result="yes")
    return Finished(name=name, code=Exit.BLIND, result="no", reason=one_line(report.longreprtext))


def _own(stream: TextIO) -> TextIO:
    """Return a stream to the same place that pytest does not capture, and whose reader may go away."""
    raw = _Patient(os.dup(stream.fileno()), "w")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors="replace")


class _Patient(io.FileIO):
    def write(self, data: Any) -> int:
        """Write, or lose what nobody can read any more: the run goes on."""
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)
