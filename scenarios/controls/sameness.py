"""Changes of what confines and limits a container: its capabilities, limits, mounts, filters and descriptors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget
from scenarios.controls.changes import Change, Files, write

MS_RDONLY = 0x1
OPEN_FILES = 7
"""RLIMIT_NOFILE of <asm-generic/resource.h>."""
SECTOR = 512


def _each(pattern: str, kind: image.Kind, change: Callable[[Any], object]) -> Change:
    """Return what changes each message of the images that match the pattern."""

    def apply(files: Files) -> None:
        for path in sorted(files.folder.glob(f"images/{pattern}")):
            write(path, changed(path, kind, change))

    return apply


def changed(path: Path, kind: image.Kind, change: Callable[[Any], object]) -> bytes:
    """Return an image's content with each message changed."""
    messages = list(image.read(path, kind, Budget()))
    for message in messages:
        change(message)
    return image.encoded(kind, messages)


def _drop_capability(core: Any) -> None:
    for capabilities in (core.thread_core.creds.cap_eff, core.thread_core.creds.cap_prm):
        capabilities[0] &= capabilities[0] - 1  # without the lowest


def _lower_limit(core: Any) -> None:
    if core.tc.rlimits.rlimits:
        core.tc.rlimits.rlimits[OPEN_FILES].cur -= 1


def _make_writable(mount: Any) -> None:
    if mount.mountpoint == "/proc/sys":
        mount.flags &= ~MS_RDONLY


def _move_offset(file: Any) -> None:
    if file.reg.name.endswith(b"/added.ring"):
        file.reg.pos += SECTOR


def unfilter(core: Any) -> None:
    """Turn off the filter of system calls."""
    core.thread_core.seccomp_mode = 0


def same(_: Any) -> None:
    """Change nothing, so that the image is written again as it is."""


capability_dropped = _each("core-*.img", image.CORE, _drop_capability)
limit_lowered = _each("core-*.img", image.CORE, _lower_limit)
core_rewritten = _each("core-*.img", image.CORE, same)
mount_writable = _each("mountpoints-*.img", image.MOUNTS, _make_writable)
mounts_rewritten = _each("mountpoints-*.img", image.MOUNTS, same)
offset_moved = _each("files.img", image.FILES, _move_offset)
files_rewritten = _each("files.img", image.FILES, same)
