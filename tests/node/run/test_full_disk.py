"""A disk that fills up in the middle of a run: the run stops and says so, and what it has found stays readable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.run.flags import default_cache

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = f"""
stillframe() {{ PYTHONPATH={ROOT} {sys.executable} -m harness.commands.cli "$@"; }}
mkdir out && mount -t tmpfs -o size=200k none out
stillframe run --cell 'ledger.none.runc@debian-trixie' --rounds 100 --out out "$@" >log 2>&1
echo "code $?"
mount -o remount,size=64m out
stillframe report out/latest --exit-code
echo "code $?"
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_disk_that_fills_up_stops_the_run_and_spoils_no_record(tmp_path: Path, workers: str) -> None:
    words = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", "-n", workers]
    done = HOST.run(words, cwd=str(tmp_path), env={"STILLFRAME_CACHE": str(default_cache())}, deadline=240)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert done.stdout.splitlines()[0] == "code 3", said
    _, told = said.split("stillframe: /")
    assert (
        "runc@debian-trixie.jsonl cannot be written: No space left on device. Free some space" in told.splitlines()[0]
    )
    assert "Traceback" not in said
    assert done.stdout.splitlines()[-1] == "code 3"
    assert "1 of 1 cell with incomplete evidence: ledger.none.runc@debian-trixie." in done.stderr
