"""Bridges over what keeps CRIU's images from a restore by another runtime, or by an older CRIU.

Each works in place on a folder of images and gives what it has changed, as sentences; nothing is written before all of
it is read and decided.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget, Unreadable

NULL = "/dev/null"
"""What covers a masked file; runc also knows the mount by this name."""
EMPTY_DIRECTORY = ".empty-directory"
"""Folder of crun's state that covers masked folders, in newer versions (get_shared_empty_directory_path, status.c)."""
TMPFS = 5
"""Of images/mnt.proto, enum fstype."""
READ_ONLY = 1
"""MS_RDONLY of mount(2)."""
MOST_PAGES = (1 << 32) - 1
NAMELESS_DEVICES = 1 << 20
"""Devices below it have the major number 0, as those of file systems in memory: CRIU writes major << 20 | minor."""


class Runtime(StrEnum):
    """An OCI runtime whose images are known."""

    RUNC = "runc"
    CRUN = "crun"


class OldCriu(StrEnum):
    """A version of CRIU that images can be brought back to."""

    V4_1 = "4.1"


def to_criu(images: Path, version: OldCriu, budget: Budget | None = None) -> list[str]:
    """Rewrite images so that an older CRIU restores them; earlier levels of memory are folders of their own.

    From 4.2 on the number of pages is in a field of its own and the old one is 0, so CRIU 4.1 restores no page. And a
    setting that has the kernel's default is described without a value (ipv4_sysctls_op, criu/net.c): CRIU 4.1 fails.
    """
    budget = budget or Budget()
    done: list[str] = []
    new: dict[str, bytes] = {}
    for name in named(images, r"pagemap-(?:shmem-)?[0-9]+\.img", budget):
        messages = list(image.read(images / name, image.PAGEMAP, budget))
        if moved := _count_as_before(name, messages, version):
            new[name] = image.encoded(image.PAGEMAP, messages)
            done.append(f"{name}: number of pages in the old field again, in {moved} of its entries")
    for name in named(images, r"netns-[0-9]+\.img", budget):
        messages = list(image.read(images / name, image.NETWORK, budget))
        if sum(_drop_default(name, each, version) for each in messages):
            new[name] = image.encoded(image.NETWORK, messages)
            done.append(f"{name}: net/ipv4/ping_group_range, which has its default, left out")
    _write(images, new)
    return done


def to_runtime(
    images: Path, runtime: Runtime, budget: Budget | None = None, *, binds: Collection[str] = ()
) -> list[str]:
    """Rewrite images so that any version of the runtime restores them; `binds` are where mounts of the user's are.

    CRIU asks the runtime by a key for what covers a masked file: runc's is `/dev/null` for each of them, crun's the
    masked path. Folders that crun covers with an empty one of its own get what runc and older versions of crun give
    them, an empty tmpfs. Where groups are named but not described, as under `manage-cgroups=ignore`, which crun 1.21
    does not know, the images say that whoever restores provides them.
    """
    budget = budget or Budget()
    done: list[str] = []
    new: dict[str, bytes] = {}
    if inventory := groups_left_out(images, budget):
        new["inventory.img"] = inventory
        done.append("inventory.img: control groups, which the images do not describe, left to whoever restores")
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        said = [
            _rename(mount, runtime) for mount in _masked_files(mounts, binds) if mount.ext_key != _key(mount, runtime)
        ]
        folders = [mount for mount in mounts if _is_empty_directory(mount)]
        if folders:
            device = _free_device(images, mounts)
            new[f"tmpfs-dev-{device}.tar.gz.img"] = _empty_tmpfs()
            said += [_uncover(mount, device) for mount in folders]
        if said:
            new[name] = image.encoded(image.MOUNTS, mounts)
            done += said
    _write(images, new)
    return done


def made_by(images: Path, budget: Budget) -> Runtime | None:
    """The runtime whose keys masked files have; None where no file is masked, and any runtime restores."""
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        for mount in _masked_files(image.read(images / name, image.MOUNTS, budget), ()):
            return Runtime.RUNC if mount.ext_key == NULL else Runtime.CRUN
    return None


def covers(images: Path, budget: Budget) -> dict[str, str]:
    """What covers masked paths, by the keys that CRIU asks for it by."""
    found: dict[str, str] = {}
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        found |= {mount.ext_key: NULL for mount in _masked_files(mounts, ())}
        found |= {mount.ext_key: mount.ext_key for mount in mounts if _is_empty_directory(mount)}
    return found


def wanted_mounts(images: Path, budget: Budget) -> frozenset[str]:
    """Where the mounts are that whoever restores has to bring along, without those over masked paths."""
    found = set()
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        masks = {mount.mnt_id for mount in _masked_files(mounts, ())}
        found |= {
            mount.mountpoint
            for mount in mounts
            if mount.ext_key and mount.mnt_id not in masks and not _is_empty_directory(mount)
        }
    return frozenset(found)


