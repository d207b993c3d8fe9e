from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.checkpoints.untrusted import Unreadable
from harness.images import repositories
from harness.images.manifests import digest_of
from harness.images.stores import LAYOUT, ArtifactStore, ContainerdStore, PodmanStore
from harness.model.errors import CommandFailed
from harness.runtimes.containerd import BLOBS
from harness.stacks import registry
from tests.folder_node import FolderNode


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    return FolderNode(tmp_path)


def test_what_was_loaded_gets_another_name(node: FolderNode) -> None:
    node.answer("load", stdout="Loaded image: localhost/podman:latest\n")
    PodmanStore(node).load("/a.tar", "podman-3", "oci-archive")
    assert node.said()[-2:] == [
        "podman tag localhost/podman:latest localhost/podman-3",
        "podman untag localhost/podman-3 localhost/podman:latest",
    ]


def test_what_was_loaded_without_a_name_is_not_untagged(node: FolderNode) -> None:
    node.answer("load", stdout="Loaded image: sha256:00ff\n")
    PodmanStore(node).load("/a.tar", "podman-3", "oci-archive")
    assert node.said()[-1] == "podman tag sha256:00ff localhost/podman-3"


def test_a_load_that_says_nothing_has_loaded_nothing(node: FolderNode) -> None:
    with pytest.raises(CommandFailed, match="did not say what it had loaded"):
        PodmanStore(node).load("/a.tar", "podman-3", "oci-archive")


def test_an_image_is_unmounted_also_when_it_cannot_be_packed(node: FolderNode) -> None:
    node.answer("mount", stdout="/mnt\n")
    node.answer("tar", 2)
    with pytest.raises(CommandFailed):
        PodmanStore(node).unpack("x", "/x.tar")
    assert node.said()[-1] == "podman image unmount localhost/x"


def test_an_index_of_containerd_is_read_out_of_its_store(node: FolderNode) -> None:
    text = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"a": "b"}})
    digest = digest_of(text)
    node.put(f"{BLOBS}/{digest.removeprefix('sha256:')}", text)
    node.answer("list", stdout=f"REF TYPE DIGEST\nx application/x {digest} 7 B\n")
    assert ContainerdStore(node).look("x").digest == digest


def test_what_containerd_does_not_know_is_an_error(node: FolderNode) -> None:
    node.answer("list", stdout="REF TYPE DIGEST\n")
    with pytest.raises(CommandFailed, match="does not know x"):
        ContainerdStore(node).look("x")


def test_an_artifact_is_found_by_its_name(node: FolderNode) -> None:
    text = json.dumps({"schemaVersion": 2, "artifactType": "application/x"})
    named = {"digest": digest_of(text), "annotations": {"org.opencontainers.image.ref.name": "mine"}}
    node.put(f"{LAYOUT}/index.json", json.dumps({"manifests": [{"digest": "sha256:1"}, named]}))
    node.put(f"{LAYOUT}/blobs/{digest_of(text).replace(':', '/')}", text)
    assert ArtifactStore(node).look("mine").artifact_type == "application/x"
    with pytest.raises(Unreadable, match="has no yours"):
        ArtifactStore(node).look("yours")


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("localhost:5000/podman:registry", "localhost:5000/podman"),
        ("localhost:5000/podman", "localhost:5000/podman"),
        ("localhost/podman", "localhost/podman"),
    ],
)
def test_a_port_is_no_tag(name: str, repository: str) -> None:
    assert repositories.repository(name) == repository


def test_what_the_registry_forgets_is_one_repository(node: FolderNode) -> None:
    for name in ("workload", "podman"):
        node.put(f"{registry.STORAGE}/docker/registry/v2/repositories/{name}/x", "")
    repositories.forget(node, "localhost:5000/workload:latest")
    assert [each.name for each in node.path(f"{registry.STORAGE}/docker/registry/v2/repositories").iterdir()] == [
        "podman"
    ]
