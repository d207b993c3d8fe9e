"""Cells of the matrix, and the settings of a run."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen, Name, NameOrNothing


class FreezePolicy(StrEnum):
    """Who holds the container still while memory and disk are taken."""

    NONE = "none"
    ENGINE = "engine"
    PAUSE = "pause"
    CGROUP = "cgroup"
    HOOK = "hook"


class SurfaceKind(StrEnum):
    """How the container gets the file that carries the counter; `stdout` is what it prints, `memory` its own memory."""

    ADDED = "added"
    IMAGE = "image"
    DELETED = "deleted"
    NAMED_VOLUME = "named-volume"
    ANONYMOUS_VOLUME = "anonymous-volume"
    BIND = "bind"
    TMPFS = "tmpfs"
    SHM = "shm"
    STDOUT = "stdout"
    MEMORY = "memory"


class Scenario(StrEnum):
    """The question that a cell asks."""

    LIVE = "live"
    PAUSED = "paused"
    GENERATIONS = "generations"
    GROUP = "group"
    GROUP_AT_ONCE = "group-at-once"
    POD = "pod"
    POD_FROZEN = "pod-frozen"
    ABANDONED = "abandoned"
    CONCURRENT = "concurrent"
    KILLED_CRIU = "killed-criu"
    KILLED_RUNTIME = "killed-runtime"
    KILLED_SHIM = "killed-shim"
    KILLED_DAEMON = "killed-daemon"
    DISK_FULL = "disk-full"
    READ_ONLY = "read-only"
    SECRETS = "secrets"
    INCREMENTAL = "incremental"
    MAPPED = "mapped"
    TRANSLATED = "translated"
    KEEP = "keep"
    KEPT = "kept"

    @property
    def as_it_is(self) -> bool:
        """Whether the scenario restores a live checkpoint unchanged."""
        return self in (Scenario.LIVE, Scenario.KEPT)

    @property
    def overlaps(self) -> bool:
        """Whether something happens in the middle of a request, which a list of commands cannot show."""
        return self in (Scenario.GROUP_AT_ONCE, Scenario.ABANDONED, Scenario.CONCURRENT, *KILLS)


KILLS = (Scenario.KILLED_CRIU, Scenario.KILLED_RUNTIME, Scenario.KILLED_SHIM, Scenario.KILLED_DAEMON)
"""Scenarios in which a program that takes part in a live checkpoint is killed."""
FAULTS = (*KILLS, Scenario.DISK_FULL, Scenario.READ_ONLY)
"""Scenarios in which something fails in the middle of a live checkpoint."""

VARIANT = "+"
"""Between the name of a stack and that of a variant, in which builds of the user's own replace its programs."""


def base_of(stack: str) -> str:
    """Return the stack that a variant is made of: `debian-sid` for `debian-sid+mine`."""
    return stack.partition(VARIANT)[0]


class Participant(Frozen):
    """A runtime from a stack: `runc@debian-sid`, or from a variant of it: `runc@debian-sid+mine`.

    Versions are captured data, not part of its identity.
    """

    runtime: Name
    stack: Name

    def __str__(self) -> str:
        return f"{self.runtime}@{self.stack}"

    @property
    def variant(self) -> str:
        """Name of the variant of the stack; empty for the stack itself."""
        return self.stack.partition(VARIANT)[2]

    def of(self, variant: str) -> Participant:
        """Return the same runtime in a variant of its stack; an empty name means the stack itself."""
        return self.model_copy(update={"stack": f"{base_of(self.stack)}{VARIANT * bool(variant)}{variant}"})


class Cell(Frozen):
    """One square of the matrix: the workload, the freeze policy, who checkpoints and who restores."""

    workload: Name
    policy: FreezePolicy
    checkpoint: Participant
    restore: Participant
    way: NameOrNothing = Field(
        default="", description="how the runtime is used, in the adapter's words; empty: the default way"
    )
    scenario: Scenario = Scenario.LIVE

    @property
    def id(self) -> str:
        """Stable id for the command line: `ledger.none.runc@debian-sid`, `ledger.pause.docker/runc@host+commit`."""
        return self._named(f"{self.workload}.{self.policy}")

    @property
    def question(self) -> str:
        """The id without the freeze policy: cells that share it differ in the policy alone."""
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
    def base(self) -> Cell:
        """The same cell of the unmodified stacks."""
        return self.of("", "")

    def of(self, checkpoint: str, restore: str) -> Cell:
        """Return the same cell in variants of its stacks; an empty name means the stack itself."""
        both = {"checkpoint": self.checkpoint.of(checkpoint), "restore": self.restore.of(restore)}
        return self.model_copy(update=both)

    @property
    def slug(self) -> str:
        """The id as a file name."""
        return self.id.replace("/", "_").replace(":", "_")


class CgroupVersion(StrEnum):
    """The cgroup version at /sys/fs/cgroup in a node, which decides the freezer that the harness writes."""

    V1 = "v1"
    V2 = "v2"


class Settings(Frozen):
    """Settings of the experiment, the same for all cells of a run."""

    period_us: int = Field(default=100, ge=0, le=10_000_000, description="pause between two ticks; 0: no pause")
    ring: int = Field(default=65536, ge=4, le=1 << 20, description="records per surface")
    cgroups: CgroupVersion = CgroupVersion.V2
