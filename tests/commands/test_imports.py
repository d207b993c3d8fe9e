"""The command line starts at once: what it imports before it has to is measured by names, never by time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.commands.cli import COMMANDS
from harness.commands.declarations.command import Command
from harness.host.process import HOST
from tests.reports.synthetic import MOVING, STILL, cell, moving, plan, record, store

ROOT = Path(__file__).resolve().parents[2]
CONSOLE_SCRIPT = """
import atexit, sys
seen = open(sys.argv.pop(1), "w")
atexit.register(lambda: seen.write(" ".join(sys.modules)))
from harness.commands.cli import main
sys.exit(main())
"""
"""What pip makes of the entry point, and a list of all modules when it ends."""

HEAVY = {
    "allure_commons", "docker", "google.protobuf", "jinja2", "junitparser", "numpy", "psutil", "pyroute2", "pytest",
    "requests", "rich", "scipy", "svg", "tomlkit", "xdist",
}  # fmt: skip
"""What nobody waits for who plans, looks at the machine, or reads about one cell."""
LIBRARIES = {*HEAVY, "pydantic", "zstandard"}
ROOMS = {f"harness.{room.parent.name}" for room in ROOT.glob("harness/*/__init__.py")}


def imported(tmp_path: Path, *words: str) -> set[str]:
    """Run the real command line, and give the names of all modules that it had when it ended."""
    seen = tmp_path / "modules"
    HOST.run([sys.executable, "-c", CONSOLE_SCRIPT, str(seen), *words], cwd=str(ROOT), deadline=120, accept=(0, 3))
    return set(seen.read_text(encoding="utf-8").split())


def each_command() -> Iterator[Command]:
    for command in COMMANDS.values():
        yield command
        yield from command.tasks


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which another cell is wrong in some trials, so that its interval takes a library."""
    other = cell(runtime="crun")
    trials = [record(STILL, 0), moving(MOVING, 0, 10), record(other, 0), moving(other, 1, 10)]
    return store(tmp_path_factory.mktemp("run"), plan((MOVING, STILL, other), 2), trials)


@pytest.mark.parametrize(
    "words", [(), ("--help",), *((*each.name.split(), "--help") for each in each_command())], ids=" ".join
)
def test_help_imports_no_library_and_no_room(tmp_path: Path, words: tuple[str, ...]) -> None:
    found = imported(tmp_path, *words)
    assert LIBRARIES & found == set()
    assert ROOMS & found == {"harness.commands", "harness.model", "harness.run"}, "for the errors and the options"


@pytest.mark.parametrize("words", [("plan",), ("plan", "--count"), ("plan", "--interop"), ("doctor",)], ids=" ".join)
def test_who_plans_or_looks_waits_for_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert HEAVY & imported(tmp_path, *words) == set()


def test_who_reads_about_a_cell_waits_for_nothing_heavy(tmp_path: Path, run_folder: Path) -> None:
    assert HEAVY & imported(tmp_path, "show", STILL.id, "--run", str(run_folder)) == set()


def test_what_is_needed_is_seen(tmp_path: Path, run_folder: Path) -> None:
    words = ("report", str(run_folder), "--out", str(tmp_path / "site"))
    assert imported(tmp_path, *words) >= {"pydantic", "jinja2", "scipy", "rich"}
