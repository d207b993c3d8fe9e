"""Checkpoints as engines lay them out, read by the command as anybody would."""

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

from harness import workload
from harness.checkpoints import layouts
from harness.checkpoints.layouts import LAYER, MEMORY
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.cli import main
from harness.errors import UsageError
from harness.inspection import disks_of, inspect
from harness.model import Anomaly
from harness.records import Finding, Inspection, schemas
from tests.criu_images import COUNTER, IN_PARENT, PAGE, Entry, arguments, dump, memory, ring, tar, tmpfs

LEDGER = ("--surface", "added=/data/added.ring", "--surface", "tmpfs=/scratch/tmpfs.ring")
VOLUMES = {"dest": "/named", "volumeName": "v1"}, {"dest": "/anonymous", "volumeName": "0f0f"}


def images(folder: Path, *options: str, pages: bytes = memory()) -> Path:
    made = dump(folder, bytes(PAGE) + pages + arguments(*options))
    tmpfs(made, {"./": None, "./tmpfs.ring": ring()})
    return made


def podman(
    folder: Path,
    layer: Mapping[str, bytes | None] | None,
    *,
    config: object = None,
    more: Mapping[str, bytes] = {},
    options: tuple[str, ...] = LEDGER,
) -> Path:
    """An export: `layer` is what its archive of the root file system holds, None: there is none."""
    parts: dict[str, bytes | None] = {"checkpoint/": None}
    made = images(folder / "checkpoint", *options)
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


def containerd(folder: Path, layer: Mapping[str, bytes | None], *options: str) -> Path:
    """A checkpoint image as `ctr images export` lays it out; gives the folder of the layout."""
    made = images(folder / "images", *(options or LEDGER))
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


def held(found: Inspection) -> dict[str, int | None]:
    return {} if found.reading is None else {each.surface: each.newest for each in found.reading.surfaces}


# ---- layouts


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_an_export_of_podman_is_read_however_it_is_compressed(tmp_path: Path, how: str) -> None:
    archive = podman(tmp_path, {"data/": None, "data/added.ring": ring(COUNTER + 500)})
    data = archive.read_bytes()
    archive.write_bytes({"none": data, "gzip": gzip.compress(data), "zstd": zstandard.compress(data)}[how])
    found = inspect(archive, {})
    assert (found.layout, found.workload, found.finding) == ("archive", "ledger", Finding.INCONSISTENT)
    assert held(found) == {"added": COUNTER + 500, "tmpfs": COUNTER}
    assert [skew.ticks for skew in found.skews] == [500, 0]
    assert Anomaly.DISK_AHEAD in found.anomalies


def test_what_a_pod_was_asked_for_is_told_without_its_environment(tmp_path: Path) -> None:
    asked = {"containers": [{"env": [{"name": "DB", "value": "hunter2"}], "image": "app:1"}]}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(asked), "team": "blue"}
    spec = {"process": {"env": ["TOKEN=hunter2"]}, "annotations": annotations}
    found = inspect(podman(tmp_path, {"data/added.ring": ring()}, more={"spec.dump": json.dumps(spec).encode()}), {})
    assert found.description.annotations["team"] == "blue"
    assert "app:1" in found.description.annotations["kubectl.kubernetes.io/last-applied-configuration"]
    assert "hunter2" not in found.model_dump_json()


def test_volumes_and_shared_memory_of_an_export_are_its_disks(tmp_path: Path) -> None:
    more = {"volumes/v1.tar": "named.ring", "volumes/0f0f.tar": "anonymous.ring"}
    archives = {name: tar(tmp_path / "part", {file: ring()}).read_bytes() for name, file in more.items()}
    config = {"namedVolumes": VOLUMES}
    found = inspect(podman(tmp_path / "a", {"data/added.ring": ring()}, config=config, more=archives), {})
    assert (found.workload, found.finding) == ("ledger", Finding.CONSISTENT), "as its arguments say"
    (tmp_path / "a/checkpoint/tmpfs-dev-73.tar.gz.img").unlink()
    dump(tmp_path / "a/checkpoint", memory())
    parts = {f"checkpoint/{path.name}": path.read_bytes() for path in (tmp_path / "a/checkpoint").iterdir()}
    layer = tar(tmp_path / "layer", {"data/added.ring": ring()}).read_bytes()
    whole = {**parts, "config.dump": json.dumps(config).encode(), "rootfs-diff.tar": layer}
    found = inspect(tar(tmp_path / "b.tar", {**whole, **archives}), {})
    assert (found.workload, found.finding) == ("volumes", Finding.CONSISTENT), "as its surfaces say"
    assert held(found) == dict.fromkeys(("added", "named", "anonymous"), COUNTER)
    archives.pop("volumes/v1.tar")
    found = inspect(tar(tmp_path / "c.tar", {**whole, **archives}), {})
    assert (found.workload, found.finding) == ("volumes", Finding.INCONSISTENT)
    assert held(found)["named"] is None


