"""Format, lint, types, import contracts and sizes, as tests like any other."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from harness.host.process import HOST

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sysconfig.get_path("scripts"))
LONGEST_FILE = 400
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


@pytest.mark.parametrize("room", ["harness", "reports", "scenarios"])
def test_no_file_outgrows_its_purpose(room: str) -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in (ROOT / room).rglob("*.py")}
    assert lengths
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


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
