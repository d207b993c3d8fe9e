"""On every checkpoint of a run across participants, inspect, the oracle, and what compatible foretells agree."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.host.process import HOST
from harness.model.outcomes import Answer, Outcome
from harness.records.inspection import Finding
from harness.records.record import Record
from harness.run.flags import default_cache
from tests.node.conftest import STACK

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "import sys; from harness.commands.cli import main; sys.exit(main(sys.argv[1:]))")
RUNTIMES = ("crun", "podman/runc", "podman/crun")


def test_all_that_is_said_of_a_checkpoint_agrees(stack_root: Path, tmp_path: Path) -> None:
    assert stack_root.is_dir()
    chosen = [word for runtime in RUNTIMES for word in ("--runtime", runtime)]
    out = ("--cache", str(default_cache()), "--out", str(tmp_path))
    line = ("run", "--interop", "--stack", STACK, *chosen, "--rounds", "1", "--verbose", *out)
    said = HOST.run([*COMMAND, *line], cwd=str(ROOT), deadline=280).stdout
    files = (tmp_path / "latest").resolve().rglob("*.jsonl")
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    records = [record for line in lines if (record := Record.model_validate_json(line)).control is None]
    assert len({record.cell.id for record in records}) == len(records) >= 8
    assert [record.cell.id for record in records if not (record.inspection and record.inspection.agrees)] == []
    assert {record.inspection.finding for record in records if record.inspection} == {Finding.CONSISTENT}
    yes = {record.cell.id for record in records if record.prediction and record.prediction.answer is Answer.YES}
    restored = {record.cell.id for record in records if record.verdict.outcome is Outcome.CONSISTENT}
    assert yes == {record.cell.id for record in records if record.prediction} & restored
    assert f"agree on {len(records)} of {len(records)} checkpoints" in said
