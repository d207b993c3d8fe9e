"""Find the checkpoints in a folder or an archive, in any known layout, also inside images."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, count
from operator import eq
from pathlib import Path

from harness.checkpoints.archive import COMPRESSIONS
from harness.checkpoints.carriers import CARRIERS, Image
from harness.checkpoints.documents import CONFIG
from harness.checkpoints.layouts import INVENTORY, KINDS, LAYOUTS, ContainerdImage, Exported, Layout, Opened
from harness.checkpoints.sources import Archive, ImageLayers, Source, open_source
from harness.checkpoints.untrusted import Budget, Unreadable, beneath
from harness.foreign.files import KINDS as KINDS_OF_FILES
from harness.model.errors import UsageError

MOST_CHECKPOINTS = 1000
TELLING = (CONFIG, INVENTORY)
"""Names of files that show a checkpoint."""
MOST_IMAGES = 10_000
"""Maximum number of images in a layout; many images of a registry are not checkpoints."""
_ARCHIVE = re.compile(r".+\.(tar|tgz)(\.(gz|zst|xz|bz2))?")
_MAY_BE_LAYER = re.compile(r"^$|tar|layer|gzip|zstd|octet-stream")
"""Pattern for the media types of layers; an artifact also has parts that are not archives."""
NAMES_SHOWN = 6


@dataclass(frozen=True)
class Found:
    """A checkpoint, and its place."""

    where: str
    """Place in words that follow `in`: folders, images; empty if the checkpoint is the whole source."""
    layout: str
    """Name of its layout."""
    what: str
    """Short description of its layout."""
    source: Source
    root: str
    """Folder of the checkpoint in the source."""
    _open: Callable[[bool], Opened]

    def open(self, *, pages: bool = True) -> Opened:
        """Unpack the checkpoint, with or without its memory pages; raise `Unreadable`."""
        return self._open(pages)


def find(path: Path, to: Path, budget: Budget) -> tuple[Found, ...]:
    """Find all checkpoints in a folder or an archive; unpack what is needed below the folder `to`.

    Raise `Unreadable` if there is none, or if there are more than `MOST_CHECKPOINTS`.
    """
    if path.is_symlink() and path.is_file():
        path = path.resolve()  # a link that the user names is followed; links inside are not
    if path.exists() and not path.is_file() and not path.is_dir():
        kind = KINDS_OF_FILES.get(stat.S_IFMT(path.stat().st_mode), "something else")
        raise Unreadable(f"it is {kind}, not a file or folder", remedy="Copy it into a file.")
    source = open_source(path, to / "parts", budget)
    found: list[Found] = []
    for each in _in(source, to, budget, ""):
        if len(found) == MOST_CHECKPOINTS:
            raise Unreadable(f"it holds more than {MOST_CHECKPOINTS:,} checkpoints")
        found.append(each)
    if found and (hidden := sorted(name for name in source.not_followed if name.rpartition("/")[2] in TELLING)):
        raise Unreadable(f"{hidden[0]} is a symbolic link, which is not followed, so a checkpoint may be missed")
    if not found:
        held = sorted({name.partition("/")[0] for name in (*source.files, *source.folders)})
        names = ", ".join(held[:NAMES_SHOWN]) + (", ..." if len(held) > NAMES_SHOWN else "") or "nothing"
        if links := sorted(source.not_followed):
            names += f"; symbolic links are not followed, for example {links[0]}"
        raise Unreadable(
            f"it holds no checkpoint of a known kind, but {names}",
            remedy=f"Known kinds: {', '.join(KINDS)}. Known compressions: {', '.join(COMPRESSIONS)}.",
        )
    return tuple(found)


def choose(found: Sequence[Found], container: str) -> tuple[Found, ...]:
    """Return the checkpoint of a container, by its name, the beginning of its id, or its folder; all if empty.

    Raise `UsageError` if there is none, or more than one.
    """
    if not container:
        return tuple(found)
    chosen = [each for each in found if container in (each.where, each.root, each.root.rpartition("/")[2])]
    told = [(each, each.open(pages=False).description) for each in found] if len(chosen) != 1 else []
    if not chosen:
        chosen = [
            each
            for each, it in told
            if container == it.container_name or (it.container_id or " ").startswith(container)
        ]
    if len(chosen) != 1:
        known = ", ".join(it.container_name or each.where or each.what for each, it in told[:NAMES_SHOWN])
        raise UsageError(
            f"--container {container}: {len(chosen) or 'no'} checkpoint{'s match' if chosen else ' matches'}",
            remedy=f"Known: {known}.",
        )
    return tuple(chosen)


def only(found: Sequence[Found]) -> Found:
    """Return the only checkpoint; raise `UsageError` if there are several."""
    if len(found) > 1:
        raise UsageError(
            f"it holds {len(found)} checkpoints",
            remedy=f"Choose with --container: {', '.join(each.where or each.what for each in found[:NAMES_SHOWN])}.",
        )
    return found[0]


def _in(source: Source, to: Path, budget: Budget, where: str) -> Iterator[Found]:
    claimed: set[str] = set()
    folders = count()

    def is_free(root: str) -> bool:
        """Return whether the folder is outside every checkpoint found so far."""
        above = accumulate(root.split("/"), "{}/{}".format)
        return claimed.isdisjoint(("", *above))

    for layout in LAYOUTS[:1]:
        yield from _laid_out(layout, source, where, claimed, is_free)
    for carrier in CARRIERS:
        for root in [root for root in carrier.roots(source) if is_free(root)]:
            for image in _bounded(carrier.images(source, root)):
                told = _joined(where, root, image.name and f"the image {image.name}")
                for found in _carried(source, image, to / f"image-{next(folders)}", budget, told):
                    claimed.add(root)
                    yield found
    for layout in LAYOUTS[1:]:
        yield from _laid_out(layout, source, where, claimed, is_free)
    for name in sorted(source.listing("")) if not claimed and not where else ():
        if _ARCHIVE.fullmatch(name):  # the kubelet keeps archives beside each other
            own = to / f"archive-{name[:64]}"
            inner = Archive(beneath(source.fetch(partial(eq, name)), name), own, budget)
            yield from _in(inner, own, budget, name)


def _bounded(images: Iterator[Image]) -> Iterator[Image]:
    for number, image in enumerate(images):
        if number == MOST_IMAGES:
            raise Unreadable(f"it holds more than {MOST_IMAGES:,} images")
        yield image


def _laid_out(
    layout: Layout, source: Source, where: str, claimed: set[str], is_free: Callable[[str], bool]
) -> Iterator[Found]:
    for root in list(layout.roots(source)):
        if is_free(root):
            claimed.add(root)
            opens = partial(_open, layout, source, root)
            yield Found(_joined(where, root), layout.name, layout.what, source, root, opens)


def _open(layout: Layout, source: Source, root: str, pages: bool) -> Opened:  # noqa: FBT001
    return layout.lay_open(source, root, pages=pages)


def _carried(source: Source, image: Image, to: Path, budget: Budget, where: str) -> Iterator[Found]:
    """Yield the checkpoints that an image carries, in its layers or as the parts of an index."""
    memory = ContainerdImage()
    if memory.fits(image):
        yield Found(where, memory.name, memory.what, source, "", lambda _: memory.lay_open(source, image, to))
        return
    there = [name for media, name in image.parts if name in source.files and _MAY_BE_LAYER.search(media)]
    if not there:
        return
    image.check(source, there)
    blobs = source.fetch(lambda name: name in there)
    layers = [Archive(beneath(blobs, name), to / str(number), budget) for number, name in enumerate(there)]
    yield from _in(ImageLayers(source.path, layers, to / "all", budget), to, budget, where or "the image")


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


__all__ = ["Exported", "Found", "find"]
