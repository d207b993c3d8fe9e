"""What a checkpoint tells of itself, as values."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.model import Frozen, Whole


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
