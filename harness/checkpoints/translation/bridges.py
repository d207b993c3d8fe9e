"""Bridges: changes to CRIU's images so that another runtime, or an older CRIU, restores them.

Each bridge works in place on a folder of images and returns its changes, as sentences. It writes nothing before it has
read and decided everything.
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
"""Source of the mount over a masked file; runc also uses it as the mount's key."""
EMPTY_DIRECTORY = ".empty-directory"
"""Folder of crun's state that newer versions mount over masked folders (get_shared_empty_directory_path, status.c)."""
TMPFS = 5
"""Number of tmpfs in images/mnt.proto, enum fstype."""
READ_ONLY = 1
"""MS_RDONLY of mount(2)."""
MOST_PAGES = (1 << 32) - 1
NAMELESS_DEVICES = 1 << 20
"""Lower device numbers have the major number 0, like file systems in memory: CRIU writes major << 20 | minor."""


class Runtime(StrEnum):
    """An OCI runtime whose images we know."""

    RUNC = "runc"
    CRUN = "crun"


class OldCriu(StrEnum):
    """An older version of CRIU that images can be rewritten for."""

    V4_1 = "4.1"


def to_criu(images: Path, version: OldCriu, budget: Budget | None = None) -> list[str]:
    """Rewrite images so that an older CRIU restores them; call it for the folder of each level of memory.

    Since 4.2 the number of pages is in a new field and the old field is 0, so CRIU 4.1 restores no page. A setting with
    the kernel's default is written without a value (ipv4_sysctls_op, criu/net.c), and CRIU 4.1 fails on it.
    """
    budget = budget or Budget()
    done: list[str] = []
    new: dict[str, bytes] = {}
    for name in named(images, r"pagemap-(?:shmem-)?[0-9]+\.img", budget):
        messages = list(image.read(images / name, image.PAGEMAP, budget))
        if moved := _count_as_before(name, messages, version):
            new[name] = image.encoded(image.PAGEMAP, messages)
            done.append(
                f"{name}: the number of pages moved back to the old field in {moved} entr{'y' if moved == 1 else 'ies'}"
            )
    for name in named(images, r"netns-[0-9]+\.img", budget):
        messages = list(image.read(images / name, image.NETWORK, budget))
        if sum(_drop_default(name, each, version) for each in messages):
            new[name] = image.encoded(image.NETWORK, messages)
            done.append(f"{name}: net/ipv4/ping_group_range removed, since it has the default value")
    _write(images, new)
    return done


def to_runtime(
    images: Path, runtime: Runtime, budget: Budget | None = None, *, binds: Collection[str] = ()
) -> list[str]:
    """Rewrite images so that any version of the runtime restores them; `binds`: mount points of the user's bind mounts.

    CRIU asks the runtime for the mount over a masked file by a key: runc's key is always `/dev/null`, crun's key is the
    masked path. crun mounts an empty folder of its own over masked folders; it becomes an empty tmpfs, as in runc
    and older versions of crun. Images that name control groups without their content (`manage-cgroups=ignore`, unknown
    to crun 1.21) then say that the restoring side provides the groups.
    """
    budget = budget or Budget()
    done: list[str] = []
    new: dict[str, bytes] = {}
    if inventory := groups_left_out(images, budget):
        new["inventory.img"] = inventory
        done.append(
            "inventory.img: the restoring side provides the control groups, since the images do not describe them"
        )
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        said = [
            _rename(mount, runtime) for mount in _masked_files(mounts, binds) if mount.ext_key != _key(mount, runtime)
        ]
        said += _uncovered(images, mounts, new)
        if said:
            new[name] = image.encoded(image.MOUNTS, mounts)
            done += said
    _write(images, new)
    return done


def to_engine(images: Path, budget: Budget) -> list[str]:
    """Rewrite images so that another engine restores them on the same runtime.

    containerd gives the root folder the mode 0755, and the engines with containers/storage 0555, whatever the image
    says; CRIU compares it if there is one (validate_file, criu/files-reg.c). crun's empty folder is in its folder of
    state, which each engine chooses.
    """
    done: list[str] = []
    new: dict[str, bytes] = {}
    for name in named(images, r"files\.img", budget):
        files = list(image.read(images / name, image.FILES, budget))
        roots = [each.reg for each in files if each.reg.name == b"/" and each.reg.HasField("mode")]
        for root in roots:
            root.ClearField("mode")
        if roots:
            new[name] = image.encoded(image.FILES, files)
            done.append(f"{name}: the mode of the root folder removed, since engines differ in it")
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        if said := _uncovered(images, mounts, new):
            new[name] = image.encoded(image.MOUNTS, mounts)
            done += said
    _write(images, new)
    return done


