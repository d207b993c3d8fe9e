"""What a checkpoint says about itself, as values."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model.values import Frozen, Whole


class DiskForm(StrEnum):
    """How the captured root file system records deleted files."""

    LIST = "list"
    LAYER = "layer"


class MountPoint(Frozen):
    """A mount of the container, as its runtime specification lists it."""

    target: str
    kind: str
    source: str


class Statistics(Frozen):
    """What CRIU measured and counted during the dump."""

    freezing_us: Whole
    frozen_us: Whole
    memory_dump_us: Whole
    memory_write_us: Whole
    pages_scanned: Whole
    pages_skipped_parent: Whole
    pages_written: Whole


class TaskState(StrEnum):
    """The state of a process at the dump."""

    RUNNING = "running"
    STOPPED = "stopped"
    ZOMBIE = "zombie"


class Descriptors(Frozen):
    """Numbers of open descriptors of a process; two descriptors of one file count twice."""

    total: Whole = Field(description="descriptors of every kind, including kinds that are not listed here")
    files: Whole | None = Field(description="regular files; null if the images do not distinguish them from devices")
    pipes: Whole = Field(description="pipes, named or not")
    unix_sockets: Whole
    inet_sockets: Whole
    netlink_sockets: Whole
    packet_sockets: Whole
    terminals: Whole


class Task(Frozen):
    """A process in a checkpoint; a name is empty and another value is null if the images do not contain it."""

    pid: Whole = Field(description="pid that the process itself sees")
    parent: Whole | None = Field(description="pid of its parent; null for the first process")
    name: str = Field(description="name that the process gives itself: up to 15 bytes, no path")
    state: TaskState | None
    threads: Whole = Field(description="number of threads, including the first")
    descriptors: Descriptors | None = Field(description="null also for a zombie, which has no descriptors")
    locks: Whole = Field(description="file locks that the process holds")
    mount_namespace: Whole | None = Field(description="number of its mount namespace in the images")

    @property
    def terminal(self) -> bool | None:
        """Whether one of its descriptors is a terminal."""
        return None if self.descriptors is None else self.descriptors.terminals > 0


class Description(Frozen):
    """What a checkpoint says about itself; a text is empty and a number is null if the checkpoint does not say it."""

    engine: str = Field(
        default="", description="engine that writes this form: `podman`, `crio`, `containerd` or `gvisor`"
    )
    container_id: str = ""
    container_name: str = ""
    image: str = ""
    image_id: str = Field(default="", description="id or digest of the image, as the engine gives it")
    runtime: str = Field(default="", description="OCI runtime or shim, as the engine names it")
    created: str = Field(default="", description="when the container was created (RFC 3339)")
    taken: str = Field(default="", description="when the checkpoint was taken (RFC 3339)")
    criu: str = Field(default="", description="CRIU's version, from its log")
    kernel: str = Field(default="", description="kernel release, from CRIU's log")
    mounts: tuple[MountPoint, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    details: dict[str, str] = Field(default_factory=dict, description="for gVisor: the fields of its own header")
    disk: DiskForm | None = Field(default=None, description="how the captured root file system records deleted files")
    deleted: int | None = Field(default=None, description="entries in the list of deleted files")
    images_bytes: int | None = Field(default=None, description="size of CRIU's images and of the files beside them")
    pages_bytes: int | None = Field(default=None, description="the part of `images_bytes` that is memory pages")
    disk_bytes: int | None = Field(default=None, description="size of the captured root file system, as stored")
    statistics: Statistics | None = None
