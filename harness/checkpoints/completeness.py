"""Is a checkpoint whole, and of a kind that is known? Looked at before anything is said of it or made of it.

A gate fails closed: a version, a field or a flag that is not known here may change what all the rest means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.archive import PARENT
from harness.checkpoints.criu import image
from harness.checkpoints.criu.image import (
    CORE,
    FOLDERS,
    IDS,
    INVENTORY,
    MEMORY,
    MOUNTS,
    PAGEMAP,
    PROCESSES,
    unknown_fields,
)
from harness.checkpoints.criu.memory import IN_PARENT, PAGE, PRESENT, entry_of
from harness.checkpoints.untrusted import Broken, Budget, Unreadable

VERSIONS = (1, 2)
"""Of images (CRTOOLS_IMAGES_V1 and V1_1 in criu/include/magic.h)."""
NEWEST = "4.3"
"""The newest CRIU whose images are known."""
DEAD = (2, 6)
"""States of a task that has ended (compel/include/uapi/task-state.h), and has no memory; its threads' numbers mean
nothing."""
TMPFS = 5
"""Of images/mnt.proto, enum fstype."""
FILES_BEFORE_3_4 = "reg-files.img"
"""CRIU before 3.4 had a table for each kind of open file."""
INVENTORY_IMAGE, PROCESSES_IMAGE = "inventory.img", "pstree.img"


def check(images: Path, sizes: Mapping[str, int], budget: Budget, *, followed: Path | None = None) -> None:
    """Raise `Unreadable` for images that are not known here, `Broken` for those that lack a part.

    `sizes`: bytes of the files beside each other in the checkpoint, pages included, of which the folder `images` may
    lack pages. `followed`: folder that an earlier level of memory may be in, the images' own by default.
    """
    inventory = _first(images, INVENTORY_IMAGE, INVENTORY, sizes, budget)
    _is_known(inventory)
    _is_there(PROCESSES_IMAGE, sizes)
    for process in list(image.read(images / PROCESSES_IMAGE, PROCESSES, budget)):
        pid = process.pid
        if _first(images, f"core-{pid}.img", CORE, sizes, budget).tc.task_state in DEAD:
            continue
        for thread in process.threads:
            _first(images, f"core-{thread}.img", CORE, sizes, budget)
        ids = _first(images, f"ids-{pid}.img", IDS, sizes, budget)
        _first(images, f"mm-{pid}.img", MEMORY, sizes, budget)
        _first(images, f"fs-{pid}.img", FOLDERS, sizes, budget)
        _is_there(f"fdinfo-{ids.files_id if inventory.fdinfo_per_id else pid}.img", sizes)
        _is_there(f"pagemap-{pid}.img", sizes)
        if FILES_BEFORE_3_4 not in sizes:
            _is_there("files.img", sizes)
    for name in _named(sizes, r"pagemap-(?:shmem-)?[0-9]+\.img"):
        _has_pages(name, image.read(images / name, PAGEMAP, budget), sizes, leans=os.path.lexists(images / PARENT))
    _has_files(images, sizes, budget)
    link = images / PARENT
    if link.is_symlink():
        leads_to = os.path.realpath(link)
        there = os.path.isdir(leads_to)  # noqa: PTH112  # no name is too long for it
        if not there or not Path(leads_to).is_relative_to(os.path.realpath(followed or images)):
            raise Broken(
                f"it leans on an earlier level of memory, {os.readlink(link)[:200]}, which is not in it",  # noqa: PTH115
                remedy="Keep the folders of all levels together, or checkpoint without earlier rounds (pre-dumps).",
            )


def _has_files(images: Path, sizes: Mapping[str, int], budget: Budget) -> None:
    """See that the files of each tmpfs are there."""
    mounts = [
        mount
        for name in _named(sizes, r"mountpoints-[0-9]+\.img")
        for mount in image.read(images / name, MOUNTS, budget)
    ]
    others = {each.root_dev for each in mounts if each.ext_key or each.ext_mount or each.mountpoint in ("/", "./")}
    for mount in mounts:
        archive = f"tmpfs-dev-{mount.root_dev}.tar.gz.img"
        if mount.fstype == TMPFS and mount.root_dev not in others and archive not in sizes:
            raise Broken(f"{archive} is not there, in which the files of {mount.mountpoint} should be")


def _is_there(name: str, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise Broken(f"{name} is not there")


def _first(images: Path, name: str, kind: image.Kind, sizes: Mapping[str, int], budget: Budget) -> Any:
    """The first message of an image, which has to be there."""
    _is_there(name, sizes)
    for message in image.read(images / name, kind, budget):
        return message
    raise Broken(f"{name} is empty")


def _is_known(inventory: Any) -> None:
    if inventory.img_version not in VERSIONS:
        raise Unreadable(
            f"its images are of version {inventory.img_version}, and known are {', '.join(map(str, VERSIONS))}",
            remedy=f"CRIU {NEWEST} writes version 3 when it compresses memory, which is not read here.",
        )
    _knows_fields(INVENTORY_IMAGE, inventory)
    if inventory.compress:
        raise Unreadable("its memory is compressed, as CRIU does from 4.3 on if asked, and that is not read here")


def _knows_fields(name: str, message: Any) -> None:
    if unknown := unknown_fields(message):
        raise Unreadable(
            f"{name} has fields that CRIU {NEWEST} does not have: {', '.join(unknown[:5])}",
            remedy="It is damaged, or of a newer CRIU, of which nobody here knows what they mean.",
        )


def _has_pages(name: str, said: Iterator[Any], sizes: Mapping[str, int], *, leans: bool) -> None:
    head = next(said, None)
    if head is None:
        raise Broken(f"{name} has no head")
    _knows_fields(name, head)
    size = 0
    for entry in said:
        _knows_fields(name, entry)
        _, count, flags = entry_of(entry)
        if flags & IN_PARENT and not leans:
            raise Broken(f"{name} has pages of an earlier level of memory, and no link, {PARENT}, leads to it")
        if entry.HasField("blocks"):
            size += entry.blocks.total_payload_size
        elif flags & PRESENT:
            size += count * PAGE
    pages = f"pages-{head.pages_id}.img"
    if size > sizes.get(pages, 0):
        there = f"has {sizes[pages]:,} bytes" if pages in sizes else "is not there"
        raise Broken(f"{pages} {there}, and {name} counts {size:,} bytes in it")


def _named(sizes: Mapping[str, int], pattern: str) -> list[str]:
    return sorted(name for name in sizes if re.fullmatch(pattern, name))
