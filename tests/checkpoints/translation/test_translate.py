"""Archives of one engine, written as another one writes them."""

from __future__ import annotations

import gzip
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from harness.checkpoints.archive import unpack
from harness.checkpoints.criu.image import MOUNTS
from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS, Order, translate
from harness.model.errors import Untranslatable, UsageError
from tests.checkpoints.translation.exports import (
    IMAGE,
    PULLABLE,
    STATS,
    images,
    names,
    opened,
    packed,
    podman,
    spec,
    translated,
)
from tests.checkpoints.translation.test_bridges import CRUN, RUNC, read

# ---- forms


def test_crio_is_told_what_it_asks_for(tmp_path: Path) -> None:
    source = podman(tmp_path / "in")
    _, parts, done = translated(source, tmp_path, Order("crio"))
    config = json.loads(parts["config.dump"])
    assert (config["rootfsImageName"], config["name"], config["runtime"]) == (IMAGE, "live", "runc")
    assert "rootfsImageRef" not in config, "CRI-O wants the identity of an image of its own there"
    told = json.loads(parts["spec.dump"])
    assert told["annotations"] == {
        "org.example": "kept",
        "io.container.manager": "cri-o",
        "io.kubernetes.cri-o.Annotations": "{}",
        "io.kubernetes.cri-o.Metadata": '{"name": "live"}',
        "io.kubernetes.cri-o.Created": "2026-11-23T10:00:00Z",
    }
    assert [each["destination"] for each in told["mounts"]] == ["/proc", "/report", "/etc/hosts", "/run/.containerenv"]
    assert names(parts["rootfs-diff.tar"], tmp_path) == ["data", "data/added", "etc"], (
        "what is mounted over is left out"
    )
    assert json.loads(parts["deleted.files"]) == ["/image/deleted"]
    assert parts["io.kubernetes.cri-o.LogPath"].endswith(b"stdout F said\n")
    assert {name for name in parts if name.startswith("checkpoint/")} == images(tmp_path / "again").keys()
    assert parts["stats-dump"] == STATS
    assert "network.status" not in parts
    assert done.notes == ["the request that restores it must mount /etc/hosts, /report"]


def test_containerd_is_told_what_it_asks_for(tmp_path: Path) -> None:
    _, parts, done = translated(podman(tmp_path / "in"), tmp_path, Order("containerd", image=PULLABLE))
    config, status = json.loads(parts["config.dump"]), json.loads(parts["status.dump"])
    assert (config["rootfsImageRef"], config["runtime"]) == (PULLABLE, "io.containerd.runc.v2")
    assert (status["id"], status["metadata"], status["state"]) == ("c" * 64, {"name": "live"}, 1)
    assert (status["image"], status["image_ref"]) == ({"image": IMAGE}, PULLABLE), "the tag stays"
    assert (config["rootfsImage"], config["rootfsImageName"]) == (IMAGE, IMAGE)
    layer = gzip.decompress(parts["rootfs-diff.tar"])
    assert names(layer, tmp_path) == ["image/.wh.deleted", "data", "data/added", "etc", "etc/hosts"]
    assert "deleted.files" not in parts
    assert json.loads(parts["spec.dump"])["annotations"] == {
        "org.example": "kept",
        "io.kubernetes.cri.container-name": "live",
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": IMAGE,
    }
    assert done.notes == ["the request that restores it must mount /etc/hosts, /report"]


def test_a_request_to_crun_must_have_the_masked_paths_too(tmp_path: Path) -> None:
    order = Order("containerd", Runtime.CRUN, image=PULLABLE)
    _, masks = translated(podman(tmp_path / "in"), tmp_path, order)[2].notes
    assert "masked_paths" in masks


@pytest.mark.parametrize("form", ["crio", "containerd"])
def test_there_and_back_is_the_same_checkpoint(tmp_path: Path, form: str) -> None:
    source = podman(tmp_path / "in")
    there, _, _ = translated(source, tmp_path, Order(form, image=PULLABLE))
    _, back, done = translated(there, tmp_path, Order("podman", template=source))
    first = opened(source, tmp_path / "first")
    for name in {*first, *back} - {"rootfs-diff.tar", "deleted.files", "config.dump", "spec.dump"}:
        assert back[name] == first[name], name
    for name in ("config.dump", "spec.dump", "deleted.files"):
        assert json.loads(back[name]) == json.loads(first[name])
    assert names(back["rootfs-diff.tar"], tmp_path) == ["data", "data/added", "etc"]
    assert IMAGE in done.notes[0]


