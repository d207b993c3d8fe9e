"""The adapter with an engine that is none, hangs, or says what no engine should."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from harness.checkpoints.untrusted import Broken
from harness.cri import client
from harness.cri.client import Client
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, StageFailed
from harness.model.outcomes import Outcome
from harness.runtimes import adapter
from harness.runtimes import cri as adapters
from harness.runtimes.contract import Checkpoint, Container, State
from harness.runtimes.cri import Cri
from tests.cri.engine import Answers, serving
from tests.cri.scenes import CLONE, SPEC
from tests.folder_node import FolderNode

ENGINES = ("cri/containerd/runc", "cri/crio/crun")
every_engine = pytest.mark.parametrize("name", ENGINES)
Asked = list[tuple[str, dict[str, Any]]]


@contextmanager
def engine(node: FolderNode, name: str, answers: Answers) -> Iterator[tuple[Cri, Asked]]:
    """Give an adapter with an engine that answers so, and what the engine is asked."""
    cri = adapter(name)(node)
    assert isinstance(cri, Cri)
    socket = cri.engine.socket
    node.path(socket).parent.mkdir(parents=True)
    with serving(node.path(socket), answers) as asked:
        cri._client = Client(node, None, socket)
        yield cri, asked
        cri._client.close()


def container(cri: Cri) -> Container:
    return Container(SPEC, cgroup=cri.node.freezer("source/c0ffee"), id="c0ffee")


def saying(answer: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    return lambda *_: answer


@every_engine
def test_an_engine_that_speaks_another_version_is_told_at_once(node: FolderNode, name: str) -> None:
    with (
        engine(node, name, {}) as (cri, _),
        pytest.raises(EnvironmentUnfit, match=r"\.sock on folder does not speak CRI's runtime\.v1: "),
    ):
        cri._client.answers()


@every_engine
def test_an_engine_that_does_not_answer_is_asked_again(
    node: FolderNode, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
    over = threading.Event()

    def hangs(*_: object) -> dict[str, Any]:
        over.wait(60)
        return {}

    with engine(node, name, {"Version": hangs}) as (cri, asked):
        assert not cri._client.answers()
        over.set()
        assert cri._client.answers()
        assert len(asked) == 2


@every_engine
@pytest.mark.parametrize(
    ("answer", "what"), [(b"\xff\xff", "INTERNAL"), (b"\x12\xff\xff\xff\x7f", "INTERNAL")], ids=["noise", "cut off"]
)
def test_an_answer_that_is_none_is_an_error_that_names_the_call(
    node: FolderNode, name: str, answer: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(node, name, {"ContainerStatus": saying({})}) as (cri, _):
        monkeypatch.setattr("tests.cri.engine.encoded", lambda _: answer)
        with pytest.raises(CommandFailed, match=rf"^ContainerStatus on .* of folder failed: {what}: "):
            cri.state(container(cri))


@every_engine
def test_a_state_of_a_newer_cri_is_not_running(node: FolderNode, name: str) -> None:
    with engine(node, name, {"ContainerStatus": saying({"status": {"state": 77}})}) as (cri, _):
        assert cri.state(container(cri)) is State.STOPPED


@every_engine
def test_a_container_that_the_engine_does_not_list_is_named(node: FolderNode, name: str) -> None:
    others = {"containers": [{"id": "other", "pod_sandbox_id": "pod", "metadata": {"name": "other"}}]}
    with engine(node, name, {"ListContainers": saying(others)}) as (cri, _):
        for act in (lambda: cri.known(SPEC), lambda: cri.delete(container(cri))):
            with pytest.raises(CommandFailed, match=rf"^{name} on folder has no container (source|c0ffee)$"):
                act()


@every_engine
def test_an_archive_that_exists_is_left_as_it_is(node: FolderNode, name: str) -> None:
    with engine(node, name, {"CheckpointContainer": saying({})}) as (cri, asked):
        checkpoint = Checkpoint(container(cri), "/checkpoints/one")
        node.put(checkpoint.archive, "older")
        with pytest.raises(CommandFailed, match=r"^/checkpoints/one/checkpoint\.tar on folder already exists$") as said:
            cri.live_checkpoint(checkpoint)
        assert not said.value.runtime, "nobody has asked the engine"
        assert asked == []
        assert node.read(checkpoint.archive) == "older"


@every_engine
@pytest.mark.parametrize("method", ["CreateContainer", "StartContainer"])
def test_a_restore_that_hangs_ends_and_leaves_no_pod(
    node: FolderNode, name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containerd's does while it waits for a registry that does not answer."""
    monkeypatch.setattr(adapters, "RESTORE_SECONDS", 0.2)
    over = threading.Event()

    def hangs(_: dict[str, Any], context: grpc.ServicerContext) -> dict[str, Any]:
        context.add_callback(over.set)
        over.wait(60)
        return {}

    answers: Answers = {
        "RunPodSandbox": saying({"pod_sandbox_id": "pod"}),
        "CreateContainer": saying({"container_id": "made"}),
        **dict.fromkeys(("StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox"), saying({})),
        method: hangs,
    }
    with engine(node, name, answers) as (cri, asked):
        with pytest.raises(DeadlineExceeded, match=rf"^{method} on .* was not answered within "):
            cri.restore(Checkpoint(container(cri), "/checkpoints/one"), CLONE)
        assert over.wait(60), "the engine is told"
    assert [called for called, _ in asked][-2:] == ["StopPodSandbox", "RemovePodSandbox"]
    assert ("RemoveContainer", {"container_id": "made"}) in asked or method == "CreateContainer"


