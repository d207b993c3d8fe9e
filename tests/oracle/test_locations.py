"""Locations of surfaces, from the mounts of their process."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoints.criu import image
from harness.checkpoints.criu.memory import Memory
from harness.checkpoints.criu.mounts import Mounts, bases_of
from harness.checkpoints.criu.tasks import tasks
from harness.checkpoints.untrusted import Budget
from harness.oracle.locations import InLog, InTmpfs, Location, Locations, OnDisk, Outside, location_of
from harness.oracle.processes import Form, OwnSurface, Process, Teller
from harness.oracle.ring import MemoryCounter
from tests.criu_images import ROOT, dump, mount, write

VOLUME = mount(40, "/data", fstype=16, ext_key="/data", root="/volumes/v/_data")


def place(
    tmp_path: Path,
    path: str,
    *mounts: dict[str, object],
    disks: tuple[str, ...] = ("/",),
    named: tuple[str, ...] = (),
) -> Location:
    images = dump(tmp_path / "images", b"", mounts=(ROOT, *mounts))
    seen = Mounts.of_namespace(images, 13, Budget())
    surface = OwnSurface(Form.RING, "it", path)
    absent = {"/data": "the volume was left out"}
    return location_of(surface, Locations(seen, bases_of(images, Budget())), disks, absent, named=named)


@pytest.mark.parametrize("path", ["/data/added.ring", "/data/../data//./added.ring", "data/added.ring"])
def test_a_file_of_the_root_is_on_the_disk_of_the_root(tmp_path: Path, path: str) -> None:
    assert place(tmp_path, path) == OnDisk("/", "data/added.ring")


def test_a_file_is_where_its_mount_is_whatever_it_is_called(tmp_path: Path) -> None:
    assert place(tmp_path, "/data/a/x", VOLUME, disks=("/", "/data")) == OnDisk("/data", "a/x")
    assert place(tmp_path, "/data/a/x", mount(73, "/data")) == InTmpfs(73, "a/x")
    assert place(tmp_path, "/scratch/x") == OnDisk("/", "scratch/x"), "an engine without tmpfs"


def test_a_volume_in_a_volume_is_its_own(tmp_path: Path) -> None:
    inner = mount(41, "/data/in", parent=40, fstype=16, ext_key="/data/in")
    disks = ("/", "/data", "/data/in")
    assert place(tmp_path, "/data/in/x", VOLUME, inner, disks=disks) == OnDisk("/data/in", "x")
    assert place(tmp_path, "/data/inn/x", VOLUME, inner, disks=disks) == OnDisk("/data", "inn/x")
    assert isinstance(place(tmp_path, "/data/in/x", VOLUME, inner, disks=("/", "/data")), Outside)


def test_a_folder_of_the_root_that_is_mounted_elsewhere_is_on_the_disk_of_the_root(tmp_path: Path) -> None:
    bound = mount(50, "/here", fstype=17, root_dev=ROOT["root_dev"], root="/there")
    assert place(tmp_path, "/here/x", bound) == OnDisk("/", "there/x")


def test_a_folder_of_a_tmpfs_that_is_mounted_elsewhere_is_in_its_archive(tmp_path: Path) -> None:
    bound = mount(51, "/here", root_dev=73, root="/sub")
    assert place(tmp_path, "/here/x", mount(73, "/scratch"), bound) == InTmpfs(73, "sub/x")


@pytest.mark.parametrize("disks", [(), ("/",)])
def test_what_was_left_out_is_outside_and_the_reason_says_why(tmp_path: Path, disks: tuple[str, ...]) -> None:
    assert place(tmp_path, "/data/x", VOLUME, disks=disks) == Outside(
        "the volume was left out; --disk /data=DIR adds it"
    )


def test_a_folder_of_the_host_is_outside(tmp_path: Path) -> None:
    found = place(tmp_path, "/bind/x", mount(60, "/bind", fstype=17, ext_key="/bind"))
    assert isinstance(found, Outside)
    assert "outside the checkpoint; --disk /bind=DIR adds it" in found.why
    found = place(tmp_path, "/x", disks=())
    assert found == Outside("the checkpoint does not contain the root file system; --disk DIR adds it")


def test_a_disk_that_is_named_for_a_folder_below_a_mount_counts_before_it(tmp_path: Path) -> None:
    both = ("/", "/scratch")
    assert place(tmp_path, "/data/in/x", disks=("/", "/data/in"), named=("/data/in",)) == OnDisk("/data/in", "x")
    assert place(tmp_path, "/scratch/x", mount(73, "/scratch"), disks=both, named=both[1:]) == OnDisk("/scratch", "x")
    assert place(tmp_path, "/scratch/x", mount(73, "/scratch"), disks=both) == InTmpfs(73, "x"), (
        "the file is in CRIU's archive of the tmpfs"
    )


def test_standard_output_is_in_the_log_if_that_is_there() -> None:
    surface = OwnSurface(Form.STDOUT, "it", "1")
    assert location_of(surface, Locations(), ("/",), {}, log=True) == InLog()
    assert location_of(surface, Locations(), ("/",), {}) == Outside("the checkpoint does not contain the engine's log")


def test_without_a_table_of_mounts_the_disks_tell_it() -> None:
    surface = OwnSurface(Form.RING, "it", "/data/x")
    assert location_of(surface, Locations(), ("/", "/data"), {}) == OnDisk("/data", "x")
    assert location_of(surface, Locations(), ("/",), {}) == OnDisk("/", "data/x")
    assert isinstance(location_of(surface, Locations(), (), {}), Outside)


def test_a_root_that_is_a_tmpfs_is_a_disk_and_not_in_the_images(tmp_path: Path) -> None:
    root = {**ROOT, "fstype": 5, "root_dev": 99}
    images = dump(tmp_path / "images", b"", mounts=(root, mount(50, "/here", root_dev=99, root="/there")))
    mounts = Mounts.of_namespace(images, 13, Budget())
    for path, name in (("/a/x", "a/x"), ("/here/x", "there/x")):
        surface = OwnSurface(Form.RING, "it", path)
        where = Locations(mounts, bases_of(images, Budget()))
        assert location_of(surface, where, ("/",), {}) == OnDisk("/", name)
        assert isinstance(location_of(surface, where, (), {}), Outside)


def test_a_mount_of_a_process_s_own_namespace_shows_what_that_of_the_container_does(tmp_path: Path) -> None:
    """CRIU gives no keys to mounts of another namespace, but mounts of the same file system are still recognised."""
    volume = mount(40, "/vol", root="/volumes/v/_data", ext_key="/vol")
    images = dump(tmp_path / "images", b"", mounts=(ROOT, volume))
    own = (
        {**ROOT, "mnt_id": 101},
        mount(102, "/vol", parent=101, root_dev=40, root="/volumes/v/_data"),
        mount(103, "/part", parent=101, root_dev=40, root="/volumes/v/_data/sub"),
        mount(104, "/report", parent=101, root_dev=40, root="/reports/r"),
        mount(105, "/data", parent=101),
    )
    write(images, "mountpoints-14.img", image.MOUNTS, *own)
    where = Locations(Mounts.of_namespace(images, 14, Budget()), bases_of(images, Budget()))
    for path, expected in {
        "/etc/x": OnDisk("/", "etc/x"),
        "/vol/x": OnDisk("/vol", "x"),
        "/part/x": OnDisk("/vol", "sub/x"),
        "/data/x": InTmpfs(105, "x"),
    }.items():
        assert location_of(OwnSurface(Form.RING, "it", path), where, ("/", "/vol"), {}) == expected
    assert isinstance(location_of(OwnSurface(Form.RING, "it", "/report/x"), where, ("/", "/vol"), {}), Outside)


# ---- what a process has open

FOLDERS = {1: b"/", 2: b"/jail", 3: b"/data"}


def whereabouts(
    tmp_path: Path, *surfaces: OwnSurface, files: dict[int, bytes], root: int = 1, cwd: int = 1, nameless: int = 0
) -> Locations:
    """Locations of a process that has these files open for reading and writing, by descriptor."""
    images = dump(tmp_path / "images", b"", mounts=(ROOT,))
    plain = {"flags": 0o100002, "mode": 0o100644}
    known = {
        **{10 + at: (name, plain) for at, name in files.items()},
        **{at: (name, {}) for at, name in FOLDERS.items()},
    }
    messages = [
        {"type": 1, "id": number, "reg": {"id": number, "name": name, **more}} for number, (name, more) in known.items()
    ]
    write(images, "files.img", image.FILES, *messages)
    table = [{"id": 10 + at, "flags": 0, "type": 1, "fd": at} for at in files]
    write(images, "fdinfo-1.img", image.DESCRIPTORS, *table)
    write(images, "fs-1.img", image.FOLDERS, {"cwd_id": cwd, "root_id": root})
    if nameless:
        write(images, "remap-fpath.img", image.REMAPS, {"orig_id": 10 + nameless, "remap_id": 1, "remap_type": 1})
    (task,) = tasks(images, Budget())
    counter = MemoryCounter(n=1, wall_ns=1, nonce=1, ring=64)
    return Locations.of(
        images, Process(1, counter, surfaces, Teller.ITSELF, Memory(1, (), (), Budget())), task, Budget()
    )


def test_a_surface_is_the_file_that_its_process_has_open_whatever_it_was_called(tmp_path: Path) -> None:
    own = OwnSurface(Form.RING, "it", "/link/x", descriptor=4)
    found = whereabouts(tmp_path, own, files={3: b"/link/x", 4: b"/data/y"})
    assert location_of(own, found, ("/",), {}) == OnDisk("/", "data/y")


def test_of_a_process_that_does_not_tell_descriptors_files_are_known_by_path_or_by_their_order(tmp_path: Path) -> None:
    one, two = OwnSurface(Form.RING, "one", "/a/x"), OwnSurface(Form.RING, "two", "/link/y")
    found = whereabouts(tmp_path, one, two, files={3: b"/a/x", 4: b"/b/y"})
    assert [location_of(each, found, ("/",), {}) for each in (one, two)] == [OnDisk("/", "a/x"), OnDisk("/", "b/y")]
    found = whereabouts(tmp_path, one, two, files={3: b"/other", 4: b"/a/x", 5: b"/b/y"})
    assert [location_of(each, found, ("/",), {}) for each in (one, two)] == [OnDisk("/", "a/x"), OnDisk("/", "link/y")]


@pytest.mark.parametrize(("path", "expected"), [("/gone", "jail/gone"), ("gone", "data/gone"), ("../gone", "gone")])
def test_a_path_is_seen_from_the_root_and_the_folder_of_its_process(tmp_path: Path, path: str, expected: str) -> None:
    gone = OwnSurface(Form.DELETED, "gone", path)
    found = whereabouts(tmp_path, gone, files={}, root=2, cwd=3)
    assert location_of(gone, found, ("/",), {}) == OnDisk("/", expected)


def test_a_file_without_a_name_is_not_what_has_its_name_now(tmp_path: Path) -> None:
    own = OwnSurface(Form.RING, "it", "/data/x", descriptor=3)
    found = whereabouts(tmp_path, own, files={3: b"/data/x"}, nameless=3)
    place = location_of(own, found, ("/",), {})
    assert isinstance(place, Outside)
    assert "was deleted while open" in place.why
