"""Layouts of images that carry checkpoints: how registries, archives and folders store an image's parts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from harness.checkpoints.documents import document, parsed, part, parts, text
from harness.checkpoints.sources import Source
from harness.checkpoints.untrusted import Broken, Unreadable, beneath, inside, read_regular

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
MEMORY = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""Beginning of the media types of a layer, however it is compressed."""
CONTAINER = "application/vnd.containerd.container.checkpoint.config.v1+proto"
NAME = "org.opencontainers.image.ref.name"
MOST_DEEP = 4
"""Maximum depth of nested indexes."""
MOST_LINK = 200
"""Maximum size of a tag's file in bytes: a digest has 71."""


@dataclass(frozen=True)
class Image:
    """An image, and its files in a source."""

    name: str
    """Name in the layout; empty if it has none."""
    parts: tuple[tuple[str, str], ...]
    """Media types and files: the layers of a manifest, or the parts of an index that are not manifests."""
    index: Mapping[str, Any] = field(default_factory=dict)
    """The index, if the parts belong to an index."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files, if the layout gives it."""

    def check(self, source: Source, files: Iterable[str]) -> None:
        """Raise `Broken` for a file that does not match its digest."""
        for name in files:
            if name in self.digests:
                _check(source, name, self.digests[name])


class Carrier(Protocol):
    """A layout of images."""

    what: ClassVar[str]

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders that hold images in this layout."""

    def images(self, source: Source, root: str) -> Iterator[Image]:
        """Yield the images of a folder; raise `Unreadable`."""


class _ByDigest:
    """Images that find their parts by digest."""

    def blob(self, root: str, digest: str, *, manifest: bool) -> str:
        """Return the file of the part with this digest (without its algorithm)."""
        raise NotImplementedError

    def _of(self, source: Source, root: str, name: str, found: dict[str, Any], depth: int = 0) -> Iterator[Image]:
        """Yield the images of a manifest or an index at this `depth` of nesting."""
        if "layers" in found:
            yield self._image(source, root, name, parts(found, "layers"), {})
            return
        own: list[dict[str, Any]] = []
        for each in parts(found, "manifests"):
            source.budget.part()
            media = text(each, "mediaType")
            if media not in INDEXES + MANIFESTS:
                own.append(each)
            elif (file := self._file(source, root, each, manifest=True)) in source.files:
                if depth == MOST_DEEP:
                    raise Unreadable(f"{source.path.name} nests indexes more than {MOST_DEEP} levels deep")
                _check(source, file, _digest(source, each))
                named = text(part(each, "annotations"), NAME) or name
                yield from self._of(source, root, named, read(source, file), depth + 1)
        if own:
            yield self._image(source, root, name, own, found)

    def _image(
        self, source: Source, root: str, name: str, own: Sequence[dict[str, Any]], index: dict[str, Any]
    ) -> Image:
        files = [self._file(source, root, each) for each in own]
        digests = {file: _digest(source, each) for file, each in zip(files, own, strict=True)}
        media = [text(each, "mediaType") for each in own]
        return Image(name, tuple(zip(media, files, strict=True)), index, digests)

    def _file(self, source: Source, root: str, descriptor: Mapping[str, Any], *, manifest: bool = False) -> str:
        return self.blob(root, _digest(source, descriptor), manifest=manifest)


class OciLayout(_ByDigest):
    """An OCI layout: `index.json` and blobs (image-layout.md of the OCI image specification)."""

    what: ClassVar[str] = "an OCI image layout"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with an index and blobs."""
        yield from _folders_of(source, "index.json")

    def images(self, source: Source, root: str) -> Iterator[Image]:
        """Yield all images that the index names."""
        yield from self._of(source, root, "", read(source, _in(root, "index.json")))

    def blob(self, root: str, digest: str, *, manifest: bool) -> str:  # noqa: ARG002
        """Return the path of the part; all parts are in one folder."""
        return _in(root, f"blobs/sha256/{digest}")


