"""The end of a container: if it ends by itself meanwhile, an error of the runtime's kill is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import CommandFailed, DeadlineExceeded
from harness.runtimes import ending


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A simulated group with one process; the kernel's file is an ordinary file."""
    (tmp_path / "cgroup.procs").write_text("4711\n", encoding="ascii")
    return tmp_path


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "KILL_SECONDS", 0.01)


def decline() -> None:
    raise CommandFailed("container not running", runtime=True)


def test_declined_of_one_that_has_ended_meanwhile(group: Path) -> None:
    def ends_before_it_is_killed() -> None:
        (group / "cgroup.procs").write_text("", encoding="ascii")
        decline()

    ending.end("source", str(group), ends_before_it_is_killed)


def test_one_that_has_ended_already_is_not_killed(tmp_path: Path) -> None:
    ending.end("source", str(tmp_path), decline)


def test_declined_of_one_that_runs_on(group: Path) -> None:
    with pytest.raises(CommandFailed, match="container not running"):
        ending.end("source", str(group), decline)


def test_promised_and_not_done(group: Path) -> None:
    with pytest.raises(DeadlineExceeded, match="the end of source did not happen within"):
        ending.end("source", str(group), lambda: None)
