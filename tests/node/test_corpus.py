"""What one node has kept is restored in another one, by the record alone."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path

import pytest

from harness.model.cells import Cell, Settings
from harness.model.expectations import differences
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome
from harness.records.plan import Plan
from harness.records.record import Record
from harness.run import matrix
from harness.run.flags import default_cache
from harness.trial import corpus
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from harness.workload.programs import compile_all
from scenarios.test_corpus import Keeping, Kept
from tests.node.conftest import STACK

SETTINGS = Settings(ring=corpus.SMALL)
HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
KNOWN = differences(dt.date.today())  # noqa: DTZ011


def play(kind: type[Trial], cell: Cell, root: Path, folder: Path) -> Record:
    plan = Plan(
        run="r1", stillframe="0.1.0", created_ns=1, seed=7, rounds=1, cells=(cell,), host=HOST, differences=KNOWN
    )
    binaries = compile_all(default_cache())
    with contextlib.closing(Bench.open(Bench.key_of(cell), root, binaries, SETTINGS, folder)) as bench:
        return kind(bench, cell, plan, number=0, last=True).run()


@pytest.fixture
def kept(stack_root: Path, tmp_path: Path) -> corpus.Kept:
    (cell,) = matrix.to_keep(matrix.keepers([STACK], ["podman/runc"]))
    assert play(Keeping, cell, stack_root, tmp_path / "corpus").verdict.outcome is Outcome.CONSISTENT
    (found,) = corpus.read(tmp_path / "corpus")
    return found


def test_a_checkpoint_is_kept_and_restored_elsewhere(kept: corpus.Kept, stack_root: Path, tmp_path: Path) -> None:
    (cell,) = corpus.cells([kept], matrix.keepers([STACK], ["podman/runc"]))
    record = play(Kept, cell, stack_root, tmp_path / "corpus")
    assert record.verdict.outcome is Outcome.CONSISTENT, record.verdict.reason
    assert {reading.nonce for reading in record.readings} == {kept.nonce}
    assert len(record.readings) == 2
    assert record.components["checkpoint"] == kept.record.components["checkpoint"]
    assert record.prediction is not None
