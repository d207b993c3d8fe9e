"""Stacks, runtimes and workloads made for the plan's tests."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.model import expectations
from harness.model.cells import Cell, FreezePolicy, Participant, Scenario, SurfaceKind
from harness.model.expectations import About, Declaration, Declared
from harness.model.outcomes import Outcome
from harness.run import matrix
from harness.runtimes.contract import Way

TODAY = dt.date(2026, 11, 23)
BOTH = (Scenario.PAUSED, Scenario.GENERATIONS)
ALONE = Way(
    policies=(FreezePolicy.NONE, FreezePolicy.PAUSE),
    surfaces=frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS, SurfaceKind.BIND}),
    leaves_disk=True,
    scenarios=BOTH,
)
ENGINE = Way(
    policies=(FreezePolicy.ENGINE,),
    still=FreezePolicy.ENGINE,
    surfaces=frozenset(SurfaceKind) - {SurfaceKind.SHM, SurfaceKind.DELETED, SurfaceKind.STDOUT},
    outside=frozenset({SurfaceKind.BIND, SurfaceKind.NAMED_VOLUME}),
    scenarios=BOTH,
    controls=("fresh-start", "stopped-workload"),
)
COMMIT = Way(
    name="commit", policies=(FreezePolicy.NONE,), still=FreezePolicy.NONE, leaves_disk=True, controls=("fresh-start",)
)
ADAPTERS = {
    "alone": SimpleNamespace(name="alone", ways=(ALONE,)),
    "engine/alone": SimpleNamespace(name="engine/alone", ways=(ENGINE, COMMIT)),
    "rare": SimpleNamespace(name="rare", ways=(COMMIT,)),
}
STACKS = {"first": ["alone", "engine/alone"], "second": ["alone"], "spare": ["engine/alone"]}
TALKING = replace(
    ENGINE,
    policies=(FreezePolicy.ENGINE, FreezePolicy.CGROUP),
    still=FreezePolicy.CGROUP,
    surfaces=frozenset({SurfaceKind.ADDED, SurfaceKind.TMPFS, SurfaceKind.BIND, SurfaceKind.STDOUT}),
    outside=frozenset({SurfaceKind.BIND}),
    scenarios=(),
)
SAMPLE = {
    "ledger": {SurfaceKind.ADDED, SurfaceKind.TMPFS},
    "bind-mount": {SurfaceKind.ADDED, SurfaceKind.BIND},
    "shm": {SurfaceKind.SHM},
}

sample = pytest.mark.usefixtures("_sample")


def ids(**choices: Any) -> list[str]:
    return [cell.id for cell in matrix.plan(**choices)]


def cell(runtime: str = "alone", policy: FreezePolicy = FreezePolicy.PAUSE, **changes: Any) -> Cell:
    who = Participant(runtime=runtime, stack="first")
    return Cell(**{"workload": "ledger", "policy": policy, "checkpoint": who, "restore": who} | changes)


def declare(
    monkeypatch: pytest.MonkeyPatch,
    review: dt.date,
    cells: tuple[str, ...] = ("*",),
    outcome: Outcome = Outcome.HUNG,
) -> None:
    known = Declaration(
        match=cells,
        outcome=outcome,
        reason="so it is",
        link="https://example.org/1",
        owner="nobody",
        added=TODAY,
        review_by=review,
    )
    found = Declared(about=About.CELLS, declaration=known, where="a.toml:1-9")
    monkeypatch.setattr(expectations, "declared", lambda: (found,))


ALONE_FIRST = [
    "ledger.none.alone@first",
    "ledger.pause.alone@first",
    "bind-mount.pause.alone@first",
    "paused:ledger.pause.alone@first",
    "generations:ledger.pause.alone@first",
]
ENGINE_FIRST = [
    "ledger.engine.engine/alone@first",
    "bind-mount.engine.engine/alone@first",
    "paused:ledger.engine.engine/alone@first",
    "generations:ledger.engine.engine/alone@first",
    "ledger.none.engine/alone@first+commit",
]
ALONE_SECOND = [name.replace("first", "second") for name in ALONE_FIRST]