@pytest.mark.parametrize("layer", [None, {"data/": None}])
def test_a_surface_that_an_export_left_out_is_behind_by_everything(
    tmp_path: Path, layer: Mapping[str, bytes | None] | None
) -> None:
    found = inspect(podman(tmp_path, layer), {})
    assert (found.workload, found.finding) == ("ledger", Finding.INCONSISTENT)
    assert (held(found)["added"], found.anomalies[0]) == (None, Anomaly.DISK_BEHIND)


@pytest.mark.parametrize(("listed", "finding"), [(["image/deleted"], "consistent"), ([], "inconsistent")])
def test_a_deletion_is_in_the_list_of_an_export(tmp_path: Path, listed: list[str], finding: str) -> None:
    images(tmp_path / "checkpoint", "--surface", "added=/data/added.ring", "--deleted", "deleted=/image/deleted")
    (tmp_path / "config.dump").write_text("{}")
    (tmp_path / "deleted.files").write_text(json.dumps(listed))
    tar(tmp_path / "rootfs-diff.tar", {"data/added.ring": ring()})
    found = inspect(tmp_path, {})
    assert (found.layout, found.workload, found.finding) == ("archive", "deleted-file", finding)


@pytest.mark.parametrize("pack", [packed, Path], ids=["archive", "folder"])
def test_a_checkpoint_image_of_containerd_is_read(tmp_path: Path, pack: Callable[[Path], Path]) -> None:
    found = inspect(pack(containerd(tmp_path, {"data/added.ring": ring(COUNTER - 40)})), {})
    assert (found.layout, found.workload, found.finding) == ("image", "ledger", Finding.INCONSISTENT)
    assert held(found) == {"added": COUNTER - 40, "tmpfs": COUNTER}


@pytest.mark.parametrize(("mark", "finding"), [(".wh.deleted", "consistent"), ("deleted", "inconsistent")])
def test_a_deletion_is_a_whiteout_in_a_layer(tmp_path: Path, mark: str, finding: str) -> None:
    options = ("--surface", "added=/data/added.ring", "--deleted", "deleted=/image/deleted")
    layout = containerd(tmp_path, {"data/added.ring": ring(), f"image/{mark}": b""}, *options)
    found = inspect(layout, {})
    assert (found.workload, found.finding) == ("deleted-file", finding)


def test_an_image_that_is_no_checkpoint_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"manifests": []}')
    with pytest.raises(Unreadable, match="an image without a checkpoint"):
        inspect(tmp_path, {})


@pytest.mark.parametrize("kept", [COUNTER, COUNTER + 3])
def test_images_are_held_against_the_disk_that_is_given(tmp_path: Path, kept: int) -> None:
    (tmp_path / "upper/data").mkdir(parents=True)
    (tmp_path / "upper/data/added.ring").write_bytes(ring(kept))
    found = inspect(images(tmp_path / "images", *LEDGER), {"/": tmp_path / "upper"})
    assert found.layout == "criu"
    assert found.finding is (Finding.CONSISTENT if kept == COUNTER else Finding.INCONSISTENT)
    assert held(found) == {"added": kept, "tmpfs": COUNTER}


def test_a_disk_that_is_given_takes_the_place_of_the_checkpoint_s_own(tmp_path: Path) -> None:
    (tmp_path / "upper/data").mkdir(parents=True)
    (tmp_path / "upper/data/added.ring").write_bytes(ring())
    archive = podman(tmp_path, {"data/added.ring": ring(COUNTER + 9)})
    assert inspect(archive, {"/": tmp_path / "upper"}).finding is Finding.CONSISTENT


def test_of_workloads_that_fit_alike_the_one_that_lacks_least_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = workload.available()
    for order in (sorted(folders), sorted(folders, reverse=True)):
        monkeypatch.setattr(workload, "available", lambda order=order: {name: folders[name] for name in order})
        archive = podman(tmp_path / order[0], {"data/added.ring": ring()}, options=())
        assert inspect(archive, {}).workload == "ledger", "and not shm, which lacks one more"


def test_a_process_that_was_started_with_fewer_surfaces_is_not_blamed_for_the_others(tmp_path: Path) -> None:
    archive = podman(tmp_path, {"data/added.ring": ring()}, options=("--surface", "added=/data/added.ring"))
    found = inspect(archive, {})
    assert (found.finding, held(found)) == (Finding.CONSISTENT, {"added": COUNTER})
    assert set(found.absent.values()) == {"the process was started without it"}


@pytest.mark.parametrize("options", [(), ("--surface", "mine=/mine/ring")], ids=["unknown", "of somebody's own"])
def test_surfaces_of_no_workload_are_nothing_to_compare(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "upper").mkdir()
    made = dump(tmp_path / "images", memory() + arguments(*options))
    found = inspect(made, {"/": tmp_path / "upper"})
    assert (found.finding, found.workload) == (Finding.NOTHING_TO_COMPARE, None)


