"""Facts about a machine and its programs that may matter for a result."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen


class Accommodation(Frozen):
    """A workaround: a node changes something for a runtime because this machine lacks something."""

    name: str
    lacking: str = Field(description="what the machine lacks, and the evidence")
    change: str = Field(description="what the node changes")


class Component(Frozen):
    """A program, with the version that its binary gives in the node."""

    name: str
    version: str
    sha256: str = Field(
        default="",
        description="of a build of the user's own: digest of the program, or of all files of an install root",
    )
    commit: str = Field(default="", description="of a build out of a Git checkout: what `git describe` says of it")

    @property
    def told(self) -> str:
        """The version, and for a build what tells it from others with this version."""
        own = self.commit or (self.sha256 and f"sha256 {self.sha256[:12]}")
        return f"{self.version} ({own})" if own else self.version

    def __str__(self) -> str:
        return f"{self.name} {self.told}"


class Condition(StrEnum):
    """A fact that holds on some machines only and changes an expectation; features have CRIU's names."""

    LACKS_MEM_DIRTY_TRACK = "kernel lacks mem_dirty_track"
    DECLINES_PASSCRED = "kernel declines SO_PASSCRED for an inet socket"


class HostFacts(Frozen):
    """Facts about the machine that may matter for a result; none of them names the machine."""

    kernel: str
    architecture: str
    cgroups: str = Field(description="`v1`, `v2` or `hybrid`")
    cpus: int
    memory_gib: float
    os: str
    conditions: tuple[Condition, ...] = Field(default=(), description="conditions that probes found to be true")
