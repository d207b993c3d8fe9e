"""A bench whose node is a folder, with a running source, and trials for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.host import audit
from harness.host.audit import Snapshot
from harness.model.cells import Cell, FreezePolicy, Participant, Settings
from harness.model.commands import Command
from harness.model.machine import HostFacts
from harness.model.outcomes import Stage
from harness.records.plan import Plan
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec
from harness.runtimes.runc import Runc
from harness.trial import source, trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from harness.workload.definitions import find
from tests.folder_node import FolderNode

RUNC = Participant(runtime="runc", stack="folder")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
PLAN = Plan(run="r1", stillframe="0.1.0", created_ns=1, seed=7, rounds=4, cells=(CELL,), host=HOST)
STORAGE = FolderNode.storage
SPEC = ContainerSpec(
    name="source-0",
    image=f"{STORAGE}/image",
    argv=("/ledger",),
    folder=f"{STORAGE}/containers/source-0",
    report=f"{STORAGE}/containers/source-0/report",
    report_mount="/report",
)
CONTAINER = Container(SPEC, cgroup="/sys/fs/cgroup/source-0", upper=f"{SPEC.folder}/upper")
CHECKPOINT = Checkpoint(CONTAINER, f"{STORAGE}/checkpoints/checkpoint-1")
STARTED = Command(argv=("runc", "run", "source-0"), where="folder", stage=Stage.START, start_ns=1, seconds=0)
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
    """An experiment that does nothing."""


def open_bench(root: Path, held: set[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Make a bench in the folder `root`; its node has the content `held`."""
    monkeypatch.setattr(audit, "of_node", lambda *_, **__: Snapshot(frozenset(held)))
    monkeypatch.setattr(audit, "groups_of", lambda _: [])
    monkeypatch.setattr(audit, "processes_of", lambda _: ["9 criu"])
    monkeypatch.setattr(audit, "tree", lambda _: ["9 criu state D cgroup 0::/one"])
    monkeypatch.setattr(trial, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(source, "SOON_SECONDS", 0.0)
    node = FolderNode(root)
    furnish(node)
    node.path(SPEC.report).mkdir(parents=True)
    bench = Bench(Bench.key_of(CELL), node, Runc(node, Runc.ways[0]), find("ledger"), Settings(), ())
    bench.image = SPEC.image
    bench.idle = Snapshot(frozenset(held))
    bench.source = bench.adopt(CONTAINER, NONCE)
    bench.source.commands = (STARTED,)
    node.journal.commands.clear()
    return bench


def furnish(node: FolderNode) -> None:
    """Make the files that the runc adapter needs."""
    node.put("/proc/1/cgroup", "0::/\n")
    node.put(f"{STORAGE}/spec-runc/config.json", '{"process": {}, "root": {}, "mounts": [], "linux": {}}')


def use(bench: Bench, **changes: object) -> None:
    """Use the runtime in its plain way with `changes`."""
    bench.runtime.way = replace(bench.runtime.way, **changes)  # type: ignore[arg-type]


def node_of(bench: Bench) -> FolderNode:
    assert isinstance(bench.node, FolderNode)
    return bench.node


def tell(bench: Bench, event: str, *, at: str = f"{SPEC.folder}/heard", **said: object) -> None:
    """Send a message on the source's report channel or the one at `at`, like the workload."""
    folder = bench.node.path(at)
    folder.mkdir(parents=True, exist_ok=True)
    common = {"event": event, "nonce": NONCE, "n": 90, "wall_ns": NOW}
    ticked = {} if event in ("start", "stop") else {"n_wall_ns": NOW, "gap_ns": 5_000}
    (folder / f"{len(list(folder.iterdir())):012}").symlink_to(json.dumps({**common, **ticked, **said}))


def tell_reading(bench: Bench, *, wall_ns: int = NOW, at: str = f"{SPEC.folder}/heard", **surface: object) -> None:
    """Report a pause and the content of one surface."""
    held = {"surface": "added", "newest": 90, "newest_wall_ns": NOW, **surface}
    tell(bench, "reading", at=at, wall_ns=wall_ns, reason="gap", gap_ns=90_000_000, surfaces=[held])
