"""What a checkpoint tells of itself: documents and tables that lie beside its memory and its disk.

Nothing is taken out of an environment: secrets are in there. Sources of the formats: checkpointctl's lib/metadata.go,
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
"""Annotation by which CRI-O's specifications are known."""
RUNTIME = "io.containerd.checkpoint.runtime"
IMAGE_NAME = "org.opencontainers.image.ref.name"
SANDBOX_MAGIC = b"gVisorSF"
LOG_HEAD = 64 << 10
"""Bytes of CRIU's log in which it says who it is."""
MOST_METADATA = 1 << 20

_VERSION = re.compile(rb"^\([0-9.]+\) Version: (\S{1,100})", re.MULTILINE)
_KERNEL = re.compile(rb"^\([0-9.]+\) Running on \S+ Linux (\S{1,100})", re.MULTILINE)
_LENGTH = struct.Struct(">Q")


def statistics(folder: Path) -> Statistics | None:
    """What CRIU counted, if that lies somewhere in the folder of a checkpoint; None for what cannot be read."""
    for path in sorted(path for path in everything_below(folder) if path.name == STATISTICS):
        with contextlib.suppress(Unreadable):
            found: Statistics | None = of_criu(path, Budget()).get("statistics")
            return found
    return None


def engine_of(folder: Path) -> str:
    """Whose archive it is that is unpacked in the folder; empty if it is of an engine that is not known."""
    config, spec = (_document(folder, name) for name in (CONFIG, SPEC))
    if "rootfsImageID" in config:
        return "podman"
    if there(folder, STATUS):
        return "containerd"
    return "crio" if GIVEN in part(spec, "annotations") else ""


def of_archive(folder: Path, budget: Budget) -> Description:
    """An archive of Podman, CRI-O or containerd, of which these documents are unpacked in the folder."""
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
    """A checkpoint image of containerd: its index, and the blob with the container's specification."""
    told = part(index, "annotations")
    try:
        spec = {"config": json.loads(Packed.FromString(config).value) if config else {}}
    except (DecodeError, ValueError, RecursionError) as error:
        raise Unreadable(f"the container's specification in it is damaged: {error}") from error
    return Description(
        engine="containerd", image=text(told, IMAGE_NAME), runtime=text(told, RUNTIME), **_of_spec(part(spec, "config"))
    )


def of_sandbox(state: Path) -> Description:
    """A sandbox of gVisor's: the header of its state tells a little."""
    with open_regular(state) as descriptor:
        head = pread(descriptor, len(SANDBOX_MAGIC) + _LENGTH.size, 0)
        if not head.startswith(SANDBOX_MAGIC) or len(head) < len(SANDBOX_MAGIC) + _LENGTH.size:
            raise Unreadable(f"{state.name} is no state of a gVisor sandbox: it begins with {head[:8].hex(' ')!r}")
        (size,) = _LENGTH.unpack(head[len(SANDBOX_MAGIC) :])
        if size > MOST_METADATA:
            raise Unreadable(f"{state.name} has a header of {size:,} bytes, where {MOST_METADATA:,} are credible")
        data = pread(descriptor, size, len(head))
    try:
        told = {"header": json.loads(data)}
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{state.name} has a damaged header: {error}") from error
    return Description(engine="gvisor", details=texts(told, "header"))


def of_criu(path: Path, budget: Budget) -> dict[str, Any]:
    """Fields out of CRIU's log, or its statistics."""
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
    """A document of an archive; empty if it is not in there."""
    path = there(folder, name)
    return document(path) if path else {}
