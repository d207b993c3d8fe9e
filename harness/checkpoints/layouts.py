"""Layouts: how a checkpoint is laid out in a folder or an archive, and where its memory and its disks are in there.

To add a layout: a class that fulfils `Layout`, and its place in `LAYOUTS`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.checkpoints import description
from harness.checkpoints.archive import PARENT, members, unpack
from harness.checkpoints.documents import (
    CONFIG,
    DELETED,
    IMAGES,
    MOST_JSON,
    SPEC,
    STATUS,
    document,
    listed,
    parts,
    text,
    there,
)
from harness.checkpoints.untrusted import Budget, Unreadable, beneath, inside, read_regular
from harness.description import Description, DiskForm

DELETED_BY = ".wh."
"""Prefix of a whiteout (OCI image specification, layer.md)."""
MEMORY = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""Beginning of the media types of a layer, however it is compressed."""
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
SANDBOX = "checkpoint.img"
MOST_DEEP = 3
"""Folders below each other that are looked through for images."""
MOST_NAMES = 10_000
"""Files of an archive that a layout may ask for."""
CONTAINER = "application/vnd.containerd.container.checkpoint.config.v1+proto"

_PAGES = r"(?:.*/)?pages-[0-9]+\.img"
_IMAGE = re.compile(rf"{_PAGES}|(?:.*/)?(?:pagemap-[0-9]+\.img|tmpfs-dev-[0-9]+\.tar\.gz\.img|parent)")
"""What is read of CRIU's images, and the link to those of an earlier level."""
_TOLD = r"(?:.*/)?(?:stats-dump|dump\.log)"
"""What CRIU says besides."""

Wanted = Callable[[str], bool]
"""Whether the file at this path in the container is wanted."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint laid open."""

    images: Path | None
    """CRIU's images; None: memory is in another form."""
    within: Path
    """Folder that parents of the images may be in."""
    disks: Mapping[str, Path] = field(default_factory=dict)
    """Captured files by mount point; that of `/` holds only what differs from the image, with whiteouts."""
    description: Description = field(default_factory=Description)
    """What it tells of itself."""


class Source(ABC):
    """Where a checkpoint is."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.names: dict[str, int] = {}
        """Names, relative to it, of the files that a layout may ask for, and their bytes."""
        self.folders: Counter[str] = Counter()
        """Bytes of the folders that hold CRIU's images, without what is in folders below."""

    def add(self, name: str, size: int) -> None:
        """Take note of a file."""
        if _asked(name):
            self.names[name] = size
            if len(self.names) > MOST_NAMES:
                raise Unreadable(f"{self.path.name} holds more than {MOST_NAMES:,} files of checkpoints")
        folder, _, last = name.rpartition("/")
        if (folder == IMAGES or last.endswith(".img")) and len(self.folders) < MOST_NAMES:
            self.folders[folder] += size

    @abstractmethod
    def fetch(self, wanted: Wanted) -> Path:
        """Folder with these files, of which nothing is to be believed."""


class Folder(Source):
    """A checkpoint in a folder, which is read where it is."""

    def __init__(self, path: Path, budget: Budget) -> None:
        super().__init__(path, budget)
        self._walk(path, "", MOST_DEEP)

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.budget.part()
                    if not entry.is_dir(follow_symlinks=False):
                        self.add(prefix + entry.name, entry.stat(follow_symlinks=False).st_size)
                    elif depth > 1:
                        self._walk(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)
        except OSError as error:
            raise Unreadable(f"its folder {folder.name} cannot be read: {error.strerror}") from error

    def fetch(self, _: Wanted) -> Path:
        """The folder itself."""
        return self.path


class Archive(Source):
    """A checkpoint in an archive; what is asked for is unpacked into folders of our own."""

    def __init__(self, path: Path, to: Path, budget: Budget) -> None:
        super().__init__(path, budget)
        self._to = to
        self._fetched = 0
        for member in members(path, budget):
            self.add(member.name, member.info.size if member.info.isreg() else 0)

    def fetch(self, wanted: Wanted) -> Path:
        """A new folder with these files."""
        self._fetched += 1
        folder = self._to / str(self._fetched)
        unpack(self.path, folder, self.budget, wanted=wanted)
        return folder


class Layout(Protocol):
    """A way to lay out a checkpoint."""

    name: ClassVar[str]
    what: ClassVar[str]
    """In a few words."""
    asks: ClassVar[re.Pattern[str]]
    """Names of the files that it may ask for."""

    def fits(self, names: Collection[str]) -> bool:
        """Whether a checkpoint with files of these names is laid out so."""

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:
        """Unpack memory, and what is wanted of the disks, into the folder `to`. Raises `Unreadable`."""


