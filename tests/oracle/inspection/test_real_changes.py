"""What is said of a real checkpoint that was changed by hand."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.commands.cli import main
from harness.oracle.inspection import inspect
from tests.oracle.inspection.answers import absent, distances, only
from tests.real_checkpoints import Files, changed, files, members, packed, plain

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
