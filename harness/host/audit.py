"""Leak audit: what exists before and after a trial, read from the kernel and never from a runtime.

In a node everything belongs to the experiment, so everything new was left behind. On the host, which has other users,
only things with Stillframe's name count, and the network.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from harness.foreign.files import in_root
from harness.host import cgroups, syscalls

NODE_FOLDERS = ("/run", "/tmp", "/dev/shm", "/etc/criu", "/var/tmp", "/srv/stillframe")  # noqa: S108
HOST_FOLDERS = ("/run", "/tmp", "/dev/shm", "/var/tmp", "/var/run", "/etc/criu")  # noqa: S108
T = TypeVar("T")

MARK = "stillframe"
DEPTH = 3
FRAMES = 3
INIT = 1
ALL_FAMILIES = 0
"""NFPROTO_UNSPEC: by default pyroute2 lists the tables of IPv4 alone."""


@dataclass(frozen=True)
class Snapshot:
    """What exists: one line per process, mount, group, link, firewall table and file."""

    items: frozenset[str]

    def leaks(self, before: Snapshot) -> tuple[str, ...]:
        """Return the lines that are not in `before`."""
        return tuple(sorted(self.items - before.items))


class Running(NamedTuple):
    """A process, as /proc/PID/stat and /proc/PID/cgroup tell of it."""

    name: str
    state: str
    parent: int
    group: str


NOTHING = Snapshot(frozenset())


def of_node(pid: int, alive: str = "") -> Snapshot:
    """Return everything in the node whose init is `pid`, without the processes of the group `alive`.

    `alive` is a path below the node's own group. Its processes may get other numbers.
    """
    root = f"/proc/{pid}/root"
    items = {f"process {number} {each.name}" for number, each in _running(f"{root}/proc", without=alive).items()}
    items |= {f"mount {where}" for where in _mounts(f"/proc/{pid}/mountinfo")}
    for group in groups_of(pid):
        items |= {f"cgroup {below}" for below in cgroups.subgroups(group)}
    items |= set(inside(pid, "net", _network))
    for folder in NODE_FOLDERS:
        items |= {f"file {path}" for path in _files(in_root(Path(root), folder), folder, DEPTH)}
    return Snapshot(frozenset(items))


def of_host() -> Snapshot:
    """Return everything on the host with Stillframe's name, and the host's network."""
    items = {f"mount {where}" for where in _mounts("/proc/self/mountinfo") if MARK in where}
    groups = [group for group in cgroups.of_nodes() if not cgroups.of_another_run(group)]
    items |= {f"cgroup {group}" for group in groups}
    items |= {f"process {pid} {name}" for group in groups for pid, name in programs_below(group).items()}
    items |= set(_network())
    for folder in HOST_FOLDERS:
        items |= {f"file {path}" for path in _files(Path(folder), folder, 1) if MARK in path}
    return Snapshot(frozenset(items))


def groups_of(pid: int) -> list[str]:
    """Return the node's own group in each hierarchy, found by its init `pid`."""
    found = []
    for hierarchy in cgroups.hierarchies(pid):
        group, mark, rest = hierarchy.own.partition(cgroups.PREFIX)
        found.append(group + mark + rest.split("/")[0])
    return found


def processes_of(pid: int) -> list[str]:
    """Return number and name of each process of the node whose init is `pid`."""
    return sorted(f"{number} {each.name}" for number, each in _running(f"/proc/{pid}/root/proc").items())


def family(pid: int, names: Collection[str]) -> list[str]:
    """Return number and name of the programs of these names that the node itself has started, and of their children."""
    running = _running(f"/proc/{pid}/root/proc")
    first = {number for number, each in running.items() if each.name in names and each.parent == INIT}
    return [f"{number} {each.name}" for number, each in running.items() if {number, each.parent} & first]


def tree(pid: int) -> list[str]:
    """Return the node's processes as a tree, with state, group and freezer, and where in the kernel each one waits."""
    return tree_below(f"/proc/{pid}/root/proc")


