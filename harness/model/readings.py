"""Readings of memory and surfaces, and the health of the source container."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from harness.model.outcomes import Stage
from harness.model.values import Frozen, Whole


class SurfaceReading(Frozen):
    """What one surface held, judged from its records: the records of a ring, or the lines of a log."""

    surface: str
    newest: Whole | None = Field(description="newest tick it held; null when it held no record of this workload")
    newest_wall_ns: Whole | None = Field(description="wall clock of that tick; null also for a log without times")
    torn: Whole = Field(default=0, description="records whose checksum does not fit")
    foreign: Whole = Field(default=0, description="whole records of another nonce or in the wrong slot")
    holes: Whole = Field(default=0, description="records missing below the newest, within the ring")
    backwards: Whole = Field(default=0, description="neighbouring records whose wall clock runs backwards")
    repeated: Whole = Field(default=0, description="records that were appended, or lines of a log, that appear again")
    lag: Whole = Field(
        default=1,
        description=(
            "ticks by which it may be behind memory at one instant; more than 1: a log, 0: what is done once, at the "
            "start: a deleted file, or one that is written and never again"
        ),
    )
    damaged: str = Field(default="", description="why an application calls its files damaged; empty: it does not")


class Witness(StrEnum):
    """Who took a reading."""

    RESTORED = "restored"
    OFFLINE = "offline"
    RECOVERED = "recovered"
    AFTERWARDS = "afterwards"
    SOURCE = "source"


class Reading(Frozen):
    """What memory and each surface held at one moment; surfaces are in writing order."""

    witness: Witness
    nonce: str
    counter: Whole
    counter_wall_ns: Whole
    surfaces: tuple[SurfaceReading, ...]


class Aspect(StrEnum):
    """What a fact about a container is about; the worst one to lose is first."""

    CONFINEMENT = "confinement"
    LIMITS = "limits"
    IDENTITY = "identity"
    DESCRIPTORS = "descriptors"
    SIGNALS = "signals"
    NETWORK = "network"


class Difference(Frozen):
    """A fact that the kernel tells of the source's container and not of the restored one, or otherwise."""

    aspect: Aspect
    process: Whole | None = Field(description="process id inside the container; null: of the whole container")
    fact: str = Field(description="as in the reference of facts, with what it is about: `mount /proc/kcore`")
    before: str = Field(description="of the source; empty: there was none")
    after: str = Field(description="of the restored container; empty: there is none")
    weaker: bool = Field(description="the restored container is less confined, or has a looser limit")
    workaround: str = Field(
        default="", description="name of the workaround of this machine that causes it; empty: none does"
    )

    def __str__(self) -> str:
        whose = "" if self.process is None else f" of process {self.process}"
        told = f"{self.fact}{whose}: {self.before or 'none'} before, {self.after or 'none'} after"
        return f"less confined: {told}" if self.less_confined else told

    @property
    def less_confined(self) -> bool:
        """Whether the restored container is less confined."""
        return self.weaker and self.aspect is Aspect.CONFINEMENT


class Sameness(Frozen):
    """The source's container and the restored one, compared."""

    compared: Whole = Field(description="number of facts that were compared")
    differences: tuple[Difference, ...] = ()
    uncompared: tuple[str, ...] = Field(default=(), description="what could not be compared, and why")

    @property
    def altered(self) -> tuple[Difference, ...]:
        """The differences that no workaround causes, the worst first."""
        told = (each for each in self.differences if not each.workaround)
        return tuple(sorted(told, key=lambda each: (not each.less_confined, list(Aspect).index(each.aspect))))


MOST_DIFFERENCES = 3
"""Differences that a sentence tells; it counts the others."""


def altered(differences: Sequence[Difference]) -> str:
    """Say how a restored container differs from the source."""
    more = f"; and {len(differences) - MOST_DIFFERENCES} more" if len(differences) > MOST_DIFFERENCES else ""
    return "the restored container is not the same: " + "; ".join(map(str, differences[:MOST_DIFFERENCES])) + more


class Skew(Frozen):
    """Distance of a surface from memory: positive when the disk is ahead of memory."""

    witness: Witness
    surface: str
    ticks: Whole | None = Field(description="null when the surface held nothing to compare")
    microseconds: float | None


class GivesUp(StrEnum):
    """How a client gives up on its call."""

    DEADLINE = "deadline"
    KILLED = "killed"


class Leftover(StrEnum):
    """What an abandoned checkpoint left of its archive."""

    WHOLE = "whole"
    PARTIAL = "partial"
    GONE = "gone"


class Aftermath(Frozen):
    """How the source went on after a live checkpoint that was broken off; null: not observed."""

    frozen: bool | None = Field(default=None, description="read from the kernel's freezer, not from the runtime")
    ticking: bool | None = None
    state: str = Field(default="", description="the container's state, according to its runtime")
    archive: Leftover | None = Field(
        default=None, description="null where a client writes the archive itself, and gave up"
    )
    repair: str = Field(default="", description="the command that made the source go on")


class Abandoned(Aftermath):
    """A live checkpoint whose client gave up before it was done, and how the source went on."""

    how: GivesUp = Field(description="`deadline`: it ends the call; `killed`: it ends without a word")
    after_us: Whole = Field(description="microseconds from the begin of the call until the client gave up")
    whole_us: Whole = Field(description="microseconds that a whole call took")


class Fault(Aftermath):
    """A live checkpoint in the middle of which something failed, and how the source went on."""

    what: str = Field(description="what failed: the program that was killed, or the folder that was full or read-only")
    stage: Stage | None = Field(description="how far the checkpoint was; `restore`: the restore; null: from its begin")
    said: str = Field(description="the error that the call ended with; empty: it was reported as done")


class Canary(StrEnum):
    """Where in a container a word is that nobody else should see."""

    MEMORY = "memory"
    FILE = "file"
    ENVIRONMENT = "environment"
    ARGUMENT = "argument"


class Secret(Frozen):
    """A file of the node in which a checkpoint has put canaries of its container."""

    place: str = Field(description="path in the node, with `*` for what is another name each time")
    holds: tuple[Canary, ...]
    mode: str = Field(description="permission bits, octal")
    owner: str = Field(description="user id:group id")
    exposed: bool = Field(description="others can read it: the file, and the folders above it permit it")
    stays: bool = Field(description="it is still there after the checkpoint and the restored container were removed")


class Rival(StrEnum):
    """What somebody else asks for during a live checkpoint."""

    CHECKPOINT = "checkpoint"
    PAUSE = "pause"
    STOP = "stop"
    DELETE = "delete"


class Concurrent(Frozen):
    """One of two requests for a container at the same time."""

    what: Rival
    declined: str = Field(default="", description="why it was declined; empty if it was done")
    archive: Leftover | None = Field(default=None, description="for a checkpoint that was done")


class SourceHealth(Frozen):
    """How the source container went on after its live checkpoint; null means not observed."""

    ticking: bool | None = None
    frozen: bool | None = Field(default=None, description="read from the kernel's freezer, not from the runtime")
    same_nonce: bool | None = None
    lost_ticks: Whole | None = Field(
        default=None, description="ticks by which its own disk and memory differ, at least 1 if they differ"
    )
    longest_gap_us: float | None = None
    kept_pause: bool | None = Field(default=None, description="it was still paused, as its user had left it")
    stops: bool | None = Field(default=None, description="it ended when it was asked to")
