"""Readings of memory and surfaces, and the health of the source container."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

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


class Abandoned(Frozen):
    """A live checkpoint whose client gave up before it was done, and how the source went on; null: not observed."""

    how: GivesUp = Field(description="`deadline`: it ends the call; `killed`: it ends without a word")
    after_us: Whole = Field(description="microseconds from the begin of the call until the client gave up")
    whole_us: Whole = Field(description="microseconds that a whole call took")
    frozen: bool | None = Field(default=None, description="read from the kernel's freezer, not from the runtime")
    ticking: bool | None = None
    state: str = Field(default="", description="the container's state, according to its runtime")
    archive: Leftover | None = Field(default=None, description="null where the client itself writes the archive")
    repair: str = Field(default="", description="the command that made the source go on")


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
