"""CRIU's images: one or two magic words, then messages, each after its size.

`criu.messages` describes the messages. Other fields stay unchanged when an image is written again.
https://github.com/checkpoint-restore/criu/blob/v4.2/criu/include/magic.h, criu/image-desc.c and criu/protobuf.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from harness.checkpoints.criu.messages import FIELDS, TYPES, WHOLE, kind_of
from harness.checkpoints.untrusted import Budget, Unreadable, read_regular
from harness.foreign.protobuf import TEXT, Many

_COMMON = 0x54564319
"""First magic word of all images except the inventory and the statistics."""
_LENGTH = struct.Struct("<I")
_LONGEST_MESSAGE = 64 << 10
"""Maximum size in bytes of a message with lists of messages or texts, which need many times as much memory."""


@dataclass(frozen=True)
class Kind:
    """A kind of image: its magic words, and the types of its messages."""

    what: str
    magic: bytes
    messages: tuple[type[Message], ...]
    """Types of the first message, the second and so on; the last type also applies to all later messages."""


def _kind(what: str, magic: int, *messages: str) -> Kind:
    return Kind(what, struct.pack("<II", _COMMON, magic), tuple(TYPES[name] for name in messages))


PAGEMAP = _kind("pagemap", 0x56084025, "pagemap_head", "pagemap_entry")
MOUNTS = _kind("table of mounts", 0x55563928, "mnt_entry")
CGROUPS = _kind("table of control groups", 0x59383330, "cgroup_entry")
NETWORK = _kind("network namespace", 0x55933752, "netns_entry")
CORE = _kind("thread's state", 0x55053847, "core_entry")
PROCESSES = _kind("tree of processes", 0x50273030, "pstree_entry")
IDS = _kind("table of kernel object ids", 0x54432030, "task_kobj_ids_entry")
MEMORY = _kind("memory layout", 0x57492820, "mm_entry")
MAPPINGS = _kind("memory layout", 0x57492820, "mm_mappings")
MEMFDS = _kind("table of memfds", 0x48453499, "memfd_inode_entry")
DESCRIPTORS = _kind("table of descriptors", 0x56213732, "fdinfo_entry")
FILES = _kind("table of open files", 0x56303138, "file_entry")
REMAPS = _kind("table of files without a name", 0x59133954, "remap_file_path_entry")
FOLDERS = _kind("process's folders", 0x51403912, "fs_entry")
LOCKS = _kind("table of file locks", 0x54323616, "file_lock_entry")
TERMINALS = _kind("table of terminals", 0x59453036, "tty_info_entry")
STATISTICS = Kind("table of statistics", struct.pack("<II", 0x55105940, 0x57093306), (TYPES["stats_entry"],))
INVENTORY = Kind("inventory", struct.pack("<I", 0x58313116), (TYPES["inventory_entry"],))


def read(path: Path, kind: Kind, budget: Budget) -> Iterator[Any]:
    """Yield the messages of an image; raise `Unreadable` if it is of another kind or damaged."""
    data = read_regular(path)
    budget.read(len(data))
    if not data.startswith(kind.magic):
        raise Unreadable(
            f"{path.name} is not a CRIU image of the kind {kind.what!r}, or is compressed: "
            f"it begins with {data[:8].hex(' ')!r}"
        )
    at = len(kind.magic)
    number = 0
    while at < len(data):
        budget.part()
        (length,) = _LENGTH.unpack(data[at : at + 4].ljust(4, b"\xff"))
        at += 4
        message = kind.messages[min(number, len(kind.messages) - 1)]
        too_long = length > _LONGEST_MESSAGE and message.DESCRIPTOR.name in _WITH_LISTS
        if too_long or at + length > len(data):
            raise Unreadable(f"{path.name} is cut off or damaged at byte {at}")
        try:
            found = message.FromString(data[at : at + length])
        except DecodeError as error:
            raise Unreadable(f"{path.name} is damaged: {error}") from error
        if not _is_text(found):
            raise Unreadable(f"{path.name} holds a text that is not in UTF-8")
        yield found
        at += length
        number += 1


def read_if_there(path: Path, kind: Kind, budget: Budget) -> Iterator[Any]:
    """Yield the messages of an image, of which there is none if it does not exist: CRIU writes no empty image."""
    return read(path, kind, budget) if os.path.lexists(path) else iter(())


def encoded(kind: Kind, messages: Iterable[Message]) -> bytes:
    """Return the content of an image; unknown fields stay unchanged."""
    bodies = (message.SerializeToString() for message in messages)
    return kind.magic + b"".join(_LENGTH.pack(len(body)) + body for body in bodies)


def unknown_fields(message: Message) -> tuple[str, ...]:
    """Return the fields of a message and its inner messages that CRIU 4.3 does not have, such as `inventory_entry.17`.

    A known number with another type counts as unknown. Raise `ValueError` for a message that is not in `WHOLE`, because
    not all its fields are known.
    """
    name = message.DESCRIPTOR.name
    if name not in WHOLE:
        raise ValueError(f"not all fields of {name} are described")
    unknown = UnknownFieldSet(message)
    numbers = sorted({unknown[at].field_number for at in range(len(unknown))})
    inner = (field for each in _messages_in(message) for field in unknown_fields(each))
    return tuple(dict.fromkeys([*(f"{name}.{number}" for number in numbers), *inner]))


def _messages_in(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.message_type:
            yield from value if _is_list(message, field.name) else (value,)


def _is_text(message: Message) -> bool:
    """Return whether all texts are UTF-8; protobuf gives other texts as bytes."""
    for field, many, inner in _TEXTS[message.DESCRIPTOR.name]:
        if inner and not many and not message.HasField(field):
            continue
        values = getattr(message, field) if many else (getattr(message, field),)
        if not all(_is_text(each) if inner else isinstance(each, str) for each in values):
            return False
    return True


def _is_list(message: Message, field: str) -> bool:
    return isinstance(FIELDS[message.DESCRIPTOR.name][field][1], Many)


def _with(wanted: Callable[[Any], bool]) -> frozenset[str]:
    """Return the messages with a wanted field, also in an inner message."""

    def has(name: str) -> bool:
        inner = (kind_of(name, field) for field in FIELDS[name])
        return any(wanted(kind) for _, kind in FIELDS[name].values()) or any(
            has(kind) for kind in inner if isinstance(kind, str)
        )

    return frozenset(filter(has, FIELDS))


_WITH_TEXTS = _with(lambda kind: TEXT in (kind, getattr(kind, "of", None)))
_TEXTS = {
    name: tuple(
        (field, isinstance(kind, Many), kind_of(name, field) != TEXT)
        for field, (_, kind) in FIELDS[name].items()
        if kind_of(name, field) in (TEXT, *_WITH_TEXTS)
    )
    for name in FIELDS
}
"""Fields with texts by message: name, whether it is a list, and whether the texts are in an inner message."""
_WITH_LISTS = _with(lambda kind: isinstance(kind, Many) and (isinstance(kind.of, str) or kind.of == TEXT))
