"""What an image says about itself: media types, and annotations by their place. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping

from pydantic import BaseModel, Field, ValidationError

from harness.checkpoints.untrusted import Unreadable
from harness.model.invalid import brief
from harness.records.image_path import ImageFacts, Spot

Fetch = Callable[[str], str | None]
"""Returns a part by its digest, or None if it is not available."""
MOST_INNER = 16
"""Maximum number of an index's manifests that are read."""


class _Descriptor(BaseModel):
    media_type: str = Field(default="", alias="mediaType")
    digest: str = ""
    annotations: dict[str, str] | None = None


class _Manifest(BaseModel):
    """An index or a manifest, of OCI or Docker; other fields are ignored."""

    media_type: str = Field(default="", alias="mediaType")
    artifact_type: str = Field(default="", alias="artifactType")
    config: _Descriptor | None = None
    layers: tuple[_Descriptor, ...] = ()
    manifests: tuple[_Descriptor, ...] | None = None
    annotations: dict[str, str] | None = None


class _Labelled(BaseModel):
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _Configuration(BaseModel):
    config: _Labelled | None = None


def facts_of(where: str, text: str, *, manifest: Fetch, configuration: Fetch) -> ImageFacts:
    """Read an index or manifest, with its inner manifests and their configurations; raise `Unreadable`."""
    top = _parsed(text, where)
    found: dict[Spot, dict[str, str]] = {}
    parts: list[str] = []
    inner = [top]
    if top.manifests is not None:
        _add(found, Spot.INDEX, top.annotations)
        for entry in top.manifests[:MOST_INNER]:
            _add(found, Spot.ENTRY, entry.annotations)
            parts.append(entry.media_type)
        inner = list(_inner(top.manifests[:MOST_INNER], where, manifest))
    for each in inner:
        _add(found, Spot.MANIFEST, each.annotations)
        for part in (each.config, *each.layers):
            if part is not None:
                _add(found, Spot.PART, part.annotations)
                parts.append(part.media_type)
        if each.config is not None:
            _add(found, Spot.CONFIG, _labels(configuration(each.config.digest)))
    artifact_type = next((each.artifact_type for each in (top, *inner) if each.artifact_type), "")
    return ImageFacts(
        where=where,
        digest=digest_of(text),
        media_type=top.media_type or "(none)",
        artifact_type=artifact_type,
        parts=tuple(parts),
        annotations=found,
    )


def digest_of(text: str) -> str:
    """Return the digest of a manifest, over its unchanged bytes."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _inner(entries: tuple[_Descriptor, ...], where: str, fetch: Fetch) -> Iterator[_Manifest]:
    for entry in entries:
        if "manifest" in entry.media_type and (text := fetch(entry.digest)) is not None:
            yield _parsed(text, where)


def _labels(text: str | None) -> dict[str, str] | None:
    try:
        found = _Configuration.model_validate_json(text or "{}")
    except ValidationError:  # an artifact's configuration may be anything
        return None
    return found.config.labels if found.config else None


def _parsed(text: str, where: str) -> _Manifest:
    try:
        return _Manifest.model_validate_json(text)
    except ValidationError as error:
        raise Unreadable(f"the answer of the {where} is not a manifest: {brief(error)}") from error


def _add(found: dict[Spot, dict[str, str]], spot: Spot, annotations: dict[str, str] | None) -> None:
    if annotations:
        found.setdefault(spot, {}).update(annotations)


def told(look: ImageFacts, facts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the annotations that hold each fact; `facts`: patterns by fact."""
    return {
        fact: keys
        for fact, pattern in facts.items()
        if pattern
        and (
            keys := tuple(
                dict.fromkeys(
                    key
                    for kept in look.annotations.values()
                    for key, value in kept.items()
                    if re.search(pattern, value)
                )
            )
        )
    }
