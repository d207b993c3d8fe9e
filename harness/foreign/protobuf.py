"""Classes of Protocol Buffers' messages, made from tables of their fields instead of generated code.

A message may have more fields than its table: they are kept, and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_KIND = descriptor_pb2.FieldDescriptorProto
BOOL, TEXT, BYTES = _KIND.TYPE_BOOL, _KIND.TYPE_STRING, _KIND.TYPE_BYTES
INT32, INT64, SINT32 = _KIND.TYPE_INT32, _KIND.TYPE_INT64, _KIND.TYPE_SINT32
UINT32, UINT64 = _KIND.TYPE_UINT32, _KIND.TYPE_UINT64


@dataclass(frozen=True)
class Many:
    """A list of values or of messages."""

    of: Any
    packed: bool = False


TEXTS = "texts"
"""A map of texts to texts."""

Fields = Mapping[str, Mapping[str, tuple[int, Any]]]
"""By message and field: the number, and the kind: one of the constants, `TEXTS`, a message's name, or `Many`."""


def types(package: str, fields: Fields, *, syntax: str) -> dict[str, type[Message]]:
    """Make the classes of all messages of a package, by name; `syntax`: `proto2` or `proto3`."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    for name, declared in fields.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in declared.items():
            _add(message, f".{package}", field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in fields}


def _add(message: descriptor_pb2.DescriptorProto, scope: str, field: str, number: int, declared: Any) -> None:
    kind = declared.of if isinstance(declared, Many) else declared
    if kind == TEXTS:
        entry = message.nested_type.add(name="".join(word.capitalize() for word in field.split("_")) + "Entry")
        for at, part in enumerate(("key", "value"), 1):
            _add(entry, scope, part, at, TEXT)
        entry.options.map_entry = True
        declared, kind = Many(kind), f"{message.name}.{entry.name}"
    nested = isinstance(kind, str)
    added = message.field.add(
        name=field,
        number=number,
        type=_KIND.TYPE_MESSAGE if nested else kind,
        type_name=f"{scope}.{kind}" if nested else None,
        label=_KIND.LABEL_REPEATED if isinstance(declared, Many) else _KIND.LABEL_OPTIONAL,
    )
    if isinstance(declared, Many) and declared.packed:
        added.options.packed = True
