"""What the pages say can be typed, named or followed, exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from harness.commands import cli
from harness.model.cells import FreezePolicy
from harness.model.expectations import DeclarationFile, crashes, declared, differences
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.stacks.definition import StackDefinition
from harness.workload.definitions import Workload
from tests.docs.pages import NOT_RUN, PAGES, README, ROOT, Block, anchors, blocks, every_block, links, marked, visible

MOST_WORDS = 900
WIDEST = 120
LANGUAGES = {"sh", "text", "toml", "python"}
BEHIND = {"ci/matrix": ("run",), "ci/report": ("report",), "ci/stillframe": ()}
"""Commands of ours that are behind a script."""
TASKS = [page for page in PAGES if page.parent.name == "how-to" or page.stem == "tutorial"]
named_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
block_of_commands = pytest.mark.parametrize("block", every_block("sh"), ids=lambda block: block.name)


def ours(block: Block) -> list[list[str]]:
    """Command lines of ours in a block, as they are shown and as they are run."""
    parts = (part for line in {*block.lines, *block.commands} for part in line.split(" | "))
    words = (shlex.split(part, comments=True) for part in parts if part.lstrip().startswith(("sudo ci/", "ci/")))
    return [each[1:] if each[0] == "sudo" else each for each in words]


def test_the_readme_fits_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= MOST_WORDS


@named_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [README]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ".md" in link]
    assert set(PAGES) <= reached


@named_page
def test_lines_are_short_enough_to_be_read(page: Path) -> None:
    fixed = {line for block in blocks(page) for line in block.text.splitlines()}
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > WIDEST and line not in fixed and line[:1] not in ("|", "<")] == []


@named_page
def test_no_command_hides_in_another_kind_of_block(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@block_of_commands
def test_a_block_says_how_it_is_run(block: Block) -> None:
    assert block.mark is not None, f"{block.name}: write a comment before it, see tests/docs/pages.py"
    if block.mark.where == NOT_RUN:
        assert block.mark.reason in visible(block.page), "the page has to say why, in the same words"
    if block.mark.where == "user":
        assert "sudo " not in block.text
    if block.mark.where == "root":
        assert all(line.startswith("sudo ") for line in block.commands)
    if block.mark.small:
        assert block.mark.small.split()[:2] == block.lines[-1].split()[:2], "smaller, and not another command"


@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_a_page_with_a_task_says_first_what_it_needs(page: Path) -> None:
    needs = re.match(r"# [^\n]*\n\n(?:[^\n]+\n(?:\n(?!\*))?)*?\n?\*\*Needs:\*\* (.*?)\n\n", page.read_text(), re.DOTALL)
    assert needs
    for block in blocks(page):
        if block.mark and block.mark.where == "root":
            assert "root" in needs[1]
            assert "network" in needs[1] or "a run" in needs[1]


def test_few_blocks_are_not_run() -> None:
    """They are listed here, so that each new one is a decision."""
    reasons = {block.mark.reason for block in every_block("sh") if block.mark and block.mark.where == NOT_RUN}
    assert reasons == {
        "the tests do not start themselves",
        "it waits for a person",
        "it takes several minutes",
        "it needs a cluster",
        "they measure for several minutes",
        "it writes into the clone",
        "no suite of Debian has CRI-O",
    }


@block_of_commands
def test_a_command_can_be_typed(block: Block) -> None:
    for program, *arguments in ours(block):
        assert (ROOT / program).stat().st_mode & 0o100
        if program in BEHIND and "--help" not in arguments:
            cli.read([*BEHIND[program], *arguments])


def test_a_mark_is_read_as_it_is_meant() -> None:
    assert marked("<!-- run: user, exit 0 1 -->") == ("user", (0, 1), "", "")
    assert marked("<!-- run: root, as sudo ci/matrix -->") == ("root", (0,), "sudo ci/matrix", "")
    assert marked("<!-- not run: it takes an hour -->") == (NOT_RUN, (0,), "", "it takes an hour")
    assert marked("<!-- run: somewhere -->") is None


def examples(name: str) -> list[dict[str, object]]:
    return [tomllib.loads(each.text) for each in blocks(ROOT / f"docs/how-to/{name}.md") if each.language == "toml"]


def test_the_example_of_a_stack_is_one() -> None:
    (example,) = examples("add-a-stack")
    stack = StackDefinition.model_validate(example)
    assert stack.suite == "forky"
    assert stack.runtimes, "or nothing is planned for it"
    assert set(stack.runtimes) <= set(RUNTIMES)


def test_the_example_of_a_stack_of_ones_own_is_one() -> None:
    (example,) = examples("test-cri-o")
    stack = StackDefinition.model_validate(example)
    assert stack.suite is None
    assert {cell.checkpoint.runtime for cell in matrix.plan(["debian-sid"], stack.runtimes)} == set(stack.runtimes)


def test_the_example_of_a_workload_is_one() -> None:
    (example,) = examples("add-a-workload")
    workload = Workload.model_validate({**example, "folder": ROOT / "workloads/scratch"})
    assert workload.program_folder == ROOT / "workloads/ledger"


def test_the_example_of_a_known_issue_is_one_of_ours() -> None:
    found, crashing, differing = map(DeclarationFile.model_validate, examples("known-issue"))
    (example,), (crash,), (difference,) = found.expectation, crashing.crash, differing.difference
    (there,) = (each for each in differences(difference.added) if each.signature == difference.signature)
    assert (there.match, there.link, there.owner) == (difference.match, difference.link, difference.owner)
    (own,) = (each for each in crashes(crash.added) if each.component == crash.component)
    assert (own.versions, own.signature, own.rate, own.link) == (
        crash.versions,
        crash.signature,
        crash.rate,
        crash.link,
    )
    (same,) = (
        each.declaration
        for each in declared()
        if (each.declaration.link, each.declaration.anomaly) == (example.link, example.anomaly)
    )
    assert same.outcome == example.outcome
    assert set(example.match) < set(same.match)


def test_the_example_of_a_scenario_is_one_of_ours() -> None:
    (example,) = every_block("python")
    assert example.text == (ROOT / "scenarios/test_live_consistency.py").read_text(encoding="utf-8")


@named_page
def test_cells_that_are_named_exist(page: Path) -> None:
    policies = "|".join(FreezePolicy)
    pattern = rf"['`]((?:[a-z]+:)?[a-z-]+\.(?:{policies}|\*)\.[^'`\s]+@[^'`\s]+)['`]"
    named = re.findall(pattern, page.read_text(encoding="utf-8"))
    assert all(matrix.plan(cells=[cell]) for cell in set(named) if not cell.startswith("kept:"))


@named_page
def test_paths_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:ci|docs|harness|reports|scenarios|tests|workloads)/[\w./*-]*)`", text))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/"))) and path not in EXAMPLES] == []


EXAMPLES = {
    "ci/stacks/NAME.toml",
    "ci/stacks/debian-forky.toml",
    "workloads/NAME/workload.toml",
    "workloads/scratch/workload.toml",
}
"""Files that a page tells to make."""


def test_every_command_has_its_section() -> None:
    pages = ("commands", "run-commands", "checkpoint-commands")
    text = "".join((ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8") for page in pages)
    found = [tuple(each.name.split()) for command in cli.COMMANDS.values() for each in (command, *command.tasks)]
    assert len(found) > 10
    assert [words for words in found if f"# stillframe {' '.join(words)}\n" not in text] == []
