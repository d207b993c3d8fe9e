"""The container that is checkpointed, and what a container says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.host.wait import until
from harness.model.commands import Command
from harness.model.readings import SourceHealth, Witness
from harness.oracle.judge import anomalies, skews
from harness.runtimes.contract import Container
from harness.workload.messages import Beat, Message, ReadingMessage, read_messages

TICK_SECONDS = 10.0
SILENCE_SECONDS = 0.4
WATCHED_SECONDS = 30.0


class Channel:
    """What one container has said on its report channel, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = -1
        self.heard: list[Message] = []

    def listen(self) -> list[Message]:
        """Read what is new, and give everything heard so far."""
        for number, message in read_messages(self._folder, self._last):
            self._last = number
            self.heard.append(message)
        return self.heard

    def first(self, wanted: Callable[[Message], bool]) -> Message | None:
        """The first message, also of those heard before, for which `wanted` holds."""
        return next((said for said in self.listen() if wanted(said)), None)

    def wait_for(self, wanted: Callable[[Message], bool], *, seconds: float, what: str) -> Message:
        """Wait for `first` to find one."""
        return until(lambda: self.first(wanted), seconds=seconds, what=what)


@dataclass
class Source:
    """The running container that is checkpointed, again and again while it is well."""

    container: Container
    channel: Channel
    nonce: str
    commands: tuple[Command, ...] = ()
    """How it was made, for the replay of any trial that uses it."""
    ended: bool = False
    """It had to go before a restore."""
    deleted: bool = False

    def tick_after(self, wall_ns: int) -> Message:
        """Wait until it says that it has ticked after `wall_ns`."""
        return self.channel.wait_for(
            lambda said: isinstance(said, Beat) and said.n_wall_ns > wall_ns,
            seconds=TICK_SECONDS,
            what="a tick of the source",
        )

    def stands_still(self) -> bool:
        """Watch it for the time of several heartbeats, and say whether none came."""
        known, begun = len(self.channel.listen()), time.monotonic()
        until(lambda: time.monotonic() - begun > SILENCE_SECONDS, seconds=WATCHED_SECONDS, what="silence")
        return len(self.channel.listen()) == known


def health_of(source: Source, heard: Sequence[Message], *, ticking: bool, frozen: bool | None) -> SourceHealth:
    """How the source went on, by what it said since the checkpoint began."""
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
