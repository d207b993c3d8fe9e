"""What the adapter asks of an engine behind CRI to restore an archive, also one that was another engine's."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cri.client import Client
from harness.runtimes.cri import CONTAINERENV, Cri, CriContainerdCrun, CriCrioCrun
from tests.checkpoints.translation.exports import SPEC as SPECIFICATION
from tests.checkpoints.translation.exports import packed
from tests.cri.engine import Answers, serving
from tests.folder_bench import CHECKPOINT, SPEC
from tests.folder_node import FolderNode

SOCKET = "/cri.sock"
DIGEST = f"localhost:5000/workload@sha256:{'ab' * 32}"
ANSWERS: Answers = {
    "RunPodSandbox": lambda *_: {"pod_sandbox_id": "pod"},
    "CreateContainer": lambda *_: {"container_id": "clone"},
    "StartContainer": lambda *_: {},
    "ImageStatus": lambda *_: {"image": {"id": "i", "repo_digests": [DIGEST]}},
}


@pytest.fixture
def node() -> Iterator[FolderNode]:
    """A node with a short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp())
    yield FolderNode(folder)
    shutil.rmtree(folder)


def requested(node: FolderNode, kind: type[Cri], content: dict[str, bytes]) -> dict[str, Any]:
    """Restore an archive; return the configuration of the container that was asked for."""
    node.path(CHECKPOINT.folder).mkdir(parents=True, exist_ok=True)
    packed(node.path(CHECKPOINT.archive), content)
    with serving(node.path(SOCKET), ANSWERS) as asked:
        adapter = kind(node, kind.ways[0])
        adapter._client = Client(node, None, SOCKET)
        assert adapter.restore(CHECKPOINT, SPEC).id == "clone"
        adapter._client.close()
    config: dict[str, Any] = dict(asked)["CreateContainer"]["config"]
    return config


def mounted(config: dict[str, Any]) -> set[str]:
    return {each["container_path"] for each in config["mounts"]}


def test_containerd_is_asked_for_what_the_archive_of_another_engine_has(node: FolderNode) -> None:
    config = requested(node, CriContainerdCrun, {"spec.dump": json.dumps(SPECIFICATION).encode()})
    assert config["image"]["image"] == CHECKPOINT.archive
    assert mounted(config) == {"/report", "/etc/hosts", CONTAINERENV}
    (source,) = (each["host_path"] for each in config["mounts"] if each["container_path"] == CONTAINERENV)
    assert node.path(source).is_file()
    assert config["linux"]["security_context"]["masked_paths"] == ["/proc/keys", "/proc/timer_list"]


def test_crio_makes_its_own_file_in_each_container(node: FolderNode) -> None:
    config = requested(node, CriCrioCrun, {"spec.dump": json.dumps(SPECIFICATION).encode()})
    assert mounted(config) == {"/report", "/etc/hosts"}


@pytest.mark.parametrize("content", [None, b"{", b"{}", b"[]", b'{"linux": null}', b'{"mounts": [1]}'])
def test_what_an_archive_does_not_say_is_not_asked_for(node: FolderNode, content: bytes | None) -> None:
    config = requested(node, CriContainerdCrun, {"spec.dump": content} if content else {})
    assert mounted(config) == {"/report", "/etc/hosts"}
    assert "masked_paths" not in config["linux"]["security_context"]


def test_the_translation_is_told_the_digest_of_the_image(node: FolderNode) -> None:
    with serving(node.path(SOCKET), ANSWERS):
        adapter = CriContainerdCrun(node, CriContainerdCrun.ways[0])
        adapter._client = Client(node, None, SOCKET)
        order = adapter.translation(CHECKPOINT)
        adapter._client.close()
    assert (order.to, order.image, order.template) == ("containerd", DIGEST, None)
