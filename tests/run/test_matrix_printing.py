"""Which workloads that print are planned, and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.model.cells import SurfaceKind
from harness.model.expectations import OUTSIDE, STILL
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.workload import definitions
from harness.workload.definitions import Suite, available
from tests.run.sample import TALKING, TODAY, ids, sample

pytestmark = pytest.mark.usefixtures("_neither_root_nor_processes")


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample with both workloads that print, and an engine that logs output but no terminal."""
    kept = available()
    folders = Path(definitions.__file__).resolve().parents[2] / "workloads"
    printing = {name: folders / name for name in ("chatty", "chatty-tty")}
    monkeypatch.setattr(definitions, "available", lambda: kept | printing)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(TALKING,)))


@sample
def test_what_prints_is_asked_under_every_policy_where_a_log_is_kept(printing: None) -> None:
    found = [name for name in ids() if "chatty" in name]
    assert found == ["chatty.engine.engine/alone@first", "chatty.cgroup.engine/alone@first"]


@sample
def test_what_prints_to_a_terminal_is_asked_where_there_is_one(printing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    way = replace(TALKING, terminal=True)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(way,)))
    assert [name for name in ids(suite=Suite.FULL) if "chatty-tty" in name] == ["chatty-tty.cgroup.engine/alone@first"]


@sample
@pytest.mark.parametrize(("outside", "expectation"), [(frozenset(), STILL), ({SurfaceKind.STDOUT}, OUTSIDE)])
def test_a_log_that_is_not_in_the_checkpoint_is_expected_to_be_told(
    printing: None, monkeypatch: pytest.MonkeyPatch, outside: frozenset[SurfaceKind], expectation: object
) -> None:
    way = replace(TALKING, outside=outside)
    monkeypatch.setitem(RUNTIMES, "engine/alone", SimpleNamespace(name="engine/alone", ways=(way,)))
    for each in matrix.plan(cells=["chatty.*"]):
        assert matrix.expected(each, TODAY) == expectation
