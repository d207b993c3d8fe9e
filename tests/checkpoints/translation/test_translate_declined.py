"""What the translation declines, with nothing left behind."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.errors import Untranslatable, UsageError
from tests.checkpoints.translation.exports import PULLABLE, SPEC, opened, packed, podman, translated
from tests.criu_images import tar

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
        (podman, Order("containerd", image="app:1"), "--image app:1 is no name with a digest"),
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