def named(images: Path, pattern: str, budget: Budget) -> list[str]:
    """Images whose whole name fits the pattern, in order."""
    try:
        names = sorted(os.listdir(images))  # noqa: PTH208  # names are all that is wanted
    except OSError as error:
        raise Unreadable(f"its images cannot be read: {error.strerror}") from error
    for _ in names:
        budget.part()
    return [name for name in names if re.fullmatch(pattern, name)]


def _count_as_before(name: str, messages: list[Any], version: OldCriu) -> int:
    newer = [entry for entry in messages[1:] if entry.HasField("nr_pages")]
    for entry in newer:
        if entry.nr_pages > MOST_PAGES:
            raise Unreadable(f"{name} has {entry.nr_pages:,} pages in a row, more than CRIU {version} can write down")
        entry.compat_nr_pages = entry.nr_pages
        entry.ClearField("nr_pages")
    return len(newer)


def _drop_default(name: str, namespace: Any, version: OldCriu) -> bool:
    without = [each for each in namespace.ipv4_sysctl if not each.HasField("sarg")]
    if without and len(without) < len(namespace.ipv4_sysctl):
        raise Unreadable(f"{name} has settings of net/ipv4 that CRIU {version} does not know")
    if without:
        namespace.ClearField("ipv4_sysctl")
    return bool(without)


def groups_left_out(images: Path, budget: Budget) -> bytes | None:
    """The inventory by which all tasks are born in the right group; None where that is so or groups are described.

    CRIU compares a task's set of groups with that of the CRIU that has dumped it (prepare_cgroup_namespace, cgroup.c).
    """
    if not {"cgroup.img", "inventory.img"}.issubset(named(images, r"(cgroup|inventory)\.img", budget)):
        return None
    groups = list(image.read(images / "cgroup.img", image.CGROUPS, budget))
    described = any(controller.dirs for entry in groups for controller in entry.controllers)
    sets = {each.id for entry in groups for each in entry.sets}
    inventory = list(image.read(images / "inventory.img", image.INVENTORY, budget))
    if described or len(sets) != 1 or sets == {entry.root_cg_set for entry in inventory}:
        return None
    for entry in inventory:
        (entry.root_cg_set,) = sets
    return image.encoded(image.INVENTORY, inventory)


def _masked_files(mounts: Collection[Any] | Iterator[Any], binds: Collection[str]) -> Iterator[Any]:
    """Mounts of the null device over a path that is known by itself or by the device."""
    for mount in mounts:
        null = mount.root.rpartition("/")[2] == "null" and mount.mountpoint not in binds
        if null and mount.ext_key in (NULL, mount.mountpoint):
            yield mount


def _is_empty_directory(mount: Any) -> bool:
    return bool(mount.ext_key.rpartition("/")[2] == EMPTY_DIRECTORY)


def _key(mount: Any, runtime: Runtime) -> str:
    return NULL if runtime is Runtime.RUNC else str(mount.mountpoint)


def _rename(mount: Any, runtime: Runtime) -> str:
    mount.ext_key = _key(mount, runtime)
    return f"{mount.mountpoint}: what covers it is asked for as {mount.ext_key}, as {runtime} knows it"


def _uncover(mount: Any, device: int) -> str:
    for field in ("ext_key", "ext_mount", "shared_id", "master_id"):
        mount.ClearField(field)
    mount.fstype, mount.root_dev, mount.root, mount.source, mount.options = TMPFS, device, "/", "tmpfs", ""
    mount.flags |= READ_ONLY
    mount.sb_flags = READ_ONLY
    return f"{mount.mountpoint}: covered with an empty tmpfs instead of a folder of crun's"


def _free_device(images: Path, mounts: list[Any]) -> int:
    used = {mount.root_dev for mount in mounts}
    free = next(number for number in range(NAMELESS_DEVICES - 1, 0, -1) if number not in used)
    if os.path.lexists(images / f"tmpfs-dev-{free}.tar.gz.img"):
        raise Unreadable(f"it has an archive of a tmpfs {free} that no mount is of")
    return free


def _empty_tmpfs() -> bytes:
    """An archive as CRIU has it made of a tmpfs with nothing in it, always the same."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as out,
        tarfile.open(fileobj=out, mode="w") as made,
    ):
        root = tarfile.TarInfo("./")
        root.type, root.mode = tarfile.DIRTYPE, 0o1777
        made.addfile(root)
    return packed.getvalue()


def _write(images: Path, new: Mapping[str, bytes]) -> None:
    """Put files into the folder, for their owner's eyes only; what is there of the name is replaced."""
    for name, content in new.items():
        beside = images / f".{name}.new"
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(images / name)
