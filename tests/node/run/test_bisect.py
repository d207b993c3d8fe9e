"""The search for a commit on real runtimes, in a history of a wrapper around runc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess  # noqa: TID251  # another process, to be told to end
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.commands.cli import main
from harness.host import cgroups
from harness.host.process import HOST
from harness.host.wait import until
from tests.node.conftest import STACK

ROOT = Path(__file__).resolve().parents[3]

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


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files that is not in the cache, in which a test's own folder may be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_search_that_is_ended_leaves_no_process_and_no_folder(
    source: Path, stack_root: Path, tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    ends = ["--good", "v0", "--bad", "v3", "--source", str(source), "--install", "coreutils"]
    words = ["bisect", f"ledger.pause.runc@{STACK}", *ends, "--build", "sleep 600", "--with", "runc=made/runc"]
    argv = [sys.executable, "-m", "harness.commands.cli", *words, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.PIPE, start_new_session=True) as search:
        tree: list[psutil.Process] = []

        def builds() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                tree[:] = psutil.Process(search.pid).children(recursive=True)
                return any(each.name() == "sleep" for each in tree)
            return False

        until(builds, seconds=60, what="the build")
        search.send_signal(number)
        _, said = search.communicate(timeout=60)
    until(lambda: not any(each.is_running() for each in tree), seconds=30, what="the end of all processes")
    until(
        lambda: not [each for each in cgroups.of_nodes() if not cgroups.of_another_run(each)], seconds=30, what="groups"
    )
    told = {signal.SIGTERM: "ended by SIGTERM", signal.SIGHUP: "ended by SIGHUP", signal.SIGINT: "interrupted"}
    if number in told:
        assert said.decode().splitlines()[-1] == f"stillframe: {told[number]}"
        assert not list(temporary.iterdir())
