"""What a wheel has is enough: the commands work in another folder, far from any checkout."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.commands import Command
from tests.criu_images import dump, memory
from tests.reports.synthetic import MOVING, STILL, moving, plan, record, store

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from harness.commands import cli
assert cli.__file__.startswith(sys.path[0])
sys.exit(cli.main())
"""
ARCHIVE = ROOT / "tests" / "fixtures" / "checkpoints" / "crio-runc-ledger.tar.zst"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip would install: the packages that the wheel is made of, with what links in them lead to."""
    folder = tmp_path_factory.mktemp("site")
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    for package in built["wheel"]["packages"]:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def stillframe(site: Path, folder: Path, *words: str, accept: tuple[int, ...] = (0,)) -> Command:
    """Run the command as it is installed in `site`, in another folder, with nothing of the checkout in sight."""
    argv = [sys.executable, "-I", "-c", MAIN, str(site), *words]
    return HOST.run(argv, cwd=str(folder), deadline=120, accept=accept)


def test_the_plan_is_that_of_the_checkout(site: Path, tmp_path: Path) -> None:
    here = HOST.run([sys.executable, "-m", "harness.commands.cli", "plan"], cwd=str(ROOT), deadline=120)
    assert stillframe(site, tmp_path, "plan").stdout == here.stdout
    assert here.stdout


def test_the_definitions_are_there(site: Path, tmp_path: Path) -> None:
    done = stillframe(site, tmp_path, "doctor", accept=(0, 3))
    told = [line for line in done.stdout.splitlines() if "definitions" in line or "known issues" in line]
    assert len(told) == 3
    assert all(line.startswith("yes ") and not line.endswith(" 0 read") for line in told)


def test_a_run_is_reported_and_shown(site: Path, tmp_path: Path) -> None:
    run = store(tmp_path / "run", plan((MOVING, STILL), 1), [record(STILL, 0), moving(MOVING, 0, 10)])
    page = stillframe(site, tmp_path, "report", str(run), "--out", "site").stdout.strip()
    assert (tmp_path / page).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert STILL.id in stillframe(site, tmp_path, "show", STILL.id, "--run", str(run)).stdout


def test_a_checkpoint_is_inspected_translated_and_predicted(site: Path, tmp_path: Path) -> None:
    found = json.loads(stillframe(site, tmp_path, "inspect", str(ARCHIVE), "--json").stdout)
    assert found["finding"] == "consistent"
    stillframe(site, tmp_path, "translate", str(ARCHIVE), "--runtime", "crun", "-o", "new.tar")
    assert json.loads(stillframe(site, tmp_path, "inspect", "new.tar", "--json").stdout)["finding"] == "consistent"
    done = stillframe(site, tmp_path, "compatible", str(dump(tmp_path / "images", memory())), accept=(0, 1, 3))
    assert done.stdout or "nothing on PATH restores checkpoints" in done.stderr


def test_cells_can_be_collected_for_a_run(site: Path, tmp_path: Path) -> None:
    words = ("run", "--cell", STILL.id, "--out", str(tmp_path), "--", "--collect-only", "-q")
    done = stillframe(site, tmp_path, *words)
    assert f"test_live_consistency[{STILL.id}]" in done.stdout
    assert "test_control_is_noticed[canary." in done.stdout
