"""Check that a checkpoint is complete and of a known kind, before anything else uses it.

The check fails closed: an unknown version, field or flag may change the meaning of everything else.
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
    MEMFDS,
    MEMORY,
    MOUNTS,
    PAGEMAP,
    PROCESSES,
    unknown_fields,
)
from harness.checkpoints.criu.memory import IN_PARENT, PAGE, PRESENT, entry_of
from harness.checkpoints.criu.tasks import DEAD
from harness.checkpoints.untrusted import Broken, Budget, Unreadable

VERSIONS = (1, 2)
"""Known versions of images (CRTOOLS_IMAGES_V1 and V1_1 in criu/include/magic.h)."""
NEWEST = "4.3"
"""The newest CRIU whose images we know."""
TMPFS = 5
"""Number of tmpfs in images/mnt.proto, enum fstype."""
FILES_BEFORE_3_4 = "reg-files.img"
"""Table of regular files; CRIU before 3.4 had one table for each kind of open file."""
INVENTORY_IMAGE, PROCESSES_IMAGE, MEMFDS_IMAGE = "inventory.img", "pstree.img", "memfd.img"


def check(images: Path, sizes: Mapping[str, int], budget: Budget, *, followed: Path | None = None) -> None:
    """Raise `Unreadable` for unknown images, `Broken` for images that lack a part.

    Only images that the tree of processes leads to count: Podman dumps a source that runs on into the folder that has
    images of earlier live checkpoints, and exports all of them.

    `sizes`: bytes of the checkpoint's files, including pages; the folder `images` may lack the pages. `followed`:
    folder that may hold earlier levels of memory, by default the folder of the images.
    """
    inventory = _first(images, INVENTORY_IMAGE, INVENTORY, sizes, budget)
    _is_known(inventory)
    _is_there(PROCESSES_IMAGE, sizes)
    pagemaps: list[str] = []
    spaces: set[str] = set()
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
        pagemaps.append(f"pagemap-{pid}.img")
        spaces.add(f"mountpoints-{ids.mnt_ns_id}.img")
        if FILES_BEFORE_3_4 not in sizes:
            _is_there("files.img", sizes)
    for name in (*pagemaps, *_shared(images, sizes, budget)):
        _has_pages(name, image.read(images / name, PAGEMAP, budget), sizes, leans=os.path.lexists(images / PARENT))
    _has_files(images, sizes, spaces, budget)
    link = images / PARENT
    if link.is_symlink():
        leads_to = os.path.realpath(link)
        there = os.path.isdir(leads_to)  # noqa: PTH112  # accepts a name that is too long
        if not there or not Path(leads_to).is_relative_to(os.path.realpath(followed or images)):
            raise Broken(
                f"it needs an earlier level of memory, {os.readlink(link)[:200]}, which it does not contain",  # noqa: PTH115
                remedy="Keep the folders of all levels together, or checkpoint without earlier rounds (pre-dumps).",
            )


def _shared(images: Path, sizes: Mapping[str, int], budget: Budget) -> Iterator[str]:
    """Give the pagemaps of shared memory that belong to this dump; before CRIU 3.14, which had no list of it, all."""
    known = None
    if MEMFDS_IMAGE in sizes:
        known = {f"pagemap-shmem-{each.shmid}.img" for each in image.read(images / MEMFDS_IMAGE, MEMFDS, budget)}
    for name in _named(sizes, r"pagemap-shmem-[0-9]+\.img"):
        if known is None or name in known:
            yield name


def _has_files(images: Path, sizes: Mapping[str, int], spaces: set[str], budget: Budget) -> None:
    """Check that the archive of each tmpfs in these tables of mounts is there."""
    mounts = [mount for name in sorted(sizes.keys() & spaces) for mount in image.read(images / name, MOUNTS, budget)]
    others = {each.root_dev for each in mounts if each.ext_key or each.ext_mount or each.mountpoint in ("/", "./")}
    for mount in mounts:
        archive = f"tmpfs-dev-{mount.root_dev}.tar.gz.img"
        if mount.fstype == TMPFS and mount.root_dev not in others and archive not in sizes:
            raise Broken(f"{archive} is missing, which should hold the files of {mount.mountpoint}")


def _is_there(name: str, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise Broken(f"{name} is missing")


def _first(images: Path, name: str, kind: image.Kind, sizes: Mapping[str, int], budget: Budget) -> Any:
    """Return the first message of an image; raise `Broken` if there is none."""
    _is_there(name, sizes)
    for message in image.read(images / name, kind, budget):
        return message
    raise Broken(f"{name} is empty")


def _is_known(inventory: Any) -> None:
    if inventory.img_version not in VERSIONS:
        raise Unreadable(
            f"its images have version {inventory.img_version}, but only {' and '.join(map(str, VERSIONS))} are known",
            remedy=f"CRIU {NEWEST} writes version 3 for compressed memory: checkpoint without compression.",
        )
    _knows_fields(INVENTORY_IMAGE, inventory)
    if inventory.compress:
        raise Unreadable("its memory is compressed, an option since CRIU 4.3 that cannot be read here")


def _knows_fields(name: str, message: Any) -> None:
    if unknown := unknown_fields(message):
        raise Unreadable(
            f"{name} has fields that CRIU {NEWEST} does not have: {', '.join(unknown[:5])}",
            remedy="It is damaged, or from a newer CRIU.",
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
            raise Broken(f"{name} has pages in an earlier level of memory, but the link {PARENT} to it is missing")
        if entry.HasField("blocks"):
            size += entry.blocks.total_payload_size
        elif flags & PRESENT:
            size += count * PAGE
    pages = f"pages-{head.pages_id}.img"
    if size > sizes.get(pages, 0):
        there = f"has {sizes[pages]:,} bytes" if pages in sizes else "is missing"
        raise Broken(f"{pages} {there}, but {name} counts {size:,} bytes in it")


def _named(sizes: Mapping[str, int], pattern: str) -> list[str]:
    return sorted(name for name in sizes if re.fullmatch(pattern, name))