def tree_below(proc: str) -> list[str]:
    """Return the processes that a folder like /proc shows, as `tree` does."""
    running, unified = dict(sorted(_running(proc).items(), reverse=True)), cgroups.unified().mountpoint
    lines, todo = [], [(number, 0) for number, each in running.items() if each.parent not in running]
    while todo:
        number, depth = todo.pop()
        one = running[number]
        held = ", frozen" if cgroups.frozen(unified + one.group.rpartition(":")[2]) else ""
        told = f"{number} {one.name} state {one.state} cgroup {one.group}{held}{_waits(proc, number)}"
        lines.append("  " * depth + told)
        todo += [(child, depth + 1) for child, each in running.items() if each.parent == number]
    return lines


def _running(proc: str, *, without: str = "") -> dict[int, Running]:
    """Return the processes that there are, by their numbers in `proc`, but not those of a group."""
    found = {}
    for entry in filter(str.isdecimal, os.listdir(proc)):
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"{proc}/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            name, _, rest = status.partition("(")[2].rpartition(")")
            state, parent = rest.split()[:2]
            group = Path(f"{proc}/{entry}/cgroup").read_text(encoding="utf-8").splitlines()[-1]
            if not (without and without in group):
                found[int(entry)] = Running(name, state, int(parent), group)
    return found


def _waits(proc: str, number: int) -> str:
    """Return the innermost functions of the kernel that a process is in; empty if it runs, or has ended."""
    with contextlib.suppress(OSError):
        stack = Path(f"{proc}/{number}/stack").read_text(encoding="ascii", errors="replace").splitlines()
        calls = [line.partition("] ")[2].partition("+")[0] for line in stack[:FRAMES]]
        return " in " + " < ".join(calls) if calls else ""
    return ""


def programs_below(group: str) -> dict[int, str]:
    """Return the names of the programs in a group and below it, by their process ids on the host."""
    found = {}
    for below in cgroups.subgroups(group):
        for pid in cgroups.processes(below):
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return found


def is_traced(pid: int) -> bool:
    """Return whether another process has seized the process, as CRIU does; False if it has ended."""
    with contextlib.suppress(OSError):
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return False


def _mounts(mountinfo: str) -> Iterator[str]:
    seen: Counter[str] = Counter()
    with open(mountinfo, encoding="utf-8") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            where = f"{left.split()[4]} ({right.split()[0]})"
            seen[where] += 1
            yield where if seen[where] == 1 else f"{where}, again: {seen[where]}"


def _files(where: Path, folder: str, depth: int) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}"
            yield path
            if depth > 1 and entry.is_dir(follow_symlinks=False):
                yield from _files(where / entry.name, path, depth - 1)


def _network() -> list[str]:
    """List links, firewall tables, chains and rules in the calling thread's network namespace."""
    from pyroute2.nftables.main import NFTables  # noqa: PLC0415  # slow to load, and only a look at a network needs it

    found = [f"link {name}" for _, name in socket.if_nameindex()]
    with NFTables(nfgen_family=ALL_FAMILIES) as firewall:
        tables = tuple(firewall.get_tables())
        listings = {"table": tables}
        if tables:
            listings |= {"chain": firewall.get_chains(), "rule": firewall.get_rules()}
    return found + [f"nftables {kind} {_nft_name(item)}" for kind, listing in listings.items() for item in listing]


def _nft_name(item: object) -> str:
    attributes = dict(item["attrs"])  # type: ignore[index]
    return " ".join(
        str(value) for name, value in attributes.items() if name.endswith(("_TABLE", "_CHAIN", "_NAME", "_HANDLE"))
    )


def inside(pid: int, namespace: str, read: Callable[[], list[T]]) -> list[T]:
    """Call `read` in a namespace of a process, by its name in /proc/PID/ns; `OSError` if it cannot be entered.

    It is called on a new thread: a thread cannot leave the namespace again.
    """

    def enter_and_read() -> list[T]:
        descriptor = os.open(f"/proc/{pid}/ns/{namespace}", os.O_RDONLY)
        try:
            syscalls.setns(descriptor, 0)
        finally:
            os.close(descriptor)
        return read()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter_and_read).result()
