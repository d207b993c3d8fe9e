"""Files of a source that are too large to unpack, read piece by piece."""

from __future__ import annotations

import io
import itertools
import tarfile
from pathlib import Path

import pytest

from harness.checkpoints import archive, sources
from harness.checkpoints.sources import Archive, Folder, ImageLayers, Part
from harness.checkpoints.untrusted import Absent, Broken, Budget, Unreadable

CONTENT = bytes(range(256)) * 40


def packed(path: Path, *files: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "CHUNK", 1000)
    monkeypatch.setattr(sources, "CHUNK", 1000)


def folder(path: Path, budget: Budget) -> Part:
    (path / "logs").mkdir()
    (path / "logs/ctr.log").write_bytes(CONTENT)
    return Part(Folder(path, budget), "logs/ctr.log")


def tar(path: Path, budget: Budget) -> Part:
    name = "logs/ctr.log"
    file = packed(path / "a.tar", ("other", b"x"), (name, b"old"), ("more", b"y" * 5000), (name, CONTENT))
    return Part(Archive(file, path / "to", budget), name)


def layers(path: Path, budget: Budget) -> Part:
    name = "ctr.log"
    files = [packed(path / "a.tar", (name, b"old")), packed(path / "b.tar", (name, CONTENT), ("x", b""))]
    archives = [Archive(file, path / file.stem, budget) for file in files]
    return Part(ImageLayers(path, archives, path / "all", budget), name)


every_source = pytest.mark.parametrize("part", [folder, tar, layers])


@every_source
def test_a_file_is_read_in_pieces_and_nothing_of_it_is_written(part: object, tmp_path: Path) -> None:
    found = part(tmp_path, Budget(kept=0))  # type: ignore[operator]
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        chunks = list(found.chunks())
        assert b"".join(chunks) == CONTENT
        assert max(map(len, chunks)) <= 1000
    assert sorted(tmp_path.rglob("*")) == before


@every_source
def test_what_is_read_is_accounted_for(part: object, tmp_path: Path) -> None:
    found = part(tmp_path, Budget(read=60_000))  # type: ignore[operator]
    with pytest.raises(Unreadable, match="more than 8 times 7,500 bytes"):
        list(itertools.chain.from_iterable(found.chunks() for _ in range(10)))


def test_a_file_that_is_gone_or_of_another_kind_is_absent(tmp_path: Path) -> None:
    part = folder(tmp_path, Budget())
    (tmp_path / "logs/ctr.log").unlink()
    with pytest.raises(Absent):
        list(part.chunks())
    (tmp_path / "logs/ctr.log").symlink_to("/dev/zero")
    with pytest.raises(Absent):
        list(part.chunks())
    with pytest.raises(Absent, match=r"no\.log is not in a\.tar"):
        list(Part(Archive(packed(tmp_path / "a.tar", ("x", b"y")), tmp_path / "to", Budget()), "no.log").chunks())


def test_an_archive_that_is_cut_off_says_where(tmp_path: Path) -> None:
    file = packed(tmp_path / "a.tar", ("config.dump", b"{}"), ("ctr.log", CONTENT), ("spec.dump", b"{}"))
    whole = file.read_bytes()
    file.write_bytes(whole[:6000])
    told = r"a\.tar is not a complete archive: [^,]+, in or after 'ctr.log'\. Copy it again, or make it again\."
    with pytest.raises(Broken, match=told):
        Archive(file, tmp_path / "to", Budget())


def test_names_are_kept_of_what_is_looked_at_and_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_LETTERS", 60)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(100):
            info = tarfile.TarInfo(f"{number}/fifo")
            info.type = tarfile.FIFOTYPE
            tar.addfile(info)
    assert Archive(path, tmp_path / "to", Budget()).files == {}
    with pytest.raises(Unreadable, match=r"a\.tar holds names with more than 60 characters in total"):
        Archive(packed(path, *((f"a/file-{number}", b"") for number in range(9))), tmp_path / "to", Budget())


def test_a_name_counts_as_the_file_that_it_was_last(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", ("ctr.log", b"old"), ("ctr.log", CONTENT))
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("ctr.log")
        info.type = tarfile.FIFOTYPE
        tar.addfile(info)
    assert b"".join(Archive(path, tmp_path / "to", Budget()).chunks_of("ctr.log")) == CONTENT
