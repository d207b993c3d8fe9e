"""Mutants of an engine's log, on a real archive of Podman."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from harness.model.mutants import ARCHIVED, PRINTING
from harness.model.outcomes import Anomaly
from harness.oracle.inspection import inspect
from harness.records.inspection import InspectedProcess
from scenarios.controls import changes
from scenarios.controls.changes import FEW, Files
from scenarios.controls.tampered import TAMPERINGS

FIXTURE = Path(__file__).parents[1] / "fixtures" / "checkpoints" / "printed-still.tar.zst"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    with FIXTURE.open("rb") as packed, (tmp_path / "checkpoint.tar").open("wb") as archive:
        zstandard.ZstdDecompressor().copy_stream(packed, archive)
    return Files(tmp_path, None)


def archive(files: Files) -> Path:
    return files.folder / "checkpoint.tar"


def inspected(files: Files) -> InspectedProcess:
    (workload,) = inspect(archive(files), {}).checkpoints[0].workloads
    return workload


def others(files: Files) -> list[tuple[object, ...]]:
    """Everything in the archive except its log."""
    with tarfile.open(archive(files)) as tar:
        return [
            (each.name, each.mode, each.uid, each.mtime, each.linkname, file.read() if file else None)
            for each in tar
            if each.name != "ctr.log"
            for file in [tar.extractfile(each)]
        ]


@pytest.mark.parametrize(
    ("change", "anomalies", "skew"),
    [
        (changes.log_cut_short, (), -FEW),
        (changes.log_repeated, (Anomaly.RECORD_REPEATED,), 0),
        (changes.log_advanced, (Anomaly.DISK_AHEAD, Anomaly.ORDER_BROKEN), FEW),
        (changes.log_copied, (), 0),
    ],
)
def test_a_log_is_tampered_with_and_nothing_else(
    files: Files, change: Callable[[Files], None], anomalies: tuple[Anomaly, ...], skew: int
) -> None:
    before, data = others(files), archive(files).read_bytes()
    change(files)
    found = inspected(files)
    assert (found.anomalies, found.skews[-1].ticks) == (anomalies, skew)
    assert others(files) == before
    assert archive(files).read_bytes() != data
    assert [path.name for path in files.folder.iterdir()] == ["checkpoint.tar"]


def test_lines_that_are_only_missing_at_the_end_show_nowhere_but_in_the_restored_container_s_log(files: Files) -> None:
    changes.log_cut_short(files)
    assert inspected(files).reading.surfaces[-1].holes == 0


def test_mutants_of_logs_are_of_what_prints_and_have_a_neighbour() -> None:
    of_logs = [proof for proof in ARCHIVED if proof.name.startswith("log-")]
    assert {proof.workload for proof in of_logs} == {PRINTING}
    assert {TAMPERINGS[proof.name].neutral for proof in of_logs} == {changes.log_copied}
