"""Known crashes are declared once for a component's version, and strike any trial that it has a part in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from harness.model import expectations
from harness.model.errors import UsageError
from harness.model.expectations import crashes, declared
from harness.model.known.crashes import Crash
from harness.model.machine import Component

REVIEW = dt.date(2026, 12, 24)
SOUND = """
[[crash]]
component = "runsc"
versions = ["1.0", "1.1"]
signature = "running on goroutine [0-9]+"
rate = [0.0, 0.1]
reason = "it looks in the wrong place"
link = "https://example.org/issues/1"
owner = "gvisor"
added = 2026-06-24
review-by = 2026-12-24
"""
KNOWN = """
[[expectation]]
match = ["*.pause.runc@*"]
outcome = "hung"
reason = "it hangs"
link = "https://example.org/issues/2"
owner = "runc"
added = 2026-06-24
review-by = 2026-12-24
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(expectations, "folder", lambda: tmp_path)
    return tmp_path


def declare(folder: Path, text: str, today: dt.date = REVIEW) -> tuple[Crash, ...]:
    (folder / "a.toml").write_text(text, encoding="utf-8")
    return crashes(today)


def test_a_crash_knows_its_lines_and_stands_beside_known_issues(folder: Path) -> None:
    (found,) = declare(folder, KNOWN + SOUND + KNOWN)
    assert found.declared == f"{'/'.join(folder.parts[-2:])}/a.toml:11-20"
    declared.cache_clear()
    try:
        assert [each.where.rpartition(":")[2] for each in declared()] == ["2-9", "22-29"]
    finally:
        declared.cache_clear()


@pytest.mark.parametrize(("days", "overdue"), [(0, False), (1, True)])
def test_a_crash_is_overdue_after_its_day_of_review(folder: Path, days: int, *, overdue: bool) -> None:
    assert declare(folder, SOUND, REVIEW + dt.timedelta(days=days))[0].overdue is overdue


@pytest.mark.parametrize(
    ("components", "concerned"),
    [
        ({"runsc": "1.1"}, True),
        ({"runsc": "1.2"}, False),
        ({"crun": "1.1"}, False),
        ({"docker": "1", "runsc": "1.0"}, True),
        ({}, False),
    ],
)
def test_a_crash_is_of_a_version(folder: Path, components: dict[str, str], *, concerned: bool) -> None:
    (crash,) = declare(folder, SOUND)
    assert crash.concerns(Component(name=name, version=at) for name, at in components.items()) is concerned


def test_a_crash_is_known_by_a_line(folder: Path) -> None:
    (crash,) = declare(folder, SOUND)
    assert crash.signed("first", "panic: running on goroutine 7 (of 0)")
    assert not crash.signed("panic: something else")
    assert not crash.signed()


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("[0.0, 0.1]", "[0.5, 1.0]", "may strike every trial"),
        ("[0.0, 0.1]", "[0.2, 0.1]", "is not an interval"),
        ('"running on goroutine [0-9]+"', '".*"', "matches any line"),
        ('"running on goroutine [0-9]+"', '"("', "is not a regular expression"),
        ('"running on goroutine [0-9]+"', '""', "signature"),
        ('["1.0", "1.1"]', "[]", "versions"),
        ('"https://example.org/issues/1"', '"runsc"', "link"),
        ('owner = "gvisor"\n', "", "owner"),
        ("owner =", "who =", "who"),
    ],
)
def test_a_wrong_crash_is_an_error_with_its_place(folder: Path, was: str, becomes: str, told: str) -> None:
    with pytest.raises(UsageError, match=r"a\.toml:\d+: ") as raised:
        declare(folder, SOUND.replace(was, becomes))
    assert told in str(raised.value)


def test_the_crashes_that_are_declared_in_here_are_sound() -> None:
    assert all(crash.declared and not crash.overdue for crash in crashes(max(each.added for each in crashes(REVIEW))))
