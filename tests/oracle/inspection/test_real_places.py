"""What is said of a real checkpoint in other places and forms."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.commands.cli import main
from harness.model.errors import UsageError
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding
from tests.oracle.inspection.answers import absent, distances, only
from tests.real_checkpoints import Files, compressed, files, members, packed, plain, spread


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress, bytes])
def test_an_archive_may_be_compressed_in_any_way(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "it").write_bytes(compress(plain("still-ledger")))
    assert only(tmp_path / "it").finding is Finding.CONSISTENT
    assert needs(tmp_path / "it") == needs(compressed("still-ledger"))
    translate(tmp_path / "it", tmp_path / "out", Order(runtime=Runtime.RUNC))


@pytest.mark.parametrize("folder", ["base", "a/b/c"])
@pytest.mark.parametrize("form", ["archive", "folder"])
def test_a_checkpoint_may_lie_in_folders(tmp_path: Path, folder: str, form: str) -> None:
    content = {f"{folder}/{name}": data for name, data in files("still-ledger").items()}
    path = spread(content, tmp_path / "it")
    if form == "archive":
        path = tmp_path / "it.tar"
        path.write_bytes(packed(content))
    found = only(path)
    assert (found.where, found.finding) == (folder, Finding.CONSISTENT)
    assert needs(path) == needs(compressed("still-ledger"))
    translate(path, tmp_path / "out", Order(runtime=Runtime.RUNC))
    assert only(tmp_path / "out").where == ""


def pod() -> Files:
    return {
        f"{folder}/{file}": data
        for folder, name in (("web", "still-ledger"), ("db", "still-vol-ignored"), ("log", "crio-runc-image-file"))
        for file, data in files(name).items()
    }


def test_of_a_pod_every_container_is_answered_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pod.tar"
    path.write_bytes(packed(pod()))
    found = inspect(path, {})
    assert {each.where: each.finding for each in found.checkpoints} == {
        "web": Finding.CONSISTENT,
        "db": Finding.INCOMPLETE,
        "log": Finding.INCONSISTENT,
    }
    assert main(["inspect", str(path)]) == 1
    assert "verdict of all: 3 checkpoints: inconsistent" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_of_archives_in_a_folder_each_is_answered_for(tmp_path: Path, form: str) -> None:
    content = {"checkpoint-web.tar": plain("still-ledger"), "checkpoint-db.tar.gz": gzip.compress(plain("still-vol"))}
    path = spread({**content, "notes": b"x"}, tmp_path / "it")
    if form == "archive":
        path = tmp_path / "it.tar"
        path.write_bytes(packed(content))
    found = inspect(path, {})
    assert {each.where for each in found.checkpoints} == set(content)
    assert found.finding is Finding.CONSISTENT
    assert needs(path, container="checkpoint-web.tar") == needs(compressed("still-ledger"))


@pytest.mark.parametrize("choice", ["web", "s1", "c1c5552b5e1c"])
def test_of_several_containers_one_is_chosen_or_the_command_declines(tmp_path: Path, choice: str) -> None:
    path = spread(pod(), tmp_path / "pod")
    found = inspect(path, {}, container=choice)
    assert [each.where for each in found.checkpoints] == ["web"]
    with pytest.raises(UsageError, match="--container"):
        needs(path)
    with pytest.raises(UsageError, match="--container"):
        translate(path, tmp_path / "out", Order(runtime=Runtime.RUNC))
    assert needs(path, container=choice) == needs(compressed("still-ledger"))
    translate(path, tmp_path / "out", Order(runtime=Runtime.RUNC), container=choice)
    with pytest.raises(UsageError, match="no checkpoint matches"):
        inspect(path, {}, container="cache")
    with pytest.raises(UsageError, match=r"--disk: .* holds 3 checkpoints"):
        inspect(path, {"/": tmp_path})


def images_of(name: str) -> Files:
    return {file.rpartition("/")[2]: data for file, data in files(name).items() if file.startswith("checkpoint/")}


BESIDE: dict[str, Callable[[], Files]] = {
    "an agent's folder": lambda: {
        **images_of("still-ledger"),
        "rootfs-diff.tar": files("still-ledger")["rootfs-diff.tar"],
        "deleted-files.json": b'["/etc/motd"]',
    },
    "Docker's folders": lambda: {
        **{f"checkpoints/cp1/{file}": data for file, data in images_of("still-ledger").items()},
        **{
            f"checkpoints/diff/{file}": data for file, data in members(files("still-ledger")["rootfs-diff.tar"]).items()
        },
    },
    "images and an archive": lambda: {
        **{f"images/{file}": data for file, data in images_of("still-ledger").items()},
        "upper.tar.gz": gzip.compress(files("still-ledger")["rootfs-diff.tar"]),
    },
}


@pytest.mark.parametrize("make", BESIDE.values(), ids=BESIDE)
def test_a_writable_layer_beside_images_is_their_disk(tmp_path: Path, make: Callable[[], Files]) -> None:
    found = only(spread(make(), tmp_path / "it"))
    assert (found.layout, found.finding, distances(found)) == ("criu", "consistent", [{"added": 0, "tmpfs": 0}])


def test_of_two_layers_beside_images_nobody_knows_which_is_theirs(tmp_path: Path) -> None:
    made = BESIDE["Docker's folders"]()
    found = only(spread({**made, "checkpoints/upper/data/added.ring": b""}, tmp_path / "it"))
    assert (found.finding, absent(found)) == ("incomplete", {"added"})
    assert "diff, upper" in found.workloads[0].absent["added"]


def test_images_alone_have_no_disk_and_are_found_through_a_link(tmp_path: Path) -> None:
    spread(images_of("still-ledger"), tmp_path / "elsewhere/images")
    (tmp_path / "images").symlink_to("elsewhere/images")
    found = only(tmp_path / "images")
    assert (found.finding, distances(found), absent(found)) == ("incomplete", [{"tmpfs": 0}], {"added"})
    upper = spread(members(files("still-ledger")["rootfs-diff.tar"]), tmp_path / "upper")
    assert inspect(tmp_path / "images", {"/": upper}).finding is Finding.CONSISTENT


def test_files_in_a_captured_disk_are_no_checkpoints(tmp_path: Path) -> None:
    made = BESIDE["Docker's folders"]()
    inner = {f"checkpoints/diff/var/{file}": data for file, data in images_of("still-vol").items()}
    found = only(spread({**made, **inner}, tmp_path / "it"))
    assert found.where == "checkpoints/cp1"
