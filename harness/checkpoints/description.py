"""What a checkpoint says about itself: the documents and tables beside its memory and its disk.

Environments are never read, because they hold secrets. Sources of the formats: checkpointctl's lib/metadata.go,
Podman's libpod/container_config.go, containerd's container_checkpoint_opts.go, CRIU's images/stats.proto, and gVisor's
pkg/state/statefile.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError

from harness.checkpoints.criu import image
from harness.checkpoints.documents import (
    CONFIG,
    DELETED,
    LOG,
    SPEC,
    STATISTICS,
    STATUS,
    document,
    listed,
    part,
    parts,
    text,
    texts,
    there,
)
from harness.checkpoints.untrusted import Budget, Unreadable, everything_below, open_regular, pread
from harness.model.description import Description, MountPoint, Statistics

GIVEN = "io.kubernetes.cri-o.Annotations"
"""Annotation that identifies CRI-O's specifications."""
RUNTIME = "io.containerd.checkpoint.runtime"
IMAGE_NAME = "org.opencontainers.image.ref.name"
SANDBOX_MAGIC = b"gVisorSF"
LOG_HEAD = 64 << 10
"""Bytes at the beginning of CRIU's log that contain its version."""
MOST_METADATA = 1 << 20

_VERSION = re.compile(rb"^\([0-9.]+\) Version: (\S{1,100})", re.MULTILINE)
_KERNEL = re.compile(rb"^\([0-9.]+\) Running on \S+ Linux (\S{1,100})", re.MULTILINE)
_LENGTH = struct.Struct(">Q")


def statistics(folder: Path) -> Statistics | None:
    """Read CRIU's statistics from anywhere in the folder of a checkpoint; None if absent or unreadable."""
    for path in sorted(path for path in everything_below(folder) if path.name == STATISTICS):
        with contextlib.suppress(Unreadable):
            found: Statistics | None = of_criu(path, Budget()).get("statistics")
            return found
    return None


def engine_of(folder: Path) -> str:
    """Return the engine whose archive is unpacked in the folder; empty for an unknown engine."""
    config, spec = (_document(folder, name) for name in (CONFIG, SPEC))
    if "rootfsImageID" in config:
        return "podman"
    if there(folder, STATUS):
        return "containerd"
    return "crio" if GIVEN in part(spec, "annotations") else ""


def of_archive(folder: Path, budget: Budget) -> Description:
    """Describe an archive of Podman, CRI-O or containerd, whose documents are unpacked in the folder."""
    config, spec = (_document(folder, name) for name in (CONFIG, SPEC))
    removed = there(folder, DELETED)
    told = {
        key: value
        for name in (LOG, STATISTICS)
        if (path := there(folder, name))
        for key, value in of_criu(path, budget).items()
    }
    return Description(
        engine=engine_of(folder),
        container_id=text(config, "id"),
        container_name=text(config, "name"),
        image=text(config, "rootfsImageName") or text(config, "rootfsImage"),
        image_id=text(config, "rootfsImageID") or text(config, "rootfsImageRef"),
        runtime=text(config, "runtime"),
        created=text(config, "createdTime"),
        taken=text(config, "checkpointedTime"),
        deleted=len(listed(removed)) if removed else None,
        **_of_spec(spec),
        **told,
    )


def of_index(index: Mapping[str, Any], config: bytes | None) -> Description:
    """Describe a checkpoint image of containerd, from its index and the blob with the container's specification."""
    told = part(index, "annotations")
    try:
        spec = {"config": json.loads(Packed.FromString(config).value) if config else {}}
    except (DecodeError, ValueError, RecursionError) as error:
        raise Unreadable(f"its specification of the container is damaged: {error}") from error
    return Description(
        engine="containerd", image=text(told, IMAGE_NAME), runtime=text(told, RUNTIME), **_of_spec(part(spec, "config"))
    )


def of_sandbox(state: Path) -> Description:
    """Describe a gVisor sandbox, from the header of its state."""
    with open_regular(state) as descriptor:
        head = pread(descriptor, len(SANDBOX_MAGIC) + _LENGTH.size, 0)
        if not head.startswith(SANDBOX_MAGIC) or len(head) < len(SANDBOX_MAGIC) + _LENGTH.size:
            raise Unreadable(f"{state.name} is not the state of a gVisor sandbox: it begins with {head[:8].hex(' ')!r}")
        (size,) = _LENGTH.unpack(head[len(SANDBOX_MAGIC) :])
        if size > MOST_METADATA:
            raise Unreadable(f"{state.name} has a header of {size:,} bytes, more than the limit of {MOST_METADATA:,}")
        data = pread(descriptor, size, len(head))
    try:
        told = {"header": json.loads(data)}
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{state.name} has a damaged header: {error}") from error
    return Description(engine="gvisor", details=texts(told, "header"))


def of_criu(path: Path, budget: Budget) -> dict[str, Any]:
    """Read the fields of CRIU's log, or of its statistics."""
    if path.name == LOG:
        with open_regular(path) as descriptor:
            head = pread(descriptor, LOG_HEAD, 0)
        said = {"criu": _VERSION.search(head), "kernel": _KERNEL.search(head)}
        return {name: each[1].decode(errors="replace") for name, each in said.items() if each}
    for dump in (each.dump for each in image.read(path, image.STATISTICS, budget) if each.HasField("dump")):
        return {
            "statistics": Statistics(
                freezing_us=dump.freezing_time,
                frozen_us=dump.frozen_time,
                memory_dump_us=dump.memdump_time,
                memory_write_us=dump.memwrite_time,
                pages_scanned=dump.pages_scanned,
                pages_skipped_parent=dump.pages_skipped_parent,
                pages_written=dump.pages_written,
            )
        }
    return {}


def _of_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    mounts = (
        MountPoint(target=text(each, "destination"), kind=text(each, "type"), source=text(each, "source"))
        for each in parts(spec, "mounts")
    )
    return {"mounts": tuple(mounts), "annotations": texts(spec, "annotations")}


def _document(folder: Path, name: str) -> dict[str, Any]:
    """Read a document of an archive; empty if the archive does not have it."""
    path = there(folder, name)
    return document(path) if path else {}
