"""A real run that is told to end: which signal, to whom, when, and how often."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess  # noqa: TID251  # a process group of its own, as a terminal makes it
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from harness.host import cgroups
from harness.host.wait import until
from harness.records import run_files
from harness.run.stopping import SIGNALS, TWICE_SECONDS
from reports.runs.read import read_run
from tests.node.conftest import STACK

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 120.0
CELL = f"ledger.pause.runc@{STACK}"
INT, TERM, HUP = SIGNALS


@dataclass
class Started:
    """A run in a process group of its own."""

    process: subprocess.Popen[bytes]
    out: Path
    log: Path
    tree: list[psutil.Process] = field(default_factory=list)
    """Its processes at its last signal, those of nodes, too."""

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def folders(self) -> list[Path]:
        return [path for path in self.out.glob("2*") if path.is_dir()]

    @property
    def records(self) -> list[Path]:
        return [path for folder in self.folders for path in run_files.record_files(folder) if path.stat().st_size]

    def maps(self, word: str) -> bool:
        with contextlib.suppress(OSError):
            return word in Path(f"/proc/{self.process.pid}/maps").read_text(encoding="utf-8")
        return False


def importing(run: Started) -> bool:
    return run.maps("pydantic_core")


def collecting(run: Started) -> bool:
    return any((folder / "prepared.json").exists() for folder in run.folders)


def building(run: Started) -> bool:
    return "building with mmdebstrap" in run.said


def trying(run: Started) -> bool:
    return bool(run.records)


def reporting(run: Started) -> bool:
    return any((folder / "closing.json").exists() for folder in run.folders)


@pytest.fixture
def silent_mirror() -> Iterator[str]:
    """A mirror that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/debian"


@pytest.fixture
def begin(tmp_path: Path, stack_root: Path) -> Iterator[Callable[..., Started]]:  # it is built
    started: list[Started] = []

    def begin(workers: int, *more: str, rounds: int = 40, terminal: int | None = None) -> Started:
        words = ["--cell", CELL, "--rounds", str(rounds), "--out", str(tmp_path / "out"), *more]
        program = (sys.executable, "-m", "harness.commands.cli", "run", "-n", str(workers))
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["env", *(f"--default-signal={each.name[3:]}" for each in SIGNALS), *program, *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=output if terminal is None else terminal,
                stderr=output if terminal is None else terminal,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
                start_new_session=True,
                preexec_fn=None if terminal is None else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            )
        started.append(Started(process, tmp_path / "out", log))
        return started[-1]

    yield begin
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


