"""Checkpoints from real engines, as they are and changed by hand, and what the inspection says about them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.commands.cli import main
from harness.model.errors import UsageError
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding, InspectedCheckpoint
from tests.real_checkpoints import NAMES, Files, changed, compressed, files, members, packed, plain, spread

ANSWERS: dict[str, tuple[str, list[dict[str, int | None]], set[str]]] = {
    "containerd-runc-deleted-file": ("consistent", [{"added": 0, "deleted": 0}], set()),
    "containerd-runc-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "crio-runc-image-file": ("inconsistent", [{"image": None}], set()),
    "crio-runc-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "ledger-2": ("consistent", [{"added": 0, "tmpfs": 0, "named": 0, "deleted": 0}], set()),
    "podman-image-docker": ("inconsistent", [{"added": 608, "tmpfs": 0}], set()),
    "still-added-only": ("consistent", [{"added": 0}], set()),
    "still-addshm": ("consistent", [{"added": 0, "shm": 0}], set()),
    "still-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "still-mixed": ("consistent", [{"added": 0, "tmpfs": 0, "image": 0}], set()),
    "still-tmpfs-only": ("consistent", [{"tmpfs": 0}], set()),
    "still-vol": ("consistent", [{"added": 0, "named": 0, "anonymous": 0}], set()),
    "still-vol-ignored": ("incomplete", [{"added": -1}], {"named", "anonymous"}),
    "still-voldata": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
}
"""Finding, distance of each surface from memory in ticks by workload, and surfaces outside the checkpoint."""
EXIT = {"consistent": 0, "inconsistent": 1, "incomplete": 3, "nothing-to-compare": 3}


def only(path: Path) -> InspectedCheckpoint:
    (found,) = inspect(path, {}).checkpoints
    return found


def distances(found: InspectedCheckpoint) -> list[dict[str, int | None]]:
    return [{skew.surface: skew.ticks for skew in each.skews} for each in found.workloads]


def absent(found: InspectedCheckpoint) -> set[str]:
    return {name for each in found.workloads for name in each.absent}


def test_of_each_that_is_kept_the_answer_is_known() -> None:
    assert tuple(ANSWERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_real_checkpoint_is_answered_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    finding, apart, lacking = ANSWERS[name]
    found = only(compressed(name))
    assert (found.finding, distances(found), absent(found)) == (finding, apart, lacking)
    assert main(["inspect", str(compressed(name))]) == EXIT[finding]
    told = " ".join(capsys.readouterr().out.split())
    assert f"verdict: {finding}" in told
    assert all(f"{surface} is not in this checkpoint" in told for surface in lacking)
    assert [(task.pid, task.name, task.threads) for task in found.tasks] == [(1, "ledger", 1)]
    teller = "its own description" if name == "ledger-2" else "its arguments"
    assert [each.told_by for each in found.workloads] == [teller]


@pytest.mark.parametrize("name", NAMES)
def test_all_commands_find_the_same_checkpoint(name: str, tmp_path: Path) -> None:
    assert needs(compressed(name)).architecture == "x86_64"
    done = translate(compressed(name), tmp_path / "out.tar", Order(runtime=Runtime.RUNC))
    assert done.was.startswith("an archive ")
    assert distances(only(tmp_path / "out.tar")) == distances(only(compressed(name)))


# ---- the same checkpoint, in other places and forms


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


# ---- changed by hand

CHANGES: dict[str, tuple[str, Callable[[Files], object], object]] = {
    "a surface left out of the layer": (
        "still-ledger",
        lambda it: it.update({"rootfs-diff.tar": packed({"etc/motd": b""})}),
        ("inconsistent", [{"added": None, "tmpfs": 0}], set()),
    ),
    "no layer at all": (
        "still-ledger",
        lambda it: it.pop("rootfs-diff.tar"),
        ("incomplete", [{"tmpfs": 0}], {"added"}),
    ),
    "no layer, but a list of deletions": (
        "still-ledger",
        lambda it: it.update({"rootfs-diff.tar": packed({}), "deleted.files": b"[]"}),
        ("inconsistent", [{"added": None, "tmpfs": 0}], set()),
    ),
    "a surface in the list of deletions": (
        "still-ledger",
        lambda it: it.update({"deleted.files": b'["data/added.ring"]'}),
        ("inconsistent", [{"added": None, "tmpfs": 0}], set()),
    ),
    "one volume left out": (
        "still-vol",
        lambda it: it.pop("volumes/n2b.tar"),
        ("incomplete", [{"added": 0, "anonymous": 0}], {"named"}),
    ),
    "a volume without the surface": (
        "still-vol",
        lambda it: it.update({"volumes/n2b.tar": packed({"other": b""})}),
        ("inconsistent", [{"added": 0, "named": None, "anonymous": 0}], set()),
    ),
    "a shared memory without the surface": (
        "still-addshm",
        lambda it: it.update({"devshm-checkpoint.tar": packed({})}),
        ("inconsistent", [{"added": 0, "shm": None}], set()),
    ),
    "a deletion that was undone": (
        "containerd-runc-deleted-file",
        lambda it: it.update({
            "rootfs-diff.tar": packed({
                name: data for name, data in members(it["rootfs-diff.tar"]).items() if ".wh." not in name
            })
        }),
        ("inconsistent", [{"added": 0, "deleted": None}], set()),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "answer"), CHANGES.values(), ids=CHANGES)
def test_what_is_changed_in_it_is_found(
    tmp_path: Path, name: str, change: Callable[[Files], object], answer: tuple[object, ...]
) -> None:
    found = only(changed(name, tmp_path / "it.tar", change))
    assert (found.finding, distances(found), absent(found)) == answer


def newer(it: Files) -> None:
    inventory = bytearray(it["checkpoint/inventory.img"])
    assert inventory[8:10] == b"\x08\x02"
    inventory[9] = 3
    it["checkpoint/inventory.img"] = bytes(inventory)


def cut(it: Files) -> None:
    it["rootfs-diff.tar"] = it["rootfs-diff.tar"][:70_000]


def unknown_field(it: Files) -> None:
    data = it["checkpoint/inventory.img"]
    body = data[8:] + bytes([0xA0, 0x06, 1])  # field 100
    it["checkpoint/inventory.img"] = data[:4] + len(body).to_bytes(4, "little") + body


def test_what_is_in_an_archive_twice_may_be_taken_by_readers_either_way(tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(plain("still-ledger"))
    with tarfile.open(tmp_path / "it.tar", "a") as added:
        other = files("still-ledger")["config.dump"].replace(b"s1", b"s2")
        info = tarfile.TarInfo("config.dump")
        info.size = len(other)
        added.addfile(info, io.BytesIO(other))
    with pytest.raises(Unreadable, match=r"it\.tar holds config\.dump twice"):
        inspect(tmp_path / "it.tar", {})


def test_a_process_in_a_mount_namespace_of_which_there_is_no_table_cannot_be_understood(tmp_path: Path) -> None:
    path = changed("still-ledger", tmp_path / "it.tar", lambda it: it.pop("checkpoint/mountpoints-13.img"))
    with pytest.raises(Unreadable, match=r"mountpoints-13\.img cannot be read"):
        inspect(path, {})


@pytest.mark.parametrize("damage", [lambda data: data[:-8], lambda data: data[:-8] + b"12345678"])
def test_what_is_compressed_is_read_up_to_its_checksum(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "it.tar.gz").write_bytes(damage(gzip.compress(plain("still-ledger"))))
    with pytest.raises(Broken, match=r"it\.tar\.gz cannot be read: it is not a complete archive"):
        inspect(tmp_path / "it.tar.gz", {})


DECLINED: dict[str, tuple[Callable[[Files], object], str, type[Unreadable]]] = {
    "a newer version": (newer, "its images have version 3, but only 1 and 2 are known", Unreadable),
    "an unknown field": (unknown_field, r"fields that CRIU 4\.3 does not have: inventory_entry\.100", Unreadable),
    "a deletion that leads out": (
        lambda it: it.update({"deleted.files": b'["../../../../tmp/victim"]'}), "leads outside of it", Unreadable,
    ),
    "a layer that is cut off": (cut, r"rootfs-diff\.tar is not a complete archive", Broken),
    "no images": (
        lambda it: [it.pop(name) for name in list(it) if name.startswith("checkpoint/")],
        r"it has config\.dump but no checkpoint/inventory\.img", Broken,
    ),
    "no pages": (lambda it: it.pop("checkpoint/pages-1.img"), r"pages-1\.img is missing", Broken),
    "half of the pages": (
        lambda it: it.update({"checkpoint/pages-1.img": it["checkpoint/pages-1.img"][:8192]}),
        r"pages-1\.img has 8,192 bytes, but pagemap-1\.img counts", Broken,
    ),
    "no pagemap": (lambda it: it.pop("checkpoint/pagemap-1.img"), r"pagemap-1\.img is missing", Broken),
    "no thread": (lambda it: it.pop("checkpoint/core-1.img"), r"core-1\.img is missing", Broken),
    "no tree": (lambda it: it.pop("checkpoint/pstree.img"), r"pstree\.img is missing", Broken),
    "no tmpfs": (lambda it: it.pop("checkpoint/tmpfs-dev-47.tar.gz.img"), "should hold the files of /scratch", Broken),
    "a damaged description": (lambda it: it.update({"config.dump": b"{"}), r"config\.dump is not JSON", Unreadable),
}  # fmt: skip


@pytest.mark.parametrize(("change", "word", "kind"), DECLINED.values(), ids=DECLINED)
def test_every_command_declines_what_it_does_not_know_or_what_is_not_whole(
    tmp_path: Path, change: Callable[[Files], object], word: str, kind: type[Unreadable]
) -> None:
    path = changed("still-ledger", tmp_path / "it.tar", change)
    for command in (
        lambda: inspect(path, {}),
        lambda: needs(path),
        lambda: translate(path, tmp_path / "out", Order(runtime=Runtime.RUNC)),
        lambda: translate(path, tmp_path / "out", Order(to="crio")),
    ):
        with pytest.raises(kind, match=word):
            command()
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("link", ["../pre-checkpoint", "/nowhere", "../../elsewhere"])
def test_an_earlier_level_that_is_not_there_is_missed(tmp_path: Path, link: str) -> None:
    (tmp_path / "it.tar").write_bytes(packed(files("still-ledger"), {"checkpoint/parent": link}))
    for command in (
        lambda: inspect(tmp_path / "it.tar", {}),
        lambda: needs(tmp_path / "it.tar"),
        lambda: translate(tmp_path / "it.tar", tmp_path / "out", Order(runtime=Runtime.RUNC)),
    ):
        with pytest.raises(Broken, match="needs an earlier level of memory"):
            command()


@pytest.mark.parametrize("kept", [100, 30_000, 200_000, -1024])
def test_an_archive_that_is_cut_off_is_never_called_consistent(tmp_path: Path, kept: int) -> None:
    data = plain("still-ledger").rstrip(b"\0") + bytes(1024)
    (tmp_path / "it.tar").write_bytes(data[:kept])
    for command in (lambda: inspect(tmp_path / "it.tar", {}), lambda: needs(tmp_path / "it.tar")):
        with pytest.raises(Broken, match=r"(it\.tar cannot be read: it is|^it\.tar is) not a (complete|tar) archive"):
            command()


def test_every_sentence_names_the_user_s_file_and_no_folder_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "ours"))
    for number, (change, _, _) in enumerate(DECLINED.values()):
        path = changed("still-ledger", tmp_path / f"{number}.tar", change)
        for line in (["inspect", str(path)], ["translate", str(path), "--runtime", "runc", "-o", str(tmp_path / "o")]):
            assert main(line) == 2
            told = capsys.readouterr().err
            assert told.startswith(f"stillframe: {path} cannot be ")
            assert "ours" not in told
    assert list((tmp_path / "ours").iterdir()) == []


def test_a_bound_that_is_too_low_says_how_to_raise_it(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(compressed("still-ledger"))
    assert main(["inspect", path, "--max-bytes", "64K"]) == 2
    told = capsys.readouterr().err
    assert "65,536 bytes, which is the limit. If you trust it and it really is that large, raise --max-" in told
    assert main(["inspect", path, "--max-bytes", "1M"]) == 0
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", path, "--max-bytes", "many"])


def test_json_holds_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json", str(compressed("still-vol-ignored"))]) == 3
    said = json.loads(capsys.readouterr().out)
    (checkpoint,) = said["checkpoints"]
    assert (said["finding"], checkpoint["finding"], checkpoint["layout"]) == ("incomplete", "incomplete", "archive")
    assert [each["told_by"] for each in checkpoint["workloads"]] == ["its arguments"]