def test_from_crio_to_containerd_and_back_the_users_annotations_stay(tmp_path: Path) -> None:
    there, _, _ = translated(podman(tmp_path / "in"), tmp_path, Order("crio"))
    parts = opened(there, tmp_path / "parts")
    parts["spec.dump"] = spec(
        **{"io.kubernetes.cri-o.Annotations": '{"team": "a"}', "io.kubernetes.cri-o.SandboxID": "x", "own": "1"}
    )
    parts["config.dump"] = json.dumps({"id": "1", "name": "n", "rootfsImageName": PULLABLE, "runtime": "crun"}).encode()
    source = packed(tmp_path / "from-crio.tar", parts)
    other, told, _ = translated(source, tmp_path, Order("containerd"))
    assert json.loads(told["status.dump"])["annotations"]["team"] == "a"
    kept = json.loads(told["spec.dump"])["annotations"]
    assert kept["own"] == "1"
    assert not [name for name in kept if name.startswith("io.kubernetes.cri-o.")]
    assert json.loads(told["config.dump"])["rootfsImageRef"] == PULLABLE
    _, back, _ = translated(other, tmp_path, Order("crio"))
    assert "team" in json.loads(json.loads(back["spec.dump"])["annotations"]["io.kubernetes.cri-o.Annotations"])
    assert json.loads(back["config.dump"])["rootfsImageName"] == PULLABLE.partition("@")[0]


CHECKPOINTED = 1_795_435_200
"""2026-11-23T12:00:00Z."""


@pytest.mark.parametrize("as_folder", [False, True])
def test_the_time_of_podmans_checkpoint_is_that_of_its_files(tmp_path: Path, *, as_folder: bool) -> None:
    unpack(podman(tmp_path / "in"), tmp_path / "files")
    os.utime(tmp_path / "files/checkpoint/inventory.img", (CHECKPOINTED, CHECKPOINTED))
    source = tmp_path / "files"
    if not as_folder:
        source = tmp_path / "timed.tar"
        with tarfile.open(source, "w") as packed_again:
            packed_again.add(tmp_path / "files", ".")
    _, parts, _ = translated(source, tmp_path, Order("crio"))
    assert json.loads(parts["config.dump"])["checkpointedTime"] == "2026-11-23T12:00:00Z"


def test_every_form_knows_its_own_archives_and_no_others(tmp_path: Path) -> None:
    podmans = podman(tmp_path / "in")
    made = {"podman": podmans}
    for name in ("crio", "containerd"):
        made[name] = translated(podmans, tmp_path, Order(name, image=PULLABLE))[0]
    for name, path in made.items():
        unpack(path, tmp_path / "unpacked" / name)
        assert [form.name for form in FORMS if form.fits(tmp_path / "unpacked" / name)][:1] == [name]


# ---- bridges, in archives


def test_the_runtime_is_changed_in_the_images_and_where_it_is_named(tmp_path: Path) -> None:
    out, parts, done = translated(podman(tmp_path / "in"), tmp_path, Order(runtime=Runtime.CRUN, criu=OldCriu.V4_1))
    assert json.loads(parts["config.dump"])["runtime"] == "crun"
    mounts = read(tmp_path / f"{out.stem}.opened/checkpoint/mountpoints-1.img", MOUNTS)
    assert [each.ext_key for each in mounts[:2]] == [each["ext_key"] for each in CRUN]
    assert any("pagemap-1.img" in change for change in done.changes)
    assert parts["network.status"] == b"null", "nothing else is touched"
    again = translate(out, tmp_path / "again.tar", Order(runtime=Runtime.CRUN, criu=OldCriu.V4_1))
    assert again.changes == []
    assert (tmp_path / "again.tar").read_bytes() == out.read_bytes()


def test_a_template_of_another_runtime_names_that_of_the_images(tmp_path: Path) -> None:
    there, _, _ = translated(podman(tmp_path / "in"), tmp_path, Order("crio"))
    template = podman(tmp_path / "template", runtime="crun")
    _, back, _ = translated(there, tmp_path, Order("podman", template=template))
    assert json.loads(back["config.dump"])["runtime"] == "runc"


def test_a_folder_of_images_becomes_another_one(tmp_path: Path) -> None:
    images(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    done = translate(tmp_path / "images", tmp_path / "other", Order(runtime=Runtime.CRUN))
    assert len(done.changes) == len(RUNC)
    assert {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()} == before
    assert {path.name for path in (tmp_path / "other").iterdir()} == before.keys()
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o700
    with pytest.raises(UsageError, match="already exists"):
        translate(tmp_path / "images", tmp_path / "other", Order(runtime=Runtime.CRUN), force=True)


def test_an_archive_of_images_alone_is_bridged_and_has_no_form(tmp_path: Path) -> None:
    source = packed(tmp_path / "images.tar", images(tmp_path))
    assert translated(source, tmp_path, Order(criu=OldCriu.V4_1))[2].changes
    with pytest.raises(Untranslatable, match="not an engine's archive"):
        translate(source, tmp_path / "out.tar", Order("podman"))
