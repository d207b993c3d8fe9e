"""`ci/newest` names the package that breaks a test, and the nightly workflow calls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ci import newest
from harness.model.errors import CommandFailed, UsageError

ROOT = Path(__file__).resolve().parents[2]
LOCKED = {"numpy": "2.4", "rich": "15", "ruff": "1", "scipy": "1.17"}
NEWEST = {"numpy": "2.5", "rich": "16", "ruff": "1", "scipy": "1.18", "extra": "1"}


class Packages:
    """An environment in which a test fails as long as all packages that it names are as new as this."""

    def __init__(self, broken: dict[str, set[str]], *, fixed: Collection[str] = ()) -> None:
        self.installed = dict(NEWEST)
        self.broken = broken
        self.fixed = fixed

    def versions(self) -> dict[str, str]:
        return dict(self.installed)

    def install(self, *words: str) -> None:
        for name, version in (word.split("==") for word in words if "==" in word):
            if name in self.fixed and version != NEWEST[name]:
                raise CommandFailed(f"no {name} {version}")
            self.installed[name] = version

    def failing(self, tests: Collection[str]) -> list[str]:
        new = {name for name, version in self.installed.items() if version == NEWEST[name] != LOCKED.get(name)}
        return [test for test in tests if self.broken[test] <= new]


@pytest.mark.parametrize(
    ("broken", "guilty"),
    [
        ({"a": {"numpy"}}, {"numpy": ["a"]}),
        ({"a": {"numpy"}, "b": {"rich"}, "c": {"numpy"}}, {"numpy": ["a", "c"], "rich": ["b"]}),
        ({"a": {"numpy", "scipy"}}, {"numpy": ["a"], "scipy": ["a"]}),
        ({"a": {"extra"}}, {}),
        ({"a": set()}, {}),
    ],
    ids=["one", "two", "together", "a new package", "none"],
)
def test_the_package_that_breaks_a_test_is_found(broken: dict[str, set[str]], guilty: dict[str, list[str]]) -> None:
    packages = Packages(broken)
    assert newest.blame(list(broken), LOCKED, packages) == guilty
    assert packages.installed == NEWEST, "each is tried alone"


def test_a_package_that_cannot_be_put_back_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    packages = Packages({"a": {"rich"}}, fixed=["numpy"])
    assert newest.blame(["a"], LOCKED, packages) == {"rich": ["a"]}
    assert "numpy 2.4 cannot be put back: no numpy 2.4" in capsys.readouterr().out


CHANGED = {"numpy": "numpy 2.4 -> 2.5", "rich": "rich 15 -> 16"}


@pytest.mark.parametrize(
    ("failing", "guilty", "before", "lines"),
    [
        ([], {}, [], ["### Newest packages: all tests pass", "`ci/lock` takes them into ci/requirements.txt."]),
        (["a"], {"rich": ["a"]}, [], ["### Newest packages: 1 test fails", "- `a`: broken by rich 15 -> 16"]),
        (
            ["a", "b"],
            {"numpy": ["a"], "rich": ["a"]},
            ["b"],
            [
                "### Newest packages: 2 tests fail",
                "- `a`: broken by numpy 2.4 -> 2.5 together with rich 15 -> 16",
                "- `b`: also fails with the versions in ci/requirements.txt",
            ],
        ),
        (["a"], {}, [], ["- `a`: no single package; it fails whichever of those below is put back alone"]),
        ([str(n) for n in range(12)], {}, [], ["- 2 more, which were not looked into"]),
    ],
    ids=["none", "one", "more", "together", "many"],
)
def test_what_broke_what_is_told(
    failing: list[str], guilty: dict[str, list[str]], before: list[str], lines: list[str]
) -> None:
    text = newest.told(failing, CHANGED, guilty, before).splitlines()
    assert [line for line in (*lines, *(f"- {each}" for each in CHANGED.values())) if line not in text] == []


def test_nothing_newer_is_told() -> None:
    assert "has the newest version of every package" in newest.told([], {}, {}, [])


TESTS = """\
import pytest

@pytest.mark.parametrize("word", ["a b", "c - d"])
def test_words(word):
    assert word == "a b", word

def test_fine():
    pass

@pytest.fixture
def lacking():
    raise OSError("no - such")

def test_error(lacking):
    pass
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> newest.Folder:
    """The environment of this run, in a checkout with tests of its own."""
    monkeypatch.setattr(newest, "ROOT", tmp_path)
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(TESTS)
    return newest.Folder(Path(sys.prefix), tmp_path)


def test_the_tests_that_fail_are_read_from_what_pytest_says(here: newest.Folder) -> None:
    assert here.failing(["tests"]) == ["tests/test_a.py::test_words[c - d]", "tests/test_a.py::test_error"]


@pytest.mark.parametrize(
    ("name", "asked", "failing"),
    [
        ("tests/test_b.py", "tests/test_b.py", "tests/test_b.py"),
        ("conftest.py", "tests/test_a.py::test_fine", newest.START),
        ("conftest.py", newest.START, newest.START),
    ],
)
def test_what_cannot_be_imported_fails(
    here: newest.Folder, tmp_path: Path, name: str, asked: str, failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("import nothing_of_that_name\n")
    assert here.failing([asked]) == [failing]
    assert "nothing_of_that_name" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("root", "said", "failing"),
    [
        (False, {"tests": ["a"]}, ["a"]),
        (False, {"tests": []}, []),
        (True, {"tests": None, "tests/node": ["b"]}, ["b"]),
        (True, {"tests": ["a"], "tests/node": ["b"]}, ["a", "b"]),
        (True, {"tests": None, "tests/node": None}, None),
    ],
)
def test_nodes_are_tried_as_root(
    here: newest.Folder, monkeypatch: pytest.MonkeyPatch, root: bool, said: dict[str, list[str] | None], failing: object
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(here, "_run", lambda *words: said.pop(words[0]))
    if failing is None:
        with pytest.raises(UsageError, match="No test matches: -k nobody"):
            here.all_failing(["-k", "nobody"])
    else:
        assert here.all_failing([]) == failing
    assert said == {}


def test_what_is_installed_is_listed(tmp_path: Path) -> None:
    assert newest.Folder(Path(sys.prefix), tmp_path).versions()["svg-py"]


def test_the_build_is_tried_too() -> None:
    project = {"build-system": {"requires": ["hatchling>=1"]}}
    assert newest.requirements(project) == ["--editable", ".[test]", "hatchling>=1"]


def test_the_nightly_workflow_tries_the_newest() -> None:
    job = YAML(typ="safe").load((ROOT / "ci/workflows/github.yml").read_text(encoding="utf-8"))["jobs"]["newest"]
    (run,) = (step["run"] for step in job["steps"] if "run" in step)
    *_, program = run.split()
    assert (ROOT / program) == ROOT / "ci/newest"
    assert (ROOT / program).stat().st_mode & 0o100
    assert "--preserve-env=GITHUB_STEP_SUMMARY" in run, "sudo would take the summary's place away"
    assert "needs" not in job, "it tells of packages also when the matrix fails"
