"""The search for a commit: real git, and cells that a test makes up."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands import bisect
from harness.commands.bisect import BAD, GOOD, SKIP, Search
from harness.commands.declarations.runs import BISECT
from harness.host.process import HOST
from harness.model.commands import Command
from harness.model.errors import CommandFailed, EnvironmentUnfit, UsageError
from harness.model.outcomes import Outcome
from harness.stacks.checkouts import Tree
from reports.analysis.cells import CellSummary
from tests.reports.synthetic import of_still

COMMITS = 16
CLEAN, BROKEN, OTHER = Outcome.CONSISTENT, Outcome.RESTORE_FAILED, Outcome.CHECKPOINT_FAILED
Plays = Callable[[int], tuple[CellSummary | None, str]]


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return HOST.run(["git", *own, "-C", str(folder), *words], deadline=60).stdout.strip()


@pytest.fixture
def tree(source: Path, tmp_path: Path) -> Tree:
    return Tree(source, tmp_path, git(source, "rev-parse", "HEAD"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose commits are numbered from 1."""
    folder = tmp_path_factory.mktemp("source")
    git(folder, "init", "--quiet")
    for number in range(1, COMMITS + 1):
        (folder / "number").write_text(f"{number}\n", encoding="utf-8")
        git(folder, "add", "number")
        git(folder, "commit", "--quiet", "--message", f"change {number}")
        git(folder, "tag", f"v{number}")
    return folder


def asked(source: Path, *, good: str = "v1", bad: str = "v16") -> argparse.Namespace:
    words = ["ledger.pause.runc@debian-sid", "--good", good, "--bad", bad, "--source", str(source)]
    return BISECT.read([*words, "--build", "true", "--with", "runc=number"])


def cell(*outcomes: Outcome) -> tuple[CellSummary, str]:
    return of_still(*outcomes), ""


def searched(source: Path, tmp_path: Path, plays: Plays, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Search]:
    """Search between the first and the last commit; gives the number of the first bad one."""
    good, bad = bisect._commits(source, "v1", "v16")
    search = Search(asked(source), Tree(source, tmp_path, bad), tmp_path / "out")

    def play(self: Search, commit: str) -> tuple[CellSummary | None, str]:
        with self.tree.at(commit):
            return plays(int((self.tree.path / "number").read_text()))

    monkeypatch.setattr(Search, "_play", play)
    search.measure(bad)
    assert search.attempt(good).answer == GOOD
    first = bisect._searched(search, good, bad)
    return first and git(source, "log", "-1", "--format=%s", first), search


def test_git_finds_the_commit_although_others_do_not_build(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plays(number: int) -> tuple[CellSummary | None, str]:
        if number in (8, 9):
            return None, "it does not build"
        return cell(BROKEN, BROKEN) if number >= 11 else cell(CLEAN, CLEAN)

    found, search = searched(source, tmp_path, plays, monkeypatch)
    assert found == "change 11"
    assert {each.answer for each in search.tried.values()} <= {GOOD, BAD, SKIP}
    assert len(search.tried) < COMMITS


def test_another_failure_is_neither_good_nor_bad(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plays(number: int) -> tuple[CellSummary | None, str]:
        return cell(OTHER, OTHER) if 5 <= number <= 7 else cell(*[BROKEN if number >= 12 else CLEAN] * 2)

    found, _ = searched(source, tmp_path, plays, monkeypatch)
    assert found == "change 12"


def test_commits_that_cannot_be_tried_may_hide_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plays(number: int) -> tuple[CellSummary | None, str]:
        return cell(*[BROKEN if number == COMMITS else CLEAN] * 2) if number in (1, COMMITS) else (None, "broken build")

    found, search = searched(source, tmp_path, plays, monkeypatch)
    assert found == ""
    assert bisect._told(search, found, tmp_path) == 3


@pytest.mark.parametrize(
    ("outcomes", "trials"),
    [([BROKEN] * 6, 2), ([BROKEN] * 3 + [CLEAN] * 3, 5), ([BROKEN] + [CLEAN] * 5, 17)],
)
def test_the_rate_of_the_failure_decides_how_many_trials_are_enough(
    source: Path, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome], trials: int
) -> None:
    search = Search(asked(source), tree, tmp_path)
    monkeypatch.setattr(Search, "_play", lambda *_: cell(*outcomes))
    search.measure("0" * 40)
    assert search.trials == trials
    monkeypatch.setattr(Search, "_play", lambda *_: cell(*[CLEAN] * (trials - 1)))
    assert search.attempt("1" * 40).answer == SKIP, "too few to be good"


def test_a_bad_commit_that_is_not_bad_is_told(
    source: Path, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(asked(source), tree, tmp_path)
    monkeypatch.setattr(Search, "_play", lambda *_: cell(CLEAN, CLEAN))
    with pytest.raises(UsageError, match=r"does not fail in 2 trials.*--bad"):
        search.measure("0" * 40)
    monkeypatch.setattr(Search, "_play", lambda *_: (None, "no such header"))
    with pytest.raises(UsageError, match="cannot be tried: no such header"):
        search.measure("0" * 40)


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("make: *** no rule", False),
        ("", False),
        ("stillframe: what the build needs cannot be installed over debian-sid. Name packages with --install.", True),
    ],
)
def test_what_hinders_every_build_is_no_fault_of_a_commit(
    source: Path, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, ours: bool
) -> None:
    def fail(*_: object, **__: object) -> Command:
        raise CommandFailed("it failed", stderr=f"Running sh in a node of debian-sid.\n{said}\n", exit_code=2)

    monkeypatch.setattr(bisect, "_ours", fail)
    search = Search(asked(source), tree, tmp_path)
    commit = git(source, "rev-parse", "HEAD")
    if ours:
        with pytest.raises(EnvironmentUnfit, match="what the build needs cannot be installed over debian-sid"):
            search.attempt(commit)
    else:
        assert search.attempt(commit).why == f"it does not build: {said or 'the command ends with code 2'}"


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ("v99", "v16", "--good v99 is no commit"),
        ("v1", "nothing", "--bad nothing is no commit"),
        ("v16", "v1", "--good v16 is not an ancestor of --bad v1"),
        ("v16", "HEAD", "--good v16 and --bad HEAD are the same commit"),
    ],
)
def test_ends_that_are_no_range_are_told(source: Path, good: str, bad: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        bisect._commits(source, good, bad)


def test_a_checkout_that_is_dirty_or_none_is_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no checkout of git"):
        bisect._commits(tmp_path, "v1", "v16")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(source), str(clone))
    (clone / "number").write_text("17\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"changes that are not committed: M number.*git stash"):
        bisect._commits(clone, "v1", "v16")
