"""Layouts: how a checkpoint is laid out in a folder or an archive, and where its memory and its disks are in there.

To add a layout: a class that fulfils `Layout`, and its place in `LAYOUTS`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.checkpoints.archive import PARENT, members, unpack
from harness.checkpoints.untrusted import Budget, Unreadable, beneath, inside, read_regular

DELETED_BY = ".wh."
"""Prefix of a whiteout (OCI image specification, layer.md)."""
MEMORY = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""Beginning of the media types of a layer, however it is compressed."""
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MOST_DEEP = 3
"""Folders below each other that are looked through for images."""
MOST_NAMES = 10_000
"""Files of an archive that a layout may ask for."""
MOST_JSON = 4 << 20
"""Bytes of a JSON document, which takes many times as much memory."""

_IMAGE = re.compile(r"(?:.*/)?(?:pagemap-[0-9]+\.img|pages-[0-9]+\.img|tmpfs-dev-[0-9]+\.tar\.gz\.img|parent)")
"""What is read of CRIU's images, and the link to those of an earlier level."""

Wanted = Callable[[str], bool]
"""Whether the file at this path in the container is wanted."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint laid open."""

    images: Path
    """CRIU's images."""
    within: Path
    """Folder that parents of the images may be in."""
    disks: Mapping[str, Path] = field(default_factory=dict)
    """Captured files by mount point; that of `/` holds only what differs from the image, with whiteouts."""


class Source(Protocol):
    """Where a checkpoint is."""

    budget: Budget

    @property
    def names(self) -> Collection[str]:
        """Names, relative to it, of the files that a layout may ask for."""

    def fetch(self, wanted: Wanted) -> Path:
        """Folder with these files, of which nothing is to be believed."""


class Folder:
    """A checkpoint in a folder, which is read where it is."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.names = frozenset(self._walk(path, "", MOST_DEEP))

    def _walk(self, folder: Path, prefix: str, depth: int) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.budget.part()
                    if entry.is_dir(follow_symlinks=False):
                        if depth > 1:
                            yield from self._walk(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)
                    elif _asked(prefix + entry.name):
                        yield prefix + entry.name
        except OSError as error:
            raise Unreadable(f"its folder {folder.name} cannot be read: {error.strerror}") from error

    def fetch(self, _: Wanted) -> Path:
        """The folder itself."""
        return self.path


class Archive:
    """A checkpoint in an archive; what is asked for is unpacked into folders of our own."""

    def __init__(self, path: Path, to: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self._to = to
        self._fetched = 0
        self.names: set[str] = set()
        for member in members(path, budget):
            if _asked(member.name):
                self.names.add(member.name)
            if len(self.names) > MOST_NAMES:
                raise Unreadable(f"{path.name} holds more than {MOST_NAMES:,} files of checkpoints")

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


class Podman:
    """What `podman container checkpoint --export` writes; libpod/container_internal_common.go, exportCheckpoint."""

    name: ClassVar[str] = "podman"
    what: ClassVar[str] = "an exported checkpoint of Podman"
    asks: ClassVar[re.Pattern[str]] = re.compile(
        rf"{_IMAGE.pattern}|config\.dump|deleted\.files|rootfs-diff\.tar|devshm-checkpoint\.tar|volumes/[^/]+\.tar"
    )

    def fits(self, names: Collection[str]) -> bool:
        """It has Podman's description of the container."""
        return "config.dump" in names

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:
        """Memory is a folder, each disk an archive, what was deleted a list."""
        found = source.fetch(lambda name: self.asks.fullmatch(name) is not None)
        parts = {"/": "rootfs-diff.tar", "/dev/shm": "devshm-checkpoint.tar"}  # noqa: S108
        parts |= dict(_volumes(_document(found / "config.dump")))
        disks = {"/": to / "disks" / "root"}
        disks["/"].mkdir(parents=True)
        for number, (mount, name) in enumerate(parts.items()):
            archive = beneath(found, name)
            if archive.exists():
                folder = disks.setdefault(mount, to / "disks" / str(number))
                take(archive, folder, mount, source.budget, wanted)
        deleted = found / "deleted.files"
        if deleted.exists():
            _white_out(disks["/"], _document(deleted), wanted)
        return Opened(found / "checkpoint", found, disks)


