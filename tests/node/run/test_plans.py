"""The plans for tmt, run by tmt itself on this machine; and the step of a workflow, as a runner's shell runs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harness.host.process import HOST
from harness.model.commands import Command
from harness.run.flags import default_cache

ROOT = Path(__file__).resolve().parents[3]
PLANS = {"nightly/shard": "nightly", "nightly/report": "nightly", "pull-request": "pull-request"}
"""Files in `ci/tmt` by the plans in them."""
WORKFLOW = ROOT / "ci/workflows/pull-request.yml"
VERSION = "1.78.0"
SECONDS = 1200
LINE = re.compile(r"^#   (tmt (?:.*\\\n#)*.*)$", re.MULTILINE)
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
    file = ROOT / "ci/tmt" / f"{PLANS[plan]}.fmf"
    lines = (found.replace("\\\n#", " ") for found in LINE.findall(file.read_text(encoding="utf-8")))
    (line,) = (found for found in lines if f"/{plan}" in found)
    given = " ".join(f"--environment {shlex.quote(each)}" for each in environment)
    line = line.replace("--how virtual", "--how local").replace(" plan ", f" {given} plan ", 1)
    words = shlex.split(line.replace("tmt run", "tmt --feeling-safe run").replace(" run ", f" run --id {folder} ", 1))
    words[0] = str(program)
    env = {"STILLFRAME_CACHE": str(default_cache())}
    return HOST.run(words, cwd=str(file.parent), env=env, deadline=SECONDS / 4, accept=range(256))


def output(folder: Path) -> str:
    """What the plan's test said."""
    return "".join(path.read_text(encoding="utf-8") for path in folder.rglob("output.txt"))


@pytest.mark.timeout(SECONDS)
def test_two_shards_and_their_report_pass_and_one_shard_alone_does_not(tmt: Path, clone: Path, tmp_path: Path) -> None:
    own = f"STILLFRAME={clone}"
    shards = tmp_path / "shards"
    for number in (1, 2):
        folder = tmp_path / f"shard-{number}"
        done = typed(tmt, "nightly/shard", folder, own, f"SHARD={number}/2", "SEED=7", OPTIONS)
        assert done.exit_code == 0, output(folder) + done.stderr
        (found,) = folder.glob(f"nightly/shard/data/out/*-{number}-of-2")
        shutil.copytree(found, shards / found.name)
        folder = tmp_path / f"report-{number}"
        done = typed(tmt, "nightly/report", folder, own, f"RUNS={shards}")
        assert done.exit_code == (2 if number == 1 else 0), output(folder) + done.stderr
        assert ("Shard 2/2 did not come back" in output(folder)) is (number == 1)
        summary = json.loads((folder / "nightly/report/data/site/summary.json").read_text(encoding="utf-8"))
        assert summary["conclusion"]["exit_code"] == (3 if number == 1 else 0)
    assert {each["id"]: each["n"] for each in summary["cells"]} == dict.fromkeys(CELLS, 1)


@pytest.fixture
def install_root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An install root with a runc that is the stack's own, or one that does not checkpoint."""
    root = tmp_path / str(request.param)
    program = root / "usr/sbin/runc"
    program.parent.mkdir(parents=True)
    broken = 'case "$*" in *" checkpoint "*) echo "checkpoint is broken" >&2; exit 1 ;; esac\n'
    program.write_text(f'#!/bin/sh\n{broken * (request.param == "worse")}exec runc.distrib "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return root


COMPARED = {
    "same": (0, "0 worse, 0 cannot tell, 0 better, 1 same"),
    "worse": (1, "1 worse, 0 cannot tell, 0 better, 0 same"),
}
ONE = f"--cell {CELLS[1]} --rounds 6 --proof brief"


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("install_root", ["worse"], indirect=True)
def test_the_plan_for_a_pull_request_compares(tmt: Path, clone: Path, install_root: Path, tmp_path: Path) -> None:
    given = (f"STILLFRAME={clone}", "PROGRAM=runc", f"BUILD={install_root}", "STACK=debian-trixie", f"OPTIONS='{ONE}'")
    done = typed(tmt, "pull-request", tmp_path / "run", *given)
    code, told = COMPARED[install_root.name]
    assert done.exit_code == code, output(tmp_path / "run") + done.stderr
    assert told in output(tmp_path / "run")


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("install_root", ["same"], indirect=True)
def test_the_workflow_for_a_pull_request_compares_in_its_summary(
    clone: Path, install_root: Path, tmp_path: Path
) -> None:
    (job,) = YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    script = "".join(f"{step['run']}\n" for step in job["steps"] if "run" in step and "chown" not in step["run"])
    shutil.copytree(install_root, clone / "install-root")
    (clone / "install-root/usr/sbin/runc").chmod(0o644)  # as an artifact comes
    summary = tmp_path / "summary.md"
    given = {"PROGRAM": "runc", "STACK": "debian-trixie", "OPTIONS": ONE, "GITHUB_STEP_SUMMARY": str(summary)}
    env = {**given, "STILLFRAME_CACHE": str(default_cache())}
    script = script.replace("sudo --preserve-env=GITHUB_STEP_SUMMARY ", "")
    done = HOST.run(["bash", "-e", "-c", script], cwd=str(clone), env=env, deadline=SECONDS / 4, accept=range(256))
    code, told = COMPARED[install_root.name]
    assert done.exit_code == code, done.stdout + done.stderr
    assert told in summary.read_text(encoding="utf-8")
