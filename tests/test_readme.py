"""What the README says can be typed, exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from harness.commands.cli import read
from harness.model.expectations import DeclarationFile, declared
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.stacks.definition import StackDefinition

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [
    words[1:] if words[0] == "sudo" else words
    for block in blocks("sh")
    for line in block.splitlines()
    for part in line.split("|")
    if (words := shlex.split(part, comments=True))
]


BEHIND = {"ci/matrix": ("run",), "ci/report": ("report",)}
"""Commands of ours that are behind a script."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_can_be_typed(words: list[str]) -> None:
    program, *arguments = words
    if program != "stillframe":
        assert (ROOT / program).stat().st_mode & 0o100
        arguments = [*BEHIND.get(program, ()), *arguments]
    if "--help" not in arguments and program != "ci/test":
        read(arguments)


@pytest.mark.parametrize("block", blocks("bash"))
def test_a_command_among_those_of_others_can_be_typed(block: str) -> None:
    """Those of others are run by tests/node/test_inspect.py."""
    (own,) = (shlex.split(line) for line in block.splitlines() if line.startswith("stillframe "))
    read(own[1:])


def test_the_example_of_a_stack_is_one() -> None:
    example = blocks("toml")[-1]
    stack = StackDefinition.model_validate(tomllib.loads(example))
    assert stack.suite == "forky"
    assert stack.runtimes, "or nothing is planned for it"
    assert set(stack.runtimes) <= set(RUNTIMES)


def test_the_example_of_a_known_issue_is_one_of_ours() -> None:
    (example,) = DeclarationFile.model_validate(tomllib.loads(blocks("toml")[0])).expectation
    (ours,) = (
        each.declaration
        for each in declared()
        if (each.declaration.link, each.declaration.anomaly) == (example.link, example.anomaly)
    )
    assert ours.outcome == example.outcome
    assert set(example.match) < set(ours.match)


def test_cells_that_are_named_exist() -> None:
    named = set(re.findall(r"'([^'\s]+\.[^'\s]+@[^'\s]+)'", README))
    assert named
    assert all(matrix.plan(cells=[cell]) for cell in named)


def test_paths_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:ci|harness|reports|scenarios|workloads)(?:/[\w./]*)?)`", README))
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []
