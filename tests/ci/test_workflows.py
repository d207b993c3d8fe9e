"""The ready-made workflows for other people's CI say what those understand, and call what is there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.commands.cli import read as read_words
from harness.host.process import HOST

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / "ci/workflows/github.yml"
TMT = ROOT / "ci/tmt/nightly.fmf"
CHANGES = (ROOT / "ci/workflows/pull-request.yml", ROOT / "ci/tmt/pull-request.fmf")
"""For a pull request of another project."""
VALUES = {
    "${{ matrix.shard }}": "3",
    "${{ github.run_id }}": "19876543210",
    '"$SHARD"': "3/16",
    '"$SEED"': "7",
    '"$RUNS"': "shards",
    '"$TMT_PLAN_DATA/out"': "out",
    '"$TMT_PLAN_DATA/site"': "site",
    '"$STACK"': "debian-sid",
    '"$PROGRAM=install-root"': "criu=install-root",
    '"$PROGRAM=$BUILD"': "criu=build",
    "$OPTIONS": "--policy pause",
}
COMMANDS = {"ci/matrix": "run", "ci/report": "report"}


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def commands(path: Path) -> list[list[str]]:
    """Command lines of ours in a file, with values for what is only known where they run."""
    text = path.read_text(encoding="utf-8")
    for name, value in VALUES.items():
        text = text.replace(name, value)
    return [shlex.split(found) for found in re.findall(r"ci/(?:matrix|report) .*", text) if not found.endswith(":")]


@pytest.mark.parametrize("path", [GITHUB, TMT, *CHANGES], ids=lambda path: path.name)
def test_what_a_workflow_calls_can_be_called(path: Path) -> None:
    called = commands(path)
    assert {words[0] for words in called} == ({"ci/matrix"} if path in CHANGES else set(COMMANDS))
    for program, *words in called:
        assert (ROOT / program).stat().st_mode & 0o100
        read_words([COMMANDS[program], *words])
        assert not [word for word in words if "$" in word], "a value that this test does not know"


@pytest.mark.parametrize("path", [GITHUB, CHANGES[0]], ids=lambda path: path.name)
def test_github_understands_its_workflow(path: Path) -> None:
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    HOST.run([checker, "--builtin-schema", "vendor.github-workflows", str(path)], deadline=60)


def test_as_many_shards_are_started_as_there_are() -> None:
    jobs = read(GITHUB)["jobs"]
    numbers = jobs["shard"]["strategy"]["matrix"]["shard"]
    (matrix,) = (words for words in commands(GITHUB) if words[0] == "ci/matrix")
    assert numbers == list(range(1, int(matrix[matrix.index("--shard") + 1].partition("/")[2]) + 1))
    assert jobs["shard"]["strategy"]["fail-fast"] is False, "the others go on"
    assert (jobs["report"]["needs"], jobs["report"]["if"]) == ("shard", "always()"), "what is lost has to show"


def test_a_plan_of_tmt_names_what_it_takes() -> None:
    plans = read(TMT)
    for name in ("/shard", "/report"):
        (test,) = plans[name]["discover"]["tests"]
        given = {*plans["environment"], *plans[name]["environment+"], "TMT_PLAN_DATA"}
        assert set(re.findall(r"\$(\w+)", test["test"])) <= given
    change = read(CHANGES[1])
    (test,) = change["discover"]["tests"]
    assert set(re.findall(r"\$(\w+)", test["test"])) <= {*change["environment"], "TMT_PLAN_DATA"}