class DockerFolder(_ByDigest):
    """skopeo's `dir:` layout: one manifest, and its parts beside it (image/directory of containers/image)."""

    what: ClassVar[str] = "an image in a folder"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with a manifest and skopeo's version file."""
        yield from (root for root in _folders_of(source, "manifest.json") if _in(root, "version") in source.files)

    def images(self, source: Source, root: str) -> Iterator[Image]:
        """Yield the image of the manifest, or the images of a manifest list."""
        yield from self._of(source, root, "", read(source, _in(root, "manifest.json")))

    def blob(self, root: str, digest: str, *, manifest: bool) -> str:
        """Return the path of the part; manifests of a list have their own file extension."""
        return _in(root, f"{digest}.manifest.json" if manifest else digest)


class DockerArchive:
    """An archive of `docker save`: `manifest.json` is a list, and the layers are archives beside it."""

    what: ClassVar[str] = "an archive of docker save"

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders with a manifest that is a list."""
        yield from (
            root
            for root in _folders_of(source, "manifest.json")
            if _in(root, "version") not in source.files
            and isinstance(_parsed(source, _in(root, "manifest.json")), list)
        )

    def images(self, source: Source, root: str) -> Iterator[Image]:
        """Yield each image of the list."""
        said = {"images": _parsed(source, _in(root, "manifest.json"))}
        for each in parts(said, "images"):
            names = each.get("RepoTags") or [""]
            layers = each.get("Layers")
            if not isinstance(layers, list) or not all(isinstance(one, str) for one in (*layers, *names)):
                raise Unreadable(f"manifest.json of {source.path.name} does not name the layers of its images")
            yield Image(names[0], tuple(("", _in(root, inside(layer))) for layer in layers))


class Registry(_ByDigest):
    """The storage folder of a registry (distribution/distribution, registry/storage/paths.go)."""

    what: ClassVar[str] = "the storage of a registry"

    _TAG = re.compile(r"(?:(.*)/)?docker/registry/v2/repositories/(.+)/_manifests/tags/([^/]+)/current/link")

    def roots(self, source: Source) -> Iterator[str]:
        """Yield the folders that hold a registry's storage."""
        yield from sorted({found[1] or "" for name in source.files if (found := self._TAG.fullmatch(name))})

    def images(self, source: Source, root: str) -> Iterator[Image]:
        """Yield the images of each tag of each repository."""
        for name in sorted(source.files):
            tag = self._TAG.fullmatch(name)
            if tag and (tag[1] or "") == root:
                folder = source.fetch(lambda each, link=name: each == link)  # type: ignore[misc]
                digest = read_regular(beneath(folder, name), most=MOST_LINK).decode(errors="replace").strip()
                tagged = {"digest": digest}
                file = self._file(source, root, tagged)
                if file in source.files:
                    _check(source, file, _digest(source, tagged))
                yield from self._of(source, root, f"{tag[2]}:{tag[3]}", read(source, file))

    def blob(self, root: str, digest: str, *, manifest: bool) -> str:  # noqa: ARG002
        """Return the path of the part; parts are in folders by the first digits of their digests."""
        return _in(root, f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data")


CARRIERS: tuple[Carrier, ...] = (OciLayout(), DockerFolder(), DockerArchive(), Registry())


def _digest(source: Source, descriptor: Mapping[str, Any]) -> str:
    digest = text(descriptor, "digest")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise Unreadable(f"{source.path.name} names a part by {digest[:80]!r}, which is not a SHA-256 digest")
    return digest.removeprefix("sha256:")


def _check(source: Source, name: str, digest: str) -> None:
    found = hashlib.sha256()
    for chunk in source.chunks_of(name):
        found.update(chunk)
    if found.hexdigest() != digest:
        raise Broken(f"its part {name} does not match its digest: it was damaged or changed")


def read(source: Source, name: str) -> dict[str, Any]:
    """Read a JSON object from a source."""
    return document(beneath(_fetched(source, name), name))


def _parsed(source: Source, name: str) -> Any:
    return parsed(beneath(_fetched(source, name), name))


def _fetched(source: Source, name: str) -> Any:
    if name not in source.files:
        raise Unreadable(f"{name} is not in {source.path.name}")
    return source.fetch(lambda each: each == name)


def _folders_of(source: Source, last: str) -> Iterator[str]:
    yield from (name[: -len(last)].rstrip("/") for name in source.files if name == last or name.endswith(f"/{last}"))


def _in(root: str, name: str) -> str:
    return f"{root}/{name}".lstrip("/")
