"""Layouts of checkpoints in a source: where the memory and the disks are.

To add a layout: write a class that fulfils `Layout`, and list it in `LAYOUTS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.checkpoints import description
from harness.checkpoints.archive import PARENT
from harness.checkpoints.carriers import CONTAINER, LAYER, MEMORY, Image
from harness.checkpoints.disk import Disk, listed_names
from harness.checkpoints.documents import (
    CONFIG,
    DELETED,
    DELETED_LISTS,
    IMAGES,
    MOST_JSON,
    SPEC,
    STATUS,
    document,
    listed,
    parts,
    text,
)
from harness.checkpoints.sources import Archive, Part, Source, under
from harness.checkpoints.untrusted import Broken, Budget, Unreadable, beneath, inside, read_regular
from harness.model.description import Description, DiskForm

SANDBOX = "checkpoint.img"
INVENTORY = "inventory.img"
ROOTFS_DIFF, SHM_DIFF = "rootfs-diff.tar", "devshm-checkpoint.tar"
LOGS = ("ctr.log", "container.log", "io.kubernetes.cri-o.LogPath")
"""Names of the container's log in archives of Podman, containerd and CRI-O."""
SHM = "/dev/shm"  # noqa: S108
BESIDE = ("rootfs-diff", "upper", "diff", "disk")
"""Names of a writable layer (folder or archive) beside images: overlayfs has `upper`, Docker's overlay2 `diff`."""
_BESIDE = re.compile(rf"({'|'.join(BESIDE)})\.tar(\.(gz|zst|xz|bz2))?")

_PAGES = r"pages-[0-9]+\.img"
_TOLD = ("stats-dump", "dump.log")
"""CRIU's files besides the images."""


@dataclass(frozen=True)
class Opened:
    """An unpacked checkpoint."""

    images: Path | None
    """Folder with CRIU's images; None: memory is in another form."""
    within: Path
    """Folder that may hold the parents of the images."""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    """Captured files by mount point; for `/`, only the differences from the image."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Mount points that the layout has a place for, but the checkpoint lacks: why."""
    description: Description = field(default_factory=Description)
    """What the checkpoint says about itself."""
    documents: Path | None = None
    """Folder with the engine's documents about the container."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Sizes in bytes of CRIU's images and the files beside them, including pages that are not unpacked."""
    log: Part | None = None
    """The engine's log of the container's standard output."""


class Layout(Protocol):
    """A layout of a checkpoint."""

    name: ClassVar[str]
    what: ClassVar[str]
    """A short description, for messages."""

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders of the source that hold a checkpoint in this layout."""

    def lay_open(self, source: Source, root: str, *, pages: bool) -> Opened:
        """Fetch the memory, with or without the pages, and find the disks; raise `Unreadable`."""


class Exported:
    """An archive that an engine exports; libpod/container_internal_common.go, exportCheckpoint, and similar code."""

    name: ClassVar[str] = "archive"
    what: ClassVar[str] = "an archive that an engine exports"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with the engine's description of the container."""
        yield from _folders_of(source, CONFIG)

    def lay_open(self, source: Source, root: str, *, pages: bool) -> Opened:
        """Fetch the folder of the memory; each disk is an archive, and deletions are a list or whiteouts."""
        images = under(root, IMAGES)
        wanted = (CONFIG, SPEC, STATUS, DELETED, *_TOLD)
        found = source.fetch(
            lambda name: (
                (_is_below(name, images) and (pages or not _is_pages(name)))
                or (name.rpartition("/")[0] == root and name.rpartition("/")[2] in wanted)
                or name.rpartition("/")[2] == PARENT
                or (pages and _is_image_of_level(name, root))
            )
        )
        folder = found / root
        if under(images, INVENTORY) not in source.files:
            raise Broken(f"it has {CONFIG} but no {IMAGES}/{INVENTORY}, so the engine did not finish writing it")
        if under(root, DELETED) in source.not_followed:
            raise Unreadable(f"its {DELETED} is a symbolic link, which is not followed")
        config = document(folder / CONFIG)
        deleted = listed_names(listed(folder / DELETED)) if under(root, DELETED) in source.files else frozenset()
        has_diff = under(root, ROOTFS_DIFF) in source.files
        said = description.of_archive(folder, source.budget)
        form = DiskForm.LAYER if said.engine == "containerd" else DiskForm.LIST
        disks, absent = {}, {}
        if has_diff or under(root, DELETED) in source.files:
            name = under(root, ROOTFS_DIFF) if has_diff else ""
            disks["/"] = Disk(source, name, deleted=deleted, listed=form is DiskForm.LIST)
        else:
            absent["/"] = _lacking(
                source, root, ROOTFS_DIFF, "it was left out (--ignore-rootfs), or no file differed from the image"
            )
        if under(root, SHM_DIFF) in source.files:
            disks[SHM] = Disk(source, under(root, SHM_DIFF), whole=True)
        for mount, name, below in _volumes(config):
            if under(root, name) in source.files:
                disks[mount] = Disk(source, under(root, name), whole=True, below=below)
            else:
                absent[mount] = _lacking(source, root, name, "the volume was left out (--ignore-volumes)")
        sizes = _sizes(source, images) | _disk_size(source, under(root, ROOTFS_DIFF), form)
        told, files = said.model_copy(update=sizes), source.listing(images)
        return Opened(found / images, folder, disks, absent, told, folder, files, _log(source, root))


