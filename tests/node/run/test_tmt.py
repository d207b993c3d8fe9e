"""The plans for tmt, run by tmt itself: two shards on this machine, and the report of both."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.commands import Command
from harness.run.flags import default_cache

ROOT = Path(__file__).resolve().parents[3]
PLANS = ROOT / "ci/tmt/nightly.fmf"
VERSION = "1.78.0"
SECONDS = 1200
LINE = re.compile(r"#   (tmt .*)")
CELLS = ("shm.pause.runc@debian-trixie", "ledger.pause.runc@debian-trixie")
"""One for each of two shards."""
OPTIONS = f"OPTIONS='{' '.join(f'--cell {cell}' for cell in CELLS)} --rounds 1'"
STARTED = f"""#!/bin/sh
PYTHONPATH="${{0%/venv/bin/*}}" exec {sys.executable} -m harness.commands.cli "$@"
"""
PARTS = ("ci", "harness", "reports", "scenarios", "workloads", "pyproject.toml")


@pytest.fixture(scope="session")
def tmt() -> Path:
    """tmt, in an environment of its own, which is made once."""
    folder = default_cache() / f"tmt-{VERSION}"
    program = folder / "bin/tmt"
    if not program.exists() or HOST.run([str(program), "--version"], accept=range(256)).exit_code:
        shutil.rmtree(folder, ignore_errors=True)
        HOST.run([sys.executable, "-m", "venv", str(folder)], deadline=120)
        HOST.run([str(folder / "bin/pip"), "install", "--quiet", f"tmt=={VERSION}"], deadline=600)
    return program


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the plans clone: this checkout, with the environment of the tests, which is set up already."""
    folder = tmp_path / "stillframe"
    folder.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        else:
            shutil.copy(ROOT / name, folder)
    (folder / "ci/setup").write_text("venv=$PWD/venv\n. ci/find-python\n", encoding="utf-8")
    (folder / "venv/bin").mkdir(parents=True)
    (folder / "venv/bin/stillframe").write_text(STARTED, encoding="utf-8")
    (folder / "venv/bin/stillframe").chmod(0o755)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "--all", "--force"], [*who, "commit", "--quiet", "--message=test"]):
        HOST.run(["git", *words], cwd=str(folder))
    return folder


def typed(program: Path, plan: str, folder: Path, *environment: str) -> Command:
    """Run a plan as the comment in its file says, on this machine; `folder` is where tmt works."""
    (line,) = (found for found in LINE.findall(PLANS.read_text(encoding="utf-8")) if f"/nightly/{plan}" in found)
    given = " ".join(f"--environment {shlex.quote(each)}" for each in environment)
    line = line.replace("--how virtual", "--how local").replace(" plan ", f" {given} plan ", 1)
    words = shlex.split(line.replace("tmt run", "tmt --feeling-safe run").replace(" run ", f" run --id {folder} ", 1))
    words[0] = str(program)
    env = {"STILLFRAME_CACHE": str(default_cache())}
    return HOST.run(words, cwd=str(PLANS.parent), env=env, deadline=SECONDS / 4, accept=range(256))


def output(folder: Path) -> str:
    """What the plan's test said."""
    return "".join(path.read_text(encoding="utf-8") for path in folder.rglob("output.txt"))


@pytest.mark.timeout(SECONDS)
def test_two_shards_and_their_report_pass_and_one_shard_alone_does_not(tmt: Path, clone: Path, tmp_path: Path) -> None:
    own = f"STILLFRAME={clone}"
    shards = tmp_path / "shards"
    for number in (1, 2):
        folder = tmp_path / f"shard-{number}"
        done = typed(tmt, "shard", folder, own, f"SHARD={number}/2", "SEED=7", OPTIONS)
        assert done.exit_code == 0, output(folder) + done.stderr
        (found,) = folder.glob(f"nightly/shard/data/out/*-{number}-of-2")
        shutil.copytree(found, shards / found.name)
        folder = tmp_path / f"report-{number}"
        done = typed(tmt, "report", folder, own, f"RUNS={shards}")
        assert done.exit_code == (2 if number == 1 else 0), output(folder) + done.stderr
        assert ("Shard 2/2 did not come back" in output(folder)) is (number == 1)
        summary = json.loads((folder / "nightly/report/data/site/summary.json").read_text(encoding="utf-8"))
        assert summary["conclusion"]["exit_code"] == (3 if number == 1 else 0)
    assert {each["id"]: each["n"] for each in summary["cells"]} == dict.fromkeys(CELLS, 1)
