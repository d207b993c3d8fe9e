"""The source container, the report channel of a container, and what the kernel says about a silent one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from harness.host import cgroups, wait
from harness.host.wait import until
from harness.model.commands import Command
from harness.model.errors import DeadlineExceeded, Lost
from harness.model.readings import SourceHealth, Witness
from harness.oracle.judge import anomalies
from harness.oracle.skews import skews
from harness.runtimes.contract import Container
from harness.stacks.node import Node
from harness.workload.messages import Beat, Failed, Message, ReadingMessage, Start, Stop, read_messages

READY_SECONDS = 30.0
TICK_SECONDS = 10.0
SILENCE_SECONDS, FROZEN_SECONDS = 0.4, 0.1
"""Silence that tells that a source stands still, by itself and where the kernel says so, too."""
LATE_SECONDS, SOON_SECONDS = 2.0, 0.5
"""Seconds in which somebody may still set a silent container going: a daemon, or nobody but the kernel."""
STOPPED, FROZEN, ENDED = "all its processes are stopped", "its control group is frozen", "it has no process"


class Silence:
    """Asks the kernel whether a container can still say something: a process of its group has to be able to run."""

    def __init__(self, group: str, late: float | None = None) -> None:
        """Watch the group at the path `group`; without one, nobody is ever called lost.

        `late`: seconds in which somebody may still set its processes going, by default `LATE_SECONDS`.
        """
        self._group = group
        self._late = LATE_SECONDS if late is None else late
        self._since: float | None = None

    def lost(self) -> str:
        """Say why nothing can come any more, if that has been so for a while; empty if something can."""
        if not self._group:
            return ""
        members = {group: cgroups.processes(group) for group in cgroups.subgroups(self._group)}
        running = [group for group, pids in members.items() if not all(map(cgroups.is_stopped, pids))]
        if not all(map(cgroups.frozen, running)):
            self._since = None
            return ""
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since < self._late:
            return ""
        return FROZEN if running else STOPPED if any(members.values()) else ENDED


def has_failed(said: Message) -> bool:
    """Return whether an application says that it cannot go on."""
    return isinstance(said, Failed) and said.by != "surface"


class Channel:
    """The messages of one container on its report channel, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = -1
        self._changed = -1
        self.heard: list[Message] = []

    def listen(self) -> list[Message]:
        """Read new messages, and return all messages so far."""
        changed = self._folder.stat().st_mtime_ns
        if changed != self._changed or (self._folder / f"{self._last + 1:012}").is_symlink():
            self._changed = changed
            for number, message in read_messages(self._folder, self._last):
                self._last = number
                self.heard.append(message)
        return self.heard

    def first(self, wanted: Callable[[Message], bool]) -> Message | None:
        """Return the first of all messages for which `wanted` is true."""
        return next((said for said in self.listen() if wanted(said)), None)

    def wait_for(
        self,
        wanted: Callable[[Message], bool],
        *,
        seconds: float,
        what: str,
        group: str = "",
        late: float | None = None,
    ) -> Message:
        """Wait until `first` finds a message; `group`: the container's, so that a lost one is not waited for.

        `late`: as for `Silence`. An application that cannot go on is lost, too, and that is no fault of a runtime.
        """
        silence = Silence(group, late)

        def probe() -> Message | None:
            lost, failed = silence.lost(), self.first(has_failed)  # first: what is wanted may come meanwhile
            said = self.first(wanted)
            if said is None and failed is not None:
                raise Lost(f"{what} cannot come, since the application failed: {cast(Failed, failed).what}", ours=True)
            if said is None and lost:
                raise Lost(f"{what} cannot come: {lost}")
            return said

        return until(probe, seconds=seconds, what=what)


def late_in(node: Node) -> float:
    """Return the seconds after which a silent container in the node is lost, as for `Silence`."""
    return LATE_SECONDS if node.daemons else SOON_SECONDS


def first_tick(channel: Channel, group: str = "") -> Start:
    """Wait until a new workload ticks; gives its first message. `Lost` if it ends before."""

    def is_start(said: Message) -> bool:
        return isinstance(said, Start)

    def is_tick(said: Message) -> bool:
        return isinstance(said, Beat) and said.n > 0

    what = "the workload's first message"
    start = channel.wait_for(is_start, seconds=READY_SECONDS, what=what, group=group)
    channel.wait_for(is_tick, seconds=READY_SECONDS, what="the first tick", group=group)
    return cast(Start, start)


@dataclass
class Source:
    """The running container that is checkpointed, for one trial after the other while it is healthy."""

    container: Container
    channel: Channel
    nonce: str
    group: str = ""
    """Path of its control group on the host."""
    late: float = LATE_SECONDS
    """As for `Silence`."""
    commands: tuple[Command, ...] = ()
    """The commands that made the container, for the replay of every trial that uses it."""
    ended: bool = False
    """It ended because a restore needed that, or because its trials were over."""
    deleted: bool = False
    crashes_before: Mapping[str, int] = field(default_factory=dict)
    """As `Node.crash_logs`, when it began."""

    def tick_after(self, wall_ns: int, *, seconds: float = TICK_SECONDS) -> Message:
        """Wait up to `seconds` for a report of a tick after `wall_ns`."""
        return self.channel.wait_for(
            lambda said: isinstance(said, Beat) and said.n_wall_ns > wall_ns,
            seconds=seconds,
            what="a tick of the source",
            group=self.group,
            late=self.late,
        )

    def ends(self, *, seconds: float) -> bool:
        """Wait for what a request to end brings, up to `seconds` for each: its last message, and its processes' end."""
        try:
            self.channel.wait_for(lambda said: isinstance(said, Stop), seconds=seconds, what="its stop")
            until(lambda: not cgroups.processes(self.group), seconds=seconds, what="its end")
        except DeadlineExceeded:
            return False
        return True

    def stands_still(self) -> bool:
        """Watch the source for several heartbeats, or for one if the kernel holds it, and return whether none came."""
        known = len(self.channel.listen())
        held = bool(self.group and cgroups.processes(self.group) and cgroups.frozen(self.group))
        wait.moment(time.monotonic() + (FROZEN_SECONDS if held else SILENCE_SECONDS))
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
