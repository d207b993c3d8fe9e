"""Checkouts that are somebody else's, and what a build may do to its source tree."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.errors import CommandFailed
from harness.stacks import checkouts
from harness.stacks.checkouts import Tree, workspace

NOBODY = 65534
COMMIT = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message")


def make(folder: Path, *texts: str) -> list[str]:
    """Make a checkout with a commit for each text; gives their ids."""
    git = ["git", "-c", "safe.directory=*", "-C", str(folder)]
    HOST.run([*git, "init", "--quiet"])
    found = []
    for text in texts:
        (folder / "file").write_text(text, encoding="utf-8")
        HOST.run([*git, "add", "file"])
        HOST.run([*git, *COMMIT, text])
        found.append(HOST.run([*git, "rev-parse", "HEAD"]).stdout.strip())
    return found


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A checkout of nobody's, where nobody can reach it, whose configuration names a program that leaves a file."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # a test's own folder is root's alone
        Path(made).chmod(0o755)
        folder = Path(made, "theirs")
        folder.mkdir()
        make(folder, "first")
        _plant(folder)
        yield folder


def _plant(folder: Path) -> None:
    told = folder / "program"
    told.write_text(f"#!/bin/sh\nid -u >{folder}/ran\n", encoding="utf-8")
    told.chmod(0o755)
    HOST.run(["git", "-C", str(folder), "config", "core.fsmonitor", str(told)])
    HOST.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_program_in_a_checkouts_configuration_runs_as_its_owner(theirs: Path) -> None:
    (theirs / "build").mkdir()
    checkouts.git(theirs / "build", "status")
    assert (theirs / "ran").read_text().strip() == str(NOBODY)
    assert (theirs / "ran").stat().st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_tree_is_copied_from_a_checkout_of_another_user(theirs: Path, tmp_path: Path) -> None:
    head = checkouts.git(theirs, "rev-parse", "HEAD")
    (tmp_path / "copied").mkdir()
    tree = Tree(theirs, tmp_path / "copied", head)
    with tree.at(head):
        assert (tree.path / "file").read_text() == "first"
    assert not (theirs / "ran").exists() or (theirs / "ran").stat().st_uid == NOBODY


def test_a_build_has_a_whole_repository_and_none_that_the_machine_works_with(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    first, second = make(source, "first", "second")
    HOST.run(["git", "-C", str(source), "tag", "v1", first])
    HOST.run(["git", "-C", str(source), "reset", "--quiet", "--hard", first])  # the second is on no branch
    (tmp_path / "copied").mkdir()
    tree = Tree(source, tmp_path / "copied", second)
    assert not tree.path.exists()
    shutil.rmtree(source)
    hook = tree.path / ".git/hooks/post-checkout"
    for commit, text, described in ((second, "second", "v1-1-g"), (first, "first", "v1"), (second, "second", "v1-1-g")):
        with tree.at(commit):
            assert (tree.path / "file").read_text() == text
            assert not hook.exists()
            assert checkouts.git(tree.path, "describe", "--tags", "--dirty").startswith(described)
            hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", encoding="utf-8")
            hook.chmod(0o755)
            HOST.run(["git", "-C", str(tree.path), "config", "core.fsmonitor", str(hook)])
            (tree.path / "made").touch()
        assert (tree.path / "made").exists()
        now = checkouts.git(tree.path, "describe", "--tags", "--dirty")
        assert now.startswith(described)
        assert not now.endswith("dirty")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["history.git", "own.git", "gitconfig", "tree"])
def test_a_shallow_checkout_of_any_name_is_copied(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    _, second = make(source, "first", "second")
    shallow = tmp_path / name
    HOST.run(["git", "clone", "--quiet", "--depth=1", source.as_uri(), str(shallow)])
    (tmp_path / "copied").mkdir()
    tree = Tree(shallow, tmp_path / "copied", second)
    with tree.at(second):
        assert (tree.path / "file").read_text() == "second"


def test_a_repository_that_a_build_made_a_link_is_not_followed(tmp_path: Path) -> None:
    source, kept = tmp_path / "source", tmp_path / "kept"
    source.mkdir()
    kept.mkdir()
    (kept / "file").touch()
    (commit,) = make(source, "first")
    (tmp_path / "copied").mkdir()
    tree = Tree(source, tmp_path / "copied", commit)
    with tree.at(commit):
        shutil.rmtree(tree.path / ".git")
        (tree.path / ".git").symlink_to(kept)
    assert (kept / "file").exists()
    assert checkouts.git(tree.path, "rev-parse", "HEAD") == commit


def test_a_folder_of_somebody_who_was_killed_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (other := tmp_path / "other").mkdir()
    (other / "lock").touch()
    (tmp_path / "mine-link").symlink_to(other)
    with workspace("mine-") as first:
        with workspace("mine-") as second:
            assert first.is_dir()
            assert second.is_dir()
        (left := tmp_path / "mine-left").mkdir()
        (left / "file").touch()
        with workspace("mine-"):
            assert not left.exists()
        assert first.is_dir()
    assert {each.name for each in tmp_path.iterdir()} == {"other", "mine-link"}
    assert (other / "lock").exists()


def test_a_folder_outside_any_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="not a git repository"):
        checkouts.git(tmp_path, "status")
