"""Processes of workloads in CRIU's images of memory, with one or more levels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkpoints.criu import image
from harness.checkpoints.criu.memory import MOST_LEVELS, memories
from harness.checkpoints.untrusted import Broken, Budget, Unreadable
from harness.oracle.processes import MOST_DESCRIPTION, Form, NoCounter, OwnSurface, Process, Teller, processes
from harness.oracle.ring import MAGIC
from tests.criu_images import (
    BASE,
    COUNTER,
    IN_PARENT,
    LAZY,
    MAGICS,
    PAGE,
    PRESENT,
    Entry,
    Surface,
    arguments,
    counter,
    dump,
    memory,
    message,
    old_memory,
    write,
)


def find(images: Path, within: Path | None = None) -> tuple[Process, ...]:
    return processes(images, Budget(), within=within)


def counters(images: Path, within: Path | None = None) -> list[int]:
    return [process.counter.n for process in find(images, within)]


def chain(folder: Path, *levels: tuple[bytes, list[Entry]]) -> Path:
    """Levels of memory in folders beside each other, oldest first; returns the newest."""
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
    with pytest.raises(NoCounter, match="outside the checkpoint, which is not followed"):
        find(newest)


def test_a_parent_that_is_missing_is_named(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, 1, IN_PARENT)])
    with pytest.raises(NoCounter, match="pages are in an earlier level of memory that is missing"):
        find(images)
    dump(images, memory(), [Entry(0, 1), Entry(1, 1, IN_PARENT)])
    assert counters(images) == [COUNTER], "this level does not need the missing parent"


@pytest.mark.parametrize("target", [".", "parent"], ids=["itself", "a link to itself"])
def test_parents_that_go_round_in_a_circle_end(tmp_path: Path, target: str) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, 1, IN_PARENT)])
    (images / "parent").symlink_to(target)
    with pytest.raises(Unreadable, match=f"more than {MOST_LEVELS} levels|is missing"):
        find(images)


def test_every_process_has_its_own_counter(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", memory(70), pid=7)
    dump(images, bytes(PAGE), pid=11)
    dump(images, memory(90), pid=12)
    assert counters(images) == [70, 90]


# ---- what a process says of itself

ADDED, GONE = OwnSurface(Form.RING, "added", "/data/added.ring"), OwnSurface(Form.DELETED, "gone", "/image/gone")


def told(*surfaces: OwnSurface) -> tuple[Surface, ...]:
    return tuple((each.form.value, each.name, each.path) for each in surfaces)


def test_a_process_describes_its_surfaces_itself_in_writing_order(tmp_path: Path) -> None:
    for surfaces in ((ADDED, GONE), (GONE, ADDED)):
        (process,) = find(dump(tmp_path / "images", memory(surfaces=told(*surfaces))))
        assert process.told_by is Teller.ITSELF
        assert [replace(each, descriptor=None) for each in process.surfaces] == list(surfaces)
        assert {each.name: each.descriptor for each in process.surfaces} == {"added": 3, "gone": None}


def test_a_description_may_be_longer_than_a_page_and_in_several_levels(tmp_path: Path) -> None:
    surfaces = tuple(OwnSurface(Form.RING, f"s{number}", f"/{'x' * 900}/{number}") for number in range(16))
    data = memory(surfaces=told(*surfaces))
    whole = data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
    last = len(whole) // PAGE - 1
    newest = chain(
        tmp_path,
        (whole[last * PAGE :], [Entry(last, 1)]),
        (whole[: last * PAGE], [Entry(0, last), Entry(last, 1, IN_PARENT)]),
    )
    (process,) = find(newest, tmp_path)
    assert [each.path for each in process.surfaces] == [each.path for each in surfaces]
    assert [each.descriptor for each in process.surfaces] == list(range(3, 19))


@pytest.mark.parametrize(
    ("page", "word"),
    [
        (counter(COUNTER, 7, version=2), "does not describe its surfaces"),
        (memory(surfaces=()), "does not describe its surfaces"),
        (memory().replace(b"added", b"edded"), "damaged"),
        (memory(surfaces=(("ring", "a"),)), "damaged"),  # type: ignore[arg-type]
        (memory(surfaces=(("pipe", "a", "/a"),)), "has a surface of an unknown kind: b'pipe'"),
        (memory(surfaces=tuple(("ring", str(each), "/a") for each in range(17))), "damaged"),
        (memory(surfaces=(("ring", "a", "/" + "x" * MOST_DESCRIPTION),)), "does not describe"),
        (memory().replace(MAGIC + b"\2", MAGIC + b"\4"), "damaged or has an unknown version"),
        (memory()[:80] + b"\xff" + memory()[81:], "damaged or has an unknown version"),
        (memory() + memory(), "has 2 counters"),
    ],
    ids=[
        "none", "empty", "other bytes", "two words", "another kind", "too many", "too long", "newer", "torn", "two",
    ],
)  # fmt: skip
def test_a_process_that_cannot_be_understood_is_said_to_be_so(tmp_path: Path, page: bytes, word: str) -> None:
    padded = page.ljust(-(-len(page) // PAGE) * PAGE, b"\0")
    with pytest.raises(Unreadable, match=word) as caught:
        find(dump(tmp_path / "images", padded))
    assert not isinstance(caught.value, NoCounter)


OPTIONS = ("--ring", "64", "--surface", "added=/data/added.ring", "--report", "/r", "--deleted", "gone=/image/gone")


def test_a_process_of_version_1_is_known_by_its_arguments(tmp_path: Path) -> None:
    (process,) = find(dump(tmp_path / "images", old_memory() + arguments(*OPTIONS)))
    assert (process.surfaces, process.told_by) == ((ADDED, GONE), Teller.ARGUMENTS)


def test_words_elsewhere_in_memory_are_no_arguments(tmp_path: Path) -> None:
    decoy = arguments("--surface", "decoy=/data/decoy.ring")
    (process,) = find(dump(tmp_path / "images", old_memory() + decoy + arguments(*OPTIONS)))
    assert process.surfaces == (ADDED, GONE)


@pytest.mark.parametrize(
    ("options", "word"),
    [((), "name no surface"), (("--surface",), "not those of a workload"), (("--surface", "a=/a") * 17, "not those")],
    ids=["none", "cut off", "too many"],
)
def test_arguments_of_no_workload_are_called_so(tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    with pytest.raises(Unreadable, match=word):
        find(dump(tmp_path / "images", old_memory() + arguments(*options)))


def test_without_the_place_of_its_arguments_nothing_tells_what_it_has(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", old_memory() + arguments(*OPTIONS))
    write(images, "mm-1.img", image.MEMORY, {"mm_arg_start": BASE, "mm_arg_end": BASE + (1 << 40)})
    with pytest.raises(Unreadable, match="arguments have 1,099,511,627,776 bytes"):
        find(images)
    write(images, "mm-1.img", image.MEMORY, {"mm_arg_start": BASE + 9 * PAGE, "mm_arg_end": BASE + 10 * PAGE})
    with pytest.raises(Unreadable, match=r"the images lack some of the 4,096 bytes at 0x409000 of process 1"):
        find(images)
    (images / "mm-1.img").unlink()
    with pytest.raises(Unreadable, match=r"mm-1\.img is missing"):
        find(images)


# ---- memory


def test_memory_is_read_across_files_and_levels(tmp_path: Path) -> None:
    newest = chain(
        tmp_path,
        (b"b" * PAGE, [Entry(1, 1)]),
        (b"a" * PAGE + b"c" * PAGE, [Entry(0, 1), Entry(1, 1, IN_PARENT), Entry(2, 1)]),
    )
    (found,) = memories(newest, Budget(), within=tmp_path)
    assert found.read(BASE + PAGE - 1, PAGE + 2) == b"a" + b"b" * PAGE + b"c"
    for address, size in ((BASE - 1, 2), (BASE + 3 * PAGE - 1, 2), (BASE + 9 * PAGE, 1)):
        with pytest.raises(Unreadable, match="the images lack some of the"):
            found.read(address, size)


def test_pages_under_an_unknown_flag_are_not_taken_for_absent_ones(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", memory(), [Entry(0, 1), Entry(1, 1, PRESENT | 8)])
    with pytest.raises(Unreadable, match="pages with an unknown flag"):
        find(images)


def test_pages_that_are_lazy_are_said_to_be_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(NoCounter, match="pages are lazy, so they are still in the source"):
        find(dump(tmp_path / "images", b"", [Entry(0, 1, LAZY)]))


def test_holes_are_passed_over(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", b"", [Entry(0, (1 << 40) // PAGE)])
    with (images / "pages-1.img").open("r+b") as pages:
        pages.seek((1 << 40) - PAGE)
        pages.write(memory())
    assert counters(images) == [COUNTER]


@pytest.mark.parametrize(
    ("pagemap", "word"),
    [
        (b"", "not a CRIU image of the kind 'pagemap'"),
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
def test_images_that_are_damaged_are_called_so(tmp_path: Path, pagemap: bytes, word: str) -> None:
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
    with pytest.raises(
        Unreadable,
        match=rf"{name} (is a (pipe|folder|symbolic link), not a regular file|cannot be read)|has no pagemap",
    ):
        find(images)


@pytest.mark.parametrize("kept", [None, 0, PAGE - 1])
def test_pages_that_are_not_whole_are_broken(tmp_path: Path, kept: int | None) -> None:
    images = dump(tmp_path / "images", memory())
    data = (images / "pages-1.img").read_bytes()
    (images / "pages-1.img").unlink()
    if kept is not None:
        (images / "pages-1.img").write_bytes(data[:kept])
    with pytest.raises(Broken, match=r"pages-1\.img"):
        find(images)


def test_what_costs_too_much_is_given_up(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(9 * PAGE) + memory())
    with pytest.raises(Unreadable, match="more than 8 times 512 bytes"):
        processes(images, Budget(read=PAGE))
    with pytest.raises(Unreadable, match="more than 2 parts"):
        processes(images, Budget(parts=2))
    with pytest.raises(Unreadable, match="more than 0 s"):
        processes(images, Budget(seconds=0))
