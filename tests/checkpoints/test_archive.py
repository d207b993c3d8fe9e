"""Archives that are hostile, or cut off."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from harness.checkpoints.archive import MOST_HEADER, unpack
from harness.checkpoints.untrusted import Broken, Budget, Unreadable
from tests.criu_images import tar


def compressed(path: Path, how: str) -> Path:
    data = path.read_bytes()
    if how == "gzip":
        path.write_bytes(gzip.compress(data))
    elif how == "zstd":
        path.write_bytes(zstandard.compress(data))
    return path


def special(path: Path, name: str, kind: bytes, link: str = "") -> Path:
    with tarfile.open(path, "w") as made:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        made.addfile(member)
    return path


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
def test_files_are_unpacked_however_they_are_compressed(tmp_path: Path, how: str) -> None:
    archive = compressed(tar(tmp_path / "a.tar", {"./": None, "./x/y": b"1" * 5000, "z": b"", "e": None}), how)
    unpack(archive, tmp_path / "to")
    assert everything(tmp_path / "to") == ["x", "x/y", "z"]
    assert (tmp_path / "to/x/y").read_bytes() == b"1" * 5000


def test_what_is_not_wanted_is_left_and_what_is_too_long_is_cut(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"x": b"123456", "y": b"7"})
    unpack(archive, tmp_path / "to", wanted=lambda name: name == "x", most=4)
    assert everything(tmp_path / "to") == ["x"]
    assert (tmp_path / "to/x").read_bytes() == b"1234"


def test_the_last_one_of_a_name_counts(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as made:
        for content in (b"first", b"second"):
            member = tarfile.TarInfo("x")
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    unpack(archive, tmp_path / "to")
    assert (tmp_path / "to/x").read_bytes() == b"second"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
def test_a_name_that_leads_out_of_the_archive_is_declined(tmp_path: Path, name: str) -> None:
    archive = tar(tmp_path / "a.tar", {name: b"x"})
    with pytest.raises(Unreadable, match=r"a\.tar is declined: .* leads outside of it"):
        unpack(archive, tmp_path / "to")
    assert everything(tmp_path) == ["a.tar", "to"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"]
)
def test_nothing_but_files_is_made(tmp_path: Path, kind: bytes) -> None:
    unpack(special(tmp_path / "a.tar", "x", kind, "/etc/passwd"), tmp_path / "to")
    assert [path for path in everything(tmp_path / "to") if not (tmp_path / "to" / path).is_file()] == []
    assert not (tmp_path / "to/x").is_symlink()


def test_a_link_to_a_parent_is_made_and_nothing_is_written_through_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as made:
        for name in ("parent", "parent/parent", "x/parent", "y/parent", "y/parent/z/parent"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
            made.addfile(link)
        file = tarfile.TarInfo("parent/pages-1.img")
        made.addfile(file)
    unpack(archive, tmp_path / "to")
    assert everything(tmp_path / "outside") == []
    assert (tmp_path / "to/x/parent").is_symlink()
    assert (tmp_path / "to/parent/pages-1.img").is_file()


def test_a_file_in_the_place_of_a_folder_is_declined(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"x": b"1", "x/y": b"2"})
    with pytest.raises(Unreadable, match="cannot be unpacked"):
        unpack(archive, tmp_path / "to")


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.9])
def test_an_archive_that_was_cut_off_is_no_whole_one(tmp_path: Path, how: str, kept: float) -> None:
    members = {f"{number}": os.urandom(3000) for number in range(9)}
    archive = compressed(tar(tmp_path / "a.tar", {**members, "last": b"x"}), how)
    data = archive.read_bytes().rstrip(b"\0")
    archive.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(Broken, match=r"a\.tar is (not a complete archive|empty, or cut off before its first file)"):
        unpack(archive, tmp_path / "to")


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
def test_what_is_no_archive_is_called_so(tmp_path: Path, how: str) -> None:
    (tmp_path / "a.tar").write_bytes(b"hello\n")
    told = r"a\.tar is not a tar archive, plain or compressed by gzip, zstd, xz, bzip2\. Name an archive"
    with pytest.raises(Broken, match=told):
        unpack(compressed(tmp_path / "a.tar", how), tmp_path / "to")


def test_an_archive_that_ends_after_a_member_was_cut_off(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"x": b"1" * 512, "y": b"2" * 512})
    archive.write_bytes(archive.read_bytes()[: 4 * 512])
    with pytest.raises(Unreadable, match="the mark of its end is missing"):
        unpack(archive, tmp_path / "to")


def test_garbage_between_members_is_no_end(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"x": b"1" * 512, "y": b"2" * 512})
    data = bytearray(archive.read_bytes())
    data[1024:1536] = b"garbage!" * 64
    archive.write_bytes(data)
    with pytest.raises(Unreadable, match=r"a\.tar is not a complete archive"):
        unpack(archive, tmp_path / "to")


def sparse(path: Path) -> None:
    """GNU tar writes a hole of an exbibyte without any data."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\0" % 0 + b"%011o\0" % 0
    header[483:495] = b"\x80" + (1 << 60).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    path.write_bytes(bytes(header) + bytes(1024))


