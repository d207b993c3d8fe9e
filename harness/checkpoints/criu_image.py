"""CRIU's images: files of messages, each after its size, behind one or two magic words.

Only the messages and fields are described that somebody here asks for; the others are kept as they are when an image is
written again. https://github.com/checkpoint-restore/criu/tree/v4.2/images, criu/include/magic.h and criu/protobuf.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from harness.checkpoints.untrusted import Budget, Unreadable, read_regular

_COMMON = 0x54564319
"""First magic word of all images but the inventory and the statistics."""
_LENGTH = struct.Struct("<I")
_LONGEST_MESSAGE = 64 << 10

_KIND = descriptor_pb2.FieldDescriptorProto
_FIELDS: dict[str, dict[str, tuple[int, Any]]] = {
    "pagemap_head": {"pages_id": (1, _KIND.TYPE_UINT32)},
    "pagemap_entry": {
        "vaddr": (1, _KIND.TYPE_UINT64),
        "compat_nr_pages": (2, _KIND.TYPE_UINT32),
        "in_parent": (3, _KIND.TYPE_BOOL),
        "flags": (4, _KIND.TYPE_UINT32),
        "nr_pages": (5, _KIND.TYPE_UINT64),
    },
    "inventory_entry": {
        "img_version": (1, _KIND.TYPE_UINT32),
        "root_cg_set": (5, _KIND.TYPE_UINT32),
        "lsmtype": (6, _KIND.TYPE_UINT32),
        "pre_dump_mode": (9, _KIND.TYPE_UINT32),
        "network_lock_method": (11, _KIND.TYPE_UINT32),
        "dump_criu_run_id": (13, _KIND.TYPE_STRING),
        "allow_uprobes": (14, _KIND.TYPE_BOOL),
    },
    "mnt_entry": {
        "fstype": (1, _KIND.TYPE_UINT32),
        "mnt_id": (2, _KIND.TYPE_UINT32),
        "root_dev": (3, _KIND.TYPE_UINT32),
        "parent_mnt_id": (4, _KIND.TYPE_UINT32),
        "flags": (5, _KIND.TYPE_UINT32),
        "root": (6, _KIND.TYPE_STRING),
        "mountpoint": (7, _KIND.TYPE_STRING),
        "source": (8, _KIND.TYPE_STRING),
        "options": (9, _KIND.TYPE_STRING),
        "shared_id": (10, _KIND.TYPE_UINT32),
        "master_id": (11, _KIND.TYPE_UINT32),
        "ext_mount": (13, _KIND.TYPE_BOOL),
        "sb_flags": (17, _KIND.TYPE_UINT32),
        "ext_key": (18, _KIND.TYPE_STRING),
    },
    "sysctl_entry": {
        "type": (1, _KIND.TYPE_INT32),
        "iarg": (2, _KIND.TYPE_INT32),
        "sarg": (3, _KIND.TYPE_STRING),
    },
    "netns_entry": {"ext_key": (8, _KIND.TYPE_STRING), "ipv4_sysctl": (10, "sysctl_entry")},
    "cgroup_dir_entry": {"dir_name": (1, _KIND.TYPE_STRING)},
    "cg_controller_entry": {"dirs": (2, "cgroup_dir_entry")},
    "cg_set_entry": {"id": (1, _KIND.TYPE_UINT32)},
    "dump_stats_entry": {
        "freezing_time": (1, _KIND.TYPE_UINT32),
        "frozen_time": (2, _KIND.TYPE_UINT32),
        "memdump_time": (3, _KIND.TYPE_UINT32),
        "memwrite_time": (4, _KIND.TYPE_UINT32),
        "pages_scanned": (5, _KIND.TYPE_UINT64),
        "pages_skipped_parent": (6, _KIND.TYPE_UINT64),
        "pages_written": (7, _KIND.TYPE_UINT64),
    },
    "stats_entry": {"dump": (1, "dump_stats_entry")},
    "xsave_entry": {"xstate_bv": (1, _KIND.TYPE_UINT64)},
    "fpregs_entry": {"xsave": (13, "xsave_entry")},
    "thread_info_x86": {"fpregs": (3, "fpregs_entry")},
    "core_entry": {"mtype": (1, _KIND.TYPE_INT32), "thread_info": (2, "thread_info_x86")},
    "cgroup_entry": {"sets": (1, "cg_set_entry"), "controllers": (2, "cg_controller_entry")},
}
"""Numbers and kinds of fields; a kind that is a name is a list of these messages."""


def _message_types() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="criu.proto", package="criu", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            nested = isinstance(kind, str)
            message.field.add(
                name=field,
                number=number,
                type=_KIND.TYPE_MESSAGE if nested else kind,
                type_name=f".criu.{kind}" if nested else None,
                label=_KIND.LABEL_REPEATED if nested else _KIND.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"criu.{name}")) for name in _FIELDS}


_TYPES = _message_types()


@dataclass(frozen=True)
class Kind:
    """What an image begins with, and what its messages are."""

    what: str
    magic: bytes
    messages: tuple[type[Message], ...]
    """Of the first message, the second and so on; the last is that of all that follow."""


PAGEMAP = Kind("pagemap", struct.pack("<II", _COMMON, 0x56084025), (_TYPES["pagemap_head"], _TYPES["pagemap_entry"]))
MOUNTS = Kind("table of mounts", struct.pack("<II", _COMMON, 0x55563928), (_TYPES["mnt_entry"],))
CGROUPS = Kind("table of control groups", struct.pack("<II", _COMMON, 0x59383330), (_TYPES["cgroup_entry"],))
NETWORK = Kind("network namespace", struct.pack("<II", _COMMON, 0x55933752), (_TYPES["netns_entry"],))
STATISTICS = Kind("table of statistics", struct.pack("<II", 0x55105940, 0x57093306), (_TYPES["stats_entry"],))
CORE = Kind("thread's state", struct.pack("<II", _COMMON, 0x55053847), (_TYPES["core_entry"],))
INVENTORY = Kind("inventory", struct.pack("<I", 0x58313116), (_TYPES["inventory_entry"],))


def read(path: Path, kind: Kind, budget: Budget) -> Iterator[Any]:
    """Give the messages of an image; `Unreadable` if it is none of this kind, or damaged."""
    data = read_regular(path)
    budget.read(len(data))
    if not data.startswith(kind.magic):
        raise Unreadable(
            f"{path.name} is no {kind.what} of CRIU's, or compressed: it begins with {data[:8].hex(' ')!r}"
        )
    at = len(kind.magic)
    number = 0
    while at < len(data):
        budget.part()
        (length,) = _LENGTH.unpack(data[at : at + 4].ljust(4, b"\xff"))
        at += 4
        if length > _LONGEST_MESSAGE or at + length > len(data):
            raise Unreadable(f"{path.name} is cut off or damaged at byte {at}")
        message = kind.messages[min(number, len(kind.messages) - 1)]
        try:
            found = message.FromString(data[at : at + length])
        except DecodeError as error:
            raise Unreadable(f"{path.name} is damaged: {error}") from error
        if message is not _TYPES["pagemap_entry"] and not _is_text(found):
            raise Unreadable(f"{path.name} holds a text that is not in UTF-8")
        yield found
        at += length
        number += 1


def _is_text(message: Message) -> bool:
    """Whether all texts are such: those that are not in UTF-8 come as bytes, in spite of their type."""
    for field, value in message.ListFields():
        _, kind = _FIELDS[message.DESCRIPTOR.name][field.name]
        if not all(map(_is_text, value)) if isinstance(kind, str) else isinstance(value, bytes):
            return False
    return True


def encoded(kind: Kind, messages: Iterable[Message]) -> bytes:
    """Content of an image; fields that are not described here are in it as they were read."""
    bodies = (message.SerializeToString() for message in messages)
    return kind.magic + b"".join(_LENGTH.pack(len(body)) + body for body in bodies)
