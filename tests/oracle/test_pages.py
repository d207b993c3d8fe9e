"""Memory, level by level, as CRIU describes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.checkpoints.untrusted import Budget, Unreadable
from harness.oracle.pages import MOST_LEVELS, NoCounter, Process, processes
from tests.criu_images import (
    COUNTER,
    IN_PARENT,
    LAZY,
    MAGICS,
    PAGE,
    PRESENT,
    Entry,
    arguments,
    dump,
    memory,
    message,
)


def find(images: Path, within: Path | None = None) -> tuple[Process, ...]:
    return processes(images, Budget(), within=within)


def counters(images: Path, within: Path | None = None) -> list[int]:
    return [process.counter.n for process in find(images, within)]


def chain(folder: Path, *levels: tuple[bytes, list[Entry]]) -> Path:
    """Levels of memory, oldest first, each a folder beside the one before; gives the newest."""
    for number, (pages, entries) in enumerate(levels):
        images = dump(folder / str(number), pages, entries)
        if number:
            (images / "parent").symlink_to(f"../{number - 1}")
    return images


@pytest.mark.parametrize("fields", ["4.2", "4.1", "1.3"])
def test_a_count_of_pages_is_read_as_every_version_writes_it(tmp_path: Path, fields: str) -> None:
    entries = [Entry(0, 2, fields=fields), Entry(9, 1, fields=fields)]
    images = dump(tmp_path / "images", bytes(2 * PAGE) + memory(), entries)
    assert counters(images) == [COUNTER]


def test_pages_that_no_entry_names_are_not_memory(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(PAGE) + memory(), [Entry(0, 1)])
    with pytest.raises(NoCounter):
        find(images)


def test_a_counter_begins_where_a_page_does(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(64) + memory()[:-64])
    with pytest.raises(NoCounter):
        find(images)


@pytest.mark.parametrize("flags", [0, LAZY], ids=["zero", "lazy"])
def test_pages_that_are_not_in_the_file_take_no_room_in_it(tmp_path: Path, flags: int) -> None:
    entries = [Entry(0, 1), Entry(1, 7, flags), Entry(8, 1, PRESENT | LAZY)]
    assert counters(dump(tmp_path / "images", bytes(PAGE) + memory(), entries)) == [COUNTER]


@pytest.mark.parametrize("size", [16384, 65536])
def test_the_size_of_a_page_is_that_of_the_machine(tmp_path: Path, size: int) -> None:
    pages = bytes(size) + memory().ljust(size, b"\0")
    assert counters(dump(tmp_path / "images", pages, page_size=size)) == [COUNTER]


@pytest.mark.parametrize("fields", ["4.2", "1.3"])
def test_a_page_that_is_in_the_parent_is_found_there(tmp_path: Path, fields: str) -> None:
    newest = chain(
        tmp_path,
        (bytes(PAGE) + memory(500) + bytes(PAGE), [Entry(0, 3)]),
        (b"", [Entry(1, 1, IN_PARENT, fields)]),
        (bytes(PAGE), [Entry(0, 1, fields=fields), Entry(1, 1, IN_PARENT, fields)]),
    )
    assert counters(newest, tmp_path) == [500]


def test_only_those_pages_of_a_parent_count_that_are_asked_for(tmp_path: Path) -> None:
    older = (memory(300) + memory(500) + memory(700), [Entry(0, 3)])
    assert counters(chain(tmp_path, older, (bytes(PAGE), [Entry(0, 1), Entry(1, 1, IN_PARENT)])), tmp_path) == [500]


def test_the_order_of_entries_is_that_of_the_file_and_not_of_addresses(tmp_path: Path) -> None:
    older = (memory(500) + bytes(PAGE), [Entry(8, 1), Entry(2, 1)])
    newer = (b"", [Entry(8, 1, IN_PARENT), Entry(2, 1, IN_PARENT)])
    assert counters(chain(tmp_path, older, newer), tmp_path) == [500]


def test_a_page_of_a_newer_level_wins_over_an_older_one(tmp_path: Path) -> None:
    older = (memory(500) + bytes(PAGE), [Entry(0, 2)])
    newer = (memory(900), [Entry(0, 1), Entry(1, 1, IN_PARENT)])
    assert counters(chain(tmp_path, older, newer), tmp_path) == [900]


def test_an_older_counter_that_was_overwritten_is_not_memory_any_more(tmp_path: Path) -> None:
    newest = chain(tmp_path, (memory(500) + bytes(PAGE), [Entry(0, 2)]), (bytes(PAGE), [Entry(0, 1)]))
    with pytest.raises(NoCounter):
        find(newest, tmp_path)


def test_a_parent_outside_is_not_followed(tmp_path: Path) -> None:
    newest = chain(tmp_path, (memory(), [Entry(0, 1)]), (b"", [Entry(0, 1, IN_PARENT)]))
    with pytest.raises(NoCounter, match="the parent of 1 is outside of 1, and not followed"):
        find(newest)


def test_a_parent_that_is_missing_is_named(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, 1, IN_PARENT)])
    with pytest.raises(NoCounter, match="pages are in a parent of images that is not there"):
        find(images)
    dump(images, memory(), [Entry(0, 1), Entry(1, 1, IN_PARENT)])
    assert counters(images) == [COUNTER], "which does not need that parent"


@pytest.mark.parametrize("target", [".", "parent"], ids=["itself", "a link to itself"])
def test_parents_that_go_round_in_a_circle_end(tmp_path: Path, target: str) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, 1, IN_PARENT)])
    (images / "parent").symlink_to(target)
    with pytest.raises(Unreadable, match=f"more than {MOST_LEVELS} levels|is not there"):
        find(images)


def test_every_process_has_its_own_counter(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", memory(70), pid=7)
    dump(images, bytes(PAGE), pid=11)
    dump(images, memory(90), pid=12)
    assert counters(images) == [70, 90]


def test_a_process_tells_which_surfaces_it_was_given(tmp_path: Path) -> None:
    options = ("--ring", "64", "--surface", "added=/data/added.ring", "--deleted", "gone=/image/gone")
    images = dump(tmp_path / "images", memory() + arguments(*options))
    (process,) = find(images)
    assert process.options == {("--surface", "added", "/data/added.ring"), ("--deleted", "gone", "/image/gone")}


def test_holes_are_passed_over(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, (1 << 40) // PAGE)])
    with (images / "pages-1.img").open("r+b") as pages:
        pages.seek((1 << 40) - PAGE)
        pages.write(memory())
    assert counters(images) == [COUNTER]


@pytest.mark.parametrize(
    ("pagemap", "word"),
    [
        (b"", "no pagemap of CRIU"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "compressed"),
        (MAGICS, "no head"),
        (MAGICS + message({1: 1}) + b"\x05", "cut off"),
        (MAGICS + message({1: 1}) + Entry(0, 1).encoded(PAGE)[:-1], "cut off"),
        (MAGICS + message({1: 1}) + b"\x01\0\0\0\xff", "damaged"),
        (MAGICS + message({1: 1}) + 2 * Entry(0, 1).encoded(PAGE), "the same page twice"),
        (MAGICS + message({1: 2}) + Entry(0, 1).encoded(PAGE), "pages-2.img cannot be read"),
        (MAGICS + message({1: 1}) + Entry(0, 3).encoded(PAGE), "compressed or cut off"),
        (MAGICS + message({1: 1}) + Entry(0, 1 << 63).encoded(PAGE), "compressed or cut off"),
    ],
)
def test_images_that_are_broken_are_called_so(tmp_path: Path, pagemap: bytes, word: str) -> None:
    images = dump(tmp_path / "images", memory() * 2)
    (images / "pagemap-1.img").write_bytes(pagemap)
    with pytest.raises(Unreadable, match=word) as caught:
        find(images)
    assert not isinstance(caught.value, NoCounter)


@pytest.mark.parametrize("name", ["pages-1.img", "pagemap-1.img"])
@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "nothing"])
def test_what_is_no_regular_file_is_neither_followed_nor_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    images = dump(tmp_path / "images", memory())
    path = images / name
    path.rename(tmp_path / "elsewhere")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(Unreadable, match=rf"{name} (is no regular file|cannot be read)|has no pagemap"):
        find(images)


def test_what_costs_too_much_is_given_up(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(9 * PAGE) + memory())
    with pytest.raises(Unreadable, match="more than 4,096 bytes"):
        processes(images, Budget(read=PAGE))
    with pytest.raises(Unreadable, match="more than 2 parts"):
        processes(images, Budget(parts=2))
    with pytest.raises(Unreadable, match="more than 0 s"):
        processes(images, Budget(seconds=0))
