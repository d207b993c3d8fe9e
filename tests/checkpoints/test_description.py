"""What checkpoints say about themselves, in each form, with documents as engines write them."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Packed

from harness.checkpoints.carriers import CONTAINER, LAYER, MEMORY
from harness.checkpoints.criu.image import STATISTICS, encoded
from harness.checkpoints.description import LOG_HEAD, engine_of
from harness.checkpoints.find import find
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.description import Description, DiskForm, MountPoint
from tests.criu_images import dump, memory, tar

SPEC = {
    "process": {"env": ["TOKEN=secret"]},
    "mounts": [{"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind"]}],
    "annotations": {"io.kubernetes.cri-o.Annotations": "{}", "team": "blue"},
}
CRI = {
    "id": "ab" * 32,
    "name": "web",
    "rootfsImage": "app:1",
    "rootfsImageRef": "sha256:" + "cd" * 32,
    "runtime": "runc",
    "createdTime": "2026-11-01T10:00:00Z",
    "checkpointedTime": "2026-11-02T10:00:00Z",
}
LOG = b"(00.000000) Version: 4.2.1 (gitid 0)\n(00.000012) Running on host.example Linux 6.12.9 #1 SMP\n"


def statistics(**counted: int) -> bytes:
    entry: Any = STATISTICS.messages[0](dump=counted)
    return encoded(STATISTICS, [entry])


def exported(folder: Path, config: object, spec: object = SPEC, **more: bytes) -> Description:
    images = dump(folder / "images", memory())
    parts: dict[str, bytes | None] = {f"checkpoint/{each.name}": each.read_bytes() for each in images.iterdir()}
    parts |= {"config.dump": json.dumps(config).encode(), "spec.dump": json.dumps(spec).encode()}
    return described(tar(folder / "it.tar", {**parts, **{name.replace("_", "."): data for name, data in more.items()}}))


def described(path: Path) -> Description:
    (found,) = find(path, path.parent / "to", Budget())
    return found.open().description


def test_an_archive_of_crio_tells_whose_it_is_and_never_what_is_in_the_environment(tmp_path: Path) -> None:
    layer = tar(tmp_path / "rootfs-diff", {"x": b"1"}).read_bytes()
    more = {"checkpoint/descriptors.json": b"[]", "rootfs-diff.tar": layer, "deleted.files": b'["a", "b"]'}
    more |= {"dump.log": LOG, "stats-dump": statistics(frozen_time=1200, pages_written=7)}
    found = exported(tmp_path, CRI, **more)
    assert (found.engine, found.container_id, found.container_name) == ("crio", CRI["id"], "web")
    assert (found.image, found.image_id, found.runtime) == ("app:1", CRI["rootfsImageRef"], "runc")
    assert (found.created, found.taken) == (CRI["createdTime"], CRI["checkpointedTime"])
    assert (found.criu, found.kernel) == ("4.2.1", "6.12.9")
    assert found.mounts == (MountPoint(target="/data", kind="bind", source="/srv/data"),)
    assert found.annotations["team"] == "blue"
    assert (found.disk, found.disk_bytes, found.deleted) == (DiskForm.LIST, len(layer), 2)
    assert found.statistics is not None
    assert (found.statistics.frozen_us, found.statistics.pages_written, found.statistics.freezing_us) == (1200, 7, 0)
    assert found.pages_bytes == len(memory())
    assert found.images_bytes is not None
    assert found.images_bytes > len(memory()) + len(b"[]")
    assert "secret" not in found.model_dump_json()
    assert "host.example" not in found.model_dump_json()


@pytest.mark.parametrize(
    ("config", "more", "engine"),
    [
        (CRI, {"status.dump": b"{}"}, "containerd"),
        ({**CRI, "rootfsImageID": "ef" * 32, "rootfsImageName": "app:2"}, {}, "podman"),
        ({}, {}, "crio"),
    ],
)
def test_engines_are_told_from_each_other(tmp_path: Path, config: object, more: dict[str, bytes], engine: str) -> None:
    found = exported(tmp_path, config, **more)
    assert found.engine == engine
    assert found.disk is None
    if engine == "podman":
        assert (found.image, found.image_id) == ("app:2", "ef" * 32)
    assert engine_of(tmp_path / "nowhere") == ""


def test_an_archive_of_nobody_known_tells_what_it_has(tmp_path: Path) -> None:
    found = exported(tmp_path, {"name": "x"}, {})
    assert (found.engine, found.container_name, found.mounts) == ("", "x", ())


def indexed(folder: Path, container: bytes | None) -> Description:
    images = dump(folder / "images", memory())
    dumped = tar(folder / "memory", {each.name: each.read_bytes() for each in images.iterdir()}).read_bytes()
    parts = {MEMORY: dumped, f"{LAYER}+gzip": tar(folder / "layer", {"x": b"1"}, "w:gz").read_bytes()}
    parts |= {CONTAINER: container} if container is not None else {}
    blobs = {hashlib.sha256(data).hexdigest(): data for data in parts.values()}
    manifests = [{"mediaType": kind, "digest": f"sha256:{name}"} for kind, name in zip(parts, blobs, strict=True)]
    told = {"org.opencontainers.image.ref.name": "app:1", "io.containerd.checkpoint.runtime": "io.containerd.runc.v2"}
    index = json.dumps({"manifests": manifests, "annotations": told}).encode()
    return described(
        tar(folder / "it.tar", {"index.json": index, **{f"blobs/sha256/{n}": d for n, d in blobs.items()}})
    )


def test_an_index_of_containerd_tells_by_annotations_and_by_a_message(tmp_path: Path) -> None:
    spec = Packed(type_url="types.containerd.io/opencontainers/runtime-spec/1/Spec", value=json.dumps(SPEC).encode())
    found = indexed(tmp_path / "a", spec.SerializeToString())
    assert (found.engine, found.image, found.runtime) == ("containerd", "app:1", "io.containerd.runc.v2")
    assert [mount.target for mount in found.mounts] == ["/data"]
    assert (found.disk, found.pages_bytes) == (DiskForm.LAYER, len(memory()))
    assert indexed(tmp_path / "b", None).mounts == ()


@pytest.mark.parametrize("damaged", [b"\xff", Packed(value=b"{").SerializeToString()])
def test_a_damaged_message_is_declined(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(Unreadable, match="specification of the container is damaged"):
        indexed(tmp_path, damaged)


def test_images_alone_tell_what_criu_has_left_beside_them(tmp_path: Path) -> None:
    dump(tmp_path / "it/images", memory())
    work = tmp_path / "it" / "work"
    work.mkdir()
    (work / "dump.log").write_bytes(LOG + b"(00.1) Version: 9\n" + b"x" * LOG_HEAD)
    (work / "stats-dump").write_bytes(statistics(freezing_time=5))
    found = described(tmp_path / "it")
    assert (found.engine, found.criu, found.pages_bytes) == ("", "4.2.1", len(memory()))
    assert found.statistics is not None
    assert found.statistics.freezing_us == 5


def sandbox(folder: Path, header: bytes, *, size: int | None = None) -> Description:
    folder.mkdir()
    length = struct.pack(">Q", len(header) if size is None else size)
    (folder / "checkpoint.img").write_bytes(b"gVisorSF" + length + header + b"state")
    return described(folder)


def test_the_state_of_a_sandbox_tells_by_its_header(tmp_path: Path) -> None:
    found = sandbox(tmp_path / "a", b'{"compression": "none"}')
    assert (found.engine, found.details, found.images_bytes) == ("gvisor", {"compression": "none"}, 44)


@pytest.mark.parametrize(
    ("header", "size", "told"),
    [
        (b"{", None, "damaged header"),
        (b"{}", 1 << 40, "bytes, more than the limit"),
        (b"[1]", None, "is not an object"),
    ],
)
def test_a_damaged_sandbox_is_declined(tmp_path: Path, header: bytes, size: int | None, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        sandbox(tmp_path / "a", header, size=size)
    (tmp_path / "checkpoint.img").write_bytes(b"something")
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(Unreadable):
        described(tmp_path)


def test_documents_of_a_wrong_kind_are_declined(tmp_path: Path) -> None:
    wrong: tuple[Any, ...] = ({"id": 7}, {"mounts": {"a": 1}}, {"annotations": {"a": 1}})
    for number, each in enumerate(wrong):
        with pytest.raises(Unreadable, match="is no"):
            exported(tmp_path / str(number), each, each)
