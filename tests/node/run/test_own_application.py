"""An application of somebody's own, by the page about it, on a real runtime: every file and command as it stands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.cells import FreezePolicy
from harness.model.outcomes import Anomaly, Outcome
from harness.model.readings import Witness
from harness.records import run_files
from tests.docs.desk import Desk
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs/how-to/own-application.md"
FILES = ("workload.toml", "drive", "verify")
CHECK, RUN = (block.commands[0] for block in blocks(PAGE) if block.mark)
WRONG = {
    "#!/no/such/shell\n": "start the program drive of application: No such file or directory (drive, or the program",
    "#!/bin/sh\necho oh no >&2\n":
        "drive has ended, asked to tick 1\n  By itself, asked to tick 1, drive says:\n  oh no",
    "#!/bin/sh\nwhile read x n; do echo ok 1; done\n": "drive, asked to tick 2, answered ok 1",
    "#!/bin/sh\nwhile read x n; do echo $x | sed s/tick/ok\\ $n/ | sed 's/read/disk 1/'; done\n":
        "after a pause, drive says `disk 1`, after tick",
}  # fmt: skip


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A clone, with the files of the page beside it, outside the cache."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        desk = Desk(Path(made))
        (desk.folder / "counter").mkdir()
        for name, block in zip(FILES, (block for block in blocks(PAGE) if not block.mark), strict=True):
            (desk.folder / "counter" / name).write_text(block.text, encoding="utf-8")
            (desk.folder / "counter" / name).chmod(0o755)
        yield desk


def test_it_keeps_the_contract_and_is_as_consistent_as_the_freeze(desk: Desk) -> None:
    said = desk.typed(CHECK)
    assert (said.exit_code, said.stderr.splitlines()[-1]) == (0, "counter keeps the contract.")
    ran = desk.typed(f"{RUN} --rounds 2 --proof brief")
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    records = [record for record in run_files.read_records(desk.folder / "out/latest") if not record.control]
    assert len(records) == 4
    for record in records:
        still = record.cell.policy is FreezePolicy.PAUSE
        assert record.verdict.outcome is (Outcome.CONSISTENT if still else Outcome.INCONSISTENT)
        assert (Anomaly.DISK_AHEAD in record.verdict.anomalies) is not still
        assert [each.witness for each in record.readings] == [
            *(Witness.OFFLINE, Witness.RECOVERED, Witness.RESTORED, Witness.AFTERWARDS)
        ]


@pytest.mark.parametrize("drive", WRONG, ids=range(len(WRONG)))
def test_what_breaks_the_contract_is_said_before_anything_is_checkpointed(desk: Desk, drive: str) -> None:
    (desk.folder / "counter/drive").write_text(drive, encoding="utf-8")
    said = desk.typed(CHECK)
    assert said.exit_code == 1
    assert f"counter breaks the contract: {WRONG[drive]}" in said.stderr
