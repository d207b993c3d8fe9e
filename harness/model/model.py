"""The vocabulary: frozen values that every room shares.

Times are nanoseconds since the epoch on the machine's wall clock unless a name says otherwise, because
they are compared with instants that the workload recorded. Ticks are counts.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
"""A number that any program can hold, and that has a float near it."""


class Frozen(BaseModel):
    """A value: immutable, compared by content, strict about unknown fields and about numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FreezePolicy(StrEnum):
    """Who holds the container still while memory and disk are taken."""

    NONE = "none"
    ENGINE = "engine"
    PAUSE = "pause"
    CGROUP = "cgroup"
    HOOK = "hook"


class SurfaceKind(StrEnum):
    """How the file that carries the counter comes to be in the container; `stdout` is what the workload prints."""

    ADDED = "added"
    IMAGE = "image"
    DELETED = "deleted"
    NAMED_VOLUME = "named-volume"
    ANONYMOUS_VOLUME = "anonymous-volume"
    BIND = "bind"
    TMPFS = "tmpfs"
    SHM = "shm"
    STDOUT = "stdout"


class Scenario(StrEnum):
    """The question that a cell asks."""

    LIVE = "live"
    PAUSED = "paused"
    GENERATIONS = "generations"
    INCREMENTAL = "incremental"
    MAPPED = "mapped"
    TRANSLATED = "translated"
    KEEP = "keep"
    KEPT = "kept"

    @property
    def as_it_is(self) -> bool:
        """Whether what is restored is a live checkpoint, unchanged."""
        return self in (Scenario.LIVE, Scenario.KEPT)


class Outcome(StrEnum):
    """What a trial found, mildest first; `severity` orders them."""

    CONSISTENT = "consistent"
    NOT_CAPTURED = "not-captured"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    VACUOUS = "vacuous"
    INCONSISTENT = "inconsistent"
    COLD_START = "cold-start"
    CHECKPOINT_FAILED = "checkpoint-failed"
    RESTORE_FAILED = "restore-failed"
    SOURCE_HARMED = "source-harmed"
    CHECKPOINT_BROKEN = "checkpoint-broken"
    LEAKED = "leaked"
    HUNG = "hung"
    HARNESS_ERROR = "harness-error"
    MISSING = "missing"

    @property
    def severity(self) -> int:
        """Position in the order of severity, 0 the mildest."""
        return list(Outcome).index(self)

    @property
    def violates(self) -> bool | None:
        """Whether a trial with it convicts its cell; null where it proves nothing either way."""
        if self in (Outcome.CONSISTENT, Outcome.NOT_CAPTURED):
            return False
        silent = (Outcome.REFUSED, Outcome.UNSUPPORTED, Outcome.VACUOUS, Outcome.HARNESS_ERROR, Outcome.MISSING)
        return None if self in silent else True


class Anomaly(StrEnum):
    """In which way memory and disk fail to be one instant."""

    DISK_AHEAD = "disk-ahead"
    DISK_BEHIND = "disk-behind"
    TORN = "torn"
    SURFACES_DISAGREE = "surfaces-disagree"
    TIME_BACKWARDS = "time-backwards"
    ORDER_BROKEN = "order-broken"
    RECORD_LOST = "record-lost"
    RECORD_REPEATED = "record-repeated"


class Stage(StrEnum):
    """A step of a trial, in the order of happening; each has a deadline and a span on the timeline."""

    PREPARE = "prepare"
    START = "start"
    FREEZE = "freeze"
    CHECKPOINT = "checkpoint"
    CAPTURE = "capture"
    THAW = "thaw"
    RESTORE = "restore"
    READ = "read"
    STOP = "stop"
    CLEAN_UP = "clean-up"
    AUDIT = "audit"


class Participant(Frozen):
    """A runtime out of a stack: `runc@debian-sid`. Versions are captured data, not identity."""

    runtime: str
    stack: str

    def __str__(self) -> str:
        return f"{self.runtime}@{self.stack}"


