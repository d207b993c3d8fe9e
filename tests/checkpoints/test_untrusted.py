from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoints.untrusted import (
    LONGEST_NAME,
    TIMES_READ,
    Budget,
    Unreadable,
    beneath,
    everything_below,
    inside,
    read_regular,
)


def test_what_is_too_long_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_regular(tmp_path / "x", most=5) == b"12345"
    with pytest.raises(Unreadable, match="x has 5 bytes, more than the limit of 4"):
        read_regular(tmp_path / "x", most=4)


def test_links_below_a_folder_are_told_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "it/sub").mkdir(parents=True)
    (tmp_path / "it/sub/file").touch()
    for name, target in (("long", "x" * 300), ("out", "/"), ("loop", "..")):
        (tmp_path / "it" / name).symlink_to(target)
    found = {str(path.relative_to(tmp_path / "it")) for path in everything_below(tmp_path / "it")}
    assert found == {"sub", "sub/file", "long", "out", "loop"}


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_declined(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable, match="is not a possible file name"):
        read_regular(beneath(tmp_path, name))


@pytest.mark.parametrize(("name", "clean"), [("./a//b/", "a/b"), (".", ""), ("..a/b..", "..a/b..")])
def test_a_name_is_taken_relative_to_its_archive(name: str, clean: str) -> None:
    assert inside(name) == clean


@pytest.mark.parametrize("name", ["/", "..", "a/..", "a\0b", "a/" * LONGEST_NAME])
def test_a_name_that_no_honest_archive_holds_is_declined(name: str) -> None:
    with pytest.raises(Unreadable):
        inside(name)


def test_a_name_leads_nowhere_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").touch()
    (tmp_path / "link").symlink_to("a")
    assert beneath(tmp_path, "a/b") == tmp_path / "a/b"
    assert not beneath(tmp_path, "link/b").exists()
    assert not beneath(tmp_path, "link").exists()


@pytest.mark.parametrize(
    ("spend", "told"),
    [
        (lambda budget: budget.read(16), f"more than {TIMES_READ} times 5 bytes"),
        (lambda budget: budget.keep(2), "more than 5 bytes"),
    ],
)
def test_a_budget_is_spent_once_and_grows_by_nothing(spend: object, told: str) -> None:
    assert callable(spend)
    budget = Budget(read=5 * TIMES_READ, kept=5)
    spend(budget)
    spend(budget)
    budget.read(-9)
    budget.keep(-9)
    with pytest.raises(Unreadable, match=told):
        spend(budget)
