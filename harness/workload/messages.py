"""The messages of a workload: numbered symbolic links, each with one JSON object as its target."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.model.errors import RecordError
from harness.model.invalid import brief
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.model.values import Frozen

SEQUENCE = re.compile(r"[0-9]{12}")
Count = Annotated[int, Field(ge=0, lt=1 << 64)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Message(Frozen):
    """The fields of every message: the process's nonce, the counter in memory, and the time."""

    nonce: Nonce
    n: Count
    wall_ns: Count


class Start(Message):
    """A new process has started; a restored process never sends this."""

    event: Literal["start"]
    pid: Count
    ring: Count
    period_us: Count
    surfaces: tuple[str, ...]


BEAT_NS = 100_000_000
"""Longest time between two messages of a workload that ticks; the ledger's beats.c has the same value."""


class Beat(Message):
    """The workload ticks; `gap_ns` is the longest time between two ticks since the previous beat."""

    event: Literal["beat"]
    n_wall_ns: Count
    gap_ns: Count


class ReadingMessage(Message):
    """The content of memory and all surfaces.

    Read after a pause, at a slot with a wrong record, when the application failed, or after it was asked to end.
    """

    event: Literal["reading"]
    reason: Literal["gap", "discrepancy", "failed", "afterwards"]
    n_wall_ns: Count
    gap_ns: Count
    scan_ns: Count = 0
    """Duration of the scan, which ended at `wall_ns`; after a checkpoint within it the reading is of two instants."""
    surfaces: tuple[SurfaceReading, ...]

    def to_reading(self, witness: Witness) -> Reading:
        """Return the message as a `Reading`."""
        return Reading(
            witness=witness, nonce=self.nonce, counter=self.n, counter_wall_ns=self.n_wall_ns, surfaces=self.surfaces
        )


class Stop(Message):
    """The workload ends because it was asked to."""

    event: Literal["stop"]


class Failed(Message):
    """The workload ends because a call failed on a surface, or because its application cannot go on."""

    event: Literal["failed"]
    errno: Count = 0
    what: str
    by: Literal["surface", "application", "ending"] = "surface"
    """What failed: a file, an application, or an application that was asked to end."""


@functools.cache
def _messages() -> TypeAdapter[Start | Beat | ReadingMessage | Stop | Failed]:
    return TypeAdapter(Annotated[Start | Beat | ReadingMessage | Stop | Failed, Field(discriminator="event")])


def read_messages(folder: Path, after: int = -1) -> list[tuple[int, Message]]:
    """Return the messages in `folder` with a sequence number above `after`, in order.

    A message is the target of a symbolic link. The link is read and never followed: the folder belongs to a container
    and may hold anything. Everything but numbered links is skipped. A link without a message raises `RecordError`.
    """
    with os.scandir(folder) as entries:
        links = [entry for entry in entries if SEQUENCE.fullmatch(entry.name) and entry.is_symlink()]
    numbered = sorted((int(link.name), link.path) for link in links)
    return [(number, _parse(path)) for number, path in numbered if number > after]


def _parse(path: str) -> Message:
    try:
        return _messages().validate_json(os.readlink(os.fsencode(path)))  # noqa: PTH115  # a Path changes the text
    except ValidationError as error:
        raise RecordError(f"{path} is not a message of a workload: {brief(error)}") from error
