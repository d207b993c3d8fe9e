"""Leak audit: what exists before and after a trial, read from the kernel and never from a runtime.

In a node everything belongs to the experiment, so everything new was left behind. On the host, which has other users,
only things with Stillframe's name count, and the network.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.foreign.files import in_root
from harness.host import cgroups, syscalls

NODE_FOLDERS = ("/run", "/tmp", "/dev/shm", "/etc/criu", "/var/tmp", "/srv/stillframe")  # noqa: S108
HOST_FOLDERS = ("/run", "/tmp", "/dev/shm", "/var/tmp", "/var/run", "/etc/criu")  # noqa: S108
T = TypeVar("T")

MARK = "stillframe"
DEPTH = 3
ALL_FAMILIES = 0
"""NFPROTO_UNSPEC: by default pyroute2 lists the tables of IPv4 alone."""


@dataclass(frozen=True)
class Snapshot:
    """What exists: one line per process, mount, group, link, firewall table and file."""

    items: frozenset[str]

    def leaks(self, before: Snapshot) -> tuple[str, ...]:
        """Return the lines that are not in `before`."""
        return tuple(sorted(self.items - before.items))


NOTHING = Snapshot(frozenset())


def of_node(pid: int, alive: str = "") -> Snapshot:
    """Return everything in the node whose init is `pid`, without the processes of the group `alive`.

    `alive` is a path below the node's own group. Its processes may get other numbers.
    """
    root = f"/proc/{pid}/root"
    items = {f"process {command}" for command in _node_processes(root, alive=alive)}
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
    items |= {f"process {line}" for group in groups for line in _processes_below(group)}
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


def processes_of(pid: int, *, detailed: bool = True) -> list[str]:
    """Return a line per process of the node, by default with state and group: evidence for a trial that hangs."""
    return sorted(_node_processes(f"/proc/{pid}/root", detailed=detailed))


def _node_processes(root: str, *, alive: str = "", detailed: bool = False) -> Iterator[str]:
    for entry in os.listdir(f"{root}/proc"):
        if not entry.isdecimal():
            continue
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"{root}/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            name, _, rest = status.partition("(")[2].rpartition(")")
            state = rest.split()[0]
            group = Path(f"{root}/proc/{entry}/cgroup").read_text(encoding="utf-8").splitlines()[-1]
            if alive and alive in group:
                continue
            if detailed:
                yield f"{entry} {name} state {state} cgroup {group}"
            else:
                yield f"{entry} {name}"


def _processes_below(group: str) -> Iterator[str]:
    for below in cgroups.subgroups(group):
        for pid in cgroups.processes(below):
            with contextlib.suppress(OSError):
                yield f"{pid} {Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()}"


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