class Exported:
    """What engines export as one archive; libpod/container_internal_common.go, exportCheckpoint, and the like."""

    name: ClassVar[str] = "archive"
    what: ClassVar[str] = "an archive that an engine exports"
    asks: ClassVar[re.Pattern[str]] = re.compile(
        rf"{_IMAGE.pattern}|{_TOLD}|{CONFIG}|{SPEC}|{STATUS}|"
        r"deleted\.files|rootfs-diff\.tar|devshm-checkpoint\.tar|volumes/[^/]+\.tar"
    )

    def fits(self, names: Collection[str]) -> bool:
        """It has the engine's description of the container."""
        return CONFIG in names

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:
        """Memory is a folder, each disk an archive, what was deleted a list or whiteouts."""
        found = source.fetch(lambda name: self.asks.fullmatch(name) is not None)
        captured = {"/": "rootfs-diff.tar", "/dev/shm": "devshm-checkpoint.tar"}  # noqa: S108
        captured |= dict(_volumes(document(found / CONFIG)))
        disks = {"/": to / "disks" / "root"}
        disks["/"].mkdir(parents=True)
        for number, (mount, name) in enumerate(captured.items()):
            archive = there(found, name)
            if archive:
                folder = disks.setdefault(mount, to / "disks" / str(number))
                take(archive, folder, mount, source.budget, wanted)
        deleted = there(found, DELETED)
        if deleted:
            _white_out(disks["/"], listed(deleted), wanted)
        told = description.of_archive(found, source.budget)
        form = DiskForm.LAYER if told.engine == "containerd" else DiskForm.LIST
        sizes = _sizes(source, IMAGES) | _disk(source, captured["/"], form)
        return Opened(found / IMAGES, found, disks, told.model_copy(update=sizes))


class Containerd:
    """An image out of `ctr containers checkpoint`, as `ctr images export` writes it: an OCI layout."""

    name: ClassVar[str] = "image"
    what: ClassVar[str] = "a checkpoint image of containerd"
    asks: ClassVar[re.Pattern[str]] = re.compile(r"index\.json|blobs/sha256/[0-9a-f]{64}")

    def fits(self, names: Collection[str]) -> bool:
        """It is an OCI layout."""
        return "index.json" in names

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:
        """Memory, writable layer and specification are blobs, which an index names by their media types."""
        index = self._index(source, document(source.fetch(lambda name: name == "index.json") / "index.json"))
        memory, layer, container = (
            next((name for media, name in _blobs(index) if media.startswith(kind)), "")
            for kind in (MEMORY, LAYER, CONTAINER)
        )
        if not memory:
            raise Unreadable("it is an image without a checkpoint of containerd: no part has the media type " + MEMORY)
        blobs = source.fetch(lambda name: name in {memory, layer, container})
        images = Archive(beneath(blobs, memory), to / "memory", source.budget)
        disks = {"/": to / "root"} if layer else {}
        for mount, folder in disks.items():
            take(beneath(blobs, layer), folder, mount, source.budget, wanted)
        sizes = _sizes(images, "") | _disk(source, layer, DiskForm.LAYER)
        told = description.of_index(
            index, read_regular(beneath(blobs, container), most=MOST_JSON) if container else None
        )
        unpacked = images.fetch(_is_image)
        return Opened(unpacked, unpacked, disks, told.model_copy(update=sizes))

    def _index(self, source: Source, index: dict[str, Any]) -> dict[str, Any]:
        """The index that names the parts; that of a layout may name one that does."""
        if any(media == MEMORY for media, _ in _blobs(index)):
            return index
        inner = {name for media, name in _blobs(index) if media in INDEXES}
        folder = source.fetch(lambda name: name in inner)
        found = (document(beneath(folder, name)) for name in sorted(inner))
        return next((each for each in found if any(media == MEMORY for media, _ in _blobs(each))), {})


