"""Messages of CRIU's images, in images that CRIU itself wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.checkpoints.criu import image
from harness.checkpoints.criu.image import (
    CGROUPS,
    CORE,
    DESCRIPTORS,
    FILES,
    FOLDERS,
    IDS,
    INVENTORY,
    LOCKS,
    MEMORY,
    MOUNTS,
    PAGEMAP,
    PROCESSES,
    TERMINALS,
    Kind,
    unknown_fields,
)
from harness.checkpoints.criu.messages import FIELDS, WHOLE, kind_of
from harness.checkpoints.untrusted import Unreadable
from tests import real_images
from tests.criu_images import varint
from tests.real_images import CRIO, STILL, messages, unpacked

KINDS = {
    r"inventory": INVENTORY,
    r"pstree": PROCESSES,
    r"ids-\d+": IDS,
    r"fdinfo-\d+": DESCRIPTORS,
    r"fs-\d+": FOLDERS,
    r"filelocks": LOCKS,
    r"mountpoints-\d+": MOUNTS,
    r"pagemap-\d+": PAGEMAP,
}
"""Images by name whose messages have all their fields described."""


def field(number: int, value: int | bytes) -> bytes:
    """Encode a field of a message, from a number or from bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def image_of(path: Path, kind: Kind, *bodies: bytes) -> Path:
    path.write_bytes(kind.magic + b"".join(len(body).to_bytes(4, "little") + body for body in bodies))
    return path


@pytest.mark.parametrize("name", [STILL, CRIO, *real_images.PROCESSES])
def test_what_criu_writes_has_no_field_that_is_not_known_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    images = unpacked(name, tmp_path)
    read = set()
    for path in images.iterdir():
        for pattern, kind in KINDS.items():
            if re.fullmatch(pattern, path.stem):
                read.add(pattern)
                found = messages(path, kind)
                assert [unknown_fields(each) for each in found] == [()] * len(found), path
                assert image.encoded(kind, found) == path.read_bytes(), path
    assert len(read) >= len(KINDS) - 1, "one of the checkpoints has no locks"


def test_a_field_of_a_newer_criu_is_told_by_its_message_and_number(tmp_path: Path) -> None:
    ids = field(9, 13) + field(13, 1)
    path = image_of(tmp_path / "it", INVENTORY, field(1, 2) + field(3, ids) + field(17, b"x") + field(99, 1))
    (found,) = messages(path, INVENTORY)
    assert unknown_fields(found) == ("inventory_entry.17", "inventory_entry.99", "task_kobj_ids_entry.13")
    assert (found.img_version, found.root_ids.mnt_ns_id) == (2, 13)


def test_a_known_number_in_another_form_is_an_unknown_field(tmp_path: Path) -> None:
    (found,) = messages(image_of(tmp_path / "it", INVENTORY, field(1, b"2")), INVENTORY)
    assert unknown_fields(found) == ("inventory_entry.1",)


def test_fields_of_compressed_pages_are_known_and_what_is_new_in_them_is_told(tmp_path: Path) -> None:
    blocks = field(1, varint(300) + varint(7)) + field(2, 307) + field(3, 16)
    path = image_of(
        tmp_path / "it", PAGEMAP, field(1, 1), field(1, 4096) + field(6, blocks), field(6, blocks + field(4, 1))
    )
    _, entry, newer = messages(path, PAGEMAP)
    assert (list(entry.blocks.block_sizes), entry.blocks.total_payload_size) == ([300, 7], 307)
    assert (unknown_fields(entry), unknown_fields(newer)) == ((), ("pagemap_blocks.4",))
    assert image.encoded(PAGEMAP, messages(path, PAGEMAP)) == path.read_bytes()


def test_nobody_is_told_that_a_message_is_known_of_which_only_a_part_is(tmp_path: Path) -> None:
    (core,) = messages(unpacked(STILL, tmp_path) / "core-1.img", CORE)
    with pytest.raises(ValueError, match="not all fields of core_entry are described"):
        unknown_fields(core)


def test_a_message_that_is_described_whole_holds_only_such() -> None:
    inner = {kind for name in WHOLE for each in FIELDS[name] if isinstance(kind := kind_of(name, each), str)}
    assert inner <= WHOLE <= set(FIELDS)


def test_a_process_tells_its_state_its_files_and_where_its_arguments_are(tmp_path: Path) -> None:
    images = unpacked(STILL, tmp_path)
    (core,) = messages(images / "core-1.img", CORE)
    assert (core.tc.task_state, core.tc.comm, core.mtype) == (1, b"ledger", 1)
    assert core.thread_info.fpregs.xsave.xstate_bv == 0xA2
    (ids,) = messages(images / "ids-1.img", IDS)
    assert (ids.mnt_ns_id, ids.files_id, ids.time_ns_id) == (13, 2, 5)
    (memory,) = messages(images / "mm-1.img", MEMORY)
    assert (memory.mm_arg_end - memory.mm_arg_start, memory.mm_env_start) == (122, memory.mm_arg_end)
    (folders,) = messages(images / "fs-1.img", FOLDERS)
    assert (folders.cwd_id, folders.root_id) == (7, 8)
    files = {each.id: each.reg for each in messages(images / "files.img", FILES) if each.HasField("reg")}
    opened = [files[each.id] for each in messages(images / "fdinfo-2.img", DESCRIPTORS) if each.id in files]
    places = [(each.name, each.mnt_id) for each in opened]
    assert places == [(b"/dev/null", 115), (b"/data/added.ring", 111), (b"/scratch/tmpfs.ring", 113)]


def test_locks_and_terminals_are_read(tmp_path: Path) -> None:
    images = unpacked(real_images.PROCESSES[0], tmp_path)
    assert [(each.flag, each.fd, each.len) for each in messages(images / "filelocks.img", LOCKS)] == [
        (2, 3, 0), (1, 4, 10),
    ]  # fmt: skip
    opened = [each.tty for each in messages(images / "files.img", FILES) if each.HasField("tty")]
    terminals = messages(images / "tty-info.img", TERMINALS)
    assert {each.tty_info_id for each in opened} == {each.id for each in terminals} == {0, 1}
    assert {each.rdev for each in terminals} == {5 << 8 | 2, 136 << 8}, "the multiplexer and a terminal"


def test_a_message_may_be_as_long_as_its_image_if_it_holds_no_lists(tmp_path: Path) -> None:
    area = field(14, bytes(60))
    path = image_of(tmp_path / "mm-1.img", MEMORY, field(8, 4096) + area * 5000)
    (memory,) = messages(path, MEMORY)
    assert memory.mm_arg_start == 4096
    with pytest.raises(Unreadable, match="cut off or damaged"):
        messages(image_of(tmp_path / "cgroup.img", CGROUPS, field(1, b"") * 40_000), CGROUPS)


@pytest.mark.parametrize("body", [field(13, b"\xff"), field(12, field(12, b"ok") + field(12, b"\xff"))])
def test_a_text_that_is_none_is_declined(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(Unreadable, match="holds a text that is not in UTF-8"):
        messages(image_of(tmp_path / "it", INVENTORY, body), INVENTORY)


def test_a_process_may_give_itself_any_name(tmp_path: Path) -> None:
    (core,) = messages(image_of(tmp_path / "it", CORE, field(3, field(6, b"\xff\n"))), CORE)
    assert core.tc.comm == b"\xff\n"
