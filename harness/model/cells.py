"""Cells of the matrix, and what a user may set about a run of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen


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


class Settings(Frozen):
    """What a user may set about the experiment, the same for all cells of a run."""

    period_us: int = Field(default=100, ge=0, le=10_000_000, description="pause between two ticks; 0: none")
    ring: int = Field(default=65536, ge=4, le=1 << 20, description="records per surface")
    cgroups: CgroupVersion = CgroupVersion.V2
