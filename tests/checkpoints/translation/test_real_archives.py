"""Archives that containerd 2.1.9, CRI-O 1.36.3 and Podman 5.8.6 made, translated into each other's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.criu.image import FILES, MOUNTS, encoded
from harness.checkpoints.translation.translate import Order, translate
from harness.model.errors import Untranslatable
from tests.checkpoints.translation.exports import names, opened, translated
from tests.checkpoints.translation.test_bridges import read
from tests.real_checkpoints import changed, plain

CONTAINERD, CRIO = "containerd-runc-deleted-file", "crio-runc-ledger"
DIGEST = "localhost:5000/workload@sha256:2bb2510f8acafaca80c46b993d29a427ac2a1597d6c321c3d67f79d80dc7e2af"
IMAGE = "localhost:5000/workload:latest"
RING = b"/data/added.ring"
"""File that the process has open."""


def made(name: str, folder: Path) -> Path:
    (folder / f"{name}.tar").write_bytes(plain(name))
    return folder / f"{name}.tar"


def documents(parts: dict[str, bytes]) -> dict[str, Any]:
    return {name: json.loads(parts[name]) for name in ("config.dump", "spec.dump", "status.dump") if name in parts}


def test_containerds_archive_looks_like_one_of_crio(tmp_path: Path) -> None:
    source = made(CONTAINERD, tmp_path)
    _, parts, done = translated(source, tmp_path, Order("crio"))
    told = documents(parts)
    real = documents(opened(made(CRIO, tmp_path), tmp_path / "real"))
    config, own = told["config.dump"], told["spec.dump"]["annotations"]
    assert config["name"] == "k8s_c14_pod1_stillframe_uid-pod1_0"
    assert (config["rootfsImage"], config["rootfsImageName"]) == (IMAGE, IMAGE)
    assert config["checkpointedTime"] == "2026-11-28T22:57:16.808179305Z"
    assert set(config) <= set(real["config.dump"])
    assert json.loads(own["io.kubernetes.cri-o.Metadata"]) == {"name": "c14"}
    assert own["io.kubernetes.cri-o.Created"] == "2026-11-28T22:57:16.403822846Z"
    assert set(own) <= set(real["spec.dump"]["annotations"])
    assert json.loads(parts["deleted.files"]) == ["/image/deleted"]
    assert not [name for name in names(parts["rootfs-diff.tar"], tmp_path) if ".wh." in name]
    assert done.notes == ["the request that restores it must mount /etc/hosts, /report"]


@pytest.mark.parametrize("name", [CRIO, "crio-runc-image-file"])
def test_crios_archive_looks_like_one_of_containerd(tmp_path: Path, name: str) -> None:
    _, parts, done = translated(made(name, tmp_path), tmp_path, Order("containerd"))
    told = documents(parts)
    real = documents(opened(made(CONTAINERD, tmp_path), tmp_path / "real"))
    short = {CRIO: "c2"}.get(name, "c6")
    assert told["config.dump"]["name"] == f"{short}_pod1_stillframe_uid-pod1_0"
    assert told["config.dump"]["rootfsImageRef"] == DIGEST, "CRI-O notes it in an annotation"
    assert told["config.dump"]["rootfsImageName"] == IMAGE
    assert told["status.dump"]["metadata"] == {"name": short}
    for document in ("config.dump", "status.dump"):
        assert set(told[document]) <= set(real[document])
    assert set(told["spec.dump"]["annotations"]) <= set(real["spec.dump"]["annotations"])
    assert done.notes == ["the request that restores it must mount /etc/hosts, /report, /run/.containerenv"]


def test_there_and_back_the_pod_keeps_its_names(tmp_path: Path) -> None:
    source = made(CRIO, tmp_path)
    there, _, _ = translated(source, tmp_path, Order("containerd"))
    _, back, _ = translated(there, tmp_path, Order("crio"))
    first, last = documents(opened(source, tmp_path / "first")), documents(back)
    for field in ("id", "name", "rootfsImageName", "createdTime", "checkpointedTime"):
        assert first["config.dump"][field] == last["config.dump"][field]
    metadata = "io.kubernetes.cri-o.Metadata"
    assert json.loads(first["spec.dump"]["annotations"][metadata]) == json.loads(
        last["spec.dump"]["annotations"][metadata]
    )


def test_a_template_of_podman_must_be_on_the_same_network(tmp_path: Path) -> None:
    with pytest.raises(Untranslatable) as error:
        translate(made(CRIO, tmp_path), tmp_path / "out", Order("podman"))
    assert "--network host" in error.value.remedy
    containerd, _, _ = translated(made("still-ledger", tmp_path), tmp_path, Order("containerd", image=DIGEST))
    with pytest.raises(Untranslatable) as error:
        translate(containerd, tmp_path / "out", Order("podman"))
    assert "--network" not in error.value.remedy, "it has a network of its own"


def moved(name: str, to: Path, mount: str) -> Path:
    """An archive whose process has its file open on another mount."""
    tables = to.parent / "tables"

    def change(parts: dict[str, bytes]) -> None:
        (table,) = [each for each in parts if each.startswith("checkpoint/mountpoints-")]
        for image in (table, "checkpoint/files.img"):
            (tables / image).parent.mkdir(parents=True, exist_ok=True)
            (tables / image).write_bytes(parts[image])
        files = read(tables / "checkpoint/files.img", FILES)
        (number,) = (each.mnt_id for each in read(tables / table, MOUNTS) if each.mountpoint == mount)
        for each in files:
            if each.reg.name == RING:
                each.reg.mnt_id, each.reg.name = number, f"{mount}/some.ring".encode()
        parts["checkpoint/files.img"] = encoded(FILES, files)

    return changed(name, to, change)


@pytest.mark.parametrize(("name", "to"), [(CONTAINERD, "crio"), (CRIO, "containerd")])
def test_a_file_on_a_mount_that_the_target_makes_anew_is_declined(tmp_path: Path, name: str, to: str) -> None:
    source = moved(name, tmp_path / "shm.tar", "/dev/shm")
    told = rf"its processes use /dev/shm/some\.ring \(2,097,152 bytes\), but {to} makes the mount at /dev/shm anew"
    with pytest.raises(Untranslatable, match=told):
        translate(source, tmp_path / "out", Order(to))
    assert not (tmp_path / "out").exists()


def test_a_file_on_a_mount_of_the_users_is_told(tmp_path: Path) -> None:
    source = moved(CONTAINERD, tmp_path / "bind.tar", "/report")
    note = translate(source, tmp_path / "out", Order("crio")).notes[-1]
    assert "the mount at /report must have" in note
    assert "/report/some.ring (2,097,152 bytes)" in note