class Criu:
    """CRIU's images from runc, crun, criu or Docker, and a writable layer beside them, if there is one."""

    name: ClassVar[str] = "criu"
    what: ClassVar[str] = "images of CRIU"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with images, except earlier levels of memory and folders in a captured disk."""
        levels = set(_folders_of(source, INVENTORY)) | {
            name.rpartition("/")[0] for name in source.files if name.rpartition("/")[2].startswith("pagemap-")
        }
        older = {_leads_to(name, link) for name, link in source.links.items() if name.rpartition("/")[0] in levels}
        captured = {level for level in levels if not set(BESIDE).isdisjoint(level.split("/"))}
        yield from sorted(levels - older - captured)

    def lay_open(self, source: Source, root: str, *, pages: bool) -> Opened:
        """Fetch the newest level of memory; a writable layer is beside the images or beside their folder."""
        found = source.fetch(
            lambda name: (
                (_is_image(name) and (pages or not _is_pages(name)))
                or name.rpartition("/")[2] in (*_TOLD, PARENT, *DELETED_LISTS)
            )
        )
        told: dict[str, Any] = {}
        near = self._own_folder(source, root)
        for name in sorted(source.under(near), key=len, reverse=True):  # files nearest to the top come last and win
            if name.rpartition("/")[2] in _TOLD:
                told |= description.of_criu(found / under(near, name), source.budget)
        disks, absent = self._disk(source, root, found)
        sizes = _sizes(source, root)
        for disk in disks.values():
            sizes |= _disk_size(source, disk.name, DiskForm.LAYER if not disk.deleted else DiskForm.LIST)
        return Opened(found / root, found, disks, absent, Description(**told, **sizes), sizes=source.listing(root))

    def _own_folder(self, source: Source, root: str) -> str:
        """Return the parent folder, which may hold more files of the runtime, unless it has other checkpoints."""
        above = root.rpartition("/")[0]
        beside = [each for each in self.roots(source) if not above or each == above or each.startswith(f"{above}/")]
        return above if len(beside) == 1 else root

    def _disk(self, source: Source, root: str, found: Path) -> tuple[dict[str, Disk], dict[str, str]]:
        for folder in dict.fromkeys((root, root.rpartition("/")[0])):
            names = [name for name in BESIDE if source.has_folder(under(folder, name)) and under(folder, name) != root]
            names += [name for name in source.listing(folder) if _BESIDE.fullmatch(name)]
            lists = [name for name in DELETED_LISTS if under(folder, name) in source.files]
            if len(names) > 1 or len(lists) > 1:
                told = ", ".join(sorted((*names, *lists)))
                return {}, {"/": f"several files or folders may be its disk: {told}; --disk DIR names one"}
            if folder != root and names and self._own_folder(source, root) == root:
                return {}, {"/": f"{names[0]} lies beside several checkpoints; --disk DIR assigns it to this one"}
            if names or lists:
                deleted = listed_names(listed(found / under(folder, lists[0]))) if lists else frozenset()
                return {"/": Disk(source, under(folder, names[0]) if names else "", deleted=deleted)}, {}
        return {}, {}


class Sandbox:
    """The state of a gVisor sandbox, whose memory only gVisor can read."""

    name: ClassVar[str] = "sandbox"
    what: ClassVar[str] = "a checkpoint of gVisor"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with a sandbox's state."""
        yield from _folders_of(source, SANDBOX)

    def lay_open(self, source: Source, root: str, *, pages: bool) -> Opened:  # noqa: ARG002  # it has no pages
        """Read only the header."""
        state = under(root, SANDBOX)
        found = source.fetch(lambda name: name == state)
        told = description.of_sandbox(beneath(found, state))
        return Opened(None, found, description=told.model_copy(update={"images_bytes": source.files[state]}))


