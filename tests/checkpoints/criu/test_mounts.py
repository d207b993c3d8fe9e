"""Mounts of containers, and the mount of a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.criu.image import MOUNTS
from harness.checkpoints.criu.mounts import FILE_SYSTEMS, Mount, Mounts
from harness.checkpoints.criu.tasks import tasks
from harness.checkpoints.untrusted import LONGEST_NAME, Absent, Budget, Unreadable
from tests import real_images
from tests.real_images import CRIO, STILL, change, unpacked


def of_first(images: Path) -> Mounts:
    """The mounts that the first process sees."""
    return Mounts.of_task(images, tasks(images, Budget())[0], Budget())


def mount(number: int, parent: int, point: str, **more: Any) -> Mount:
    told = {"file_system": "tmpfs", "device": number, "root": "/", "source": "", "ext_key": "", **more}
    return Mount(number, parent, point, **told)


@pytest.mark.parametrize(
    ("path", "mountpoint", "file_system", "inner"),
    [
        ("/", "/", "overlay", "/"),
        ("/data/added.ring", "/", "overlay", "/data/added.ring"),
        ("/scratch/tmpfs.ring", "/scratch", "tmpfs", "/tmpfs.ring"),
        ("/scratched", "/", "overlay", "/scratched"),
        ("/dev", "/dev", "tmpfs", "/"),
        ("//dev/./shm//x/", "/dev/shm", "tmpfs", "/x"),
        ("/proc/sys/kernel", "/proc/sys", "proc", "/sys/kernel"),
        ("/proc/keys", "/proc/keys", "tmpfs", "/null"),
        ("/sys/fs/cgroup/x", "/sys/fs/cgroup", "cgroup2", "/x"),
    ],
)
def test_a_path_is_on_the_mount_nearest_to_it(
    tmp_path: Path, path: str, mountpoint: str, file_system: str, inner: str
) -> None:
    found, relative = of_first(unpacked(STILL, tmp_path)).resolve(path)
    assert (found.mountpoint, found.file_system, found.path_in_file_system(relative)) == (
        mountpoint,
        file_system,
        inner,
    )


def test_a_path_that_is_a_tmpfs_by_one_engine_is_on_the_root_by_another(tmp_path: Path) -> None:
    (podman, _), (crio, relative) = (
        of_first(unpacked(name, tmp_path / name)).resolve("/scratch/tmpfs.ring") for name in (STILL, CRIO)
    )
    assert (podman.mountpoint, podman.file_system, podman.device) == ("/scratch", "tmpfs", 47)
    assert (crio.mountpoint, crio.file_system, relative) == ("/", "overlay", "scratch/tmpfs.ring")


def test_what_whoever_restores_brings_along_is_external(tmp_path: Path) -> None:
    mounts = of_first(unpacked(STILL, tmp_path))
    shared, _ = mounts.resolve("/dev/shm/x")
    masked, _ = mounts.resolve("/proc/keys")
    own, _ = mounts.resolve("/scratch")
    assert [(each.external, each.ext_key) for each in (shared, masked, own)] == [
        (True, "/dev/shm"), (True, "/proc/keys"), (False, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("name", real_images.PROCESSES)
@pytest.mark.parametrize(
    ("path", "source", "relative"),
    [
        ("/data", "second", ""),
        ("/data/x", "second", "x"),
        ("/data/in2/x", "in2", "x"),
        ("/data/in/x", "second", "in/x"),
        ("/dev/null", "devtmpfs", ""),
        ("/dev/x", "root", "dev/x"),
    ],
)
def test_a_mount_hides_one_below_it_and_what_lies_on_that(
    tmp_path: Path, name: str, path: str, source: str, relative: str
) -> None:
    mounts = of_first(unpacked(name, tmp_path))
    assert {"first", "in"} <= {each.source for each in mounts.mounts}, "the table contains the hidden mounts"
    found, rest = mounts.resolve(path)
    assert (found.source, rest) == (source, relative)


def test_a_mount_upon_the_root_hides_all_that_is_on_the_root() -> None:
    mounts = Mounts([mount(1, 0, "/"), mount(2, 1, "/data"), mount(3, 1, "/"), mount(4, 3, "/tmp")])
    assert [mounts.resolve(path)[0].number for path in ("/", "/data/x", "/tmp/x")] == [3, 3, 4]


def test_a_mount_on_a_folder_that_is_hidden_itself_is_not_reached() -> None:
    mounts = Mounts([mount(1, 0, "/"), mount(2, 1, "/a/b"), mount(3, 1, "/a"), mount(4, 3, "/a/c")])
    assert [mounts.resolve(path)[0].number for path in ("/a/b/x", "/a/c/x", "/a")] == [3, 4, 3]


def test_a_mount_of_a_part_of_a_file_system_leads_to_that_part() -> None:
    volume = mount(2, 1, "/data", root="/volumes/v/_data/")
    mounts = Mounts([mount(1, 0, "/"), volume])
    assert volume.path_in_file_system(mounts.resolve("/data/a/b")[1]) == "/volumes/v/_data/a/b"
    assert volume.path_in_file_system("") == "/volumes/v/_data"
    assert mount(2, 1, "/data", root=None).path_in_file_system("x") is None


@pytest.mark.parametrize("path", ["", "data", "/data/../x", "/" + "a/" * LONGEST_NAME])
def test_a_path_that_means_something_else_through_links_is_declined(path: str) -> None:
    with pytest.raises(Unreadable, match="is not a plain absolute path"):
        Mounts([mount(1, 0, "/")]).resolve(path)


def test_two_mounts_at_one_place_are_not_guessed_between() -> None:
    mounts = Mounts([mount(1, 0, "/"), mount(2, 1, "/data"), mount(3, 1, "/data")])
    assert mounts.resolve("/x")[0].number == 1
    with pytest.raises(Unreadable, match="which of 2 mounts is on top at /data"):
        mounts.resolve("/data/x")


@pytest.mark.parametrize(
    "table",
    [
        [],
        [mount(1, 2, "/"), mount(2, 1, "/")],
        [mount(1, 0, "/"), mount(2, 1, "/a"), mount(2, 1, "/b")],
        [mount(1, 0, "/"), mount(2, 7, "/data")],
        [mount(1, 0, "/data")],
    ],
    ids=["empty", "a circle", "a number twice", "two roots", "no root"],
)
def test_a_table_that_is_no_tree_is_declined(table: list[Mount]) -> None:
    with pytest.raises(Unreadable, match="do not form a tree with one root"):
        Mounts(table)


def test_a_circle_apart_from_the_root_is_never_entered() -> None:
    apart = [mount(2, 3, "/data"), mount(3, 2, "/data")]
    assert Mounts([mount(1, 1, "/"), *apart]).resolve("/data")[0].number == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [({"fstype": 0}, ""), ({"fstype": 99}, ""), ({"fstype": 16, "fsname": "ext4"}, "ext4")],
)
def test_a_file_system_that_criu_does_not_name_has_no_name(tmp_path: Path, told: dict[str, Any], expected: str) -> None:
    images = unpacked(STILL, tmp_path)
    change(images / "mountpoints-13.img", MOUNTS, lambda found: found[-1].MergeFrom(MOUNTS.messages[0](**told)))
    assert of_first(images).resolve("/")[0].file_system == expected
    assert 0 not in FILE_SYSTEMS


def test_the_old_form_of_external_mounts_has_the_key_in_place_of_the_root(tmp_path: Path) -> None:
    def older(found: list[Any]) -> None:
        for entry in found:
            if entry.ext_key:
                entry.root, entry.ext_mount = entry.ext_key, True
                entry.ClearField("ext_key")

    images = unpacked(STILL, tmp_path)
    change(images / "mountpoints-13.img", MOUNTS, older)
    found, relative = of_first(images).resolve("/dev/shm/x")
    assert (found.external, found.ext_key, found.root, relative) == (True, "/dev/shm", None, "x")


def test_the_namespace_is_that_of_the_process(tmp_path: Path) -> None:
    images = unpacked(real_images.PROCESSES[0], tmp_path)
    _, zombie, *_ = tasks(images, Budget())
    with pytest.raises(Unreadable, match="do not give the mount namespace of process"):
        Mounts.of_task(images, zombie, Budget())
    with pytest.raises(Absent, match=r"mountpoints-99\.img cannot be read"):
        Mounts.of_namespace(images, 99, Budget())


def test_there_is_an_end_to_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = unpacked(STILL, tmp_path)
    monkeypatch.setattr("harness.checkpoints.criu.mounts.MOST_MOUNTS", 9)
    with pytest.raises(Unreadable, match="more than 9 mounts"):
        of_first(images)
