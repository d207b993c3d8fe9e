"""A surface that is a file to delete."""

from __future__ import annotations

import errno
import subprocess  # noqa: TID251
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.model.readings import SurfaceReading
from harness.workload.messages import Failed, ReadingMessage, Start, read_messages
from tests.workloads.running_ledger import ATTEMPTS, Ledger


def test_a_file_that_stays_away_holds_what_memory_holds(start: Callable[..., Ledger]) -> None:
    ledger = start(period_us=0, deleted=True)
    assert ledger.hear(Start).surfaces == ("added", "deleted", "image", "tmpfs")
    assert not ledger.deleted.exists()
    ledger.await_tick(20_000)
    for _ in range(2):
        ledger.stop()
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        clean = SurfaceReading(surface="deleted", newest=reading.n, newest_wall_ns=reading.n_wall_ns, lag=0)
        assert reading.reason == "gap"
        assert reading.surfaces[1] == clean
    assert not ledger.deleted.exists()


def test_a_file_that_is_there_again_holds_nothing(start: Callable[..., Ledger]) -> None:
    ledger = start(deleted=True)
    ledger.await_tick(2 * ledger.ring)
    ledger.stop()
    ledger.deleted.touch()
    ledger.hold()
    ledger.resume()
    reading = ledger.hear(ReadingMessage)
    assert reading.surfaces[1] == SurfaceReading(surface="deleted", newest=None, newest_wall_ns=None, lag=0)
    assert {each.newest for each in reading.surfaces if each.surface != "deleted"} <= {reading.n, reading.n - 1}


@pytest.mark.parametrize(("period_us", "within"), [(100_000, 2), (0, 1024)], ids=["slow", "fast"])
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_file_that_comes_back_between_two_ticks_is_told_once(
    start: Callable[..., Ledger], make: Callable[[Path], None], period_us: int, within: int
) -> None:
    for _ in range(ATTEMPTS):
        ledger = start(ring=8, period_us=period_us, deleted=True)
        ledger.hurry()
        ledger.await_tick(2)
        memory = ledger.stop()
        make(ledger.deleted)
        ledger.resume()
        reading = ledger.hear(ReadingMessage)
        if reading.reason == "discrepancy":
            break
        ledger.process.kill()
    else:
        pytest.fail("no reading that came of the look between two ticks")
    assert reading.n <= memory.n + within
    assert reading.surfaces[1] == SurfaceReading(surface="deleted", newest=None, newest_wall_ns=None, lag=0)
    ledger.await_tick(reading.n + (3000 if period_us == 0 else 2 * ledger.ring))
    assert [each.n for each in ledger.messages(ReadingMessage) if each.reason == "discrepancy"] == [reading.n]


def test_a_file_that_comes_back_again_is_told_again(start: Callable[..., Ledger]) -> None:
    ledger = start(deleted=True)
    ledger.await_tick(2 * ledger.ring)
    for there in (True, False, True):
        ledger.stop()
        ledger.deleted.touch() if there else ledger.deleted.unlink()
        ledger.hold()
        ledger.resume()
        reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "gap")
        assert reading.surfaces[1].newest == (None if there else reading.n)


def test_a_file_to_delete_that_is_missing_ends_it(ledger_binary: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    argv: list[str | Path] = [ledger_binary, "--report", tmp_path, "--deleted", f"image={absent}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    ((_, message),) = read_messages(tmp_path)
    assert isinstance(message, Failed)
    assert (message.errno, message.what) == (errno.ENOENT, "unlink image")
    assert done.returncode == 1
    assert done.stderr == f"ledger: unlink failed on {absent}: No such file or directory\n"