class Criu:
    """CRIU's images alone, as runc, crun, criu and Docker write them; their disk is elsewhere."""

    name: ClassVar[str] = "criu"
    what: ClassVar[str] = "images of CRIU"
    asks: ClassVar[re.Pattern[str]] = re.compile(rf"{_IMAGE.pattern}|{_TOLD}")

    def fits(self, names: Collection[str]) -> bool:
        """It has a pagemap."""
        return any(_pagemap(name) for name in names)

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:  # noqa: ARG002  # there is no disk
        """Take the folder with images; of several levels of memory the newest."""
        found = source.fetch(lambda name: self.asks.fullmatch(name) is not None)
        levels = {found / name.rpartition("/")[0] for name in source.names if _pagemap(name)}
        older = {(level / PARENT).resolve() for level in levels if (level / PARENT).is_symlink()}
        newest = sorted(level for level in levels if level.resolve() not in older)
        if len(newest) != 1:
            named = ", ".join(str(level.relative_to(found)) for level in newest[:6])
            raise Unreadable(f"it holds several checkpoints: {named}", remedy="Name the folder of one of them.")
        told: dict[str, Any] = {}
        for name in sorted(source.names, key=len, reverse=True):  # what is nearest to the top comes last
            if re.fullmatch(_TOLD, name):
                told |= description.of_criu(found / name, source.budget)
        sizes = _sizes(source, "" if newest[0] == found else str(newest[0].relative_to(found)))
        return Opened(newest[0], found, description=Description(**told, **sizes))


class Sandbox:
    """The state of a gVisor sandbox, whose memory only gVisor reads."""

    name: ClassVar[str] = "sandbox"
    what: ClassVar[str] = "a checkpoint of gVisor"
    asks: ClassVar[re.Pattern[str]] = re.compile(rf"(?:.*/)?{re.escape(SANDBOX)}")

    def fits(self, names: Collection[str]) -> bool:
        """It has the state under its name."""
        return any(self.asks.fullmatch(name) for name in names)

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:  # noqa: ARG002  # there is no disk
        """Read the header alone."""
        found = source.fetch(lambda name: self.asks.fullmatch(name) is not None)
        state = next(name for name in source.names if self.asks.fullmatch(name))
        told = description.of_sandbox(beneath(found, state))
        return Opened(None, found, description=told.model_copy(update={"images_bytes": source.names[state]}))


LAYOUTS: tuple[Layout, ...] = (Exported(), Containerd(), Criu(), Sandbox())
"""In the order in which they are tried; images alone fit in most of the others, too."""


def lay_open(path: Path, to: Path, budget: Budget, wanted: Wanted) -> tuple[Layout, Opened]:
    """Find out how a checkpoint is laid out, and lay it open in the empty folder `to`. Raises `Unreadable`."""
    source: Source = Folder(path, budget) if path.is_dir() else Archive(path, to / "parts", budget)
    layout = next((each for each in LAYOUTS if each.fits(source.names)), None)
    if layout is None:
        known = ", ".join(each.what for each in LAYOUTS)
        raise Unreadable(f"{path.name} is no checkpoint of a known kind: {known}")
    return layout, layout.lay_open(source, to, wanted)


def take(archive: Path, folder: Path, mount: str, budget: Budget, wanted: Wanted) -> None:
    """Unpack what is wanted of a disk that is mounted at `mount`, with the whiteouts that concern it."""

    def on_this_disk(name: str) -> bool:
        above, _, last = f"{mount.rstrip('/')}/{name}".rpartition("/")
        return wanted(f"{above}/{last.removeprefix(DELETED_BY)}")

    unpack(archive, folder, budget, wanted=on_this_disk)


def _white_out(root: Path, deleted: Iterable[str], wanted: Wanted) -> None:
    for name in deleted:
        relative = inside(name.lstrip("/"))
        if relative and wanted(f"/{relative}"):
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{DELETED_BY}{path.name}").touch()


def _volumes(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Mount points of volumes, and the archives of their content."""
    for volume in parts(config, "namedVolumes"):
        yield text(volume, "dest"), f"volumes/{inside(text(volume, 'volumeName'))}.tar"


def _blobs(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Media types and names of what an index refers to."""
    for descriptor in parts(index, "manifests"):
        digest = text(descriptor, "digest")
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise Unreadable(f"it names a part by {digest[:80]!r}, which is no digest")
        yield text(descriptor, "mediaType"), f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _sizes(source: Source, folder: str) -> dict[str, int]:
    """Bytes of CRIU's images in a folder of the source."""
    pages = (
        size for name, size in source.names.items() if re.fullmatch(_PAGES, name) and name.rpartition("/")[0] == folder
    )
    return {"images_bytes": source.folders[folder], "pages_bytes": sum(pages)}


def _disk(source: Source, name: str, form: DiskForm) -> dict[str, object]:
    """What is told of a captured root file system, if it is there."""
    return {"disk": form, "disk_bytes": source.names[name]} if name in source.names else {}


def _is_image(name: str) -> bool:
    return _IMAGE.fullmatch(name) is not None


def _asked(name: str) -> bool:
    return any(layout.asks.fullmatch(name) for layout in LAYOUTS)


def _pagemap(name: str) -> bool:
    return name.rpartition("/")[2].startswith("pagemap-")
