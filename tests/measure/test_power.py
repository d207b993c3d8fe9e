"""The runtime that captures late on purpose, and the measured windows, on files."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.host import cgroups
from harness.measure import power
from harness.measure.power import DelayedCapture
from harness.model.cells import CgroupVersion
from harness.oracle.ring import RECORD, make_records, records_of
from reports.terminal.power import Figure, Figures, table

NOW = 1_795_435_200_000_000_000


class Machine:
    """A simulated container that ticks while its freezer is thawed."""

    def __init__(self, root: Path) -> None:
        self.root, self.captured = root, []  # type: ignore[var-annotated]
        self.version = CgroupVersion.V2
        self.node = self
        (root / "group").mkdir()
        (root / "group/cgroup.freeze").write_text("1")
        (root / "upper/data").mkdir(parents=True)
        self.ring = root / "upper/data/added.ring"
        self.ring.write_bytes(records_of(7, 90, 256, NOW))
        self.container: Any = SimpleNamespace(cgroup="/group", upper="/upper")
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._tick)
        self.thread.start()

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def frozen(self) -> bool:
        return self.path("/group/cgroup.freeze").read_text() == "1"

    def _tick(self) -> None:
        slots = np.memmap(self.ring, RECORD, mode="r+")
        n = 91
        while not self.done.wait(0.001):
            if not self.frozen():
                slots[n % len(slots)] = make_records([n], [NOW + n], 7)[0]
                n += 1

    def capture(self, checkpoint: Any) -> None:
        self.captured.append(checkpoint)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Machine(tmp_path)
    monkeypatch.setattr(cgroups, "frozen", lambda _: made.frozen())
    monkeypatch.setattr(cgroups, "processes", lambda _: [])
    yield made
    made.done.set()
    made.thread.join()


def test_a_window_begins_with_a_whole_tick_and_ends_frozen(machine: Machine) -> None:
    late = DelayedCapture(machine, 5_000, ticks=True)  # type: ignore[arg-type]
    checkpoint: Any = SimpleNamespace(container=machine.container)
    late.capture(checkpoint)
    assert machine.captured == [checkpoint]
    assert machine.frozen()
    assert late.realised_ticks[0] >= power.WHOLE_TICK
    assert late.realised_us[0] > 0


def test_where_there_is_no_window_the_container_does_not_run(machine: Machine) -> None:
    late = DelayedCapture(machine, 0, ticks=True)  # type: ignore[arg-type]
    before = machine.ring.read_bytes()
    late.capture(SimpleNamespace(container=machine.container))  # type: ignore[arg-type]
    assert (late.realised_us, len(machine.captured)) == ([], 1)
    assert machine.ring.read_bytes() == before


def test_a_container_that_does_not_tick_has_a_window_of_time(machine: Machine) -> None:
    late = DelayedCapture(machine, 1_000, ticks=False)  # type: ignore[arg-type]
    begun = time.perf_counter()
    late.capture(SimpleNamespace(container=machine.container))  # type: ignore[arg-type]
    assert time.perf_counter() - begun >= 0.001
    assert late.realised_ticks == []


def test_figures_are_told_with_their_intervals() -> None:
    rings = Figure(
        method="rings", window="100 us", trials=50, detected=50, realised_us=140, realised_ticks=31, seconds=0.9
    )
    single = Figure(method="single file", window="100 us", trials=50, detected=1, seconds=0.6)
    grid = table(Figures(stack="debian-sid", seed=7, figures=(rings, single)))
    cells = [list(column.cells) for column in grid.columns]
    assert cells[4] == ["50 of 50", "1 of 50"]
    assert cells[5] == ["100 % (93-100 %)", "2 % (0-11 %)"]
    assert cells[2] == ["140 µs", ""]
