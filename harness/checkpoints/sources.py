"""Where checkpoints are: a folder, or an archive; which files are in there, and those that are asked for."""

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
"""Folders below each other that are looked through."""
MOST_NAMES = 200_000
"""Files and folders of a source."""
MOST_LETTERS = 64 << 20
"""Of all their names."""
PARTS = re.compile(
    r"(?:.*/)?(?:rootfs-diff\.tar|devshm-checkpoint\.tar|volumes/[^/]+\.tar|tmpfs-dev-[0-9]+\.tar\.gz\.img)"
)
"""Archives in a checkpoint. They are read to their ends, so that one that is cut off or does harm is noticed."""

DESCRIBES = re.compile(rf"(?:.*/)?(?:[^/]+\.dump|[^/]+\.img|deleted\.files)|{PARTS.pattern}")
"""What tells what a checkpoint is; of each there is one."""

Wanted = Callable[[str], bool]
"""Whether the file of this name is wanted."""


def under(folder: str, name: str) -> str:
    """The name of a file in a folder of a source."""
    return f"{folder}/{name}".lstrip("/")


class Source(ABC):
    """Files under names relative to the source; nothing of them is to be believed."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.files: dict[str, int] = {}
        """Bytes of regular files."""
        self.folders: set[str] = set()
        self.links: dict[str, str] = {}
        """Targets of links under the name that leads to earlier levels of memory."""
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
            raise Unreadable(f"{self.path.name} holds names of more than {MOST_LETTERS:,} letters")

    def under(self, folder: str) -> Iterator[str]:
        """Names of the files in a folder and below it, relative to it."""
        start = f"{folder}/" if folder else ""
        return (name[len(start) :] for name in self.files if name.startswith(start))

    def listing(self, folder: str) -> dict[str, int]:
        """Files in a folder by their last names, and their bytes."""
        return {name: self.files[f"{folder}/{name}".lstrip("/")] for name in self.under(folder) if "/" not in name}

    def has_folder(self, name: str) -> bool:
        """Whether there is a folder of this name; the source itself has the empty one."""
        return not name or name in self.folders

    def sizes(self) -> Counter[str]:
        """Bytes of each folder, without what is in folders below."""
        found: Counter[str] = Counter()
        for name, size in self.files.items():
            found[name.rpartition("/")[0]] += size
        return found

    @abstractmethod
    def fetch(self, wanted: Wanted) -> Path:
        """Folder in which the files that are wanted have their names."""

    @abstractmethod
    def members_of(self, name: str) -> Iterator[Member]:
        """Members of the archive that a file is."""

    @abstractmethod
    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Content of a file that is too large to be laid open, piece by piece."""


@dataclass(frozen=True)
class Part:
    """A file of a source, where it lies."""

    source: Source
    name: str

    def chunks(self) -> Iterator[bytes]:
        """Its content, piece by piece. Raises `Unreadable`."""
        return self.source.chunks_of(self.name)


class Folder(Source):
    """Files in a folder, which are read where they are."""

    def __init__(self, path: Path, budget: Budget) -> None:
        super().__init__(path, budget)
        self._walk(path, "", MOST_DEEP)

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self.budget.part()
                    name, status = prefix + entry.name, entry.stat(follow_symlinks=False)
                    link = os.readlink(entry.path) if entry.is_symlink() else ""  # noqa: PTH115  # as it is
                    self._note(name, status.st_mode, status.st_size, link)
                    if name in self.files and PARTS.fullmatch(name):
                        _see(members(Path(entry.path), self.budget))
                    if depth > 1 and entry.is_dir(follow_symlinks=False):
                        self._walk(Path(entry.path), f"{name}/", depth - 1)
        except OSError as error:
            raise Unreadable(f"its folder {folder.name} cannot be read: {error.strerror}") from error

    def fetch(self, _: Wanted) -> Path:
        """The folder itself."""
        return self.path

    def members_of(self, name: str) -> Iterator[Member]:
        """Members of the archive that a file is."""
        return members(beneath(self.path, name), self.budget)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Content of a file, piece by piece."""
        with open_regular(beneath(self.path, name)) as descriptor:
            while data := os.read(descriptor, CHUNK):
                self.budget.read(len(data))
                yield data


class Archive(Source):
    """Files in an archive, which is gone through once for each time that something is asked for."""

    def __init__(self, path: Path, to: Path, budget: Budget) -> None:
        """Read it from beginning to end; what is fetched is unpacked into new folders below `to`."""
        super().__init__(path, budget)
        self._to = to
        self._fetched = 0
        self._times: Counter[str] = Counter()
        """How often a file of a name is in it; the last one counts."""
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
            what = f"{error.what}, in {last[-80:]!r} or behind it" if last else error.what
            raise Broken(what, remedy=error.remedy) from error

    def fetch(self, wanted: Wanted) -> Path:
        """A new folder with these files."""
        self._fetched += 1
        folder = self._to / str(self._fetched)
        unpack(self.path, folder, self.budget, wanted=wanted)
        return folder

    def members_of(self, name: str) -> Iterator[Member]:
        """Members of the archive that a member is, or of a folder."""
        if name in self.folders:
            start = f"{name}/"
            for member in members(self.path, self.budget):
                if member.name.startswith(start):
                    yield replace(member, name=member.name[len(start) :])
            return
        for member in self._last_of(name):
            yield from member.members(self.budget)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Content of a member, piece by piece."""
        for member in self._last_of(name):
            yield from member.chunks()

    def _last_of(self, name: str) -> Iterator[Member]:
        """The member of a name that counts, while it goes by."""
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
    """Decline what one reader takes for this and another for that, and what is not held by its own name."""
    name = member.name[:200]
    if member.info.islnk():
        raise Unreadable(
            f"{archive} holds {name} as a hard link, which is not followed",
            remedy="Make it anew, with tar's --hard-dereference.",
        )
    if again or member.info.isdev():
        what = "twice" if again else "as something else than a file"
        raise Unreadable(f"{archive} holds {name} {what}, and who reads it may take either")


def _mode(member: Member) -> int:
    info = member.info
    kinds = ((info.isreg(), stat.S_IFREG), (info.isdir(), stat.S_IFDIR), (info.issym(), stat.S_IFLNK))
    return next((kind for fits, kind in kinds if fits), 0)


def open_source(path: Path, to: Path, budget: Budget) -> Source:
    """The source at a path; `Unreadable` if it is neither a folder nor an archive."""
    return Folder(path, budget) if path.is_dir() else Archive(path, to, budget)


class ImageLayers(Source):
    """Files of archives that lie over each other, as the layers of an image do: the topmost of a name counts."""

    def __init__(self, path: Path, layers: Sequence[Archive], to: Path, budget: Budget) -> None:
        """Of the image at `path`; what is fetched is unpacked into new folders below `to`."""
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
        """A new folder with these files."""
        self._fetched += 1
        folder = self._to / str(self._fetched)
        for layer in self._layers:
            held = {name for name, topmost in self._topmost.items() if topmost is layer and wanted(name)}
            unpack(layer.path, folder, self.budget, wanted=held.__contains__)
        return folder

    def members_of(self, name: str) -> Iterator[Member]:
        """Members of the archive that a file is."""
        yield from self._topmost[name].members_of(name)

    def chunks_of(self, name: str) -> Iterator[bytes]:
        """Content of a file, piece by piece."""
        yield from self._topmost[name].chunks_of(name)


def _covered_by(layer: Archive) -> Callable[[str], bool]:
    """Whether a layer takes a name from the layers below: by what it has there, or by a whiteout.

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
