"""Ledgers that tick together over a shared file, as those of several containers do."""

from __future__ import annotations

import signal
import subprocess  # noqa: TID251
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workloads.running_ledger import Ledger, pass_time

LATER_NS = 100_000_000


@pytest.fixture
def pair(start: Callable[..., Ledger], tmp_path: Path) -> tuple[Ledger, Ledger]:
    one, other = (start(period_us=100, barrier=f"{number}/2={tmp_path}/file") for number in range(2))
    for each in (one, other):
        each.await_tick(2_000)
    return one, other


def counter(ledger: Ledger) -> int:
    """Read the counter in memory, while the process may run."""
    ((_, memory),) = ledger.counters()
    return memory.n


def test_who_is_stopped_stops_the_other_one_within_a_tick(pair: tuple[Ledger, Ledger]) -> None:
    one, other = pair
    first = one.stop().n
    pass_time(one.stopped_ns + LATER_NS)
    second = counter(other)
    pass_time(one.stopped_ns + 2 * LATER_NS)
    assert counter(other) == second
    assert abs(first - second) <= 1
    one.resume()
    one.await_tick(first + 1_000)
    other.await_tick(first + 1_000)


def test_one_that_ends_lets_the_other_one_go_on(pair: tuple[Ledger, Ledger]) -> None:
    one, other = pair
    assert other.end(signal.SIGTERM) == 0
    one.await_tick(counter(one) + 5_000)


def test_one_that_waits_can_be_ended(pair: tuple[Ledger, Ledger]) -> None:
    one, other = pair
    one.stop()
    assert other.end(signal.SIGTERM) == 0


def test_nobody_is_waited_for_before_it_joins_and_then_until_it_has_caught_up(
    start: Callable[..., Ledger], tmp_path: Path
) -> None:
    early = start(period_us=100, barrier=f"0/2={tmp_path}/file")
    early.await_tick(3_000)
    late = start(period_us=100, barrier=f"1/2={tmp_path}/file")
    late.await_tick(4_000)
    memory = late.stop()
    early.stop()
    assert abs(counter(early) - memory.n) <= 1


def test_one_that_catches_up_does_not_pause(start: Callable[..., Ledger], tmp_path: Path) -> None:
    early = start(period_us=100, barrier=f"0/2={tmp_path}/file")
    early.await_tick(2_000)
    late = start(period_us=10_000_000, barrier=f"1/2={tmp_path}/file")
    late.await_tick(2_000)  # with a pause of ten seconds after each tick, nobody would see that


def test_a_file_that_cannot_be_shared_ends_it(ledger_binary: Path, tmp_path: Path) -> None:
    shared = f"{tmp_path}/no/file"
    argv = [str(ledger_binary), "--report", str(tmp_path), "--surface", f"a={tmp_path}/a", "--barrier", f"0/2={shared}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"ledger: barrier failed on {shared}: No such file or directory\n"
