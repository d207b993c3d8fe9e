"""`ci/test` runs what is chosen and nothing else; `ci/matrix --help` needs no root."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping

import pytest

from tests.ci.conftest import ROOT, Checkout

CELL = "ledger.pause.runc@debian-trixie"
EVERYTHING = ["tests", "tests/node", "scenarios"]


@pytest.fixture
def checkout(checkout: Checkout) -> Checkout:
    """A checkout whose pytest and stillframe only note how they are called."""
    (checkout.folder / "ci/setup").write_text(f"venv={checkout.folder.parent}/venv cache={checkout.cache}\n")
    checkout.program(checkout.folder.parent / "venv/bin/stillframe")
    ends(checkout, {})
    return checkout


def ends(checkout: Checkout, codes: Mapping[str, int]) -> None:
    """Let pytest end with these exit codes, by the first path that it runs; with 0 for all others."""
    cases = [f"{path}) exit {code} ;;" for path, code in codes.items()]
    checkout.program(checkout.folder.parent / "venv/bin/python", 'case "$5" in', *cases, "esac")


def runs(checkout: Checkout) -> dict[str, str]:
    """The first path of each run of pytest, and the words after it."""
    calls = [re.fullmatch(r"python -m pytest --basetemp \S+/tests (\S+) ?(.*)", call) for call in checkout.called]
    assert all(calls)
    return {call[1]: call[2] for call in calls if call}


@pytest.mark.parametrize(
    ("user", "words", "paths"),
    [
        ("0", [], EVERYTHING),
        ("1000", [], ["tests"]),
        ("0", ["-x"], EVERYTHING),
        ("0", ["-k", "ring"], ["tests", "tests/node"]),
        ("1000", ["-k", "ring"], ["tests"]),
        ("0", ["-kring"], ["tests", "tests/node"]),
        ("0", ["-m", "node"], ["tests", "tests/node"]),
        ("0", ["-k", "scenarios"], ["tests", "tests/node"]),
        ("0", ["-k", "ring", "--deselect", "tests/oracle"], ["tests", "tests/node"]),
        ("0", ["tests"], ["tests", "tests/node"]),
        ("0", ["tests/oracle"], ["tests/oracle"]),
        ("1000", ["tests/oracle"], ["tests/oracle"]),
        ("0", ["-x", "tests/oracle/test_ring.py::test_a"], ["tests/oracle/test_ring.py::test_a"]),
        ("0", ["./tests/node/test_node.py"], ["./tests/node/test_node.py"]),
        ("0", ["tests/oracle", "tests/node", "-k", "ring"], ["tests/oracle", "tests/node"]),
        ("1000", ["tests/oracle", "tests/node"], ["tests/oracle"]),
        ("0", ["scenarios"], ["scenarios"]),
        ("0", ["scenarios/test_bridges.py", "-k", "ring"], ["scenarios/test_bridges.py"]),
        ("0", ["--cell", CELL], ["scenarios"]),
        ("0", [f"--cell={CELL}"], ["scenarios"]),
        ("0", ["scenarios", "--stack", "debian-sid"], ["scenarios"]),
    ],
)
def test_what_is_chosen_runs(checkout: Checkout, user: str, words: list[str], paths: list[str]) -> None:
    checkout.become(user)
    assert checkout.run("ci/test", *words).exit_code == 0
    found = runs(checkout)
    assert list(found) == paths
    options = [word for word in words if "/" not in word and word not in ("tests", "scenarios")]
    assert [path for path, rest in found.items() if not set(options) <= set(rest.split())] == []


@pytest.mark.parametrize(
    ("words", "stack"),
    [([], True), (["scenarios"], True), (["--cell", CELL], False), (["scenarios", "--stack", "debian-sid"], False)],
)
def test_scenarios_have_a_stack_unless_one_is_chosen(checkout: Checkout, words: list[str], stack: bool) -> None:
    checkout.become("0")
    checkout.run("ci/test", *words)
    assert ("--stack debian-trixie" in runs(checkout)["scenarios"]) is stack


@pytest.mark.parametrize("words", [["tests/node"], ["scenarios"], ["--cell", CELL]])
def test_what_needs_root_is_told_without_it(checkout: Checkout, words: list[str]) -> None:
    done = checkout.run("ci/test", *words)
    assert done.exit_code == 3
    assert done.stderr.endswith(f"needs root: sudo ci/test {' '.join(words)}\n")
    assert runs(checkout) == {}


def test_what_is_left_out_is_told(checkout: Checkout) -> None:
    said = checkout.run("ci/test").stdout
    assert said == "Left out, because this needs root: tests/node scenarios. To run all: sudo ci/test\n"
    assert "Left out" not in checkout.run("ci/test", "tests/oracle").stdout


@pytest.mark.parametrize(
    ("codes", "exit_code", "told", "paths"),
    [
        ({"tests": 5, "tests/node": 5}, 2, "No test matches: -k nothing\n", ["tests", "tests/node"]),
        ({"tests": 5}, 0, "", ["tests", "tests/node"]),
        ({"tests/node": 5}, 0, "", ["tests", "tests/node"]),
        ({"tests": 1}, 1, "", ["tests"]),
        ({"tests/node": 1}, 1, "", ["tests", "tests/node"]),
        ({"tests": 4}, 2, "", ["tests"]),
    ],
)
def test_the_exit_code_tells_how_it_went(
    checkout: Checkout, codes: dict[str, int], exit_code: int, told: str, paths: list[str]
) -> None:
    checkout.become("0")
    ends(checkout, codes)
    done = checkout.run("ci/test", "-k", "nothing")
    assert (done.exit_code, done.stderr, list(runs(checkout))) == (exit_code, told, paths)


def test_the_last_word_is_that_of_the_scenarios(checkout: Checkout) -> None:
    checkout.become("0")
    ends(checkout, {"scenarios": 4})
    assert checkout.run("ci/test").exit_code == 4


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-k", "ring", "--help"]])
def test_help_runs_nothing(checkout: Checkout, words: list[str]) -> None:
    done = checkout.run("ci/test", *words)
    assert (done.exit_code, runs(checkout)) == (0, {})
    for word in ("-k ring", "--cell ID", "needs no root", "Exit codes"):
        assert word in done.stdout
    named = set(re.findall(r"\b(?:tests|ci|scenarios)(?:/\w+(?:\.py)?)*", done.stdout))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["lock", "newest"])
def test_the_other_scripts_have_help(checkout: Checkout, name: str) -> None:
    done = checkout.run(f"ci/{name}", "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"ci/{name}  " in done.stdout
    assert "set -" not in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--stack", "host", "--help"]])
@pytest.mark.parametrize("name", ["matrix", "report", "stillframe"])
def test_help_needs_neither_root_nor_an_environment(checkout: Checkout, name: str, words: list[str]) -> None:
    checkout.program(checkout.programs / "python3", "echo key")
    (checkout.folder / "ci/setup").write_text("exit 70\n")
    assert checkout.run(f"ci/{name}", *words).exit_code == 0
    *_, call = checkout.called
    assert call.startswith("python3 -m harness.commands.cli ")
    assert call.endswith(" ".join(words))
    assert not checkout.cache.exists()


@pytest.mark.parametrize("name", ["matrix", "report", "stillframe"])
def test_a_relative_path_is_that_of_the_caller(checkout: Checkout, name: str) -> None:
    checkout.become("0")
    checkout.program(checkout.folder.parent / "venv/bin/stillframe", "pwd")
    elsewhere = checkout.folder.parent / "elsewhere"
    elsewhere.mkdir()
    assert checkout.run(f"../checkout/ci/{name}", "x", where=elsewhere).stdout == f"{elsewhere}\n"


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"STILLFRAME_CACHE": "mine"}, "{here}/mine"),
        ({"STILLFRAME_CACHE": "", "HOME": "", "XDG_CACHE_HOME": "/x"}, "/x/stillframe"),
        ({"STILLFRAME_CACHE": "", "HOME": ""}, "~/.cache/stillframe"),
        ({"STILLFRAME_CACHE": "", "HOME": "/h"}, "/h/.cache/stillframe"),
    ],
)
def test_the_cache_is_found_without_a_home_and_is_that_of_the_caller(
    checkout: Checkout, given: dict[str, str], folder: str
) -> None:
    line = 'here=$PWD; . ci/find-python; echo "$cache"'
    told = checkout.run("-euc", line, env=given).stdout.strip()
    assert told == folder.replace("{here}", str(checkout.folder)).replace("~", pwd.getpwuid(os.getuid()).pw_dir)


def test_a_cache_that_cannot_be_made_is_told(checkout: Checkout) -> None:
    done = checkout.run("-euc", ". ci/find-python; make_cache", env={"STILLFRAME_CACHE": "/dev/null/cache"})
    assert done.exit_code == 3
    assert "/dev/null/cache cannot be made. Choose a folder of your own: STILLFRAME_CACHE=FOLDER." in done.stderr


def test_the_matrix_needs_root(checkout: Checkout) -> None:
    done = checkout.run("ci/matrix", "--stack", "host")
    assert (done.exit_code, checkout.called) == (3, [])
    assert "sudo ci/matrix" in done.stderr
    checkout.become("0")
    assert checkout.run("ci/matrix", "--stack", "host").exit_code == 0
    assert checkout.called[0].startswith("stillframe run --workers ")


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_a_signal_before_the_matrix_starts_ends_it_with_a_sentence(checkout: Checkout, name: str) -> None:
    checkout.become("0")
    (checkout.folder / "ci/setup").write_text(f"kill -{name} $$\n")
    done = checkout.run("ci/matrix")
    assert (done.exit_code, checkout.called) == (3, [])
    assert done.stderr == f"stillframe: interrupted by SIG{name} before it began; there is no result\n"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_from_then_on_the_run_gets_the_signals_and_gives_the_exit_code(checkout: Checkout, name: str) -> None:
    checkout.become("0")
    checkout.program(checkout.folder.parent / "venv/bin/stillframe", f"trap 'exit 42' {name}; kill -{name} $$")
    with (checkout.folder / "ci/setup").open("a", encoding="utf-8") as setup:
        setup.write("echo $$\n")
    assert checkout.run("ci/matrix").exit_code == 42
    checkout.program(checkout.folder.parent / "venv/bin/stillframe", "echo $$")
    done = checkout.run("ci/matrix")
    script, program = done.stderr.split()[-1], done.stdout.strip()
    assert script == program, "it is the same process"
