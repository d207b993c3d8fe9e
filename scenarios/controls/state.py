"""Changes of what else a checkpoint keeps: pages of memory, messages in a pipe, a file that is replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.checkpoints.criu.messages import TYPES
from harness.oracle.ring import RECORD, make_records
from scenarios.controls.changes import FEW, PAGE, Files, write

RENAMED, PIPES = "upper/data/renamed", "images/pipes-data.img"
MESSAGE = 8
"""Bytes of a message of workloads/state/channels.c."""
PAGES = 16
"""Pages of a surface of the workload `memory`."""


def _replace_record(files: Files, change: Callable[[bytes], bytes]) -> None:
    """Change one of the first surface's pages, which does not have the newest record."""
    path = files.pages
    data = path.read_bytes()
    heads = np.frombuffer(data, np.dtype([("record", RECORD), ("rest", "V", PAGE - RECORD.itemsize)]))["record"]
    made = np.array([make_records([each["n"]], [each["wall_ns"]], int(each["nonce"]))[0] for each in heads])
    found = np.flatnonzero((heads == made) & (heads["n"] > 0))
    behind = [int(number) for number in found[:PAGES] if heads["n"][number] < heads["n"][found].max()]
    at = behind[len(behind) // 2] * PAGE
    write(path, data[:at] + change(data[at : at + PAGE]) + data[at + PAGE :])


def older_record(files: Files) -> None:
    """Put into one page of memory the record that it had a round before."""

    def change(page: bytes) -> bytes:
        (record,) = np.frombuffer(page[: RECORD.itemsize], RECORD)
        older = make_records([record["n"] - PAGES], [record["wall_ns"] - PAGES], int(record["nonce"]))
        return older.tobytes() + page[RECORD.itemsize :]

    _replace_record(files, change)


def padded_record(files: Files) -> None:
    """Change the rest of the same page."""
    _replace_record(files, lambda page: page[: RECORD.itemsize] + b"unused" + page[RECORD.itemsize + 6 :])


def pipe_message_lost(files: Files) -> None:
    """Remove the second message from each pipe that has several; after each entry of the image follow its bytes."""
    path = files.folder / PIPES
    data = path.read_bytes()
    at, made = 8, data[:8]
    while at < len(data):
        begin = at + 4 + int.from_bytes(data[at : at + 4], "little")
        entry: Any = TYPES["pipe_data_entry"].FromString(data[at + 4 : begin])
        content, at = data[begin : begin + entry.bytes], begin + entry.bytes
        if len(content) > 2 * MESSAGE:
            content = content[:MESSAGE] + content[2 * MESSAGE :]
            entry.bytes = len(content)
        head = entry.SerializeToString()
        made += len(head).to_bytes(4, "little") + head + content
    write(path, made)


def renamed_back(files: Files) -> None:
    """Put back an earlier content of a file that is replaced at each tick."""
    path = files.folder / RENAMED
    write(path, b"%020d\n" % (int(path.read_bytes()) - FEW))
