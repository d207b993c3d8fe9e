"""How the ledger starts, and how it ends."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess  # noqa: TID251
from collections.abc import Callable
from pathlib import Path

from harness.host.wait import until
from harness.oracle.ring import RECORD
from harness.workload.messages import Failed, ReadingMessage, Start, Stop, read_messages
from tests.workloads.running_ledger import NAMES, PATIENCE, Ledger


def test_start_and_stop_are_told(start: Callable[..., Ledger]) -> None:
    ledger = start(ring=32, period_us=500)
    ledger.await_tick(3)
    assert ledger.end(signal.SIGINT) == 0
    numbers, messages = zip(*read_messages(ledger.report), strict=True)
    first, last = messages[0], messages[-1]
    assert isinstance(first, Start)
    assert (first.n, first.pid, first.ring, first.period_us) == (0, ledger.process.pid, 32, 500)
    assert first.surfaces == NAMES
    assert isinstance(last, Stop)
    assert last.n >= 3
    assert list(numbers) == list(range(len(numbers)))
    assert {message.nonce for message in messages} == {first.nonce}
    assert read_messages(ledger.report, after=numbers[-2]) == [(numbers[-1], last)]


def test_another_process_on_the_same_rings_tells_that_they_are_not_its_own(
    start: Callable[..., Ledger], ledger_binary: Path, tmp_path: Path
) -> None:
    old = start(ring=16)
    old.await_tick(40)
    old.end()
    nonce = old.hear(Start).nonce
    old.report.rename(tmp_path / "report")
    with Ledger(ledger_binary, old.folder, ring=16, period_us=1000) as new:
        reading = new.hear(ReadingMessage)
        assert new.hear(Start).nonce != nonce
        assert all((surface.newest, surface.foreign) == (None, 16) for surface in reading.surfaces)


def test_names_that_exist_in_the_channel_are_passed_over(ledger_binary: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    for number in range(3):
        (report / f"{number:012}").touch()
    surface = tmp_path / "only"
    argv: list[str | Path] = [ledger_binary, "--report", report, "--surface", f"only={surface}"]
    with subprocess.Popen(argv) as process:
        try:
            found = until(lambda: read_messages(report) or None, seconds=PATIENCE, what="a message")
        finally:
            process.kill()
    assert found[0][0] == 3
    assert isinstance(found[0][1], Start)


def test_a_surface_that_cannot_be_opened_ends_it(ledger_binary: Path, tmp_path: Path) -> None:
    argv: list[str | Path] = [ledger_binary, "--report", tmp_path, "--surface", f"image={tmp_path}/absent/image"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ((_, message),) = read_messages(tmp_path)
    assert isinstance(message, Failed)
    assert (message.errno, message.what) == (errno.ENOENT, "open image")
    assert done.returncode == 1
    assert done.stderr == f"ledger: open failed on {tmp_path}/absent/image: No such file or directory\n"


def test_a_write_that_fails_ends_it(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(1)
    _, hard = resource.prlimit(ledger.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(ledger.process.pid, resource.RLIMIT_FSIZE, (RECORD.itemsize, hard))
    failed = ledger.hear(Failed)
    assert failed.errno == errno.EFBIG
    assert failed.what in {f"pwrite {name}" for name in NAMES}
    assert ledger.process.wait(PATIENCE) == 1
    assert ledger.process.stderr is not None
    assert b"pwrite failed on" in ledger.process.stderr.read()


def test_a_channel_that_is_gone_ends_it(start: Callable[..., Ledger]) -> None:
    ledger = start()
    ledger.await_tick(1)
    ledger.report.rename(ledger.folder / "elsewhere")
    assert ledger.process.wait(PATIENCE) == 1
    assert ledger.process.stderr is not None
    assert b"symlink failed on" in ledger.process.stderr.read()
