"""Control groups in every hierarchy. Standard library alone: the node's supervisor imports this.

A node owns one group in each mounted hierarchy, as a child of the harness's own group. The v1 memory hierarchy is left
alone: the machine's manager may keep its accounts there, and CRIU rebuilds what it finds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

LEFT_ALONE = frozenset({"memory"})
PREFIX = "stillframe-"
PF_EXITING = 0x4
FREEZER = {"v1": ("freezer.state", ("THAWED", "FROZEN")), "v2": ("cgroup.freeze", ("0", "1"))}
"""For each version: the freezer's file, and the values that thaw and freeze."""


class Hierarchy:
    """A mounted hierarchy, and this process's group in it."""

    def __init__(self, *, mountpoint: str, version: int, controllers: frozenset[str], own: str) -> None:
        self.mountpoint = mountpoint
        self.version = version
        self.controllers = controllers
        self.own = own

    @property
    def name(self) -> str:
        """`unified`, or the v1 controllers joined."""
        return "unified" if self.version == 2 else ",".join(sorted(self.controllers))  # noqa: PLR2004


def hierarchies(process: int | str = "self", proc: str = "/proc") -> list[Hierarchy]:
    """Read the mounted hierarchies and the groups of `process` in them, without the hierarchies in `LEFT_ALONE`.

    Sources: proc_pid_mountinfo(5) and cgroups(7). If a hierarchy has several mounts, the first one counts.
    """
    groups = _groups_of(f"{proc}/{process}/cgroup")
    found: dict[frozenset[str], Hierarchy] = {}
    with open(f"{proc}/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split(" ", 2)
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, mountpoint = left.split()[3:5]
            controllers = frozenset() if kind == "cgroup2" else _controllers(options, groups)
            own = groups.get(controllers)
            if own is None or controllers & LEFT_ALONE or not (own + "/").startswith(root.rstrip("/") + "/"):
                continue
            inside = own[len(root.rstrip("/")) :].rstrip("/")
            found.setdefault(
                controllers,
                Hierarchy(
                    mountpoint=mountpoint,
                    version=2 if kind == "cgroup2" else 1,
                    controllers=controllers,
                    own=mountpoint + inside,
                ),
            )
    return list(found.values())


def unified() -> Hierarchy:
    """Find the cgroup2 hierarchy; `OSError` if none is mounted."""
    for hierarchy in hierarchies():
        if hierarchy.version != 1:
            return hierarchy
    raise FileNotFoundError(errno.ENOENT, "no cgroup2 file system is mounted")


def _groups_of(file: str) -> dict[frozenset[str], str]:
    groups = {}
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            _, names, path = line.rstrip("\n").split(":", 2)
            groups[frozenset(filter(None, names.split(",")))] = path
    return groups


def _controllers(options: str, groups: dict[frozenset[str], str]) -> frozenset[str]:
    given = set(options.strip().rsplit(" ", 1)[-1].split(","))
    return next((names for names in groups if names and names <= given), frozenset({"?"}))


def create(hierarchy: Hierarchy, name: str) -> str:
    """Create the node's group in `hierarchy`, ready for processes, and return its folder."""
    path = f"{hierarchy.own}/{name}"
    os.mkdir(path)
    if "cpuset" in hierarchy.controllers:
        _write(f"{path}/cgroup.clone_children", "1")
        for setting in ("cpuset.cpus", "cpuset.mems"):
            with open(f"{hierarchy.own}/{setting}", encoding="ascii") as parent:
                _write(f"{path}/{setting}", parent.read().strip())
    return path


def join(path: str) -> None:
    """Move the calling process into the group at `path`."""
    _write(f"{path}/cgroup.procs", "0")


def subgroups(path: str) -> list[str]:
    """Return all groups below `path`, deepest first, and `path` itself last; empty if it is gone."""
    return [folder for folder, _, _ in os.walk(path, topdown=False)]


def processes(path: str) -> list[int]:
    """Return the process ids in the group at `path`, without the groups below it, as seen from here."""
    try:
        with open(f"{path}/cgroup.procs", encoding="ascii") as lines:
            return [int(line) for line in lines]
    except OSError:
        return []


def remove(path: str, *, seconds: float = 10.0) -> list[str]:
    """Thaw, end and remove the group at `path` and all groups below it; return the folders that remain."""
    until = time.monotonic() + seconds
    while True:
        left = []
        for group in subgroups(path):
            thaw(group)
            for pid in processes(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.rmdir(group)
            except FileNotFoundError:
                pass
            except OSError:
                left.append(group)
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.005)


def thaw(group: str) -> None:
    """Let the group's tasks run, under either version of the freezer; do nothing if there is no freezer."""
    for setting, (thawed, _) in FREEZER.values():
        with contextlib.suppress(OSError):
            _write(f"{group}/{setting}", thawed)


def frozen(group: str) -> bool | None:
    """Ask the kernel whether the group is frozen; None if there is no freezer."""
    with contextlib.suppress(OSError), open(f"{group}/cgroup.events", encoding="ascii") as events:
        for line in events:
            if line.startswith("frozen "):
                return line.split()[1] == "1"
    with contextlib.suppress(OSError), open(f"{group}/freezer.state", encoding="ascii") as state:
        return state.read().strip() == "FROZEN"
    return None


def of_nodes() -> list[str]:
    """Return the top group of every node on this host, in every hierarchy, including the nodes of other runs."""
    found = []
    for hierarchy in hierarchies():
        for folder, names, _ in os.walk(hierarchy.mountpoint):
            found += [f"{folder}/{name}" for name in names if name.startswith(PREFIX)]
            names[:] = [name for name in names if not name.startswith(PREFIX)]
    return found


def sweep() -> list[str]:
    """Remove the groups of nodes whose supervisor is gone, and return the removed groups."""
    orphaned = [group for group in of_nodes() if not _supervised(os.path.basename(group))]
    for group in orphaned:
        remove(group)
    return orphaned


def of_another_run(group: str) -> bool:
    """Return whether the group's supervisor lives, and neither this process nor one of its workers started it."""
    name = os.path.basename(group)
    if not _supervised(name):
        return False
    parent = _parent(int(name[len(PREFIX) :].split("-")[0]))
    while parent > 1 and parent != os.getpid():
        above = _parent(parent)
        if above <= 1:
            return True
        parent = above
    return False  # this run's, or a dead worker's


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _supervised(name: str) -> bool:
    """Return whether the group's supervisor lives; `name` has its pid and start time: `stillframe-PID-START-...`."""
    try:
        pid, started = name[len(PREFIX) :].split("-")[:2]
        return started == start_time(int(pid))
    except (ValueError, OSError):
        return False


def is_ending(pid: int) -> bool:
    """Return whether a process is gone, has a pending SIGKILL, or is exiting.

    An ending process stays in its group for a while. Sources: proc_pid_status(5), proc_pid_stat(5), and PF_EXITING in
    the kernel's include/linux/sched.h.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            flags = int(stat.read().rpartition(")")[2].split()[6])
    except OSError:
        return True
    return bool(flags & PF_EXITING) or any(each & 1 << signal.SIGKILL - 1 for each in pending)


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped a process, or it has ended (state T, Z or X of proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "TZX"
    except OSError:
        return True


def start_time(pid: int) -> str:
    """Return a process's start time in clock ticks since boot (field 22 of proc_pid_stat(5)); unique with the pid."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[19]


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as setting:
        setting.write(value)
