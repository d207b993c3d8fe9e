"""Surfaces that grow, and surfaces that are written once, at the start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.model.readings import SurfaceReading
from harness.oracle.ring import RECORD, is_sentinel, make_records, read_appended
from harness.workload.messages import ReadingMessage, Start
from tests.workloads.running_ledger import Ledger

SIZE = RECORD.itemsize
NAMES = ("first", "grows", "last")


def told(ledger: Ledger) -> dict[str, SurfaceReading]:
    """What it says after a pause."""
    ledger.hold()
    ledger.resume()
    reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "gap")
    return {each.surface: each for each in reading.surfaces} | {
        "memory": SurfaceReading(surface="memory", newest=reading.n, newest_wall_ns=reading.n_wall_ns)
    }


def test_what_is_written_once_and_what_grows_hold_what_memory_holds(start: Callable[..., Ledger]) -> None:
    ledger = start(grows=True)
    assert ledger.hear(Start).surfaces[-3:] == NAMES
    ledger.await_tick(2 * ledger.ring)
    for _ in range(2):
        ledger.stop()
        found = told(ledger)
        memory = found["memory"].newest
        assert [found[name].newest for name in NAMES] == [memory] * 3
        assert [found[name].lag for name in NAMES] == [0, 1, 0]
        assert not any(found[name].torn or found[name].holes or found[name].repeated for name in NAMES)
    assert (ledger.folder / "first").stat().st_size == SIZE


def test_both_readers_find_the_same(start: Callable[..., Ledger]) -> None:
    ledger = start(grows=True, period_us=500)
    ledger.await_tick(100)
    memory = ledger.stop()
    data = (ledger.folder / "grows").read_bytes()
    found = read_appended(data, surface="grows", nonce=memory.nonce)
    assert found.newest in (memory.n, memory.n - 1)
    assert (found.torn, found.holes, found.repeated, found.backwards, found.foreign) == (0, 0, 0, 0, 0)
    assert is_sentinel((ledger.folder / "last").read_bytes(), nonce=memory.nonce)
    assert not is_sentinel((ledger.folder / "last").read_bytes(), nonce=memory.nonce + 1)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 9 * SIZE)


def repeat(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data + data[-9 * SIZE :])


def lose_one(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: -9 * SIZE] + data[-8 * SIZE :])


def empty_one(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: -9 * SIZE] + bytes(SIZE) + data[-8 * SIZE :])


def add_a_bit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (repeat, {"repeated": 9}),
        (lose_one, {"holes": 1}),
        (empty_one, {"holes": 1, "torn": 1}),
    ],
)
def test_a_change_of_what_was_appended_shows(
    start: Callable[..., Ledger], change: Callable[[Path], None], counts: dict[str, int]
) -> None:
    ledger = start(grows=True, period_us=1000)
    ledger.await_tick(64)
    ledger.stop()
    change(ledger.folder / "grows")
    found = told(ledger)["grows"]
    assert {name: getattr(found, name) for name in ("holes", "torn", "repeated", "foreign")} == {
        "holes": 0,
        "torn": 0,
        "repeated": 0,
        "foreign": 0,
    } | counts


def test_what_is_cut_off_is_behind_memory(start: Callable[..., Ledger]) -> None:
    ledger = start(grows=True, period_us=1000)
    ledger.await_tick(64)
    ledger.stop()
    before = (ledger.folder / "grows").stat().st_size // SIZE
    cut(ledger.folder / "grows")
    found = told(ledger)
    assert found["grows"].newest == before - 9
    assert found["grows"].holes == 0


def test_records_at_odd_places_are_torn(start: Callable[..., Ledger]) -> None:
    ledger = start(grows=True, period_us=1000)
    ledger.await_tick(64)
    ledger.stop()
    add_a_bit(ledger.folder / "grows")
    assert told(ledger)["grows"].torn >= 1


@pytest.mark.parametrize("name", ["first", "last"])
@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"x" * SIZE)]
)
def test_what_was_written_once_and_is_not_as_it_was_holds_nothing(
    start: Callable[..., Ledger], name: str, change: Callable[[Path], None]
) -> None:
    ledger = start(grows=True, period_us=1000)
    ledger.await_tick(64)
    ledger.stop()
    change(ledger.folder / name)
    found = told(ledger)
    assert found[name] == SurfaceReading(surface=name, newest=None, newest_wall_ns=None, lag=0)
    other = "last" if name == "first" else "first"
    assert found[other].newest == found["memory"].newest


def test_a_tick_later_shows_it_too(start: Callable[..., Ledger]) -> None:
    ledger = start(grows=True, period_us=20_000)
    ledger.await_tick(4)
    (ledger.folder / "last").unlink()
    reading = ledger.hear(ReadingMessage, lambda reading: reading.reason == "discrepancy")
    assert {each.surface: each.newest for each in reading.surfaces}["last"] is None


def test_an_own_record_that_comes_again_later_counts_once() -> None:
    order = [1, 2, 3, 2, 3, 4]
    data = make_records(order, np.arange(6) + 100, 7).tobytes()
    found = read_appended(data, surface="x", nonce=7)
    assert (found.newest, found.repeated, found.holes, found.backwards) == (4, 2, 0, 0)
