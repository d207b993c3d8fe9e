"""The source container, and the report channel of a container."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.host.wait import until
from harness.model.commands import Command
from harness.model.readings import SourceHealth, Witness
from harness.oracle.judge import anomalies, skews
from harness.runtimes.contract import Container
from harness.workload.messages import Beat, Message, ReadingMessage, Start, read_messages

READY_SECONDS = 30.0
TICK_SECONDS = 10.0
SILENCE_SECONDS = 0.4
WATCHED_SECONDS = 30.0


class Channel:
    """The messages of one container on its report channel, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = -1
        self.heard: list[Message] = []

    def listen(self) -> list[Message]:
        """Read new messages, and return all messages so far."""
        for number, message in read_messages(self._folder, self._last):
            self._last = number
            self.heard.append(message)
        return self.heard

    def first(self, wanted: Callable[[Message], bool]) -> Message | None:
        """Return the first of all messages for which `wanted` is true."""
        return next((said for said in self.listen() if wanted(said)), None)

    def wait_for(self, wanted: Callable[[Message], bool], *, seconds: float, what: str) -> Message:
        """Wait until `first` finds a message."""
        return until(lambda: self.first(wanted), seconds=seconds, what=what)


def first_tick(channel: Channel) -> Start:
    """Wait until a new workload ticks; gives its first message."""

    def is_start(said: Message) -> bool:
        return isinstance(said, Start)

    start = channel.wait_for(is_start, seconds=READY_SECONDS, what="the workload's first message")
    channel.wait_for(lambda said: isinstance(said, Beat) and said.n > 0, seconds=READY_SECONDS, what="the first tick")
    return cast(Start, start)


@dataclass
class Source:
    """The running container that is checkpointed, for one trial after the other while it is healthy."""

    container: Container
    channel: Channel
    nonce: str
    commands: tuple[Command, ...] = ()
    """The commands that made the container, for the replay of every trial that uses it."""
    ended: bool = False
    """It ended because a restore needed that, or because its trials were over."""
    deleted: bool = False

    def tick_after(self, wall_ns: int) -> Message:
        """Wait for a report of a tick after `wall_ns`."""
        return self.channel.wait_for(
            lambda said: isinstance(said, Beat) and said.n_wall_ns > wall_ns,
            seconds=TICK_SECONDS,
            what="a tick of the source",
        )

    def stands_still(self) -> bool:
        """Watch the source for several heartbeats, and return whether none came."""
        known, begun = len(self.channel.listen()), time.monotonic()
        until(lambda: time.monotonic() - begun > SILENCE_SECONDS, seconds=WATCHED_SECONDS, what="silence")
        return len(self.channel.listen()) == known


def health_of(source: Source, heard: Sequence[Message], *, ticking: bool, frozen: bool | None) -> SourceHealth:
    """Return the health of the source, according to its messages since the checkpoint began."""
    own = [message.to_reading(Witness.SOURCE) for message in heard if isinstance(message, ReadingMessage)]
    apart = [abs(skew.ticks or 1) for reading in own for skew in skews(reading) if anomalies(reading)]
    gaps = [message.gap_ns for message in heard if isinstance(message, Beat | ReadingMessage)]
    return SourceHealth(
        ticking=ticking,
        frozen=frozen,
        same_nonce=all(message.nonce == source.nonce for message in heard) if heard else None,
        lost_ticks=max(apart, default=0) if own else None,
        longest_gap_us=max(gaps) / 1000 if gaps else None,
    )