def bomb(path: Path) -> None:
    with gzip.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as made:
        member = tarfile.TarInfo("x")
        member.size = 64 << 20
        made.addfile(member, io.BytesIO(bytes(64 << 20)))


def headers(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        member = tarfile.TarInfo("x")
        member.pax_headers = {"comment": "x" * (MOST_HEADER + 1)}
        made.addfile(member)


def chained(path: Path) -> None:
    """Headers of headers of headers, which make a recursive reader descend."""
    long = tarfile.TarInfo("././@LongLink")
    long.type = tarfile.GNUTYPE_LONGNAME
    path.write_bytes(long.tobuf() * 100_000)


def global_headers(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        for number in range(9):
            made.addfile(tarfile.TarInfo(f"{number}"))
            head = tarfile.TarInfo.create_pax_global_header({f"comment{number}": "x" * 9000})
            assert made.fileobj is not None
            made.fileobj.write(head)
            made.offset += len(head)


def negative(path: Path) -> None:
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + (-(1 << 30)).to_bytes(11, "big", signed=True)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    path.write_bytes(bytes(header) + bytes(1024))


def many(path: Path) -> None:
    path.write_bytes(tarfile.TarInfo("x").tobuf() * 20_000 + bytes(1024))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (sparse, "unpacks to more than 4,194,304 bytes"),
        (bomb, "unpacks to more than 4,194,304 bytes"),
        (headers, "a member with more than 65,536 bytes of headers"),
        (chained, "a member with more than 65,536 bytes of headers|not a complete archive"),
        (global_headers, "more than 65,536 bytes of global headers"),
        (negative, "begins before the one before it ends"),
        (many, "more than 10,000 parts"),
    ],
)
def test_an_archive_that_was_made_to_do_harm_is_given_up(
    tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    archive = tmp_path / "a.tar"
    make(archive)
    with pytest.raises(Unreadable, match=told):
        unpack(archive, tmp_path / "to", Budget(read=32 << 20, kept=4 << 20, parts=10_000))
    assert sum(path.stat().st_size for path in (tmp_path / "to").rglob("*")) <= 4 << 20


def test_a_member_that_is_not_wanted_is_declined_by_its_header(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    long = tarfile.TarInfo("x")
    long.size = 1 << 40
    archive.write_bytes(gzip.compress(long.tobuf()))
    with pytest.raises(Unreadable, match="its reading takes more than 8 times"):
        unpack(archive, tmp_path / "to", wanted=lambda _: False)


def test_an_archive_that_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(Unreadable, match="not a regular file"):
        unpack(tmp_path / "a.tar", tmp_path / "to")


def test_a_window_that_takes_too_much_memory_is_declined(tmp_path: Path) -> None:
    frame = struct.pack("<I", 0xFD2FB528) + bytes([0b0000_0000, 0xF8]) + bytes(64)  # a window of two tebibytes
    (tmp_path / "a.tar").write_bytes(frame)
    with pytest.raises(Unreadable, match="not a complete archive"):
        unpack(tmp_path / "a.tar", tmp_path / "to")
