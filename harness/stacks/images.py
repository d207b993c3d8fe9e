"""Root file systems out of archives and container images, which people bring for stacks of their own.

Comes in: a tar of a root file system, plain or compressed; or an image, as an OCI layout (a folder), an OCI archive or
a Docker archive. Goes out: the root file system in a folder. Archives are foreign: nothing is written outside the
folder, no link is followed out of it, and no device is made.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.checkpoints import archive
from harness.checkpoints.archive import DELETED_BY, OPAQUE, Member, members
from harness.checkpoints.untrusted import Broken, Budget, Unreadable, beneath, inside, read_regular
from harness.foreign.files import sha256_of
from harness.foreign.roots import INDEX
from harness.host import syscalls

LARGEST = 64 << 30
"""Bytes that a root file system may have, unpacked."""
SPARED = 512 << 20
"""Bytes of free space that are left to others."""
LAYOUT, DOCKER = "oci-layout", "manifest.json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names of architectures by the kernel's names, where they differ."""
DEEPEST = 4
"""Indexes within indexes."""


def architecture() -> str:
    """Return this machine's architecture, as images name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def digest_of(source: Path) -> str:
    """Return the SHA-256 of an archive, or of the index of an OCI layout, which names all of its content."""
    return sha256_of(source / INDEX if source.is_dir() else source.resolve())


def unpack(source: Path, root: Path, scratch: Path, waiting: Callable[[], None] = lambda: None) -> None:
    """Unpack an archive or an image into the empty folder `root`; `scratch` is a folder for its layers.

    `waiting` is called often, and what it raises ends the unpacking. Raise `Unreadable` or `OSError` if it cannot be
    unpacked, also for lack of space.
    """
    room = max(0, shutil.disk_usage(root).free - SPARED)
    remedy = "Free some space, or choose another folder with --cache." if room < LARGEST else "Export a smaller image."
    budget = Budget.of(min(LARGEST, room), remedy=remedy, waiting=waiting)
    layers = [source]
    if source.is_dir():
        layers = _layers(source)
    elif any(member.name in (LAYOUT, DOCKER) for member in members(source, budget)):
        archive.unpack(source, scratch, budget)
        layers = _layers(scratch)
    place = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for number, layer in enumerate(layers):
            for deletes in (
                (True, False) if number else (False,)
            ):  # a layer deletes what is below it, wherever it says so
                for member in members(layer, budget):
                    if member.name.rpartition("/")[2].startswith(DELETED_BY) is deletes:
                        _lay(member, place, budget)
    finally:
        os.close(place)


def _layers(image: Path) -> list[Path]:
    """Return the layers of an image, the lowest first."""
    if (image / INDEX).exists():
        manifest = _manifest(image, _document(image / INDEX), DEEPEST)
        return [_blob(image, each) for each in _entries(manifest, "layers")]
    if (image / DOCKER).exists():
        images = _document(image / DOCKER)
        if isinstance(images, list) and images and isinstance(images[0], dict):
            return [beneath(image, inside(str(name))) for name in _entries(images[0], "Layers")]
    raise Unreadable(f"{image.name} is no OCI layout and no Docker archive: it has no {INDEX} with a manifest")


def _manifest(image: Path, index: Any, depth: int) -> Any:
    """Follow an index to the manifest of this machine's architecture."""
    if isinstance(index, dict) and "layers" in index:
        return index
    listed = [each for each in _entries(index, "manifests") if isinstance(each, dict)]
    here = architecture()
    fitting = [each for each in listed if (each.get("platform") or {"architecture": here}).get("architecture") == here]
    if not fitting or not depth:
        raise Unreadable(f"the image has no manifest for {here}", remedy="Export it for this machine.")
    return _manifest(image, _document(_blob(image, fitting[0])), depth - 1)


def _entries(document: Any, name: str) -> list[Any]:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise Unreadable(f"the image's document has no list of {name}")
    return found


def _blob(image: Path, descriptor: Any) -> Path:
    kind, colon, digest = str(descriptor.get("digest") if isinstance(descriptor, dict) else "").partition(":")
    if not (colon and kind.isalnum() and digest.isalnum()):
        raise Unreadable(f"the image names a part without a digest: {str(descriptor)[:80]}")
    return beneath(image, f"blobs/{kind}/{digest}")


def _document(path: Path) -> Any:
    try:
        return json.loads(read_regular(path))
    except ValueError as error:
        raise Broken(f"{path.name} is no JSON document: {error}") from error


def _lay(member: Member, place: int, budget: Budget) -> None:
    """Lay one member of a layer over what is in the root file system behind the descriptor `place`."""
    folder, _, name = member.name.rpartition("/")
    if not name:
        return
    with _opened(place, folder) as parent:
        if name == OPAQUE:
            for each in Path(f"/proc/self/fd/{parent}").iterdir():
                _remove(parent, each.name)
        elif name.startswith(DELETED_BY):
            _remove(parent, name.removeprefix(DELETED_BY))
        elif member.info.isdir():
            if not Path(f"/proc/self/fd/{parent}/{name}").is_dir():
                _remove(parent, name)
                os.mkdir(name, dir_fd=parent)
            _attributes(parent, name, member)
        else:
            _make(member, place, parent, name, budget)


def _make(member: Member, place: int, parent: int, name: str, budget: Budget) -> None:
    """Make a file or a link in the folder behind `parent`; leave out devices, pipes and sockets."""
    _remove(parent, name)
    if member.info.issym():
        os.symlink(member.info.linkname, name, dir_fd=parent)
    elif member.info.islnk():
        folder, _, last = member.info.linkname.strip("/").rpartition("/")
        with _opened(place, folder) as source:
            os.link(last, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    elif member.info.isreg():
        budget.keep(member.info.size)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in member.chunks():
                file.write(chunk)
        _attributes(parent, name, member)


@contextlib.contextmanager
def _opened(place: int, folder: str) -> Iterator[int]:
    """Open a folder of the root file system, made with its parents where it is missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        found = syscalls.open_in_root(place, folder or ".", flags)
    except FileNotFoundError:
        above, _, name = folder.rpartition("/")
        with _opened(place, above) as parent:
            try:
                os.mkdir(name, 0o755, dir_fd=parent)
            except FileExistsError:
                raise Unreadable(f"{folder} is a link that leads nowhere, and a file lies behind it") from None
        found = syscalls.open_in_root(place, folder, flags)
    try:
        yield found
    finally:
        os.close(found)


def _attributes(parent: int, name: str, member: Member) -> None:
    """Set owner and mode; a folder may be behind a link, whose target keeps its own.

    No file gets another user's rights: the cache is on the machine itself, and a node is root's anyway.
    """
    if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
        return
    os.chown(name, member.info.uid, member.info.gid, dir_fd=parent, follow_symlinks=False)
    kept = stat.S_ISVTX | 0o777 if member.info.isreg() else 0o7777
    os.chmod(name, member.info.mode & kept, dir_fd=parent)


def _remove(parent: int, name: str) -> None:
    if name in ("", ".", ".."):
        raise Unreadable(f"it deletes {name!r}, which is no name of a file")
    path = f"/proc/self/fd/{parent}/{name}"
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        shutil.rmtree(path)
