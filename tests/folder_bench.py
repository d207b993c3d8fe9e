"""A bench whose node is a folder, with a source that runs already; and trials that are played on it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import trial, workload
from harness.bench import Bench, Channel, Source
from harness.host import audit
from harness.host.audit import Snapshot
from harness.model import Cell, Command, FreezePolicy, HostFacts, Participant, Settings, Stage
from harness.records import Plan
from harness.runtimes.contract import Container, ContainerSpec
from harness.runtimes.runc import Runc
from harness.trial import Trial
from tests.folder_node import FolderNode

RUNC = Participant(runtime="runc", stack="folder")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
PLAN = Plan(run="r1", stillframe="0.1.0", created_ns=1, seed=7, rounds=4, cells=(CELL,), host=HOST)
SPEC = ContainerSpec(name="source-1", image="/image", argv=("/ledger",), report_mount="/report")
CONTAINER = Container(SPEC, report="/one/report", cgroup="/sys/fs/cgroup/source-1", upper="/one/upper")
STARTED = Command(argv=("runc", "run", "source-1"), where="folder", stage=Stage.START, start_ns=1, seconds=0)
NONCE, NOW = "00000000c0ffee00", 1_795_435_200_000_000_000


class Played(Trial):
    """A trial whose experiment is a function."""

    def __init__(
        self, bench: Bench, play: Callable[[Trial, contextlib.ExitStack], None], *, last: bool = False
    ) -> None:
        super().__init__(bench, CELL, PLAN, number=3, last=last)
        self.play = play

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        self.play(self, acquired)


def nothing(_: Trial, __: contextlib.ExitStack) -> None:
    """Play that does nothing."""


def open_bench(root: Path, held: set[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench in the folder `root`, whose node holds what is in `held`."""
    monkeypatch.setattr(audit, "of_node", lambda _: Snapshot(frozenset(held)))
    monkeypatch.setattr(audit, "groups_of", lambda _: [])
    monkeypatch.setattr(audit, "processes_of", lambda _: ["9 criu state D cgroup 0::/one"])
    monkeypatch.setattr(trial, "SETTLE_SECONDS", 0.0)
    node = FolderNode(root)
    node.put("/proc/1/cgroup", "0::/\n")
    node.path(CONTAINER.report).mkdir(parents=True)
    bench = Bench(RUNC, node, Runc(node), workload.find("ledger"), Settings(), capabilities=())
    bench.idle = Snapshot(frozenset(held))
    bench.source = Source(CONTAINER, Channel(node.path(CONTAINER.report)), NONCE, (STARTED,))
    return bench


def node_of(bench: Bench) -> FolderNode:
    assert isinstance(bench.node, FolderNode)
    return bench.node


def tell(bench: Bench, event: str, **said: object) -> None:
    """Say something on the report channel, as the workload does."""
    folder = bench.node.path(CONTAINER.report)
    common = {"event": event, "nonce": NONCE, "n": 90, "wall_ns": NOW}
    ticked = {} if event == "start" else {"n_wall_ns": NOW, "gap_ns": 5_000}
    (folder / f"{len(list(folder.iterdir())):012}").symlink_to(json.dumps({**common, **ticked, **said}))


def tell_reading(bench: Bench, *, wall_ns: int = NOW, **surface: object) -> None:
    """Say that there was a pause, and what one surface held."""
    held = {"surface": "added", "newest": 90, "newest_wall_ns": NOW, **surface}
    tell(bench, "reading", wall_ns=wall_ns, reason="gap", gap_ns=90_000_000, surfaces=[held])
