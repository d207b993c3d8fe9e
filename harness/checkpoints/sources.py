"""Sources of checkpoints, a folder or an archive: list their files, and fetch the wanted files."""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from harness.checkpoints.archive import CHUNK, DELETED_BY, OPAQUE, PARENT, Member, members, unpack
from harness.checkpoints.untrusted import Absent, Broken, Budget, Unreadable, beneath, open_regular

MOST_DEEP = 16
"""Maximum depth of nested folders."""
MOST_NAMES = 200_000
"""Maximum number of files and folders in a source."""
MOST_LETTERS = 64 << 20
"""Maximum length of all their names together, in characters."""
PARTS = re.compile(
    r"(?:.*/)?(?:rootfs-diff\.tar|devshm-checkpoint\.tar|volumes/[^/]+\.tar|tmpfs-dev-[0-9]+\.tar\.gz\.img)"
)
"""Archives in a checkpoint. Each is read to its end, so that a hostile or incomplete archive is detected."""

DESCRIBES = re.compile(rf"(?:.*/)?(?:[^/]+\.dump|[^/]+\.img|deleted\.files)|{PARTS.pattern}")
"""Files that describe a checkpoint; each name must occur once."""

Wanted = Callable[[str], bool]
"""Returns whether the file of this name is wanted."""


def under(folder: str, name: str) -> str:
    """Return the name of a file in a folder of a source."""
    return f"{folder}/{name}".lstrip("/")


class Source(ABC):
    """Files by names relative to the source; nothing in them is trusted."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.files: dict[str, int] = {}
        """Sizes of regular files in bytes."""
        self.folders: set[str] = set()
        self.links: dict[str, str] = {}
        """Targets of the links to earlier levels of memory."""
        self.not_followed: set[str] = set()
        """Names of other symbolic links."""
        self._letters = 0

    def _note(self, name: str, mode: int, size: int, link: str = "") -> None:
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            return
        self._keep(name + link)
        if stat.S_ISREG(mode):
            self.files[name] = size
        elif stat.S_ISLNK(mode) and name.rpartition("/")[2] == PARENT:
            self.links[name] = link
        elif stat.S_ISLNK(mode):
            if len(self.not_followed) < MOST_NAMES:
                self.not_followed.add(name)
            return
        above = name if stat.S_ISDIR(mode) else name.rpartition("/")[0]
        while above and above not in self.folders:
            self._keep(above)
            self.folders.add(above)
            above = above.rpartition("/")[0]
        if len(self.files) + len(self.folders) > MOST_NAMES:
            raise Unreadable(f"{self.path.name} holds more than {MOST_NAMES:,} files and folders")

    def _keep(self, name: str) -> None:
        self._letters += len(name)
        if self._letters > MOST_LETTERS:
            raise Unreadable(f"{self.path.name} holds names with more than {MOST_LETTERS:,} characters in total")

    def under(self, folder: str) -> Iterator[str]:
        """Yield the names of all files below a folder, relative to it."""
        start = f"{folder}/" if folder else ""
        return (name[len(start) :] for name in self.files if name.startswith(start))

    def listing(self, folder: str) -> dict[str, int]:
        """Return the files in a folder, with their sizes in bytes."""
        return {name: self.files[f"{folder}/{name}".lstrip("/")] for name in self.under(folder) if "/" not in name}

    def has_folder(self, name: str) -> bool:
        """Return whether there is a folder of this name; the empty name is the source itself."""
        return not name or name in self.folders

    def sizes(self) -> Counter[str]:
        """Return the size of each folder in bytes, without its subfolders."""
        found: Counter[str] = Counter()
        for name, size in self.files.items():
            found[name.rpartition("/")[0]] += size
        return found

    @abstractmethod
    def fetch(self, wanted: Wanted) -> Path:
        """Return a folder that holds the wanted files under their names."""

    @abstractmethod
    def members_of(self, name: str) -> Iterator[Member]:
        """Yield the members of an archive in the source."""

    @abstractmethod
    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file piece by piece, without unpacking it."""


@dataclass(frozen=True)
class Part:
    """A file of a source, not unpacked."""

    source: Source
    name: str

    def chunks(self) -> Iterator[bytes]:
        """Yield its content piece by piece; raise `Unreadable`."""
        return self.source.chunks_of(self.name)


