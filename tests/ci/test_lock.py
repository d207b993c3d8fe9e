"""The lock file has what pyproject.toml asks for, with hashes, and sends nobody to a place of its own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ci import locked
from ci.environment import LOCK

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / LOCK).read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = [
    *PROJECT["project"]["dependencies"],
    *(each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra),
    *PROJECT["build-system"]["requires"],
]


@pytest.mark.parametrize("declared", DECLARED)
def test_what_is_declared_is_locked(declared: str) -> None:
    requirement = Requirement(declared)
    version = locked.versions(TEXT).get(locked.normal(requirement.name))
    assert version, "run ci/lock"
    assert requirement.specifier.contains(version), "run ci/lock"


def test_every_package_has_one_version_and_its_hashes() -> None:
    packages = [part for part in re.split(r"\n(?=[a-z])", TEXT) if not part.startswith("#")]
    assert len(packages) == len(locked.versions(TEXT)) > len(DECLARED)
    assert [each for each in packages if not re.search(r"--hash=sha256:[0-9a-f]{64}", each)] == []


def test_it_names_packages_and_nothing_else() -> None:
    known = re.compile(r"#.*|[a-z0-9-]+==\S+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    # .*|")
    assert [line for line in TEXT.splitlines() if not known.fullmatch(line)] == []
    assert "://" not in TEXT


def test_it_says_which_command_made_it() -> None:
    assert "ci/lock" in TEXT[: TEXT.index("==")]


def test_changes_are_told_in_words() -> None:
    old = "numpy==2.4.6 ; python_version >= '3.11' \\\n    --hash=sha256:0\nattrs==26.1.0 \\\nidna==3.20 \\\n"
    new = "numpy==2.5.0 \\\nattrs==26.1.0 \\\nruff==0.18.0 \\\n"
    assert list(locked.changes(locked.versions(old), locked.versions(new)).values()) == [
        "idna 3.20 is gone",
        "numpy 2.4.6 -> 2.5.0",
        "ruff 0.18.0 is new",
    ]


def test_changes_between_two_files_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").write_text("numpy==2.4.6 \\\nattrs==26.1.0 \\\n")
    (tmp_path / "new").write_text("numpy==2.5.0 \\\nattrs==26.1.0 \\\n")
    locked.main(str(tmp_path / "old"), str(tmp_path / "new"))
    locked.main(str(tmp_path / "new"), str(tmp_path / "new"))
    assert capsys.readouterr().out == "1 of 2 packages changed\n  numpy 2.4.6 -> 2.5.0\nNo version changed.\n"


@pytest.mark.parametrize("name", ["svg.py", "svg_py", "SVG-Py"])
def test_a_package_has_one_spelling(name: str) -> None:
    assert locked.normal(name) in locked.versions(TEXT)
