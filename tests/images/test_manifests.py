from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.checkpoints.untrusted import Unreadable
from harness.images.manifests import MOST_INNER, digest_of, facts_of, told
from harness.images.refusals import facts_of_base
from harness.records.image_path import ImageFacts, Spot

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = json.dumps({"config": {"Labels": {"io.buildah.version": "1.43"}}})
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG), "size": 3},
    "layers": [{"mediaType": LAYER, "digest": "sha256:00", "annotations": {"title": "checkpoint.tar"}}],
    "annotations": {"engine": "podman"},
}


def look(document: Any, parts: Mapping[str, str] | None = None) -> ImageFacts:
    text = document if isinstance(document, str) else json.dumps(document)
    held = {digest_of(CONFIG): CONFIG, **(parts or {})}
    return facts_of("registry", text, manifest=held.get, configuration=held.get)


def index(*manifests: str, **more: Any) -> dict[str, Any]:
    entries = [{"mediaType": MANIFEST_TYPE, "digest": digest_of(each), "size": 1} for each in manifests]
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries, **more}


def test_annotations_of_an_image_are_told_by_where_they_sit() -> None:
    found = look(MANIFEST)
    assert found.annotations == {
        Spot.MANIFEST: {"engine": "podman"},
        Spot.PART: {"title": "checkpoint.tar"},
        Spot.CONFIG: {"io.buildah.version": "1.43"},
    }
    assert (found.media_type, found.parts[-1]) == (MANIFEST_TYPE, LAYER)
    assert found.digest == digest_of(json.dumps(MANIFEST))


def test_an_index_is_looked_through_with_what_it_names() -> None:
    inner = json.dumps(MANIFEST)
    found = look(index(inner, annotations={"engine": "cri-o"}), {digest_of(inner): inner})
    assert found.annotations[Spot.INDEX] == {"engine": "cri-o"}
    assert found.annotations[Spot.MANIFEST] == {"engine": "podman"}
    assert found.parts == (MANIFEST_TYPE, "application/vnd.oci.image.config.v1+json", LAYER)


def test_what_an_index_names_and_nobody_has_is_passed_over() -> None:
    found = look(index("gone", annotations={"engine": "cri-o"}))
    assert set(found.annotations) == {Spot.INDEX}


def test_blobs_that_an_index_names_are_parts_and_no_manifests() -> None:
    entry = {"mediaType": "application/vnd.containerd.container.criu.checkpoint.criu.tar", "digest": "sha256:11"}
    found = look({"schemaVersion": 2, "manifests": [entry | {"annotations": {"a": "b"}}]})
    assert found.media_type == "(none)"
    assert found.parts == (entry["mediaType"],)
    assert found.annotations == {Spot.ENTRY: {"a": "b"}}


def test_an_artifact_has_a_type_of_its_own_and_no_labels() -> None:
    config = "[1, 2]"
    artifact = MANIFEST | {"artifactType": "application/x", "config": {"mediaType": "e", "digest": digest_of(config)}}
    found = look(artifact, {digest_of(config): config})
    assert found.artifact_type == "application/x"
    assert Spot.CONFIG not in found.annotations


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"annotations": {"a": 1}}',
        '{"layers": 7}',
        '{"manifests": [null]}',
        '{"config": "x"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_declined(text: str) -> None:
    with pytest.raises(Unreadable, match="the answer of the registry is not a manifest"):
        look(text)


def test_of_an_endless_index_the_first_are_looked_into() -> None:
    asked: list[str] = []
    facts_of(
        "store",
        json.dumps(index(*map(str, range(10 * MOST_INNER)))),
        manifest=lambda digest: asked.append(digest) or None,  # type: ignore[func-returns-value]
        configuration=lambda _: None,
    )
    assert len(asked) == MOST_INNER


def test_what_is_told_of_the_base_image_is_found_in_the_annotations() -> None:
    facts = facts_of_base("localhost:5000/base:latest", digest="sha256:" + "d" * 64, identity="a" * 64)
    base = {"name": "localhost:5000/base:latest", "other": "x", "id": "a" * 64}
    found = told(look(MANIFEST | {"annotations": base}), facts)
    assert found == {"name of the base image": ("name",), "id of the base image": ("id",)}


def test_a_base_image_without_an_id_is_not_found_everywhere() -> None:
    facts = facts_of_base("workload", digest="", identity="")
    assert told(look(MANIFEST), facts) == {}