def send(run: Started, number: int, *, group: bool) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        run.tree = psutil.Process(run.process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(run.process.pid, number)


def end(run: Started) -> tuple[int, str]:
    """Wait for the end of a run; gives its exit code and its last line."""
    code = run.process.wait(SECONDS)
    assert "Traceback" not in run.said
    lines = [line for line in run.said.splitlines() if line.strip()]
    return code, lines[-1] if lines else ""


def nothing_is_left(run: Started) -> None:
    """Wait until no process that the run had at its signal, and no group of a node, is there any more."""
    prefixes = tuple(f"{cgroups.PREFIX}{each.pid}-" for each in run.tree)

    def gone() -> bool:
        groups = (Path(group).name for group in cgroups.of_nodes())
        return not any(each.is_running() for each in run.tree) and not any(
            name.startswith(prefixes) for name in groups if prefixes
        )

    until(gone, seconds=SECONDS, what="the end of everything")


NOTHING = r"stillframe: interrupted by {} before the first trial; there is no result"


@pytest.mark.parametrize(
    ("workers", "moment", "number", "group"),
    [
        (1, importing, INT, True),
        (1, importing, TERM, False),
        (1, collecting, INT, True),
        (2, collecting, INT, True),
        (2, collecting, HUP, False),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", None) or str(value),
)
def test_a_run_that_has_no_result_says_so_and_leaves_nothing(
    begin: Callable[..., Started], workers: int, moment: Callable[[Started], bool], number: signal.Signals, group: bool
) -> None:
    run = begin(workers)
    until(lambda: moment(run), seconds=SECONDS, what="the moment")
    send(run, number, group=group)
    assert end(run) == (3, NOTHING.format(number.name))
    assert run.folders == []
    assert not (run.out / "latest").is_symlink()
    nothing_is_left(run)


def test_a_stack_that_is_being_built_is_not_waited_for(
    begin: Callable[..., Started], tmp_path: Path, silent_mirror: str
) -> None:
    run = begin(1, "--cache", str(tmp_path / "cache"), "--mirror", silent_mirror)
    until(lambda: building(run), seconds=SECONDS, what="the build")
    send(run, INT, group=True)
    assert end(run) == (3, NOTHING.format("SIGINT"))
    assert list((tmp_path / "cache" / "stacks").glob(".building*")) == []
    assert run.folders == []


@pytest.mark.parametrize(
    ("workers", "number", "group"), [(1, INT, True), (1, TERM, False), (2, INT, True), (2, INT, False), (2, HUP, True)]
)
def test_a_run_ends_after_the_trial_in_progress_and_reports(
    begin: Callable[..., Started], workers: int, number: signal.Signals, group: bool
) -> None:
    run = begin(workers)
    until(lambda: trying(run), seconds=SECONDS, what="a record")
    send(run, number, group=group)
    code, _ = end(run)
    assert code == 3, run.said
    (folder,) = run.folders
    found = read_run(folder)
    assert found.interrupted == number.name
    told = re.search(
        rf"^verdict: Interrupted by {number.name}: . of 1 cell and . of 5 controls are complete\.", run.said, re.M
    )
    assert told, run.said
    assert "NOT RED" not in run.said
    assert f"report: {folder}/report/index.html\n" in run.said
    assert (run.out / "latest").resolve() == folder
    assert not (folder / "stop").exists()
    nothing_is_left(run)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_asks_twice_does_not_wait(begin: Callable[..., Started], workers: int) -> None:
    run = begin(workers)
    until(lambda: trying(run), seconds=SECONDS, what="a record")
    send(run, INT, group=True)
    until(lambda: "once more stops at once" in run.said, seconds=SECONDS, what="the answer")
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(2 * TWICE_SECONDS)
    send(run, INT, group=True)
    code, last = end(run)
    assert code == 3, run.said
    assert re.fullmatch(r"stillframe: stopped at once; `stillframe report .*` shows what there is|--verbose .*", last)
    nothing_is_left(run)


def test_a_signal_while_the_report_is_written_changes_nothing(begin: Callable[..., Started]) -> None:
    run = begin(1, rounds=1)
    until(lambda: reporting(run), seconds=SECONDS, what="the closing")
    send(run, INT, group=True)
    code, _ = end(run)
    assert code == 0, run.said
    assert "verdict: The cell is as expected" in run.said


def test_an_interrupted_start_does_not_hide_the_last_run(begin: Callable[..., Started]) -> None:
    first = begin(1, rounds=1)
    assert end(first)[0] == 0, first.said
    before = (first.out / "latest").resolve()
    second = begin(1)
    until(lambda: len(second.folders) > 1, seconds=SECONDS, what="the second run")
    send(second, INT, group=True)
    assert end(second)[0] == 3, second.said
    assert (second.out / "latest").resolve() == before


def test_a_worker_that_is_killed_costs_neither_its_cells_nor_the_run(begin: Callable[..., Started]) -> None:
    run = begin(2, rounds=3)
    until(lambda: trying(run), seconds=SECONDS, what="a record")
    workers = [each for each in psutil.Process(run.process.pid).children() if "-c" in each.cmdline()]
    busy = max(workers, key=lambda each: len(each.children()))
    busy.kill()
    code, _ = end(run)
    assert "stillframe: a worker crashed (Not properly terminated); another one goes on with its cells" in run.said
    assert "gw0" not in run.said
    (folder,) = run.folders
    assert read_run(folder).conclusion.exit_code == code, "the records alone decide"
    assert code == 0, f"the other worker has made up for it: {run.said}"


def test_who_types_ctrl_c_at_a_terminal_gets_it_back(begin: Callable[..., Started]) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    run = begin(2, terminal=theirs)
    os.close(theirs)
    said = bytearray()

    def typed(moment: Callable[[], bool]) -> bool:
        if select.select([ours], [], [], 0)[0]:
            with contextlib.suppress(OSError):  # EIO: nobody writes any more
                said.extend(os.read(ours, 1 << 16))
        return moment()

    until(lambda: typed(lambda: trying(run)), seconds=SECONDS, what="a record")
    os.write(ours, b"\x03")
    until(lambda: typed(lambda: run.process.poll() is not None), seconds=SECONDS, what="the end")
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 1 << 16):
            said.extend(piece)
    os.close(ours)
    text = said.decode()
    assert run.process.returncode == 3
    assert "of 6 done" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is there"
    assert text.index("verdict: Interrupted by SIGINT") > text.rindex("\x1b[?25h"), "and the display is gone"
    assert "Traceback" not in text
