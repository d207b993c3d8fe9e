"""A real engine keeps what a workload prints, and its log is read in the archive and beside the restored container."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Settings
from harness.model.expectations import differences
from harness.model.machine import HostFacts
from harness.model.outcomes import Anomaly, Outcome
from harness.model.readings import Witness
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding
from harness.records.plan import Plan
from harness.run.flags import default_cache
from harness.runtimes.contract import Checkpoint
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from harness.workload.definitions import find
from harness.workload.programs import compile_all
from tests.node.conftest import STACK

WHO = Participant(runtime="podman/crun", stack=STACK)
"""Podman 5.4.2, which takes the log last, while the container runs on."""
HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
KNOWN = differences(dt.date.today())  # noqa: DTZ011


@pytest.fixture
def bench(stack_root: Path) -> Iterator[Bench]:
    bench = Bench.open((WHO, ""), stack_root, compile_all(default_cache()), Settings())
    with contextlib.closing(bench):
        yield bench


class Kept(Trial):
    """A trial whose archive is looked at by itself, too."""

    archive: Path

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Keep a copy."""
        super().read_offline(checkpoint)
        shutil.copy(self.bench.node.path(checkpoint.archive), self.archive)


@pytest.mark.parametrize("name", ["chatty", "chatty-tty"])
@pytest.mark.parametrize("policy", [FreezePolicy.CGROUP, FreezePolicy.ENGINE])
def test_the_log_is_of_memory_s_instant_where_the_container_is_held_still(
    bench: Bench, tmp_path: Path, name: str, policy: FreezePolicy
) -> None:
    bench.workload = find(name)
    cell = Cell(workload=name, policy=policy, checkpoint=WHO, restore=WHO)
    plan = Plan(run="r", stillframe="0", created_ns=1, seed=7, rounds=1, cells=(cell,), host=HOST, differences=KNOWN)
    trial = Kept(bench, cell, plan, number=0, last=True)
    trial.archive = tmp_path / "checkpoint.tar"
    record = trial.run()
    inspected = inspect(trial.archive, {}).checkpoints[0].workloads[0]
    offline = record.readings[0].surfaces
    assert (inspected.reading.surfaces, inspected.absent) == (offline, {})
    assert record.readings[0].witness is Witness.OFFLINE
    log, found = offline[-1], record.continuation
    assert found is not None
    assert (found.first, found.kept, found.travels) == (1, True, True)
    assert (found.surface.torn, found.surface.foreign, found.surface.holes) == (0, 0, 0)
    assert found.surface.newest is not None
    assert log.newest is not None
    assert found.surface.newest >= found.due
    memory = record.readings[0].counter
    if policy is FreezePolicy.CGROUP:
        assert record.verdict.outcome is Outcome.CONSISTENT, record.verdict.reason
        assert inspected.finding is Finding.CONSISTENT
        assert log.newest in (memory - 1, memory)
        assert found.again is None
    else:
        assert record.verdict.outcome is Outcome.INCONSISTENT, record.verdict.reason
        assert Anomaly.DISK_AHEAD in record.verdict.anomalies
        assert inspected.finding is Finding.INCONSISTENT
        ahead = log.newest > memory
        assert (Anomaly.RECORD_REPEATED in record.verdict.anomalies) is (found.again is not None) is ahead
        if found.again:
            assert found.again in ((memory, log.newest), (memory + 1, log.newest))
            assert found.surface.repeated == found.again[1] - found.again[0] + 1
