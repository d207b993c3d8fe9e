"""Format, lint, types, import contracts and sizes, as tests like any other."""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.process import HOST

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sysconfig.get_path("scripts"))
CODE = ("", ".c", ".css", ".h", ".j2", ".js", ".py", ".sh")
"""Suffixes of code; scripts have none."""
MADE = ("__pycache__", "allure-results", "out")
LONGEST_FILE = 400
MOST_MODULES = 12
LARGE = {"harness/runtimes", "reports/analysis", "reports/formats"}
"""A file for each adapter, question or format."""
TIDY = {"PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize(
    "line",
    [
        "ruff format --check --no-cache",
        "ruff check --no-cache --output-format concise",
        "mypy --cache-dir {cache} --no-error-summary",
        "lint-imports --config pyproject.toml --no-cache",
    ],
    ids=["format", "lint", "types", "imports"],
)
def test_the_code_is_clean(line: str, tmp_path: Path) -> None:
    tool, *arguments = (word.format(cache=tmp_path) for word in line.split())
    done = HOST.run([str(TOOLS / tool), *arguments], cwd=str(ROOT), env=TIDY, deadline=250, accept=range(256))
    if done.exit_code != 0:
        pytest.fail(f"{line}\n{done.stdout}{done.stderr}", pytrace=False)


def code() -> Iterator[Path]:
    """Every file of code, by its path in the repository."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [each for each in folders if each == ".ci" or not (each in MADE or each.startswith("."))]
        yield from (Path(folder, name).relative_to(ROOT) for name in names if Path(name).suffix in CODE)


def test_no_file_outgrows_its_purpose() -> None:
    lengths = {path: len((ROOT / path).read_bytes().splitlines()) for path in code()}
    assert {".ci", "ci", "harness", "reports", "scenarios", "tests", "workloads"} <= {path.parts[0] for path in lengths}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_a_folder_has_a_dozen_modules_at_most() -> None:
    modules = [path for path in code() if path.suffix in (".py", ".c") and path.name != "__init__.py"]
    counts = Counter(path.parent.as_posix() for path in modules)
    assert counts.keys() > LARGE
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES and folder not in LARGE} == {}


SCRIPTS = [
    path
    for folder in ("ci", ".ci")
    for path in sorted((ROOT / folder).iterdir())
    if path.is_file() and path.suffix in ("", ".sh")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shell_script_can_be_parsed(script: Path) -> None:
    HOST.run(["bash", "-n", str(script)])


def test_the_two_commands_are_among_the_scripts() -> None:
    assert {ROOT / "ci" / "matrix", ROOT / "ci" / "test"} <= set(SCRIPTS)