class Cell(Frozen):
    """One square of the matrix: who checkpoints what, held still by whom, and who restores."""

    workload: str
    policy: FreezePolicy
    checkpoint: Participant
    restore: Participant
    way: str = Field(default="", description="how the runtime is used, by the adapter's word; empty: its plain way")
    scenario: Scenario = Scenario.LIVE

    @property
    def id(self) -> str:
        """Stable, usable on a command line: `ledger.none.runc@debian-sid`, `ledger.pause.docker/runc@host+commit`."""
        return self._named(f"{self.workload}.{self.policy}")

    @property
    def question(self) -> str:
        """The id without the policy: cells that share it differ in nothing but who holds still."""
        return self._named(self.workload)

    def _named(self, what: str) -> str:
        both = str(self.checkpoint)
        if self.restore != self.checkpoint:
            both += f"~{self.restore}"
        if self.way:
            both += f"+{self.way}"
        asked = f"{self.scenario}:" if self.scenario is not Scenario.LIVE else ""
        return f"{asked}{what}.{both}"

    @property
    def slug(self) -> str:
        """The id as a file name."""
        return self.id.replace("/", "_").replace(":", "_")


class CgroupVersion(StrEnum):
    """What a node's runtimes see at /sys/fs/cgroup, and so which freezer the harness writes."""

    V1 = "v1"
    V2 = "v2"


class Accommodation(Frozen):
    """What a node changes for a runtime because this machine lacks something; a result under it has crutches."""

    name: str
    lacking: str = Field(description="what the machine lacks, and the evidence")
    change: str = Field(description="what is done about it")


class Settings(Frozen):
    """What a user may set about the experiment, the same for all cells of a run."""

    period_us: int = Field(default=100, ge=0, le=10_000_000, description="pause between two ticks; 0: none")
    ring: int = Field(default=65536, ge=4, le=1 << 20, description="records per surface")
    cgroups: CgroupVersion = CgroupVersion.V2


class Component(Frozen):
    """A part whose version was read from the binary itself, in the node."""

    name: str
    version: str


class SurfaceReading(Frozen):
    """What one surface held, judged from its records: those of a ring, or the lines of a log."""

    surface: str
    newest: Whole | None = Field(description="newest tick it held; null when it held no record of this workload")
    newest_wall_ns: Whole | None = Field(description="wall clock of that tick; null also where a log does not tell it")
    torn: Whole = Field(default=0, description="records whose checksum does not fit")
    foreign: Whole = Field(default=0, description="whole records of another nonce or in the wrong slot")
    holes: Whole = Field(default=0, description="records missing below the newest, within the ring")
    backwards: Whole = Field(default=0, description="neighbouring records whose wall clock runs backwards")
    repeated: Whole = Field(default=0, description="lines of a log that it held before")
    lag: Whole = Field(
        default=1,
        description="ticks by which it may be behind memory at one instant; more than 1: a log, 0: a deletion undone",
    )


class Witness(StrEnum):
    """Who took a reading."""

    RESTORED = "restored"
    OFFLINE = "offline"
    SOURCE = "source"


class Reading(Frozen):
    """What memory said and what each surface said, at one moment; surfaces in writing order."""

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


class Span(Frozen):
    """A stretch of the trial's timeline; an instant when both ends are equal."""

    name: str
    start_ns: Whole
    end_ns: Whole


class Command(Frozen):
    """A command as it ran, or a file as it was written (`argv` empty), in order; can be pasted."""

    argv: tuple[str, ...] = ()
    where: str = Field(description="`host`, or the node's stack")
    stage: Stage
    runtime: bool = Field(default=False, description="a command of the runtime under test itself")
    cwd: str = "/"
    write_path: str | None = None
    write_text: str | None = None
    write_mode: int | None = Field(
        default=None, description="of a file that was made; null for a setting of the kernel"
    )
    detached: bool = Field(default=False, description="its streams were /dev/null, since a container inherits them")
    background: bool = Field(default=False, description="a daemon, which was not waited for")
    exit_code: int | None = Field(default=None, description="negative: ended by that signal; null: not finished")
    start_ns: Whole
    seconds: float
    stdout: str = ""
    stderr: str = ""


