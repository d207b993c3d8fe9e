"""Something fails in the middle of a real live checkpoint, and what becomes of it is in the records and the report."""

from __future__ import annotations

from pathlib import Path

from harness.commands.cli import main
from harness.model.cells import Scenario
from harness.model.readings import Leftover
from harness.records import run_files
from tests.node.conftest import STACK

READ_ONLY = f"read-only:ledger.hook.criu@{STACK}"
KILLED = f"killed-criu:ledger.pause.runc@{STACK}"


def test_what_failed_was_real_and_the_source_went_on(tmp_path: Path) -> None:
    chosen = [word for cell in (READ_ONLY, KILLED) for word in ("--cell", cell)]
    assert main(["run", *chosen, "--rounds", "2", "--proof", "brief", "--out", str(tmp_path)]) == 0
    records = [record for record in run_files.read_records(tmp_path / "latest") if not record.control]
    found = {each: [one.fault for one in records if one.cell.scenario is each] for each in Scenario}
    for fault in found[Scenario.READ_ONLY]:
        assert fault is not None
        assert "Read-only file system" in fault.said
        assert (fault.ticking, fault.frozen, fault.state) == (True, False, "running")
        assert fault.archive is Leftover.PARTIAL
    killed = [fault for fault in found[Scenario.KILLED_CRIU] if fault is not None]
    assert [fault.what for fault in killed] == ["criu was killed"] * 2
    assert all(fault.said for fault in killed)
    page = (tmp_path / "latest/report/faults.html").read_text(encoding="utf-8")
    assert "criu was killed" in page