class Containerd:
    """An image out of `ctr containers checkpoint`, as `ctr images export` writes it: an OCI layout."""

    name: ClassVar[str] = "containerd"
    what: ClassVar[str] = "a checkpoint image of containerd"
    asks: ClassVar[re.Pattern[str]] = re.compile(r"index\.json|blobs/sha256/[0-9a-f]{64}")

    def fits(self, names: Collection[str]) -> bool:
        """It is an OCI layout."""
        return "index.json" in names

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:
        """Memory and writable layer are blobs, which an index names by their media types."""
        index = _document(source.fetch(lambda name: name == "index.json") / "index.json")
        parts = self._parts(source, index)
        memory = next((digest for media, digest in parts if media == MEMORY), None)
        layer = next((digest for media, digest in parts if media.startswith(LAYER)), None)
        if memory is None:
            raise Unreadable("it is an image without a checkpoint of containerd: no part has the media type " + MEMORY)
        blobs = source.fetch(lambda name: name in {_blob(memory), _blob(layer or memory)})
        images = to / "images"
        unpack(beneath(blobs, _blob(memory)), images, source.budget, wanted=_is_image)
        disks = {"/": to / "root"} if layer else {}
        for mount, folder in disks.items():
            take(beneath(blobs, _blob(layer or memory)), folder, mount, source.budget, wanted)
        return Opened(images, images, disks)

    def _parts(self, source: Source, index: object) -> list[tuple[str, str]]:
        """Media types and digests of the parts; the index of a layout may name an index that names them."""
        found = list(_descriptors(index))
        if any(media == MEMORY for media, _ in found):
            return found
        inner = {digest for media, digest in found if media in INDEXES}
        folder = source.fetch(lambda name: name in {_blob(digest) for digest in inner})
        for digest in sorted(inner):
            parts = list(_descriptors(_document(beneath(folder, _blob(digest)))))
            if any(media == MEMORY for media, _ in parts):
                return parts
        return []


class Criu:
    """CRIU's images alone, as runc, crun, criu and Docker write them; their disk is elsewhere."""

    name: ClassVar[str] = "criu"
    what: ClassVar[str] = "images of CRIU"
    asks: ClassVar[re.Pattern[str]] = _IMAGE

    def fits(self, names: Collection[str]) -> bool:
        """It has a pagemap."""
        return any(_pagemap(name) for name in names)

    def lay_open(self, source: Source, to: Path, wanted: Wanted) -> Opened:  # noqa: ARG002  # there is no disk
        """Take the folder with images; of several levels of memory the newest."""
        found = source.fetch(_is_image)
        levels = {found / name.rpartition("/")[0] for name in source.names if _pagemap(name)}
        older = {(level / PARENT).resolve() for level in levels if (level / PARENT).is_symlink()}
        newest = sorted(level for level in levels if level.resolve() not in older)
        if len(newest) != 1:
            named = ", ".join(str(level.relative_to(found)) for level in newest[:6])
            raise Unreadable(f"it holds several checkpoints: {named}", remedy="Name the folder of one of them.")
        return Opened(newest[0], found)


LAYOUTS: tuple[Layout, ...] = (Podman(), Containerd(), Criu())
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


def _white_out(root: Path, names: object, wanted: Wanted) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unreadable("deleted.files is no list of names")
    for name in names:
        relative = inside(name.lstrip("/"))
        if relative and wanted(f"/{relative}"):
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{DELETED_BY}{path.name}").touch()


def _volumes(config: object) -> Iterator[tuple[str, str]]:
    """Mount points of volumes, and the archives of their content."""
    for volume in _list(config, "namedVolumes"):
        mount, name = _text(volume, "dest"), _text(volume, "volumeName")
        yield mount, f"volumes/{inside(name)}.tar"


def _descriptors(index: object) -> Iterator[tuple[str, str]]:
    for descriptor in _list(index, "manifests"):
        yield _text(descriptor, "mediaType"), _text(descriptor, "digest")


def _blob(digest: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise Unreadable(f"it names a part by {digest[:80]!r}, which is no digest")
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _is_image(name: str) -> bool:
    return _IMAGE.fullmatch(name) is not None


def _asked(name: str) -> bool:
    return any(layout.asks.fullmatch(name) for layout in LAYOUTS)


def _pagemap(name: str) -> bool:
    return name.rpartition("/")[2].startswith("pagemap-")


def _document(path: Path) -> Any:
    try:
        return json.loads(read_regular(path, most=MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is no JSON: {error}") from error


def _list(document: object, key: str) -> list[Any]:
    value = (document.get(key) or []) if isinstance(document, dict) else None
    if not isinstance(value, list):
        raise Unreadable(f"{key!r} is no list in it")
    return value


def _text(document: object, key: str) -> str:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise Unreadable(f"{key!r} is no text in it")
    return value