class Folder(Source):
    """Files in a folder, read in place."""

    def __init__(self, path: Path, budget: Budget) -> None:
        super().__init__(path, budget)
        self._walk(path, "", MOST_DEEP)

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.budget.part()
                    name, status = prefix + entry.name, entry.stat(follow_symlinks=False)
                    link = os.readlink(entry.path) if entry.is_symlink() else ""  # noqa: PTH115  # the unchanged target
                    self._note(name, status.st_mode, status.st_size, link)
                    if name in self.files and PARTS.fullmatch(name):
                        _see(members(Path(entry.path), self.budget))
                    if depth > 1 and entry.is_dir(follow_symlinks=False):
                        self._walk(Path(entry.path), f"{name}/", depth - 1)
        except OSError as error:
            raise Unreadable(f"its folder {folder.name} cannot be read: {error.strerror}") from error

    def fetch(self, _: Wanted) -> Path:
        """Return the folder itself."""
        return self.path

    def members_of(self, name: str) -> Iterator[Member]:
        """Yield the members of an archive in the source."""
        return members(beneath(self.path, name), self.budget)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file piece by piece."""
        with open_regular(beneath(self.path, name)) as descriptor:
            while data := os.read(descriptor, CHUNK):
                self.budget.read(len(data))
                yield data


class Archive(Source):
    """Files in an archive; each request reads the archive once."""

    def __init__(self, path: Path, to: Path, budget: Budget) -> None:
        """Read the archive from beginning to end; later requests unpack files into new folders below `to`."""
        super().__init__(path, budget)
        self._to = to
        self._fetched = 0
        self._times: Counter[str] = Counter()
        """Number of files by name; the last file of a name counts."""
        described: set[str] = set()
        last = ""
        try:
            for member in members(path, budget):
                last = member.name
                if DESCRIBES.fullmatch(last):
                    _is_one(path.name, member, again=last in described)
                    self._keep(last)
                    described.add(last)
                if member.info.isreg():
                    self._times[last] += 1
                self._note(last, _mode(member), member.info.size, member.info.linkname)
                if member.info.isreg() and PARTS.fullmatch(last):
                    _see(member.members(budget))
        except Broken as error:
            what = f"{error.what}, in or after {last[-80:]!r}" if last else error.what
            raise Broken(what, remedy=error.remedy) from error

    def fetch(self, wanted: Wanted) -> Path:
        """Unpack the wanted files into a new folder, and return it."""
        self._fetched += 1
        folder = self._to / str(self._fetched)
        unpack(self.path, folder, self.budget, wanted=wanted)
        return folder

    def members_of(self, name: str) -> Iterator[Member]:
        """Yield the members of an inner archive, or the members in a folder."""
        if name in self.folders:
            start = f"{name}/"
            for member in members(self.path, self.budget):
                if member.name.startswith(start):
                    yield replace(member, name=member.name[len(start) :])
            return
        for member in self._last_of(name):
            yield from member.members(self.budget)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Yield the content of a member piece by piece."""
        for member in self._last_of(name):
            yield from member.chunks()

    def _last_of(self, name: str) -> Iterator[Member]:
        """Yield the last member of a name, since only the last one counts."""
        left = self._times[name]
        for member in members(self.path, self.budget):
            if member.name == name and member.info.isreg():
                left -= 1
                if left == 0:
                    yield member
                    return
        raise Absent(f"{name} is not in {self.path.name}")


def _see(parts: Iterator[Member]) -> None:
    """Read an archive to its end."""
    for _ in parts:
        pass


def _is_one(archive: str, member: Member, *, again: bool) -> None:
    """Raise `Unreadable` for a member that readers may interpret differently, or that is a hard link."""
    name = member.name[:200]
    if member.info.islnk():
        raise Unreadable(
            f"{archive} holds {name} as a hard link, which is not followed",
            remedy="Make the archive again with tar's option --hard-dereference.",
        )
    if again or member.info.isdev():
        what = "twice" if again else "as a device or a pipe"
        raise Unreadable(f"{archive} holds {name} {what}, so readers may interpret it differently")


def _mode(member: Member) -> int:
    info = member.info
    kinds = ((info.isreg(), stat.S_IFREG), (info.isdir(), stat.S_IFDIR), (info.issym(), stat.S_IFLNK))
    return next((kind for fits, kind in kinds if fits), 0)


def open_source(path: Path, to: Path, budget: Budget) -> Source:
    """Open the source at a path; raise `Unreadable` if it is neither a folder nor an archive."""
    return Folder(path, budget) if path.is_dir() else Archive(path, to, budget)


class ImageLayers(Source):
    """Files in the layers of an image; the topmost file of a name counts."""

    def __init__(self, path: Path, layers: Sequence[Archive], to: Path, budget: Budget) -> None:
        """Combine the layers of the image at `path`; requests unpack files into new folders below `to`."""
        super().__init__(path, budget)
        self._layers = layers
        self._to = to
        self._fetched = 0
        self._topmost: dict[str, Archive] = {}
        for layer in layers:
            covers = _covered_by(layer)
            for held in (self.files, self.folders, self.links, self.not_followed, self._topmost):
                for name in [each for each in held if covers(each)]:
                    held.pop(name) if isinstance(held, dict) else held.remove(name)
            self.files |= layer.files
            self.folders |= layer.folders
            self.links |= layer.links
            self.not_followed |= layer.not_followed
            self._topmost |= dict.fromkeys((*layer.files, *layer.links), layer)

    def fetch(self, wanted: Wanted) -> Path:
        """Unpack the wanted files into a new folder, and return it."""
        self._fetched += 1
        folder = self._to / str(self._fetched)
        for layer in self._layers:
            held = {name for name, topmost in self._topmost.items() if topmost is layer and wanted(name)}
            unpack(layer.path, folder, self.budget, wanted=held.__contains__)
        return folder

    def members_of(self, name: str) -> Iterator[Member]:
        """Yield the members of an archive in the source."""
        yield from self._topmost[name].members_of(name)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file piece by piece."""
        yield from self._topmost[name].chunks_of(name)


def _covered_by(layer: Archive) -> Callable[[str], bool]:
    """Return a function that says whether a layer hides a name of the layers below, by a file or a whiteout.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
    """
    held = {*layer.files, *layer.links, *layer.not_followed}
    named = [(folder, last) for folder, _, last in (name.rpartition("/") for name in held)]
    opaque = {folder for folder, last in named if last == OPAQUE}
    gone = {under(folder, last.removeprefix(DELETED_BY)) for folder, last in named if last.startswith(DELETED_BY)}
    names = held | gone

    def covers(name: str) -> bool:
        above = list(accumulate(name.split("/")[:-1], "{}/{}".format))
        return name in names or not names.isdisjoint(above) or not opaque.isdisjoint(("", *above))

    return covers
