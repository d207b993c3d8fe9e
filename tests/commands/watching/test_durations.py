"""Durations of earlier runs: a guess, so that nothing about the file is worth a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.commands.watching import durations
from harness.foreign.files import MOST_DOCUMENT


def test_durations_are_kept_beside_the_runs(tmp_path: Path) -> None:
    assert durations.read(tmp_path) == {}
    durations.add(tmp_path, {"a": 1.5, "b": 2.0})
    durations.add(tmp_path, {"b": 3.0})
    assert durations.read(tmp_path) == {"a": 1.5, "b": 3.0}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"a": "x"}', '{"a": {}}', "\x00"),
        pytest.param('{"a": 1}' + " " * MOST_DOCUMENT, id="too large"),
    ],
)
def test_a_file_that_is_wrong_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / durations.FILE).write_text(text, encoding="utf-8")
    assert durations.read(tmp_path) == {}
    durations.add(tmp_path, {"a": 1.0})
    assert durations.read(tmp_path) == {"a": 1.0}


def test_what_no_clock_measures_is_left_out(tmp_path: Path) -> None:
    (tmp_path / durations.FILE).write_text('{"a": -1, "b": 1e300, "c": 2}', encoding="utf-8")
    assert durations.read(tmp_path) == {"c": 2.0}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / durations.FILE)
    assert durations.read(tmp_path) == {}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"a": 1}', encoding="utf-8")
    (tmp_path / durations.FILE).symlink_to("elsewhere")
    assert durations.read(tmp_path) == {}


def test_a_folder_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    durations.add(tmp_path / "gone", {"a": 1.0})
