"""`stillframe run` hands the cells to pytest, and its exit code is never pytest's own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands.run import run_cells
from harness.run.options import Options


class Pytest:
    """Notes its words, and ends as it is told: before a session, or with one."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.returned: int = 0
        self.session: SimpleNamespace | None = None

    def main(self, words: Sequence[str], plugins: Sequence[Any]) -> int:
        self.words = [*words]
        if self.session:
            plugins[0].pytest_sessionstart(self.session)
        return self.returned


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Pytest:
    found = Pytest()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(pytest, "main", found.main)
    return found


def told(workers: int) -> argparse.Namespace:
    return argparse.Namespace(workers=workers, verbose=False)


def options(folder: Path) -> Options:
    return Options(stack=("host",), seed=1, out=folder, cache=folder)


@pytest.mark.parametrize(("workers", "warned"), [(1, False), (2, False), (3, True)])
def test_more_workers_than_processors_work_with_a_warning(
    instead: Pytest, tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int, warned: bool
) -> None:
    assert run_cells(options(tmp_path), told(workers))[0] == 0
    warning = "-n 3: this machine has 2 processors. More workers disturb each other.\n"
    assert capfd.readouterr().err == (warning if warned else "")
    assert ("-n" in instead.words) is (workers > 1)


@pytest.mark.parametrize(
    ("returned", "ended", "code"),
    [
        (pytest.ExitCode.USAGE_ERROR, None, 2),
        (pytest.ExitCode.USAGE_ERROR, 2, 2),
        (pytest.ExitCode.USAGE_ERROR, 4, 4),
        (3, None, 3),
        (0, None, 0),
        (0, 1, 1),
    ],
)
def test_the_exit_code_is_that_of_the_session_and_a_wrong_word_is_no_failed_proof(
    instead: Pytest, tmp_path: Path, returned: int, ended: int | None, code: int
) -> None:
    instead.returned = returned
    instead.session = None if ended is None else SimpleNamespace(exitstatus=ended)
    assert run_cells(options(tmp_path), told(1))[0] == code
