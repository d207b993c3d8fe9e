"""Images from one runtime or CRIU, rewritten for another one."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.criu import image
from harness.checkpoints.criu.image import CGROUPS, FILES, INVENTORY, MOUNTS, NETWORK, PAGEMAP, Kind
from harness.checkpoints.translation.bridges import (
    EMPTY_DIRECTORY,
    MOST_PAGES,
    TMPFS,
    OldCriu,
    Runtime,
    made_by,
    to_criu,
    to_engine,
    to_runtime,
    wanted_mounts,
)
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.oracle.processes import processes
from tests import criu_images
from tests.criu_images import COUNTER, PAGE, Entry, dump, memory, message, varint

OLD = OldCriu.V4_1


def write(path: Path, kind: Kind, messages: Iterable[Mapping[str, Any]]) -> Path:
    criu_images.write(path.parent, path.name, kind, *messages)
    return path


def read(path: Path, kind: Kind) -> list[Any]:
    return list(image.read(path, kind, Budget()))


def mount(number: int, point: str, root: str, key: str = "", **more: Any) -> dict[str, Any]:
    common = {"fstype": TMPFS, "mnt_id": number, "root_dev": 47, "flags": 1 << 21 | 7, "source": "dev", "options": "x"}
    return {**common, "root": root, "mountpoint": point, **({"ext_key": key} if key else {}), **more}


RUNC = (mount(1, "/proc/keys", "/null", "/dev/null"), mount(2, "/proc/timer_list", "/null", "/dev/null"))
CRUN = (mount(1, "/proc/keys", "/null", "/proc/keys"), mount(2, "/proc/timer_list", "/null", "/proc/timer_list"))
EMPTY = (
    mount(3, "/proc/acpi", f"/crun/{EMPTY_DIRECTORY}", f"/run/crun/{EMPTY_DIRECTORY}"),
    mount(4, "/sys/firmware", f"/crun/{EMPTY_DIRECTORY}", f"/run/crun/{EMPTY_DIRECTORY}"),
)
OTHERS = (
    mount(5, "/report", "/srv/report", "/report"),
    mount(6, "/scratch", "/", root_dev=70),
    mount(7, "/", "/", fstype=17),
)


@pytest.mark.parametrize(("target", "made", "keys"), [
    (Runtime.CRUN, RUNC, ["/proc/keys", "/proc/timer_list"]),
    (Runtime.RUNC, CRUN, ["/dev/null", "/dev/null"]),
])  # fmt: skip
def test_masked_files_are_asked_for_as_the_runtime_knows_them(
    tmp_path: Path, target: Runtime, made: tuple[dict[str, Any], ...], keys: list[str]
) -> None:
    table = write(tmp_path / "mountpoints-13.img", MOUNTS, (*made, *OTHERS))
    assert made_by(tmp_path, Budget()) is not target
    done = to_runtime(tmp_path, target)
    assert [each.split(":")[0] for each in done] == ["/proc/keys", "/proc/timer_list"]
    mounts = read(table, MOUNTS)
    assert [each.ext_key for each in mounts[:2]] == keys
    assert [each.ext_key for each in mounts[2:]] == ["/report", "", ""], "the user's own mounts stay unchanged"
    assert made_by(tmp_path, Budget()) is target
    assert to_runtime(tmp_path, target) == [], "a second pass changes nothing"


@pytest.mark.parametrize("target", Runtime)
def test_what_is_as_it_has_to_be_is_not_written(tmp_path: Path, target: Runtime) -> None:
    made = RUNC if target is Runtime.RUNC else CRUN
    table = write(tmp_path / "mountpoints-13.img", MOUNTS, (*made, *OTHERS))
    before = table.stat()
    assert to_runtime(tmp_path, target) == []
    assert table.stat().st_mtime_ns == before.st_mtime_ns
    assert table.stat().st_ino == before.st_ino


@pytest.mark.parametrize("target", Runtime)
def test_folders_under_one_of_cruns_get_a_tmpfs_with_nothing_in_it(tmp_path: Path, target: Runtime) -> None:
    table = write(tmp_path / "mountpoints-13.img", MOUNTS, (*CRUN, *EMPTY, *OTHERS))
    done = to_runtime(tmp_path, target)
    assert [each.split(":")[0] for each in done][-2:] == ["/proc/acpi", "/sys/firmware"]
    one, other = (each for each in read(table, MOUNTS) if each.mnt_id in (3, 4))
    assert one.root_dev == other.root_dev
    assert one.root_dev not in {each["root_dev"] for each in OTHERS}
    for each in (one, other):
        assert (each.fstype, each.root, each.source, each.options, each.ext_key) == (TMPFS, "/", "tmpfs", "", "")
        assert (each.flags, each.sb_flags) == (1 << 21 | 7, 1), "the mount stays read-only"
        assert not each.HasField("ext_key")
    packed = tmp_path / f"tmpfs-dev-{one.root_dev}.tar.gz.img"
    with tarfile.open(packed, "r:gz") as archive:
        assert [(each.name, each.isdir()) for each in archive] == [(".", True)]
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    assert wanted_mounts(tmp_path, Budget()) == {"/report"}


def test_a_mount_of_the_users_over_the_null_device_is_left_alone(tmp_path: Path) -> None:
    table = write(tmp_path / "mountpoints-13.img", MOUNTS, (mount(1, "/quiet", "/null", "/quiet"), *CRUN))
    to_runtime(tmp_path, Runtime.RUNC, binds=["/quiet"])
    assert [each.ext_key for each in read(table, MOUNTS)] == ["/quiet", "/dev/null", "/dev/null"]


GROUPS = {"sets": [{"id": 2}], "controllers": [{}]}


def test_groups_that_are_not_described_are_left_to_whoever_restores(tmp_path: Path) -> None:
    write(tmp_path / "cgroup.img", CGROUPS, [GROUPS])
    inventory = write(tmp_path / "inventory.img", INVENTORY, [{"img_version": 2, "root_cg_set": 1, "lsmtype": 3}])
    (done,) = to_runtime(tmp_path, Runtime.CRUN)
    assert "control groups" in done
    (entry,) = read(inventory, INVENTORY)
    assert (entry.img_version, entry.root_cg_set, entry.lsmtype) == (2, 2, 3)
    assert to_runtime(tmp_path, Runtime.CRUN) == []


@pytest.mark.parametrize(
    "groups",
    [{"sets": [{"id": 2}], "controllers": [{"dirs": [{"dir_name": "x"}]}]}, {"sets": [{"id": 2}, {"id": 3}]}, {}],
)
def test_groups_that_can_be_made_or_are_several_stay_as_they_are(tmp_path: Path, groups: dict[str, Any]) -> None:
    write(tmp_path / "cgroup.img", CGROUPS, [groups])
    inventory = write(tmp_path / "inventory.img", INVENTORY, [{"img_version": 2, "root_cg_set": 1}])
    assert to_runtime(tmp_path, Runtime.CRUN) == []
    assert read(inventory, INVENTORY)[0].root_cg_set == 1


def test_another_engine_need_not_have_the_same_root_folder(tmp_path: Path) -> None:
    root, program = ({"id": 7, "name": b"/", "mode": 0o40555, "flags": 1}, {"id": 1, "name": b"/app", "mode": 0o100755})
    table = write(
        tmp_path / "files.img", FILES, [{"type": 1, "id": each["id"], "reg": each} for each in (root, program)]
    )
    (done,) = to_engine(tmp_path, Budget())
    assert "the mode of the root folder" in done
    first, second = (each.reg for each in read(table, FILES))
    assert (first.HasField("mode"), first.id, first.flags, second.mode) == (False, 7, 1, 0o100755)
    assert to_engine(tmp_path, Budget()) == []


def test_another_engine_keeps_cruns_folder_elsewhere(tmp_path: Path) -> None:
    table = write(tmp_path / "mountpoints-13.img", MOUNTS, (*CRUN, *EMPTY, *OTHERS))
    assert [each.split(":")[0] for each in to_engine(tmp_path, Budget())] == ["/proc/acpi", "/sys/firmware"]
    mounts = read(table, MOUNTS)
    assert [each.ext_key for each in mounts[:2]] == ["/proc/keys", "/proc/timer_list"], "the runtime is the same"
    assert {each.root_dev for each in mounts[2:4]} & {each["root_dev"] for each in OTHERS} == set()


def test_numbers_of_pages_go_back_to_the_old_field(tmp_path: Path) -> None:
    dump(tmp_path, bytes(PAGE) + memory(), [Entry(0, 2)])
    (done,) = to_criu(tmp_path, OLD)
    assert done.startswith("pagemap-1.img: ")
    _, entry = read(tmp_path / "pagemap-1.img", PAGEMAP)
    assert (entry.compat_nr_pages, entry.HasField("nr_pages"), entry.flags) == (2, False, 4)
    assert processes(tmp_path, Budget())[0].counter.n == COUNTER
    assert to_criu(tmp_path, OLD) == []


@pytest.mark.parametrize("fields", ["4.1", "3.17"])
def test_images_of_an_old_criu_need_nothing(tmp_path: Path, fields: str) -> None:
    dump(tmp_path, memory(), [Entry(0, 1, fields=fields)])
    before = (tmp_path / "pagemap-1.img").read_bytes()
    assert to_criu(tmp_path, OLD) == []
    assert (tmp_path / "pagemap-1.img").read_bytes() == before


def test_fields_that_nobody_knows_survive(tmp_path: Path) -> None:
    head, unknown = message({1: 1}), message({1: 4096, 2: 0, 4: 4, 5: 1, 99: 77})
    (tmp_path / "pagemap-1.img").write_bytes(PAGEMAP.magic + head + unknown)
    to_criu(tmp_path, OLD)
    assert varint(99 << 3) + varint(77) in (tmp_path / "pagemap-1.img").read_bytes()


def test_a_number_that_the_old_field_does_not_hold_is_declined(tmp_path: Path) -> None:
    (tmp_path / "pagemap-1.img").write_bytes(PAGEMAP.magic + message({1: 1}) + message({1: 0, 2: 0, 5: MOST_PAGES + 1}))
    with pytest.raises(Unreadable, match=r"a range of 4,294,967,296 pages, more than the images of CRIU 4\.1 can hold"):
        to_criu(tmp_path, OLD)


def test_a_setting_with_its_default_is_left_out_and_one_with_a_value_is_not(tmp_path: Path) -> None:
    default = write(tmp_path / "netns-1.img", NETWORK, [{"ext_key": "x", "ipv4_sysctl": [{"type": 5}]}])
    given = write(tmp_path / "netns-2.img", NETWORK, [{"ipv4_sysctl": [{"type": 5, "sarg": "0\t99"}]}])
    (done,) = to_criu(tmp_path, OLD)
    assert done.startswith("netns-1.img: net/ipv4/ping_group_range")
    assert [list(each.ipv4_sysctl) for each in read(default, NETWORK)] == [[]]
    assert read(default, NETWORK)[0].ext_key == "x"
    assert read(given, NETWORK)[0].ipv4_sysctl[0].sarg == "0\t99"


def test_settings_of_a_kind_that_nobody_knows_are_declined(tmp_path: Path) -> None:
    write(tmp_path / "netns-1.img", NETWORK, [{"ipv4_sysctl": [{"type": 5}, {"type": 5, "sarg": "1"}]}])
    with pytest.raises(Unreadable, match=r"settings of net/ipv4 that CRIU 4\.1 does not know"):
        to_criu(tmp_path, OLD)


def test_nothing_is_written_when_one_image_is_damaged(tmp_path: Path) -> None:
    dump(tmp_path, memory(), pid=1)
    dump(tmp_path, memory(), pid=2)
    before = (tmp_path / "pagemap-1.img").read_bytes()
    (tmp_path / "pagemap-2.img").write_bytes(PAGEMAP.magic + struct.pack("<I", 99))
    with pytest.raises(Unreadable, match=r"pagemap-2\.img is cut off or damaged"):
        to_criu(tmp_path, OLD)
    assert (tmp_path / "pagemap-1.img").read_bytes() == before


def test_nothing_is_read_or_written_through_a_link(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", MOUNTS, RUNC)
    before = outside.read_bytes()
    (tmp_path / "images").mkdir()
    (tmp_path / "images/mountpoints-1.img").symlink_to(outside)
    with pytest.raises(Unreadable, match="is a symbolic link, not a regular file"):
        to_runtime(tmp_path / "images", Runtime.CRUN)
    (tmp_path / "images/mountpoints-1.img").unlink()
    os.link(outside, tmp_path / "images/mountpoints-1.img")
    (tmp_path / "images/.mountpoints-1.img.new").symlink_to(outside)
    assert to_runtime(tmp_path / "images", Runtime.CRUN)
    assert outside.read_bytes() == before
    assert not os.path.lexists(tmp_path / "images/.mountpoints-1.img.new")


def test_a_text_that_is_none_is_declined(tmp_path: Path) -> None:
    table = write(tmp_path / "mountpoints-1.img", MOUNTS, RUNC)
    table.write_bytes(table.read_bytes().replace(b"/proc/keys", b"/proc/ke\xffs"))
    with pytest.raises(Unreadable, match=r"mountpoints-1\.img holds a text that is not in UTF-8"):
        to_runtime(tmp_path, Runtime.CRUN)
