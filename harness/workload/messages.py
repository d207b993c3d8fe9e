"""The messages that a workload sends: one JSON file each, numbered."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.model.errors import RecordError
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.model.values import Frozen

SEQUENCE = re.compile(r"[0-9]{12}")
Count = Annotated[int, Field(ge=0, lt=1 << 64)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Message(Frozen):
    """What every message says: who, the counter in memory, and when."""

    nonce: Nonce
    n: Count
    wall_ns: Count


class Start(Message):
    """A new process has begun; a restored one never says this."""

    event: Literal["start"]
    pid: Count
    ring: Count
    period_us: Count
    surfaces: tuple[str, ...]


BEAT_NS = 100_000_000
"""A workload that ticks says so at least as often; the ledger's beats.c has the same."""


class Beat(Message):
    """It ticks; `gap_ns` is the longest time between two ticks since the beat before."""

    event: Literal["beat"]
    n_wall_ns: Count
    gap_ns: Count


class ReadingMessage(Message):
    """What memory and all surfaces held, found after a pause or at a slot that was not as it has to be."""

    event: Literal["reading"]
    reason: Literal["gap", "discrepancy"]
    n_wall_ns: Count
    gap_ns: Count
    scan_ns: Count = 0
    """How long the look at the surfaces took, up to `wall_ns`; what lies within may be of two instants."""
    surfaces: tuple[SurfaceReading, ...]

    def to_reading(self, witness: Witness) -> Reading:
        """Give the reading as a value of the vocabulary."""
        return Reading(
            witness=witness, nonce=self.nonce, counter=self.n, counter_wall_ns=self.n_wall_ns, surfaces=self.surfaces
        )


class Stop(Message):
    """It was asked to end, and does."""

    event: Literal["stop"]


class Failed(Message):
    """A call failed on a surface, and it ends."""

    event: Literal["failed"]
    errno: Count
    what: str


_MESSAGE: TypeAdapter[Start | Beat | ReadingMessage | Stop | Failed] = TypeAdapter(
    Annotated[Start | Beat | ReadingMessage | Stop | Failed, Field(discriminator="event")]
)


def read_messages(folder: Path, after: int = -1) -> list[tuple[int, Message]]:
    """Messages in `folder` with a sequence number above `after`, in order.

    A message is the target of a symbolic link, which is read and never followed: the folder belongs to a container
    and may hold anything. What is no numbered link is passed over, a link that is no message raises `RecordError`.
    """
    with os.scandir(folder) as entries:
        links = [entry for entry in entries if SEQUENCE.fullmatch(entry.name) and entry.is_symlink()]
    numbered = sorted((int(link.name), link.path) for link in links)
    return [(number, _parse(path)) for number, path in numbered if number > after]


def _parse(path: str) -> Message:
    try:
        return _MESSAGE.validate_json(os.readlink(os.fsencode(path)))  # noqa: PTH115  # a Path changes the text
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(f"{path} is no message of a workload: {first['msg']} at {first['loc']}") from error
