"""The mounts of a container, from CRIU's images: find the mount of a path, and its path in the file system.

`mountpoints-N.img` has the mounts of mount namespace N; each mount names its parent by number. A path is looked up as
the kernel does it: from the root, at each step onto the topmost mount at that place. Symbolic links are not followed,
because the images do not contain them. https://github.com/checkpoint-restore/criu/tree/v4.2: images/mnt.proto,
criu/mount.c, criu/filesystems.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.criu.tasks import alive
from harness.checkpoints.untrusted import LONGEST_NAME, Budget, Unreadable
from harness.model.description import Task

MOST_MOUNTS = 100_000
"""Linux's own limit for a namespace (fs.mount-max)."""

NAMED = 16
"""CRIU's number for file systems whose name is in a separate field ("auto")."""
FILE_SYSTEMS = {
    1: "proc", 2: "sysfs", 3: "devtmpfs", 4: "binfmt_misc", 5: "tmpfs", 6: "devpts", 7: "simfs", 8: "pstore",
    9: "securityfs", 10: "fusectl", 11: "debugfs", 12: "cgroup", 13: "aufs", 14: "mqueue", 15: "fuse", 17: "overlay",
    18: "autofs", 19: "tracefs", 23: "cgroup2",
}  # fmt: skip
"""The kernel's names of file systems by CRIU's numbers (fstype in images/mnt.proto)."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of a container."""

    number: int
    """Number of the mount in the images."""
    parent: int
    mountpoint: str
    """Absolute path in the container."""
    file_system: str
    """The kernel's name; empty if CRIU has no name for it, as for file systems on disks."""
    device: int
    """Number of the file system: the N of `tmpfs-dev-N.tar.gz.img`."""
    root: str | None
    """Path in its file system that is mounted here; None if the images do not contain it."""
    source: str
    ext_key: str
    """Key by which CRIU asks the restoring side for the mount; empty for a mount that CRIU makes itself."""

    @property
    def external(self) -> bool:
        """Whether the restoring side provides its content; false for the root, though CRIU keeps no content of it."""
        return bool(self.ext_key)

    def path_in_file_system(self, relative: str) -> str | None:
        """Return the absolute path in the file system of a path below the mountpoint; None if the root is unknown."""
        return None if self.root is None else "/" + "/".join(filter(None, (self.root.strip("/"), relative)))


class Mounts:
    """The mounts of one mount namespace."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self.mounts = tuple(mounts)
        numbers = {mount.number for mount in self.mounts}
        roots = [mount for mount in self.mounts if mount.parent not in numbers or mount.parent == mount.number]
        if len(numbers) < len(self.mounts) or len(roots) != 1 or roots[0].mountpoint != "/":
            raise Unreadable("the table of mounts is damaged: its mounts do not form a tree with one root")
        (self.root,) = roots
        self._upon: dict[tuple[int, str], list[Mount]] = {}
        for mount in self.mounts:
            if mount is not self.root:
                self._upon.setdefault((mount.parent, mount.mountpoint), []).append(mount)

    @classmethod
    def of_namespace(cls, images: Path, number: int, budget: Budget) -> Mounts:
        """Read the mounts of a namespace by its number in the images; raise `Unreadable`, `Absent` without an image."""
        found: list[Mount] = []
        for entry in image.read(images / f"mountpoints-{number}.img", image.MOUNTS, budget):
            if len(found) == MOST_MOUNTS:
                raise Unreadable(f"mountpoints-{number}.img has more than {MOST_MOUNTS:,} mounts")
            found.append(_mount(entry))
        return cls(found)

    @classmethod
    def of_task(cls, images: Path, task: Task, budget: Budget) -> Mounts:
        """Read the mounts that a process sees; raise `Unreadable` if the images do not give its namespace."""
        if task.mount_namespace is None:
            raise Unreadable(f"the images do not give the mount namespace of process {task.pid}")
        return cls.of_namespace(images, task.mount_namespace, budget)

    def resolve(self, path: str) -> tuple[Mount, str]:
        """Return the mount of an absolute path, and the path relative to the mountpoint ("" for the mountpoint itself).

        Raise `Unreadable` for a path that is not absolute or contains `..`, and for a path below two mounts at one
        place of the same mount, because the order of these two is unknown.
        """
        names = [name for name in path.split("/") if name not in ("", ".")]
        if not path.startswith("/") or ".." in names or len(path) > LONGEST_NAME:
            raise Unreadable(f"{path[:200]!r} is not a plain absolute path")
        mount, here = self._topmost(self.root, "/"), ""
        rest: list[str] = []
        for name in names:
            here = f"{here}/{name}"
            rest.append(name)
            above = self._topmost(mount, here)
            if above is not mount:
                mount, rest = above, []
        return mount, "/".join(rest)

    def _topmost(self, mount: Mount, at: str) -> Mount:
        """Return the topmost mount at a place of a mount, where mounts may be stacked."""
        while upon := self._upon.get((mount.number, at)):
            if len(upon) > 1:
                raise Unreadable(f"the table of mounts does not say which of {len(upon)} mounts is on top at {at}")
            (mount,) = upon
        return mount


def mounts_of(images: Path, task: Task, budget: Budget) -> Mounts | None:
    """Read the mounts that a process sees; None for a process in the mount namespace of the dumping CRIU."""
    for entry in image.read(images / "inventory.img", image.INVENTORY, budget):
        if entry.root_ids.mnt_ns_id == task.mount_namespace:
            return None
    return Mounts.of_task(images, task, budget)


def bases_of(images: Path, budget: Budget) -> tuple[Mount, ...]:
    """Return the root of the first process and all external mounts; other mounts of their file systems are parts."""
    first = next(image.read(images / "pstree.img", image.PROCESSES, budget))
    ids = next(image.read(images / f"ids-{first.pid}.img", image.IDS, budget))
    root = Mounts.of_namespace(images, ids.mnt_ns_id, budget).root
    return (root, *external_of(images, budget))


def external_of(images: Path, budget: Budget) -> tuple[Mount, ...]:
    """Return the external mounts of all namespaces that a process is in."""
    tables = map(images.joinpath, _tables(images, budget))
    every = (_mount(entry) for path in tables for entry in image.read_if_there(path, image.MOUNTS, budget))
    return tuple(mount for mount in every if mount.external)


def _tables(images: Path, budget: Budget) -> list[str]:
    """Name the tables of mounts."""
    ids = (images / f"ids-{pid}.img" for pid in alive(images, budget))
    spaces = {each.mnt_ns_id for path in ids for each in image.read_if_there(path, image.IDS, budget)}
    return [f"mountpoints-{number}.img" for number in sorted(spaces)]


def _mount(entry: Any) -> Mount:
    old_form = entry.ext_mount  # the old form has the key in the field of the root (get_mp_root, criu/mount.c)
    return Mount(
        number=entry.mnt_id,
        parent=entry.parent_mnt_id,
        mountpoint="/" + "/".join(name for name in entry.mountpoint.split("/") if name not in ("", ".")),
        file_system=entry.fsname if entry.fstype == NAMED else FILE_SYSTEMS.get(entry.fstype, ""),
        device=entry.root_dev,
        root=None if old_form else entry.root,
        source=entry.source,
        ext_key=entry.root if old_form else entry.ext_key,
    )