class Schedule(Frozen):
    """When the checkpoint was asked for: planned from the seed, and as it came out."""

    seed: int
    planned_delay_us: Whole
    realised_delay_us: Whole | None = None


class SourceHealth(Frozen):
    """How the container went on after its live checkpoint; null where it was not observed."""

    ticking: bool | None = None
    frozen: bool | None = Field(default=None, description="read from the kernel's freezer, not from the runtime")
    same_nonce: bool | None = None
    lost_ticks: Whole | None = Field(
        default=None, description="by which its own disk and memory differ, at least 1 if they do"
    )
    longest_gap_us: float | None = None
    kept_pause: bool | None = Field(default=None, description="it was still paused, as its user had left it")
    stops: bool | None = Field(default=None, description="it answered when it was asked to end")


class Condition(StrEnum):
    """What is true of some machines only and decides what a cell should be; features have the names that CRIU uses."""

    LACKS_MEM_DIRTY_TRACK = "kernel lacks mem_dirty_track"


class HostFacts(Frozen):
    """What of the machine may matter for a result; nothing that names it."""

    kernel: str
    architecture: str
    cgroups: str = Field(description="`v1`, `v2` or `hybrid`")
    cpus: int
    memory_gib: float
    os: str
    conditions: tuple[Condition, ...] = Field(default=(), description="those that are true of it, found by probes")


class Verdict(Frozen):
    """What was found, at which stage, and why in one sentence."""

    outcome: Outcome
    stage: Stage | None = None
    reason: str
    anomalies: tuple[Anomaly, ...] = ()
    also: tuple[Outcome, ...] = Field(default=(), description="milder findings of the same trial, worst first")

    @property
    def found(self) -> tuple[Outcome, ...]:
        """Everything that was found, worst first."""
        return (self.outcome, *self.also)


class Refusal(Frozen):
    """How well a restore was declined."""

    early: bool = Field(description="before anything was begun that loads memory: CRIU, or a sandbox")
    named: tuple[str, ...] = Field(description="facts that differ, where both sides were named")

    @property
    def clear(self) -> bool:
        """Whether it is one that a user can do something with."""
        return self.early and bool(self.named)


class Answer(StrEnum):
    """Of a prediction."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Prediction(Frozen):
    """Whether a checkpoint will be restored somewhere, told from its files and from the versions there."""

    answer: Answer
    reasons: tuple[str, ...] = ()


class ControlKind(StrEnum):
    """What part a trial has in the instrument's own proof."""

    CANARY = "canary"
    CONTROL = "control"
    MUTANT = "mutant"
    NEUTRAL = "neutral"


class Control(Frozen):
    """A trial in which something is broken on purpose, and what must be found; or the harmless neighbour of one."""

    name: str
    cell: Cell
    kind: ControlKind = ControlKind.CONTROL
    what: str = Field(default="", description="what is done, in words")
    outcome: Outcome
    anomaly: Anomaly | None = None
    signature: str = Field(default="", description="regular expression that the verdict's reason has to match")

    @property
    def id(self) -> str:
        """Its name, as in records: of a neighbour `NAME.neutral`."""
        return f"{self.name}.neutral" if self.kind is ControlKind.NEUTRAL else self.name

    def seen_in(self, verdict: Verdict) -> bool:
        """Whether a verdict says what it has to say; a breakdown of our own is no detection unless it is the point."""
        if self.kind is ControlKind.NEUTRAL:
            return verdict.outcome is Outcome.CONSISTENT
        broke_down = verdict.outcome is Outcome.HARNESS_ERROR is not self.outcome
        return (
            self.outcome in verdict.found
            and not broke_down
            and (self.anomaly is None or self.anomaly in verdict.anomalies)
            and bool(re.search(self.signature, verdict.reason))
        )


SchemaVersion = Annotated[int, Field(ge=1)]
