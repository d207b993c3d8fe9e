"""The offline reading of an unpacked checkpoint, with synthetic parts."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.model.outcomes import Anomaly
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.oracle.judge import anomalies
from harness.oracle.locations import LARGEST_SURFACE
from harness.oracle.offline import read
from harness.oracle.ring import make_records
from tests.criu_images import COUNTER, MOUNTS, NONCE, NOW, PAGE, RING, Surface, dump, memory, mount, ring, tmpfs

ADDED: Surface = ("ring", "added", "/data/added.ring")
TMPFS: Surface = ("ring", "tmpfs", "/scratch/tmpfs.ring")
GONE: Surface = ("deleted", "gone", "/data/gone")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return having(tmp_path, ADDED, TMPFS)


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper/data").mkdir(parents=True)
    (tmp_path / "upper/data/added.ring").write_bytes(ring())
    return tmp_path / "upper"


def having(folder: Path, *surfaces: Surface) -> Path:
    """Images of a process with these surfaces, and the archive of its tmpfs."""
    images = dump(folder / "images", bytes(3 * PAGE) + memory(surfaces=surfaces) + bytes(PAGE), mounts=MOUNTS)
    tmpfs(images, {"./": None, "./tmpfs.ring": ring(COUNTER - 1)})
    return images


def reading(images: Path, upper: Path, *outside: str) -> Reading:
    (found,) = read(images, {"/": CapturedFiles(upper)}, outside=outside)
    return found


def held(found: Reading) -> dict[str, int | None]:
    return {surface.surface: surface.newest for surface in found.surfaces}


def test_memory_files_and_tmpfs_are_read_without_a_restore(images: Path, upper: Path) -> None:
    found = reading(images, upper)
    assert (found.witness, found.nonce, found.counter, found.counter_wall_ns) == (
        Witness.OFFLINE,
        f"{NONCE:016x}",
        COUNTER,
        NOW,
    )
    added, tmpfs = found.surfaces
    assert (added.surface, added.newest, added.newest_wall_ns) == ("added", COUNTER, NOW)
    assert (tmpfs.surface, tmpfs.newest, tmpfs.newest_wall_ns) == ("tmpfs", COUNTER - 1, NOW - 1000)
    assert all(not (each.torn or each.foreign or each.holes or each.backwards) for each in found.surfaces)


@pytest.mark.parametrize("ahead", [1, 30, 3000])
def test_a_disk_from_the_future_shows(images: Path, upper: Path, ahead: int) -> None:
    (upper / "data/added.ring").write_bytes(ring(COUNTER + ahead))
    surface = reading(images, upper).surfaces[0]
    assert (surface.newest, surface.newest_wall_ns) == (COUNTER + ahead, NOW + ahead * 1000)


def test_surfaces_keep_the_order_of_their_process(tmp_path: Path, upper: Path) -> None:
    assert list(held(reading(having(tmp_path, TMPFS, GONE, ADDED), upper))) == ["tmpfs", "gone", "added"]


@pytest.mark.parametrize(
    "decoy",
    [b"", b"x" + b"STILLFRAMELEDGER" * (PAGE // 16 - 1), memory()[:-1].lower()],
    ids=["an empty file", "the text all over", "no magic"],
)
def test_processes_without_a_counter_are_passed_over(images: Path, upper: Path, decoy: bytes) -> None:
    dump(images, decoy.ljust(-(-len(decoy) // PAGE) * PAGE, b"\0"), pid=7)
    assert reading(images, upper).counter == COUNTER


def test_of_several_workloads_each_is_read_that_of_the_nonce_first(images: Path, upper: Path) -> None:
    dump(images, memory(COUNTER + 5, nonce=NONCE + 1, surfaces=(TMPFS,)), pid=7)
    for nonce, counters in ((NONCE, [COUNTER, COUNTER + 5]), (NONCE + 1, [COUNTER + 5, COUNTER])):
        found = read(images, {"/": CapturedFiles(upper)}, nonce=f"{nonce:016x}")
        assert [each.counter for each in found] == counters


@pytest.mark.parametrize("pages", [b"", bytes(PAGE)], ids=["an empty file", "other pages"])
def test_images_without_the_counter_cannot_be_read(images: Path, upper: Path, pages: bytes) -> None:
    dump(images, pages)
    with pytest.raises(Unreadable, match="no workload's counter in its memory pages"):
        reading(images, upper)


def test_images_that_lack_a_part_are_broken(images: Path, upper: Path) -> None:
    (images / "core-1.img").unlink()
    with pytest.raises(Broken, match=r"core-1\.img is missing"):
        reading(images, upper)


def test_a_surface_that_was_not_captured_holds_nothing(images: Path, tmp_path: Path) -> None:
    tmpfs(images, {"./other.ring": ring()})
    assert held(reading(images, tmp_path / "nowhere")) == {"added": None, "tmpfs": None}


def test_a_surface_of_a_disk_that_is_not_there_holds_nothing_unless_it_is_documented_as_outside(
    tmp_path: Path, upper: Path
) -> None:
    bind = ("ring", "bind", "/bind/bind.ring")
    images = dump(
        tmp_path / "images",
        memory(surfaces=(ADDED, bind)),
        mounts=(MOUNTS[0], mount(9, "/bind", fstype=16, ext_key="/bind")),
    )
    assert held(reading(images, upper)) == {"added": COUNTER, "bind": None}
    assert held(reading(images, upper, "bind")) == {"added": COUNTER}
    assert held(reading(images, upper, "bind", "added")) == {"added": COUNTER}, (
        "a captured surface is read even if it is documented as outside"
    )


def test_a_surface_of_another_workload_holds_nothing_of_this_one(images: Path, upper: Path) -> None:
    (upper / "data/added.ring").write_bytes(ring(nonce=NONCE + 1))
    surface = reading(images, upper).surfaces[0]
    assert (surface.newest, surface.foreign) == (None, RING)


def test_a_surface_is_in_the_archive_of_its_own_tmpfs_and_at_its_own_path(images: Path, upper: Path) -> None:
    tmpfs(images, {"tmpfs.ring": ring(COUNTER)}, device=12)
    tmpfs(images, {"sub/tmpfs.ring": b"another folder's", "./tmpfs.ring": ring(COUNTER - 1)})
    assert held(reading(images, upper))["tmpfs"] == COUNTER - 1


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6])
def test_an_archive_that_was_cut_off_is_broken(images: Path, upper: Path, kept: float) -> None:
    path = images / "tmpfs-dev-73.tar.gz.img"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(Broken, match=r"tmpfs-dev-73\.tar\.gz\.img"):
        reading(images, upper)


def test_archives_are_opened_only_for_what_is_in_them(tmp_path: Path, upper: Path) -> None:
    images = having(tmp_path, ADDED)
    (images / "tmpfs-dev-73.tar.gz.img").write_bytes(b"no archive")
    assert held(reading(images, upper)) == {"added": COUNTER}


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "fifo", "link above"])
def test_what_is_no_file_holds_nothing_and_is_not_waited_for(images: Path, upper: Path, kind: str) -> None:
    path = upper / "data/added.ring"
    path.rename(upper / "kept")
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link above":
        (upper / "data").rename(upper / "elsewhere")
        (upper / "kept").rename(upper / "elsewhere/added.ring")
        (upper / "data").symlink_to("elsewhere")
    else:
        path.symlink_to(upper / "kept" if kind == "link" else "/nowhere")
    assert held(reading(images, upper))["added"] is None


def test_a_file_that_may_not_be_read_is_not_taken_for_one_that_is_missing(
    images: Path, upper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, *given: int, **named: int) -> int:
        if path == upper / "data/added.ring":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *given, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unreadable, match=r"added\.ring cannot be read: Permission denied"):
        reading(images, upper)


# ---- deletions


def test_a_deletion_is_as_new_as_memory_whatever_was_written_before_it(tmp_path: Path, upper: Path) -> None:
    (upper / "data/added.ring").write_bytes(ring(COUNTER + 30))
    (upper / "data/.wh.gone").touch()
    found = reading(having(tmp_path, TMPFS, ADDED, GONE), upper)
    deleted = SurfaceReading(surface="gone", newest=COUNTER, newest_wall_ns=NOW, lag=0)
    assert found.surfaces[-1] == deleted
    assert anomalies(found) == (Anomaly.DISK_AHEAD, Anomaly.SURFACES_DISAGREE, Anomaly.ORDER_BROKEN)
    for ticks in (COUNTER, COUNTER - 1):
        (upper / "data/added.ring").write_bytes(ring(ticks))
        assert anomalies(reading(having(tmp_path, GONE, ADDED), upper)) == ()


@pytest.mark.parametrize("there", [False, True])
def test_a_deletion_that_was_undone_is_nothing(tmp_path: Path, upper: Path, there: bool) -> None:
    if there:
        (upper / "data/gone").touch()
    found = reading(having(tmp_path, ADDED, GONE), upper)
    assert held(found) == {"added": COUNTER, "gone": None}
    assert anomalies(found) == (Anomaly.DISK_BEHIND,)


@pytest.mark.parametrize(("members", "newest"), [({"./": None}, COUNTER), ({"./gone": b""}, None)])
def test_a_deletion_on_a_tmpfs_is_what_its_archive_lacks(
    tmp_path: Path, upper: Path, members: dict[str, bytes | None], newest: int | None
) -> None:
    images = having(tmp_path, ("deleted", "gone", "/scratch/gone"))
    tmpfs(images, members)
    assert held(reading(images, upper)) == {"gone": newest}


# ---- files that grow, and files that are written once

GROWS: Surface = ("appended", "grows", "/data/grows")
KEPT: Surface = ("sentinel", "kept", "/data/kept")


def sentinel(nonce: int = NONCE, n: int = 0) -> bytes:
    return make_records([n], [NOW - 5], nonce).tobytes()


@pytest.mark.parametrize(
    ("content", "newest"),
    [
        (sentinel(), COUNTER),
        (None, None),
        (b"", None),
        (sentinel(NONCE + 1), None),
        (sentinel(n=1), None),
        (sentinel() + b"x", None),
        (sentinel()[:-1] + b"x", None),
    ],
)
def test_a_file_that_is_written_once_must_be_as_it_was(
    tmp_path: Path, upper: Path, content: bytes | None, newest: int | None
) -> None:
    if content is not None:
        (upper / "data/kept").write_bytes(content)
    found = reading(having(tmp_path, ADDED, KEPT), upper)
    assert held(found) == {"added": COUNTER, "kept": newest}
    assert anomalies(found) == (() if newest else (Anomaly.DISK_BEHIND,))


@pytest.mark.parametrize(("ticks", "found"), [(COUNTER, ()), (COUNTER - 1, ()), (COUNTER + 9, (Anomaly.DISK_AHEAD,))])
def test_a_file_that_grows_has_all_ticks(tmp_path: Path, upper: Path, ticks: int, found: tuple[Anomaly, ...]) -> None:
    records = make_records(np.arange(1, ticks + 1), NOW - 1000 * np.arange(ticks)[::-1], NONCE)
    (upper / "data/grows").write_bytes(records.tobytes())
    said = reading(having(tmp_path, GROWS), upper)
    assert held(said) == {"grows": ticks}
    assert anomalies(said) == found


def test_a_file_that_grows_beyond_what_is_read_is_no_finding(tmp_path: Path, upper: Path) -> None:
    (upper / "data/grows").touch()
    os.truncate(upper / "data/grows", LARGEST_SURFACE)
    with pytest.raises(Unreadable, match="grows has 134,217,728 bytes or more"):
        reading(having(tmp_path, GROWS), upper)