def made_by(images: Path, budget: Budget) -> Runtime | None:
    """Return the runtime whose keys the masked files have; None without masked files: any runtime restores."""
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        for mount in _masked_files(image.read(images / name, image.MOUNTS, budget), ()):
            return Runtime.RUNC if mount.ext_key == NULL else Runtime.CRUN
    return None


def covers(images: Path, budget: Budget) -> dict[str, str]:
    """Return the sources of the mounts over masked paths, by CRIU's keys for them."""
    found: dict[str, str] = {}
    for name in named(images, r"mountpoints-[0-9]+\.img", budget):
        mounts = list(image.read(images / name, image.MOUNTS, budget))
        found |= {mount.ext_key: NULL for mount in _masked_files(mounts, ())}
        found |= {mount.ext_key: mount.ext_key for mount in mounts if _is_empty_directory(mount)}
    return found


def wanted_mounts(images: Path, budget: Budget) -> frozenset[str]:
    """Return the mount points that the restoring side must provide, without masked paths."""
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
    """Return the images whose whole name matches the pattern, in order."""
    try:
        names = sorted(os.listdir(images))  # noqa: PTH208  # only the names are needed
    except OSError as error:
        raise Unreadable(f"its images cannot be read: {error.strerror}") from error
    for _ in names:
        budget.part()
    return [name for name in names if re.fullmatch(pattern, name)]


def _count_as_before(name: str, messages: list[Any], version: OldCriu) -> int:
    newer = [entry for entry in messages[1:] if entry.HasField("nr_pages")]
    for entry in newer:
        if entry.nr_pages > MOST_PAGES:
            raise Unreadable(
                f"{name} has a range of {entry.nr_pages:,} pages, more than the images of CRIU {version} can hold"
            )
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
    """Return the inventory that starts all tasks in the right group; None if it does already, or groups are described.

    CRIU compares a task's set of groups with the set of the CRIU that dumped it (prepare_cgroup_namespace, cgroup.c).
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
    """Yield the mounts of the null device whose key is the masked path or the device."""
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
    return f"{mount.mountpoint}: the mount over it has {runtime}'s key {mount.ext_key}"


def _uncovered(images: Path, mounts: list[Any], new: dict[str, bytes]) -> list[str]:
    """Cover folders with an empty tmpfs instead of crun's folder, in place; add the tmpfs to the new images."""
    folders = [mount for mount in mounts if _is_empty_directory(mount)]
    if not folders:
        return []
    device = _free_device(images, mounts)
    new[f"tmpfs-dev-{device}.tar.gz.img"] = _empty_tmpfs()
    return [_uncover(mount, device) for mount in folders]


def _uncover(mount: Any, device: int) -> str:
    for field in ("ext_key", "ext_mount", "shared_id", "master_id"):
        mount.ClearField(field)
    mount.fstype, mount.root_dev, mount.root, mount.source, mount.options = TMPFS, device, "/", "tmpfs", ""
    mount.flags |= READ_ONLY
    mount.sb_flags = READ_ONLY
    return f"{mount.mountpoint}: covered with an empty tmpfs instead of crun's folder"


def _free_device(images: Path, mounts: list[Any]) -> int:
    used = {mount.root_dev for mount in mounts}
    free = next(number for number in range(NAMELESS_DEVICES - 1, 0, -1) if number not in used)
    if os.path.lexists(images / f"tmpfs-dev-{free}.tar.gz.img"):
        raise Unreadable(f"it has an archive of the tmpfs {free}, which no mount uses")
    return free


def _empty_tmpfs() -> bytes:
    """Return CRIU's archive of an empty tmpfs; the bytes are always the same."""
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
    """Write files into the folder, readable by their owner alone; existing files are replaced."""
    for name, content in new.items():
        beside = images / f".{name}.new"
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(images / name)
