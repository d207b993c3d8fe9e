"""What the kernel tells of a container: its processes, its control groups, its host name and its network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.host import audit, cgroups, syscalls
from harness.model.readings import Aspect
from harness.sameness.facts import FACTS, OF_THREAD, OWN, Facts, Key
from harness.sameness.process import Around, Process, Value

LIMIT_FILES = frozenset(
    (
        "memory.max",
        "memory.high",
        "memory.low",
        "memory.min",
        "memory.swap.max",
        "memory.oom.group",
        "pids.max",
        "cpu.max",
        "cpu.weight",
        "cpu.idle",
        "io.max",
        "io.weight",
        "cpuset.cpus",
        "cpuset.mems",
        "cpu.shares",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "blkio.weight",
        "net_cls.classid",
    )
)
"""Limits in either version of control groups, of the kernel's Documentation/admin-guide."""


SANDBOXED = "a kernel of its own runs the container (gVisor); its sandbox is compared"
ROLES = {b"runsc-sandbox": 1, b"runsc-gofer": 2}
"""Processes of a sandbox by the name that runsc gives them: the kernel, and the one that opens its files."""
SANDBOXES, MOUNTS = {Aspect.CONFINEMENT, Aspect.LIMITS}, ("mount", "what is mounted")

Unread = dict[tuple[int | None, str], str]


def look(node: int, group: str, names: Iterable[str] = (), *, without: str = "") -> Facts:
    """Ask the kernel about the container whose first process is in or below the group at the path `group`.

    `node`: process id of the node's init. `names`: what the engine calls this container. `without`: mount point
    of the harness's own channel.
    """
    pids = [pid for pid in _members(group) if not cgroups.is_ending(pid)]
    roles = {pid: role for pid, role in zip(pids, map(_role, pids), strict=True) if role}
    unread: Unread = {(None, "what is inside"): SANDBOXED} if roles else {}
    values = dict(_of_processes(roles or pids, Around.of(node), unread))
    readers: dict[Callable[[int], Iterable[Value]], Iterable[str]] = {
        _limits: ("group limit", "device rules", "device programs")
    }
    for kind, read, about in () if roles else OF_NAMESPACES:
        if any((key.fact, key.of, value) == ("namespace", kind, OWN) for key, value in values.items()):
            readers[partial(audit.inside, namespace=kind, read=read)] = about
        elif values:
            unread |= {(None, fact): "the container has that of its node" for fact in about}
    for reader, facts in readers.items():
        try:
            values.update(reader(pids[0]) if pids else ())
        except OSError as error:
            unread |= {(None, fact): str(error.strerror) for fact in facts}
    values = {key: value for key, value in values.items() if not (without and key.of == without)}
    called = tuple(sorted({name for name in names if name}, key=lambda name: (-len(name), name)))
    return Facts(values, called, unread)


def _members(group: str) -> list[int]:
    """Return the processes of a group and their descendants: a restored child may be in another group."""
    found = dict.fromkeys(pid for below in cgroups.subgroups(group) for pid in cgroups.processes(below))
    left = list(found)
    while left:
        with contextlib.suppress(OSError):  # it has ended
            for thread in Path(f"/proc/{left.pop()}/task").iterdir():
                children = (thread / "children").read_text(encoding="ascii").split()
                new = [int(pid) for pid in children if int(pid) not in found]
                found |= dict.fromkeys(new)
                left += new
    return list(found)


def _of_processes(pids: Iterable[int], around: Around, unread: Unread) -> Iterator[Value]:
    """Yield the facts of processes; add to `unread` what cannot be read. Of a sandbox `pids` gives the roles, too."""
    for pid in pids:
        try:
            process = Process(pid)
            told = dict(process.read(around))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if cgroups.is_ending(pid):
            continue  # of what was read, some is missing
        if isinstance(pids, Mapping):
            yield from _of_sandbox(told, pids[pid])
        else:
            yield from told.items()
            unread |= {(process.inside, fact): why for fact, why in process.unread.items()}


def _role(pid: int) -> int:
    """Return the number of a process of gVisor that has a part in a sandbox; 0 for any other process."""
    try:
        called = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return 0
    return ROLES.get(called.rpartition(b"/")[2], 0)


def _of_sandbox(values: Mapping[Key, str], role: int) -> Iterator[Value]:
    """Yield what confines a process of a sandbox; its threads, descriptors and mounts come and go."""
    for key, value in values.items():
        if FACTS[key.fact].aspect in SANDBOXES and key.fact not in MOUNTS and not key.of.startswith(OF_THREAD):
            yield key._replace(process=role), value


def _host_name() -> list[Value]:
    domain = Path("/proc/sys/kernel/domainname").read_text(encoding="utf-8", errors="replace").strip()
    return [(Key(None, "host name"), os.uname().nodename), (Key(None, "domain name"), domain)]


def _network() -> list[Value]:
    from pyroute2 import IPRoute  # noqa: PLC0415  # slow to load

    with IPRoute() as link:
        names: dict[int, str] = {}
        found = []
        for each in link.get_links():
            names[each["index"]] = name = each.get_attr("IFLA_IFNAME")
            kind = _kind(each.get_attr("IFLA_LINKINFO"))
            state = "up" if each["flags"] & 1 else "down"
            found.append((Key(None, "interface", name), f"{kind} {state} MTU {each.get_attr('IFLA_MTU')}"))
        for each in link.get_addr():
            name = names.get(each["index"], "?")
            address = f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"
            found.append((Key(None, "address", f"of {name}: {address}"), "set"))
        return found


def _kind(info: Any) -> str:
    return (info.get_attr("IFLA_INFO_KIND") if info else None) or "device"


def _limits(pid: int) -> Iterator[Value]:
    for hierarchy in cgroups.hierarchies(pid):
        for file in (each for each in Path(hierarchy.own).iterdir() if each.name in LIMIT_FILES):
            with contextlib.suppress(OSError):
                yield Key(None, "group limit", file.name), " ".join(file.read_text(encoding="ascii").split())
        with contextlib.suppress(OSError):
            rules = (Path(hierarchy.own) / "devices.list").read_text(encoding="ascii").splitlines()
            yield Key(None, "device rules"), ", ".join(sorted(rules))
        if hierarchy.name == "unified":
            with contextlib.suppress(OSError):
                yield Key(None, "device programs"), str(syscalls.device_programs(hierarchy.own))


OF_NAMESPACES: tuple[tuple[str, Callable[[], list[Value]], tuple[str, ...]], ...] = (
    ("net", _network, ("interface", "address")),
    ("uts", _host_name, ("host name", "domain name")),
)
"""For each kind of namespace: what reads it from within, and the facts that it gives."""
