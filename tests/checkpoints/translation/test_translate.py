"""Archives of one engine, translated into the form of another; and declined archives, with nothing left behind."""

from __future__ import annotations

import gzip
import json
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.archive import unpack
from harness.checkpoints.criu.image import INVENTORY, MOUNTS, STATISTICS, encoded
from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS, Order, translate
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.commands.cli import main
from harness.model.errors import Untranslatable, UsageError
from tests.checkpoints.translation.test_bridges import CRUN, OTHERS, RUNC, mount, read, write
from tests.criu_images import dump, memory, tar, tmpfs

IMAGE, DIGEST = "registry.example/team/app:1", "sha256:" + "ab" * 32
PULLABLE = f"registry.example/team/app@{DIGEST}"
SPEC = {
    "process": {"args": ["/ledger", "--report", "/report"]},
    "mounts": [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/scratch", "type": "tmpfs"},
        {"destination": "/report", "type": "bind", "source": "/srv/report"},
        {"destination": "/etc/hosts", "type": "bind", "source": "/run/hosts", "options": ["rbind"]},
        {"destination": "/run/.containerenv", "type": "bind", "source": "/run/env"},
    ],
    "linux": {"maskedPaths": ["/proc/keys", "/proc/timer_list"]},
}
STATS = encoded(STATISTICS, [STATISTICS.messages[0](dump={"frozen_time": 7})])
LAYER = {"data": None, "data/added": b"new", "etc": None, "etc/hosts": b""}


def images(folder: Path, masked: tuple[dict[str, Any], ...] = RUNC) -> dict[str, bytes]:
    made = dump(folder / "images", memory())
    write(made / "inventory.img", INVENTORY, [{"img_version": 2}])
    tmpfs(made, {}, device=70)
    write(made / "mountpoints-1.img", MOUNTS, (*masked, *OTHERS, mount(9, "/etc/hosts", "/hosts", "/etc/hosts")))
    return {f"checkpoint/{path.name}": path.read_bytes() for path in made.iterdir()}


def spec(**annotations: str) -> bytes:
    return json.dumps({**SPEC, "annotations": annotations}).encode()


def packed(path: Path, parts: Mapping[str, bytes | None]) -> Path:
    return tar(path, {name: content for name, content in parts.items() if content is not None})


def podman(folder: Path, more: Mapping[str, bytes | None] = {}, **config: object) -> Path:
    """Write an archive like Podman's; None leaves a part out."""
    known = {"id": "c" * 64, "name": "live", "rootfsImageID": "d" * 64, "rootfsImageName": IMAGE, "runtime": "runc"}
    folder.mkdir(exist_ok=True)
    parts = {
        **images(folder),
        "config.dump": json.dumps({**known, "createdTime": "2026-11-23T10:00:00Z", **config}).encode(),
        "spec.dump": spec(**{"io.container.manager": "libpod", "org.example": "kept"}),
        "network.status": b"null",
        "stats-dump": STATS,
        "rootfs-diff.tar": tar(folder / "layer.tar", LAYER).read_bytes(),
        "deleted.files": b'["/image/deleted"]',
        "ctr.log": b"2026-11-23T10:00:00Z stdout F said\n",
        "artifacts/": None,
    }
    return packed(folder / "podman.tar", {**parts, **more})


def opened(path: Path, folder: Path) -> dict[str, bytes]:
    unpack(path, folder)
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def names(content: bytes, folder: Path) -> list[str]:
    (folder / "tar").write_bytes(content)
    with tarfile.open(folder / "tar") as read_again:
        return read_again.getnames()