def test_an_empty_name_in_the_list_of_deletions_marks_nothing(tmp_path: Path) -> None:
    images(tmp_path / "it/checkpoint", *LEDGER)
    (tmp_path / "it/config.dump").write_text("{}")
    (tmp_path / "it/deleted.files").write_text('["", "/", "x"]')
    opened = layouts.Exported().lay_open(layouts.Folder(tmp_path / "it", Budget()), tmp_path / "to", lambda _: True)
    assert [path.name for path in (tmp_path / "to").rglob("*") if path.is_file()] == [".wh.x"]
    assert (opened.disks["/"] / ".wh.x").exists()


def test_too_many_names_are_declined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MOST_NAMES", 3)
    with pytest.raises(Unreadable, match="more than 3 files of checkpoints"):
        inspect(podman(tmp_path, None), {})


def test_memory_alone_is_no_still_frame(tmp_path: Path) -> None:
    found = inspect(images(tmp_path / "images", *LEDGER), {})
    assert (found.finding, found.workload) == (Finding.NOTHING_TO_COMPARE, "ledger")
    assert "--disk DIR" in found.absent["added"]


def test_a_mount_is_held_against_the_disk_that_is_given_for_it(tmp_path: Path) -> None:
    options = ("--surface", "added=/data/added.ring", "--surface", "bind=/bind/bind.ring")
    for name, folder in (("added", "upper/data"), ("bind", "host")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{name}.ring").write_bytes(ring())
    made = images(tmp_path / "images", *options)
    found = inspect(made, {"/": tmp_path / "upper"})
    assert (found.workload, found.finding, held(found)) == ("bind-mount", Finding.CONSISTENT, {"added": COUNTER})
    assert "outside of a checkpoint" in found.absent["bind"]
    found = inspect(made, {"/": tmp_path / "upper", "/bind": tmp_path / "host"})
    assert (held(found), found.absent) == ({"added": COUNTER, "bind": COUNTER}, {})


def test_of_several_levels_of_memory_the_newest_is_read(tmp_path: Path) -> None:
    dump(tmp_path / "dumps/1", memory(500), [Entry(0, 1)])
    newest = dump(tmp_path / "dumps/2", memory(), [Entry(0, 1), Entry(1, 1, IN_PARENT)])
    (newest / "parent").symlink_to("../1")
    found = inspect(tmp_path / "dumps", {})
    assert found.reading is not None
    assert found.reading.counter == COUNTER
    dump(tmp_path / "dumps/3", memory())
    with pytest.raises(Unreadable, match="several checkpoints: 2, 3"):
        inspect(tmp_path / "dumps", {})


def test_a_link_in_a_disk_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/added.ring").write_bytes(ring())
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper/data").symlink_to(tmp_path / "elsewhere")
    found = inspect(images(tmp_path / "images", *LEDGER), {"/": tmp_path / "upper"})
    assert held(found)["added"] is None


# ---- the command


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper/data").mkdir(parents=True)
    (tmp_path / "upper/data/added.ring").write_bytes(ring())
    return tmp_path / "upper"


def test_the_exit_code_is_the_verdict(tmp_path: Path, upper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = images(tmp_path / "images", *LEDGER)
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
    made = images(tmp_path / "images", *LEDGER)
    assert main(["inspect", str(made), "--disk", str(upper), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schemas()["inspection"])
    assert (document["finding"], document["reading"]["counter"]) == ("consistent", COUNTER)
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
    monkeypatch.setattr(
        "harness.inspection.layouts.lay_open", lambda _, to, *__: seen.append(oct(stat.S_IMODE(to.stat().st_mode)))
    )
    with pytest.raises(TypeError):
        inspect(podman(tmp_path, None), {})
    assert seen[1] == "0o700"
    assert not Path(seen[0]).exists()


def test_a_machine_without_room_is_to_blame_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(layouts, "lay_open", full)
    (tmp_path / "live.tar").touch()
    assert main(["inspect", str(tmp_path / "live.tar")]) == 3
    assert "No space left on device. It takes" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["live.tar"]


@pytest.mark.parametrize("words", [["/nowhere"], ["/a=/nowhere"], ["{0}", "{0}"], ["/x={0}", "/x/={0}"]])
def test_a_disk_has_to_be_a_folder_and_given_once(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match="--disk"):
        disks_of([word.format(tmp_path) for word in words])


def test_disks_are_given_by_mount_point(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    assert disks_of([str(tmp_path), f"/x={tmp_path}"]) == {"/": tmp_path, "/x": tmp_path}
    assert disks_of([f"/={tmp_path}/a=b"]) == {"/": tmp_path / "a=b"}
