"""What a checkpoint tells of itself, as values."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen, Whole


class DiskForm(StrEnum):
    """How the captured root file system tells what was deleted."""

    LIST = "list"
    LAYER = "layer"


class MountPoint(Frozen):
    """A mount of the container, by its runtime specification."""

    target: str
    kind: str
    source: str


class Statistics(Frozen):
    """What CRIU counted while it dumped."""

    freezing_us: Whole
    frozen_us: Whole
    memory_dump_us: Whole
    memory_write_us: Whole
    pages_scanned: Whole
    pages_skipped_parent: Whole
    pages_written: Whole


class TaskState(StrEnum):
    """What a process was doing while it was dumped."""

    RUNNING = "running"
    STOPPED = "stopped"
    ZOMBIE = "zombie"


class Descriptors(Frozen):
    """Open descriptors of a process, counted; two that share one file count twice."""

    total: Whole = Field(description="of every kind, also of those that are not listed here")
    files: Whole | None = Field(description="regular files; null where the images do not tell them from devices")
    pipes: Whole = Field(description="pipes, with a name or without")
    unix_sockets: Whole
    inet_sockets: Whole
    netlink_sockets: Whole
    packet_sockets: Whole
    terminals: Whole


class Task(Frozen):
    """A process of a checkpoint; its name is empty, and a value null, where the images do not tell it."""

    pid: Whole = Field(description="as the process itself sees it")
    parent: Whole | None = Field(description="pid of its parent; null for the first process")
    name: str = Field(description="as the process calls itself: up to 15 bytes, no path")
    state: TaskState | None
    threads: Whole = Field(description="the process's first thread included")
    descriptors: Descriptors | None = Field(description="null also for a zombie, which has none")
    locks: Whole = Field(description="locks on files that it holds")
    mount_namespace: Whole | None = Field(description="number of its mount namespace in the images")

    @property
    def terminal(self) -> bool | None:
        """Whether one of its descriptors is a terminal."""
        return None if self.descriptors is None else self.descriptors.terminals > 0


class Description(Frozen):
    """What a checkpoint tells of itself; a text is empty, and a number null, where it does not."""

    engine: str = Field(default="", description="whose form it has: `podman`, `crio`, `containerd` or `gvisor`")
    container_id: str = ""
    container_name: str = ""
    image: str = ""
    image_id: str = Field(default="", description="identity or digest of the image, as the engine gives it")
    runtime: str = Field(default="", description="the OCI runtime or the shim, as the engine names it")
    created: str = Field(default="", description="when the container was created (RFC 3339)")
    taken: str = Field(default="", description="when the checkpoint was taken (RFC 3339)")
    criu: str = Field(default="", description="version, by its log")
    kernel: str = Field(default="", description="release, by CRIU's log")
    mounts: tuple[MountPoint, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    details: dict[str, str] = Field(default_factory=dict, description="of gVisor: what its own header says")
    disk: DiskForm | None = Field(default=None, description="how the captured root file system tells what was deleted")
    deleted: int | None = Field(default=None, description="entries of the list of deleted files")
    images_bytes: int | None = Field(default=None, description="of CRIU's images, and what lies beside them")
    pages_bytes: int | None = Field(default=None, description="of these, memory pages")
    disk_bytes: int | None = Field(default=None, description="of the captured root file system, as it is stored")
    statistics: Statistics | None = None