def translated(source: Path, folder: Path, order: Order) -> tuple[Path, dict[str, bytes], Any]:
    out = folder / f"{source.stem}-{order.to or 'same'}.tar"
    done = translate(source, out, order)
    return out, opened(out, folder / f"{out.stem}.opened"), done


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
    assert (status["image"], status["image_ref"]) == ({"image": PULLABLE.partition("@")[0]}, PULLABLE)
    assert status["annotations"], "containerd adds to this map, which must not be empty"
    layer = gzip.decompress(parts["rootfs-diff.tar"])
    assert names(layer, tmp_path) == ["image/.wh.deleted", "data", "data/added", "etc", "etc/hosts"]
    assert "deleted.files" not in parts
    assert "io.container.manager" not in json.loads(parts["spec.dump"])["annotations"]
    assert "skip-file-rwx-check" in done.notes[0]


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
    assert json.loads(told["spec.dump"])["annotations"] == {"own": "1"}
    assert json.loads(told["config.dump"])["rootfsImageRef"] == PULLABLE
    _, back, _ = translated(other, tmp_path, Order("crio"))
    assert "team" in json.loads(json.loads(back["spec.dump"])["annotations"]["io.kubernetes.cri-o.Annotations"])
    assert json.loads(back["config.dump"])["rootfsImageName"] == PULLABLE.partition("@")[0]


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


# ---- what is declined


def volume(folder: Path) -> Path:
    return podman(folder, namedVolumes=[{"dest": "/named", "volumeName": "v"}])


def shared_memory(folder: Path) -> Path:
    folder.mkdir()
    shm = tar(folder / "shm.tar", {"./": None, "segment": b"1"})
    return podman(folder, {"devshm-checkpoint.tar": shm.read_bytes()})


def whiteout(folder: Path) -> Path:
    folder.mkdir()
    return podman(folder, {"rootfs-diff.tar": tar(folder / "l.tar", {"data/.wh.x": b""}).read_bytes()})


@pytest.mark.parametrize(
    ("make", "order", "told"),
    [
        (volume, Order("crio"), "the content of its volumes would be lost"),
        (shared_memory, Order("crio"), "the content of its /dev/shm would be lost"),
        (whiteout, Order("containerd", image=PULLABLE), "where the name would delete another file"),
        (podman, Order("containerd"), "containerd pulls the container's image by digest, but the archive only names"),
        (podman, Order("containerd", image="app:1"), "pulls the container's image by digest"),
        (lambda folder: podman(folder, rootfsImageName=""), Order("crio"), "names no image"),
    ],
)
def test_what_cannot_be_told_is_declined(tmp_path: Path, make: Any, order: Order, told: str) -> None:
    source = make(tmp_path / "in")
    with pytest.raises(Untranslatable, match=f"podman.tar cannot be translated: .*{told}") as error:
        translate(source, tmp_path / "out.tar", order)
    assert error.value.remedy or "no image" in told
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "nothing is left behind"


def other_command(folder: Path) -> Path:
    return podman(folder, {"spec.dump": json.dumps({**SPEC, "process": {"args": ["/other"]}}).encode()})


def fewer_mounts(folder: Path) -> Path:
    return podman(folder, {"spec.dump": json.dumps({**SPEC, "mounts": []}).encode()})


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (None, Untranslatable, "Podman needs to know more about the container than the archive says"),
        (other_command, Untranslatable, "the template runs "),
        (fewer_mounts, Untranslatable, r"the template has no mount at \['/etc/hosts', '/report'\]"),
        (volume, Untranslatable, "the template has volumes"),
        (
            lambda folder: packed(folder.with_suffix(".tar"), {"x": b""}),
            Unreadable,
            "is not an archive exported by Podman",
        ),
    ],
)
def test_a_template_has_to_fit(tmp_path: Path, make: Any, error: type[Exception], told: str) -> None:
    there, _, _ = translated(podman(tmp_path / "in"), tmp_path, Order("crio"))
    template = make(tmp_path / "template") if make else None
    with pytest.raises(error, match=told):
        translate(there, tmp_path / "out.tar", Order("podman", template=template))
    assert not (tmp_path / "out.tar").exists()


# ---- what is foreign, and what is ours


@pytest.mark.parametrize("order", [Order("crio"), Order("containerd", image=PULLABLE), Order(runtime=Runtime.CRUN)])
def test_the_result_is_private_and_the_same_each_time(tmp_path: Path, order: Order) -> None:
    source = podman(tmp_path / "in")
    for name in ("one", "other"):
        translate(source, tmp_path / name, order)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "one", "other"]


