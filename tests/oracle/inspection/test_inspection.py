"""Checkpoints in the layouts of engines, read with the command line."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import pytest
import zstandard

from harness.checkpoints import sources
from harness.checkpoints.carriers import LAYER, MEMORY
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.commands.cli import main
from harness.model.errors import UsageError
from harness.model.outcomes import Anomaly
from harness.oracle import inspection
from harness.oracle.inspection import disks_of, inspect
from harness.records.inspection import Finding, InspectedCheckpoint, Inspection
from harness.records.schemas import schemas
from tests.criu_images import (
    COUNTER,
    IN_PARENT,
    LEDGER,
    MOUNTS,
    PAGE,
    Entry,
    Surface,
    dump,
    memory,
    mount,
    ring,
    tar,
    tmpfs,
)

VOLUMES = {"dest": "/named", "volumeName": "v1"}, {"dest": "/anonymous", "volumeName": "0f0f"}
GONE: tuple[Surface, ...] = (LEDGER[0], ("deleted", "deleted", "/image/deleted"))


def images(folder: Path, surfaces: tuple[Surface, ...] = LEDGER) -> Path:
    made = dump(folder, bytes(PAGE) + memory(surfaces=surfaces), mounts=MOUNTS)
    tmpfs(made, {"./": None, "./tmpfs.ring": ring()})
    return made


def podman(
    folder: Path,
    layer: Mapping[str, bytes | None] | None,
    *,
    config: object = None,
    more: Mapping[str, bytes] = {},
    surfaces: tuple[Surface, ...] = LEDGER,
) -> Path:
    """An export; `layer`: the content of its archive of the root file system, None: without such an archive."""
    parts: dict[str, bytes | None] = {"checkpoint/": None}
    made = images(folder / "checkpoint", surfaces)
    parts |= {f"checkpoint/{path.name}": path.read_bytes() for path in made.iterdir()}
    parts |= {"config.dump": json.dumps(config or {"namedVolumes": []}).encode(), "spec.dump": b"{}"}
    if layer is not None:
        parts["rootfs-diff.tar"] = tar(folder / "layer.tar", layer).read_bytes()
    return tar(folder / "live.tar", {**parts, **more})


def digested(blobs: Path, content: bytes, media: str) -> dict[str, object]:
    blobs.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}


def containerd(folder: Path, layer: Mapping[str, bytes | None], surfaces: tuple[Surface, ...] = LEDGER) -> Path:
    """A checkpoint image in the layout of `ctr images export`; returns its folder."""
    made = images(folder / "images", surfaces)
    dumped = tar(folder / "memory.tar", {path.name: path.read_bytes() for path in made.iterdir()})
    packed = tar(folder / "layer.tar.gz", layer, "w:gz")
    blobs = folder / "layout/blobs/sha256"
    parts = [
        digested(blobs, dumped.read_bytes(), MEMORY),
        digested(blobs, packed.read_bytes(), f"{LAYER}+gzip"),
        digested(blobs, b"a base image's layer", "application/octet-stream"),
    ]
    index = "application/vnd.oci.image.index.v1+json"
    inner = digested(blobs, json.dumps({"manifests": parts}).encode(), index)
    (folder / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [inner]}))
    return folder / "layout"


def packed(folder: Path) -> Path:
    members = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return tar(folder.with_suffix(".tar"), members)


def only(found: Inspection) -> InspectedCheckpoint:
    (checkpoint,) = found.checkpoints
    return checkpoint


def held(found: Inspection) -> dict[str, int | None]:
    return {each.surface: each.newest for workload in only(found).workloads for each in workload.reading.surfaces}


def absent(found: Inspection) -> dict[str, str]:
    return {name: why for workload in only(found).workloads for name, why in workload.absent.items()}


# ---- layouts


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_an_export_of_podman_is_read_however_it_is_compressed(tmp_path: Path, how: str) -> None:
    archive = podman(tmp_path, {"data/": None, "data/added.ring": ring(COUNTER + 500)})
    data = archive.read_bytes()
    archive.write_bytes({"none": data, "gzip": gzip.compress(data), "zstd": zstandard.compress(data)}[how])
    found = inspect(archive, {})
    assert (only(found).layout, found.finding) == ("archive", Finding.INCONSISTENT)
    assert held(found) == {"added": COUNTER + 500, "tmpfs": COUNTER}
    (workload,) = only(found).workloads
    assert [skew.ticks for skew in workload.skews] == [500, 0]
    assert Anomaly.DISK_AHEAD in workload.anomalies
    assert (workload.pid, workload.name, workload.told_by) == (1, "ledger", "its own description")


def test_what_a_pod_was_asked_for_is_told_without_its_environment(tmp_path: Path) -> None:
    asked = {"containers": [{"env": [{"name": "DB", "value": "hunter2"}], "image": "app:1"}]}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(asked), "team": "blue"}
    spec = {"process": {"env": ["TOKEN=hunter2"]}, "annotations": annotations}
    found = inspect(podman(tmp_path, {"data/added.ring": ring()}, more={"spec.dump": json.dumps(spec).encode()}), {})
    assert only(found).description.annotations["team"] == "blue"
    assert "app:1" in only(found).description.annotations["kubectl.kubernetes.io/last-applied-configuration"]
    assert "hunter2" not in found.model_dump_json()


@pytest.mark.parametrize("pack", [packed, Path], ids=["archive", "folder"])
def test_a_checkpoint_image_of_containerd_is_read(tmp_path: Path, pack: Callable[[Path], Path]) -> None:
    found = inspect(pack(containerd(tmp_path, {"data/added.ring": ring(COUNTER - 40)})), {})
    assert (only(found).layout, found.finding) == ("image", Finding.INCONSISTENT)
    assert held(found) == {"added": COUNTER - 40, "tmpfs": COUNTER}


@pytest.mark.parametrize(("mark", "finding"), [(".wh.deleted", "consistent"), ("deleted", "inconsistent")])
def test_a_deletion_is_a_whiteout_in_a_layer(tmp_path: Path, mark: str, finding: str) -> None:
    layout = containerd(tmp_path, {"data/added.ring": ring(), f"image/{mark}": b""}, GONE)
    assert inspect(layout, {}).finding == finding


def test_an_image_that_lacks_a_part_is_called_so(tmp_path: Path) -> None:
    layout = containerd(tmp_path, {"data/added.ring": ring()})
    max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size).unlink()
    with pytest.raises(Broken, match=r"its part blobs/sha256/[0-9a-f]{64} is missing"):
        inspect(layout, {})


def test_images_are_held_against_the_disk_that_is_given(tmp_path: Path, upper: Path) -> None:
    made = images(tmp_path / "images")
    found = inspect(made, {"/": upper})
    assert (only(found).layout, found.finding) == ("criu", Finding.CONSISTENT)
    (upper / "data/added.ring").write_bytes(ring(COUNTER + 3))
    found = inspect(made, {"/": upper})
    assert (found.finding, held(found)) == (Finding.INCONSISTENT, {"added": COUNTER + 3, "tmpfs": COUNTER})


def test_a_disk_that_is_given_takes_the_place_of_the_checkpoint_s_own(tmp_path: Path, upper: Path) -> None:
    archive = podman(tmp_path, {"data/added.ring": ring(COUNTER + 9)})
    assert inspect(archive, {"/": upper}).finding is Finding.CONSISTENT


def test_memory_alone_is_no_still_frame(tmp_path: Path) -> None:
    found = inspect(images(tmp_path / "images", LEDGER[:1]), {})
    assert (found.finding, held(found)) == (Finding.NOTHING_TO_COMPARE, {})
    assert absent(found) == {"added": "the checkpoint does not contain the root file system; --disk DIR adds it"}
    assert inspect(images(tmp_path / "images"), {}).finding is Finding.INCOMPLETE


def test_a_mount_is_held_against_the_disk_that_is_given_for_it(tmp_path: Path, upper: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/bind.ring").write_bytes(ring())
    surfaces = (LEDGER[0], ("ring", "bind", "/bind/bind.ring"))
    made = images(tmp_path / "images", surfaces)
    dump(made, memory(surfaces=surfaces), mounts=(*MOUNTS, mount(9, "/bind", fstype=17, ext_key="/bind")))
    found = inspect(made, {"/": upper})
    assert (found.finding, held(found)) == (Finding.INCOMPLETE, {"added": COUNTER})
    assert "outside the checkpoint" in absent(found)["bind"]
    found = inspect(made, {"/": upper, "/bind": tmp_path / "host"})
    assert (found.finding, held(found), absent(found)) == (
        Finding.CONSISTENT,
        {"added": COUNTER, "bind": COUNTER},
        {},
    )


def test_of_several_levels_of_memory_the_newest_is_read(tmp_path: Path) -> None:
    surfaces = (LEDGER[1],)
    for name, pages, entries in (
        ("1", memory(500, surfaces=surfaces), [Entry(0, 1)]),
        ("2", memory(surfaces=surfaces), [Entry(0, 1), Entry(1, 1, IN_PARENT)]),
    ):
        tmpfs(dump(tmp_path / "dumps" / name, pages, entries, mounts=MOUNTS), {"./tmpfs.ring": ring()})
    (tmp_path / "dumps/2/parent").symlink_to("../1")
    found = inspect(tmp_path / "dumps", {})
    assert (only(found).where, found.finding) == ("2", Finding.CONSISTENT)
    tmpfs(dump(tmp_path / "dumps/3", memory(surfaces=surfaces), mounts=MOUNTS), {"./tmpfs.ring": ring()})
    assert [each.where for each in inspect(tmp_path / "dumps", {}).checkpoints] == ["2", "3"]


def test_a_link_in_a_disk_is_not_followed(tmp_path: Path, upper: Path) -> None:
    (upper / "data").rename(tmp_path / "elsewhere")
    (upper / "data").symlink_to(tmp_path / "elsewhere")
    assert held(inspect(images(tmp_path / "images"), {"/": upper}))["added"] is None


def test_too_many_names_are_declined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_NAMES", 3)
    with pytest.raises(Unreadable, match="more than 3 files and folders"):
        inspect(podman(tmp_path, None), {})


# ---- the command


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper/data").mkdir(parents=True)
    (tmp_path / "upper/data/added.ring").write_bytes(ring())
    return tmp_path / "upper"


def test_the_exit_code_is_the_verdict(tmp_path: Path, upper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = images(tmp_path / "images")
    assert main(["inspect", str(made), "--disk", str(upper)]) == 0
    assert "verdict: consistent" in capsys.readouterr().out
    (upper / "data/added.ring").write_bytes(ring(COUNTER + 1234))
    assert main(["inspect", str(made), "--disk", f"/={upper}"]) == 1
    assert "+1,234" in capsys.readouterr().out
    assert main(["inspect", str(made)]) == 3
    dump(made, bytes(PAGE))
    assert main(["inspect", str(made), "--disk", str(upper)]) == 3
    assert "no workload's counter" in capsys.readouterr().out.replace("\n", " ")


def test_json_is_as_its_schema_says(tmp_path: Path, upper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = images(tmp_path / "images")
    assert main(["inspect", str(made), "--disk", str(upper), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schemas()["inspection"])
    ((workload,),) = (each["workloads"] for each in document["checkpoints"])
    assert (document["finding"], workload["reading"]["counter"]) == ("consistent", COUNTER)
    dump(made, bytes(PAGE))
    assert main(["inspect", str(made), "--json"]) == 3
    jsonschema.validate(json.loads(capsys.readouterr().out), schemas()["inspection"])


def make_images_with_a_fifo(path: Path) -> None:
    dump(path, memory())
    (path / "pages-1.img").unlink()
    os.mkfifo(path / "pages-1.img")


def make_export_with_a_link(path: Path) -> None:
    podman(path.with_name("parts"), None, more={"../../escaped": b"x"}).rename(path)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "an empty file": Path.touch,
    "an empty folder": Path.mkdir,
    "no archive": lambda path: path.write_bytes(b"#!/bin/sh\n" * 900),
    "gzip of nothing": lambda path: path.write_bytes(gzip.compress(b"")),
    "an archive of something else": lambda path: tar(path, {"README": b"x"}),
    "an archive in an archive": lambda path: path.write_bytes(
        gzip.compress(gzip.compress(podman(path.with_name("parts"), None).read_bytes()))
    ),
    "a fifo": os.mkfifo,
    "images with a fifo": make_images_with_a_fifo,
    "a name that leads out": make_export_with_a_link,
    "a cut export": lambda path: path.write_bytes(podman(path.with_name("parts"), None).read_bytes()[:9000]),
    "no configuration": lambda path: podman(path.with_name("parts"), None, config=[1]).rename(path),
    "a volume that leads out": lambda path: podman(
        path.with_name("parts"), None, config={"namedVolumes": [{"dest": "/x", "volumeName": "../../x"}]}
    ).rename(path),
    "JSON without an end": lambda path: tar(path, {"config.dump": b"[" * 100_000}),
    "a foreign digest": lambda path: tar(
        path, {"index.json": json.dumps({"manifests": [{"mediaType": MEMORY, "digest": "sha256:../x"}]}).encode()}
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_believed_ends_with_one_sentence(
    tmp_path: Path,
    make: Callable[[Path], object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    make(tmp_path / "it")
    assert main(["inspect", str(tmp_path / "it")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("stillframe: ")
    assert "/it" in told
    assert told.count("\n") == 1
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_what_is_unpacked_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    made = tempfile.mkdtemp

    def mkdtemp(*given: str | None) -> str:
        seen.append(made(*given))
        return seen[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)

    def find(_: Path, to: Path, __: object) -> tuple[()]:
        seen.append(oct(stat.S_IMODE(to.stat().st_mode)))
        return ()

    monkeypatch.setattr(inspection, "find", find)
    with pytest.raises(ValueError, match="empty"):
        inspect(podman(tmp_path, None), {})
    assert seen[1] == "0o700"
    assert not Path(seen[0]).exists()


def test_a_machine_without_room_is_to_blame_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(inspection, "find", full)
    (tmp_path / "live.tar").touch()
    assert main(["inspect", str(tmp_path / "live.tar")]) == 3
    assert "No space left on device. You need" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["live.tar"]


@pytest.mark.parametrize("words", [["/nowhere"], ["/a=/nowhere"], ["{0}", "{0}"], ["/x={0}", "/x/={0}"]])
def test_a_disk_has_to_be_a_folder_and_given_once(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match="--disk"):
        disks_of([word.format(tmp_path) for word in words])


def test_disks_are_given_by_mount_point(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    assert disks_of([str(tmp_path), f"/x={tmp_path}"]) == {"/": tmp_path, "/x": tmp_path}
    assert disks_of([f"/={tmp_path}/a=b"]) == {"/": tmp_path / "a=b"}