PARTS = ("config.dump", "spec.dump", "checkpoint/inventory.img")


def archive(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    return packed.getvalue()


@every_engine
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the engine has written no archive: checkpoint.tar"),
        (b"", "checkpoint.tar is empty, or cut off before its first file"),
        (archive(*PARTS)[:1300], "checkpoint.tar is not a complete archive"),
        (archive(*PARTS[1:]), "config.dump is missing"),
        (archive(PARTS[0], PARTS[2]), "spec.dump is missing"),
        (archive(*PARTS[:2]), "it has config.dump but no checkpoint/inventory.img"),
    ],
    ids=["none", "empty", "cut off", "no config.dump", "no spec.dump", "no images"],
)
def test_an_archive_behind_ok_that_is_none_is_broken(
    node: FolderNode, name: str, content: bytes | None, told: str
) -> None:
    cri = adapter(name)(node)
    checkpoint = Checkpoint(Container(SPEC, cgroup="", id="c0ffee"), "/checkpoints/one")
    node.make(checkpoint.folder)
    if content is not None:
        node.path(checkpoint.archive).write_bytes(content)
    with pytest.raises(Broken) as found:
        cri.contents(checkpoint)
    assert told in str(found.value)


@every_engine
def test_the_parts_of_an_archive_are_found(node: FolderNode, name: str) -> None:
    cri = adapter(name)(node)
    checkpoint = Checkpoint(Container(SPEC, cgroup="", id="c0ffee"), "/checkpoints/one")
    node.make(checkpoint.folder)
    node.path(checkpoint.archive).write_bytes(archive(*PARTS))
    images = cri.contents(checkpoint).images
    assert images is not None
    assert node.path(f"{images}/inventory.img").read_bytes() == b"{}"


@every_engine
def test_an_engine_without_the_method_is_unsupported(node: FolderNode, name: str) -> None:
    with engine(node, name, {}) as (cri, _), pytest.raises(StageFailed, match="UNIMPLEMENTED") as told:
        cri.live_checkpoint(Checkpoint(container(cri), "/checkpoint"))
    assert told.value.outcome is Outcome.UNSUPPORTED


@every_engine
def test_what_brings_the_images_is_asked_for_first(node: FolderNode, name: str) -> None:
    node.answer("skopeo", 127, stderr="skopeo: No such file or directory")
    (found,) = adapter(name)(node).capabilities()
    assert not found.available
    assert "skopeo: No such file or directory" in found.evidence


@every_engine
def test_a_container_is_known_that_was_started_in_a_shell(node: FolderNode, name: str) -> None:
    cri = adapter(name)(node)
    assert isinstance(cri, Cri)
    node.path(cri.engine.socket).parent.mkdir(parents=True)
    listed = {"containers": [{"id": "c0ffee", "metadata": {"name": SPEC.name}}]}
    with serving(node.path(cri.engine.socket), {"ListContainers": saying(listed)}):
        assert cri.known(SPEC).id == "c0ffee"


POD = (CLONE, replace(CLONE, name="second"))


def restored(*names: str) -> list[dict[str, str]]:
    return [{"name": name.rstrip("*"), "container_id": "" if name.endswith("*") else name[:1]} for name in names]


@every_engine
def test_each_container_of_a_restored_pod_is_found_by_its_name(node: FolderNode, name: str) -> None:
    answer = {"pod_sandbox_id": "pod", "restored_containers": restored("second", "clone")}
    with engine(node, name, {"RestorePod": saying(answer)}) as (cri, asked):
        assert [(each.name, each.id) for each in cri.restore_pod("/pod", POD)] == [("clone", "c"), ("second", "s")]
    ((_, request),) = asked
    assert request["checkpoint_path"] == "/pod"
    assert [each["metadata"]["name"] for each in request["container_configs"]] == ["clone", "second"]
    assert request["config"]["metadata"]["name"] == "clone"


@every_engine
@pytest.mark.parametrize(
    "names", [(), ("clone",), ("clone", "second", "third"), ("clone", "clone"), ("clone", "second*"), ("clone", "cc")]
)
def test_an_answer_that_is_not_one_container_per_name_is_declined_and_its_pod_removed(
    node: FolderNode, name: str, names: tuple[str, ...]
) -> None:
    answers = {"RestorePod": saying({"pod_sandbox_id": "pod", "restored_containers": restored(*names)})}
    ends = {method: saying({}) for method in ("StopPodSandbox", "RemovePodSandbox")}
    with engine(node, name, {**answers, **ends}) as (cri, asked):
        with pytest.raises(CommandFailed, match="RestorePod of clone and second returned ") as declined:
            cri.restore_pod("/pod", POD)
        assert declined.value.runtime
    assert [method for method, _ in asked] == ["RestorePod", *ends]
