"""Real checkpoints whose archives hold more than plain files: links, members that replace others, parts left out."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding
from tests.real_checkpoints import changed, compressed, files, members, packed, plain

ROOTFS, RING = "rootfs-diff.tar", "data/added.ring"
Add = Callable[[tarfile.TarFile], None]


def special(name: str, kind: bytes, target: str = "") -> Add:
    """Add a member that is not a regular file."""

    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = kind, target, 0o755
        tar.addfile(info)

    return add


def with_more(archive: bytes, *adds: Add) -> bytes:
    """Append members to an archive."""
    out = io.BytesIO(archive)
    with tarfile.open(fileobj=out, mode="a") as tar:
        for add in adds:
            add(tar)
    return out.getvalue()


def finding(path: Path) -> Finding:
    return inspect(path, {}).finding


def test_links_are_said_to_be_what_was_not_followed(tmp_path: Path) -> None:
    for name, data in files("still-ledger").items():
        path = tmp_path / "laid" / ("elsewhere.tar" if name == "rootfs-diff.tar" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "laid/rootfs-diff.tar").symlink_to("elsewhere.tar")
    (found,) = inspect(tmp_path / "laid", {}).checkpoints
    assert {"its rootfs-diff.tar is a symbolic link, which is not followed; --disk DIR adds it"} == {
        why for each in found.workloads for why in each.absent.values() if "rootfs" in why
    }
    (tmp_path / "links").mkdir()
    (tmp_path / "links/images").symlink_to("../laid/checkpoint")
    with pytest.raises(Unreadable, match="but nothing; symbolic links are not followed, for example images"):
        inspect(tmp_path / "links", {})
    (tmp_path / "named.tar.zst").symlink_to(compressed("still-ledger"))
    assert inspect(tmp_path / "named.tar.zst", {}).finding is Finding.CONSISTENT, "a link given by the user is followed"


def test_an_archive_that_is_cut_off_is_blamed_and_not_the_one_in_it(tmp_path: Path) -> None:
    outer = gzip.compress(plain("still-ledger"))
    for path, data in ((tmp_path / "it.tar.gz", outer), (tmp_path / "it.tar", plain("still-ledger"))):
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(Broken, match="cannot be read: it is not a complete archive") as told:
            inspect(path, {})
        assert told.value.remedy == "Copy it again, or make it again."


@pytest.mark.parametrize(
    "add",
    [
        special(RING, tarfile.SYMTYPE, "elsewhere"),
        special(RING, tarfile.FIFOTYPE),
        special(RING, tarfile.DIRTYPE),
        special(RING, tarfile.CHRTYPE),
        special(RING, tarfile.LNKTYPE, "nowhere"),
        special("data", tarfile.FIFOTYPE),
    ],
    ids=["link", "pipe", "folder", "device", "hard link", "pipe above it"],
)
def test_the_last_member_of_a_name_counts_whatever_it_is(tmp_path: Path, add: Add) -> None:
    def change(it: dict[str, bytes]) -> None:
        it[ROOTFS] = with_more(it[ROOTFS], add)

    assert finding(changed("still-added-only", tmp_path / "it.tar", change)) is Finding.INCONSISTENT


def test_what_comes_after_a_member_that_replaces_it_counts(tmp_path: Path) -> None:
    ring = members(files("still-added-only")[ROOTFS])[RING]

    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(RING)
        info.size = len(ring)
        tar.addfile(info, io.BytesIO(ring))

    def change(it: dict[str, bytes]) -> None:
        it[ROOTFS] = with_more(it[ROOTFS], special(RING, tarfile.SYMTYPE, "elsewhere"), add)

    assert finding(changed("still-added-only", tmp_path / "it.tar", change)) is Finding.CONSISTENT


def test_a_hard_link_holds_what_the_file_does_that_it_names(tmp_path: Path) -> None:
    def change(it: dict[str, bytes]) -> None:
        held = members(it[ROOTFS])
        held["alias"] = held.pop(RING)
        it[ROOTFS] = with_more(
            packed(held), special("second", tarfile.LNKTYPE, "alias"), special(RING, tarfile.LNKTYPE, "second")
        )

    assert finding(changed("still-added-only", tmp_path / "it.tar", change)) is Finding.CONSISTENT


def test_a_hard_link_in_a_tmpfs_holds_what_the_file_does_that_it_names(tmp_path: Path) -> None:
    def change(it: dict[str, bytes]) -> None:
        (name,) = (name for name in it if "tmpfs-dev-" in name and any("ring" in each for each in tar_of(it[name])))
        held = tar_of(it[name])
        (ring,) = (each for each in held if each.endswith(".ring"))
        held["./alias"] = held.pop(ring)
        it[name] = gzip.compress(with_more(packed(held), special(ring, tarfile.LNKTYPE, "./alias")))

    assert finding(changed("still-tmpfs-only", tmp_path / "it.tar", change)) is Finding.CONSISTENT


def tar_of(archive: bytes) -> dict[str, bytes]:
    return members(gzip.decompress(archive))


@pytest.mark.parametrize("name", [ROOTFS, "deleted.files", "config.dump", "checkpoint/pages-1.img"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["link", "hard link"])
def test_a_part_that_is_a_link_is_never_overlooked(tmp_path: Path, name: str, kind: bytes) -> None:
    content = files("still-ledger")
    content["kept"] = content.pop(name, b"[]")
    (tmp_path / "it.tar").write_bytes(with_more(packed(content), special(name, kind, "kept")))
    if (name, kind) == (ROOTFS, tarfile.SYMTYPE):
        assert finding(tmp_path / "it.tar") is Finding.INCOMPLETE
        return
    with pytest.raises(Unreadable, match=r"link|is missing|no checkpoint"):
        finding(tmp_path / "it.tar")


@pytest.mark.parametrize("part", ["mm", "core", "ids", "fs"])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_process_that_runs_has_memory_and_more(tmp_path: Path, part: str, how: str) -> None:
    name = f"checkpoint/{part}-1.img"

    def change(it: dict[str, bytes]) -> None:
        data = it.pop(name)
        if how == "empty":
            it[name] = data[:8]

    path = changed("still-ledger", tmp_path / "it.tar", change)
    for command in (lambda: inspect(path, {}), lambda: needs(path)):
        with pytest.raises(Broken, match=f"{part}-1.img is {how}"):
            command()


@pytest.mark.parametrize("part", ["pagemap-1.img", "fdinfo-2.img", "files.img"])
def test_a_process_that_runs_has_pages_and_descriptors(tmp_path: Path, part: str) -> None:
    path = changed("still-ledger", tmp_path / "it.tar", lambda it: it.pop(f"checkpoint/{part}"))
    with pytest.raises(Broken, match=f"{part} is missing"):
        inspect(path, {})


def test_a_second_number_of_a_process_is_none(tmp_path: Path) -> None:
    def change(it: dict[str, bytes]) -> None:
        it["checkpoint/pagemap-01.img"] = it["checkpoint/pagemap-1.img"]

    (found,) = inspect(changed("still-ledger", tmp_path / "it.tar", change), {}).checkpoints
    assert [each.pid for each in found.workloads] == [1]


def test_a_name_as_of_a_whiteout_deletes_nothing_in_an_archive_of_podman(tmp_path: Path) -> None:
    """Podman extracts it as a plain file: only the list of deleted files can say that a file is gone."""

    def change(it: dict[str, bytes]) -> None:
        del it["deleted.files"]
        it[ROOTFS] = packed(members(it[ROOTFS]) | {"data/.wh.deleted": b""})

    assert "deleted.files" in files("ledger-2")
    path = changed("ledger-2", tmp_path / "it.tar", change)
    assert finding(path) is Finding.INCONSISTENT


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ({"other": b""}, Finding.CONSISTENT),
        ({".wh.rootfs-diff.tar": b""}, Finding.INCOMPLETE),
        ({".wh..wh..opq": b"", "config.dump": b"{}"}, None),
        ({"rootfs-diff.tar": packed({})}, Finding.INCONSISTENT),
    ],
    ids=["nothing of it", "one file gone", "all gone", "another file"],
)
def test_a_layer_takes_from_those_below_what_it_says(
    tmp_path: Path, above: dict[str, bytes], expected: Finding | None
) -> None:
    layers = {"0.tar": plain("still-ledger"), "1.tar": packed(above)}
    manifest = json.dumps([{"RepoTags": ["it:1"], "Layers": list(layers)}]).encode()
    (tmp_path / "it.tar").write_bytes(packed({"manifest.json": manifest, **layers}))
    if expected is None:
        with pytest.raises(Broken, match=r"config\.dump but no checkpoint/inventory\.img"):
            finding(tmp_path / "it.tar")
    else:
        assert finding(tmp_path / "it.tar") is expected


def test_names_that_are_too_long_for_a_file_are_told_as_those_of_the_archive(tmp_path: Path) -> None:
    long = "x" * 300
    for number, (add, told) in enumerate(
        [
            (special("checkpoint/parent", tarfile.SYMTYPE, long), "it needs an earlier level of memory, xxx"),
            (named(f"checkpoint/{long}.img"), "xxx' cannot be unpacked: File name too long"),
        ]
    ):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(with_more(plain("still-ledger"), add))
        for command in (lambda path: inspect(path, {}), needs):
            with pytest.raises(Unreadable, match=told) as raised:
                command(path)
            assert "/parts/" not in str(raised.value)
    path.write_bytes(
        with_more(plain("still-ledger"), special(long, tarfile.SYMTYPE, long), special("a", tarfile.LNKTYPE, long))
    )
    assert finding(path) is Finding.CONSISTENT


def named(name: str) -> Add:
    """Add an empty file."""
    return lambda tar: tar.addfile(tarfile.TarInfo(name))
