"""The processes of a checkpoint, from CRIU's images of any origin.

`pstree.img` has the tree, parents first. For each process, `core-PID.img` has the state and the name, `ids-PID.img` the
namespaces and the number of its table of descriptors, and `fdinfo-N.img` has that table. CRIU before 0.4 numbered these
tables by process; the inventory says which. The result has no command line, environment or file name.
https://github.com/checkpoint-restore/criu/tree/v4.2: criu/pstree.c, criu/files.c, images/fdinfo.proto.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.criu import image
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.description import Descriptors, Task, TaskState

IMAGES = re.compile(r"(?:inventory|pstree|files|filelocks)\.img|(?:core|ids|fdinfo)-[0-9]{1,10}\.img")
"""Names of the images that are read."""
MOST_TASKS = 1 << 16
LONGEST_NAME = 15
"""Maximum length of a process's name in bytes: Linux's TASK_COMM_LEN without the 0 at the end."""

STATES = {1: TaskState.RUNNING, 2: TaskState.ZOMBIE, 3: TaskState.STOPPED, 6: TaskState.ZOMBIE}
"""States by CRIU's numbers (compel/include/uapi/task-state.h); it writes 2, "dead", for a zombie (dump_one_zombie)."""

DEAD = tuple(number for number, state in STATES.items() if state is TaskState.ZOMBIE)
"""CRIU's numbers of processes that have no memory, descriptors and namespaces any more."""

REGULAR, TERMINAL, PIPES = 1, 11, (2, 3)
UNIX, INET, NETLINK, PACKET = 5, 4, 13, 10
"""Kinds of descriptors (fd_types in images/fdinfo.proto)."""


def alive(images: Path, budget: Budget) -> list[int]:
    """Return the processes in the tree that have memory; images of others are left from earlier dumps."""
    if not os.path.lexists(images / "pstree.img"):
        return []
    pids = [entry.pid for entry in image.read(images / "pstree.img", image.PROCESSES, budget)]
    cores = ((pid, _one(images / f"core-{pid}.img", image.CORE, budget)) for pid in pids)
    return [pid for pid, core in cores if core is None or core.tc.task_state not in DEAD]


def tasks(images: Path, budget: Budget) -> tuple[Task, ...]:
    """Read the processes of a checkpoint, parents first; raise `Unreadable` for damage or without `pstree.img`.

    CRIU does not write an image that would be empty, so without `filelocks.img` there are no locks. Values of other
    absent images are unknown.
    """
    locks = _locks(images / "filelocks.img", budget)
    tables = _Tables(images, budget)
    found: dict[int, Task] = {}
    for entry in image.read(images / "pstree.img", image.PROCESSES, budget):
        placed = entry.ppid in found if found else entry.ppid == 0
        if not placed or entry.pid in found or entry.pid == 0 or not entry.threads:
            raise Unreadable(f"pstree.img is damaged: process {entry.pid} does not fit into its tree")
        if len(found) == MOST_TASKS:
            raise Unreadable(f"pstree.img has more than {MOST_TASKS:,} processes")
        found[entry.pid] = _task(entry, locks[entry.pid], tables)
    if not found:
        raise Unreadable("pstree.img has no process")
    return tuple(found.values())


def _task(entry: Any, locks: int, tables: _Tables) -> Task:
    core = _one(tables.images / f"core-{entry.pid}.img", image.CORE, tables.budget)
    if core is not None and not core.HasField("tc"):
        raise Unreadable(f"core-{entry.pid}.img is damaged: it has no state of a process")
    ids = _one(tables.images / f"ids-{entry.pid}.img", image.IDS, tables.budget)
    if ids is None and core is not None and core.HasField("ids"):
        ids = core.ids
    return Task(
        pid=entry.pid,
        parent=entry.ppid or None,
        name=_name(entry.pid, core.tc.comm) if core is not None else "",
        state=STATES.get(core.tc.task_state) if core is not None else None,
        threads=len(entry.threads),
        descriptors=tables.of(entry.pid, ids),
        locks=locks,
        mount_namespace=ids.mnt_ns_id if ids is not None and ids.HasField("mnt_ns_id") else None,
    )


def _locks(path: Path, budget: Budget) -> Counter[int]:
    """Count the locks of each process."""
    if not os.path.lexists(path):
        return Counter()
    return Counter(lock.pid for lock in image.read(path, image.LOCKS, budget))


def _name(pid: int, name: bytes) -> str:
    if len(name) > LONGEST_NAME:
        raise Unreadable(f"core-{pid}.img is damaged: the process's name has {len(name):,} bytes")
    return name.decode(errors="replace")


class _Tables:
    """Tables of descriptors; processes may share a table."""

    def __init__(self, images: Path, budget: Budget) -> None:
        self.images = images
        self.budget = budget
        self._known: dict[int, Descriptors | None] = {}
        inventory = _one(images / "inventory.img", image.INVENTORY, budget)
        self._by_process = None if inventory is None else not inventory.fdinfo_per_id
        self._modes = _modes(images / "files.img", budget)

    def of(self, pid: int, ids: Any | None) -> Descriptors | None:
        """Return the descriptors of a process; None if the images do not say which table it uses."""
        if self._by_process is None:
            return None
        if self._by_process:
            return self._numbered(pid)
        return None if ids is None else self._numbered(ids.files_id)

    def _numbered(self, number: int) -> Descriptors | None:
        if number not in self._known:
            path = self.images / f"fdinfo-{number}.img"
            self._known[number] = _counted(path, self._modes, self.budget) if os.path.lexists(path) else None
        return self._known[number]


def _counted(path: Path, modes: Mapping[int, int] | None, budget: Budget) -> Descriptors:
    kinds: Counter[int] = Counter()
    files = 0
    for entry in image.read(path, image.DESCRIPTORS, budget):
        kinds[entry.type] += 1
        if entry.type == REGULAR and modes is not None:
            if entry.id not in modes:
                raise Unreadable(f"{path.name} is damaged: it names file {entry.id}, which files.img does not have")
            files += stat.S_ISREG(modes[entry.id])
    return Descriptors(
        total=kinds.total(),
        files=None if modes is None else files,
        pipes=sum(kinds[kind] for kind in PIPES),
        unix_sockets=kinds[UNIX],
        inet_sockets=kinds[INET],
        netlink_sockets=kinds[NETLINK],
        packet_sockets=kinds[PACKET],
        terminals=kinds[TERMINAL],
    )


def _modes(path: Path, budget: Budget) -> dict[int, int] | None:
    """Return the modes of open files by number, including folders and devices, which CRIU treats as files.

    None if the image is absent (CRIU before 3.4) or an entry has no mode (before 2.3).
    """
    if not os.path.lexists(path):
        return None
    found = {}
    for entry in image.read(path, image.FILES, budget):
        if entry.type == REGULAR:
            if not entry.reg.HasField("mode"):
                return None
            found[entry.id] = entry.reg.mode
    return found


def _one(path: Path, kind: image.Kind, budget: Budget) -> Any | None:
    """Return the first message of an image; None if the image does not exist."""
    if not os.path.lexists(path):
        return None
    found = next(image.read(path, kind, budget), None)
    if found is None:
        raise Unreadable(f"{path.name} is damaged: it is empty")
    return found