class ContainerdImage:
    """An image of `ctr containers checkpoint`: memory, writable layer and specification are parts of an index."""

    name: ClassVar[str] = "image"
    what: ClassVar[str] = "a checkpoint image of containerd"

    def fits(self, image: Image) -> bool:
        """Return whether one of the image's parts is memory."""
        return any(media.startswith(MEMORY) for media, _ in image.parts)

    def lay_open(self, source: Source, image: Image, to: Path) -> Opened:
        """Unpack the part with the memory into the folder `to`."""
        memory, layer, container = (
            next((name for media, name in image.parts if media.startswith(kind)), "")
            for kind in (MEMORY, LAYER, CONTAINER)
        )
        for name in filter(None, (memory, layer, container)):
            if name not in source.files:
                raise Broken(f"its part {name} is missing")
        image.check(source, filter(None, (memory, layer, container)))
        blobs = source.fetch(lambda name: name in {memory, container})
        images = Archive(beneath(blobs, memory), to, source.budget)
        config = read_regular(beneath(blobs, container), most=MOST_JSON) if container else None
        sizes = _sizes(images, "") | _disk_size(source, layer, DiskForm.LAYER)
        told = description.of_index(image.index, config).model_copy(update=sizes)
        unpacked = images.fetch(_is_image)
        absent = {} if layer else {"/": "the image has no layer, because it was made without --rw"}
        disks = {"/": Disk(source, layer)} if layer else {}
        return Opened(unpacked, unpacked, disks, absent, told, sizes=images.listing(""))


LAYOUTS: tuple[Layout, ...] = (Exported(), Criu(), Sandbox())
"""All layouts, in the order of trying; CRIU's images are also part of most other layouts."""
KINDS = (*(each.what for each in LAYOUTS), ContainerdImage.what)


def _folders_of(source: Source, last: str) -> Iterator[str]:
    yield from sorted(name.rpartition("/")[0] for name in source.files if name.rpartition("/")[2] == last)


def _lacking(source: Source, root: str, name: str, why: str) -> str:
    """Return why a part is missing; `why`: the usual reason."""
    if under(root, name) in source.not_followed:
        return f"its {name} is a symbolic link, which is not followed"
    return f"it has no {name}: {why}"


def _leads_to(name: str, link: str) -> str:
    """Return the folder of the source that a link in it leads to."""
    return os.path.normpath(os.path.join(name.rpartition("/")[0], link)).lstrip("/")  # noqa: PTH118  # not a real path


def _log(source: Source, root: str) -> Part | None:
    """Return the engine's log, if the archive has it."""
    found = [name for name in (under(root, each) for each in LOGS) if name in source.files]
    return Part(source, found[0]) if found else None


def _volumes(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield for each volume its mount point, the archive of its content, and the mounted folder in the archive."""
    for volume in parts(config, "namedVolumes"):
        mount = os.path.normpath(text(volume, "dest") or "/")
        yield mount, f"volumes/{inside(text(volume, 'volumeName'))}.tar", inside(text(volume, "SubPath").lstrip("/"))


def _sizes(source: Source, folder: str) -> dict[str, Any]:
    """Return the sizes in bytes of CRIU's images in a folder of the source."""
    files = source.listing(folder)
    pages = sum(size for name, size in files.items() if re.fullmatch(_PAGES, name))
    return {"images_bytes": sum(files.values()), "pages_bytes": pages}


def _disk_size(source: Source, name: str, form: DiskForm) -> dict[str, Any]:
    """Return form and size of a captured root file system, if it is a file."""
    return {"disk": form, "disk_bytes": source.files[name]} if name in source.files else {}


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def _is_image(name: str) -> bool:
    return name.endswith(".img") or name.rpartition("/")[2] in (PARENT, "descriptors.json")


def _is_pages(name: str) -> bool:
    return re.fullmatch(_PAGES, name.rpartition("/")[2]) is not None


def _is_image_of_level(name: str, root: str) -> bool:
    """Return whether it is an image in a folder beside the folder of the newest level."""
    return name.endswith(".img") and name.rpartition("/")[0].rpartition("/")[0] == root


__all__ = ["KINDS", "LAYOUTS", "Budget", "ContainerdImage", "Criu", "Exported", "Layout", "Opened", "Sandbox", "under"]