def test_what_is_there_is_replaced_by_force_alone_and_never_written_through(tmp_path: Path) -> None:
    source = podman(tmp_path / "in")
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="already exists"):
        translate(source, tmp_path / "out", Order("crio"))
    translate(source, tmp_path / "out", Order("crio"), force=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out").is_symlink()
    translate(source, source, Order(runtime=Runtime.CRUN), force=True)
    assert json.loads(opened(source, tmp_path / "opened")["config.dump"])["runtime"] == "crun"


def leaning(folder: Path) -> Path:
    source = podman(folder)
    with tarfile.open(source, "a") as added:
        link = tarfile.TarInfo("checkpoint/parent")
        link.type, link.linkname = tarfile.SYMTYPE, "../pre-checkpoint"
        added.addfile(link)
    return source


def cut_off(folder: Path) -> Path:
    source = podman(folder)
    source.write_bytes(source.read_bytes()[:-3000].rstrip(b"\0"))
    return source


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (leaning, "needs an earlier level of memory, ../pre-checkpoint, which it does not contain"),
        (cut_off, "is not a complete archive"),
        (lambda folder: podman(folder, {"config.dump": b"[]"}), r"config\.dump is not a JSON object"),
        (lambda folder: podman(folder, {"config.dump": b"{" * 99}), "config.dump is not JSON"),
        (lambda folder: podman(folder, {"spec.dump": b'{"mounts": 1}'}), "'mounts' is not a list of objects"),
        (lambda folder: podman(folder, name=["x"]), "'name' is not a text"),
        (lambda folder: podman(folder, {"deleted.files": b'["/../../x"]'}), "leads outside of it"),
        (lambda folder: podman(folder, {"../x": b""}), "leads outside of it"),
        (
            lambda folder: packed(folder.with_suffix(".tar"), {"index.json": b"{}"}),
            "no checkpoint of a known kind, but index.json",
        ),
    ],
)
def test_what_is_broken_or_hostile_is_declined_and_leaves_nothing(tmp_path: Path, make: Any, told: str) -> None:
    source = make(tmp_path / "in")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(Unreadable, match=told):
        translate(source, tmp_path / "out.tar", Order("containerd", Runtime.CRUN, image=PULLABLE))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_runtime_that_is_no_name_is_declined(tmp_path: Path) -> None:
    there, parts, _ = translated(podman(tmp_path / "in"), tmp_path, Order("crio"))
    source = packed(there, {**parts, "config.dump": b'{"runtime": ["runc"]}'})
    with pytest.raises(Unreadable, match="'runtime' is not a text"):
        translate(source, tmp_path / "out", Order(runtime=Runtime.CRUN))


def test_a_budget_is_kept(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="unpacks to more than"):
        translate(podman(tmp_path / "in"), tmp_path / "out", Order("crio"), budget=Budget(kept=5000))


# ---- the command


def test_the_command_tells_what_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(podman(tmp_path / "in", rootfsImageName="app\x1b[31m")), str(tmp_path / "out.tar")
    assert main(["translate", source, "--to", "crio", "--runtime", "crun", "-o", out]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: of an archive exported by Podman\n  /proc/keys: ")
    assert "config.dump: the runtime is crun" in said
    assert "podman -> crio" in said
    assert "note: the request that restores it must mount" in said
    assert "\x1b" not in said
    assert main(["translate", out, "--runtime", "crun", "-o", f"{out}.2"]) == 0
    assert "nothing had to be changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 2, "nothing to translate"),
        (["--to", "containerd"], 1, "pulls the container's image by digest"),
        (["--to", "podman", "--runtime", "crun"], 0, ""),
    ],
)
def test_the_command_declines_with_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, told: str
) -> None:
    assert main(["translate", str(podman(tmp_path / "in")), *options, "-o", str(tmp_path / "out")]) == code
    assert told in capsys.readouterr().err
    assert (tmp_path / "out").exists() is (code == 0)


def test_an_archive_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", str(tmp_path / "none"), "--to", "crio", "-o", str(tmp_path / "out")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_big_one_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, told = podman(tmp_path / "in"), list[str]()
    translate(source, tmp_path / "small", Order("crio"), progress=told.append)
    assert told == []
    monkeypatch.setattr("harness.checkpoints.translation.translate.BIG", 1)
    translate(source, tmp_path / "big", Order("crio"), progress=told.append)
    assert told == ["reading it", "unpacking it", "rewriting it", "packing it"]
