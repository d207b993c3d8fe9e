"""The search for a commit on real runtimes, in a history of a wrapper around runc."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.cli import main
from harness.host.process import HOST
from tests.node.conftest import STACK

GOOD = '#!/bin/sh\nexec runc.distrib "$@"\n'
LAZY = '#!/bin/sh\ncase "$*" in *" pause "*) exit 0 ;; esac\nexec runc.distrib "$@"\n'
HISTORY = (GOOD, f"{GOOD}# 1\n", LAZY, f"{LAZY}# 3\n")
"""The wrapper at each commit; the third one is the first that does not pause."""
BUILD = "install -D -m 755 wrapper made/runc"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout with the history."""
    folder = tmp_path / "wrapped"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    HOST.run([*git, "init", "--quiet"])
    for number, text in enumerate(HISTORY):
        (folder / "wrapper").write_text(text, encoding="utf-8")
        HOST.run([*git, "add", "wrapper"])
        HOST.run([*git, "commit", "--quiet", "--message", f"wrapper {number}"])
        HOST.run([*git, "tag", f"v{number}"])
    return folder


@pytest.mark.timeout(900)
def test_the_commit_that_no_longer_pauses_is_found(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = ["--good", "v0", "--bad", "v3", "--source", str(source)]
    made = ["--build", BUILD, "--install", "coreutils", "--with", "runc=made/runc", "--out", str(tmp_path / "out")]
    assert main(["bisect", f"ledger.pause.runc@{STACK}", *ends, *made]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].endswith(" wrapper 2"), said.out + said.err
    assert "is bad in 6 of 6 trials: source-harmed" in said.err
    assert [*(tmp_path / "out").glob("*/repro-bad/repro.sh")]
