"""Changes of an engine's exported archive: breaking ones for mutants, and harmless ones for their neighbours.

An archive is written again member by member, with the same headers.
"""

from __future__ import annotations

import fnmatch
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.checkpoints.criu import image
from harness.oracle.ring import RECORD
from scenarios.controls import changes, sameness
from scenarios.controls.changes import Files

ROOT = "rootfs-diff.tar"
NEWER = 4
"""Version of images that no CRIU writes."""

Edit = Callable[[str, bytes], bytes | None]
"""Gives a member's new content by its name and old content; None leaves the member out."""


def _archive(files: Files) -> Path:
    return files.folder / "checkpoint.tar"


def _edited(data: bytes, edit: Edit) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as read, tarfile.open(fileobj=out, mode="w") as made:
        for member in read:
            content = read.extractfile(member) if member.isreg() else None
            if content is None:
                made.addfile(member)
                continue
            new = edit(member.name.removeprefix("./"), content.read())
            if new is not None:
                member.size = len(new)
                made.addfile(member, io.BytesIO(new))
    return out.getvalue()


def _rewrite(files: Files, edit: Edit) -> None:
    archive = _archive(files)
    changes.write(archive, _edited(archive.read_bytes(), edit))


def _in_layer(edit: Edit) -> Edit:
    """Apply the edit in the archive of the root file system."""
    return lambda name, data: _edited(data, edit) if name == ROOT else data


def rewritten(files: Files) -> None:
    """Write the archive again without a change."""
    _rewrite(files, lambda _, data: data)


def volume_left_out(files: Files) -> None:
    """Leave the first volume out."""
    with tarfile.open(_archive(files)) as read:
        first = next(name for name in read.getnames() if name.startswith("volumes/"))
    _rewrite(files, lambda name, data: None if name == first else data)


def surface_left_out(files: Files) -> None:
    """Leave a surface out of the writable layer."""
    _rewrite(files, _in_layer(lambda name, data: None if name == "data/added.ring" else data))


def layer_rewritten(files: Files) -> None:
    """Write the writable layer again without a change."""
    _rewrite(files, _in_layer(lambda _, data: data))


def truncated(files: Files) -> None:
    """Cut the archive off in the middle."""
    data = _archive(files).read_bytes()
    changes.write(_archive(files), data[: len(data) // 2])


def padded(files: Files) -> None:
    """Add zeros at the archive's end, as tar(1) does to fill a block."""
    changes.write(_archive(files), _archive(files).read_bytes() + bytes(20 * 512))


def _in_image(files: Files, named: str, kind: image.Kind, change: Callable[[Any], object]) -> Edit:
    """Change each message of the images that match the pattern."""

    def edit(name: str, data: bytes) -> bytes:
        if not fnmatch.fnmatchcase(name, named):
            return data
        aside = files.folder / "aside.img"
        aside.write_bytes(data)
        content = sameness.changed(aside, kind, change)
        aside.unlink()
        return content

    return edit


def newer_version(files: Files) -> None:
    """Give the images a version that does not exist yet."""

    def change(inventory: Any) -> None:
        inventory.img_version = NEWER

    _rewrite(files, _in_image(files, "checkpoint/inventory.img", image.INVENTORY, change))


def unfiltered(files: Files) -> None:
    """Turn off the filters of system calls."""
    _rewrite(files, _in_image(files, "checkpoint/core-*.img", image.CORE, sameness.unfilter))


def other_rewound(files: Files) -> None:
    """Remove the newest records of the second workload."""

    def edit(name: str, data: bytes) -> bytes:
        if name != "data/other.ring":
            return data
        slots = np.frombuffer(bytearray(data), RECORD)
        changes.rewind(slots, changes.FEW)
        return slots.tobytes()

    _rewrite(files, _in_layer(edit))
