"""The facts that are compared: where the kernel tells each one, and when a change of it loosens the confinement.

What is not in this table may differ: ids of processes, inodes, pipes and mounts, times, counters of use, and the
layers of a root file system.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.model.readings import Aspect

OWN = "its own"
"""A namespace that neither the node nor the machine shares."""


ENGINES_ID = re.compile("[0-9a-f]{64}")
"""How engines name containers, pods and layers."""
UNLABELLED = ("", "unconfined")
"""Security labels that confine nothing."""


class Key(NamedTuple):
    """What a fact is about."""

    process: int | None
    """Process id inside the container; None: the whole container."""
    fact: str
    """Name in `FACTS`."""
    of: str = ""
    """Which one of several: a mount point, a descriptor."""

    def __str__(self) -> str:
        return f"{self.fact} {self.of}".rstrip()


@dataclass(frozen=True)
class Facts:
    """What the kernel tells of a container at one moment."""

    values: Mapping[Key, str]
    names: tuple[str, ...] = ()
    """What the engine calls the container, which may differ; the longest is first."""
    unread: Mapping[tuple[int | None, str], str] = field(default_factory=dict)
    """Facts of a process, or of the container, that could not be read, and why."""

    def unnamed(self, text: str) -> str:
        """Return a text with `NAME` in place of the container's names, and `ID` in place of an engine's other ids."""
        for name in self.names:
            text = text.replace(name, "NAME")
        return ENGINES_ID.sub("ID", text)


def _never(_before: str, _after: str) -> bool:
    return False


@dataclass(frozen=True)
class Fact:
    """One row of the table."""

    aspect: Aspect
    source: str
    """Where the kernel tells it."""
    weaker: Callable[[str, str], bool] = _never
    """Whether a change from the first value to the second one loosens the confinement or a limit; empty: absent."""

    @property
    def directed(self) -> bool:
        """Whether a change can loosen anything."""
        return self.weaker is not _never


def _more_bits(before: str, after: str) -> bool:
    return bool(int(after or "0", 16) & ~int(before or "0", 16))


def _fewer(before: str, after: str) -> bool:
    return int(after or 0) < int(before or 0)


def _more(before: str, after: str) -> bool:
    """Compare limits; one that is not there limits nothing."""
    pairs = zip((before or "max").split(), (after or "max").split(), strict=False)
    return any(_number(new) > _number(old) for old, new in pairs)


def _number(limit: str) -> float:
    return math.inf if limit in ("max", "unlimited", "-1") else float(limit) if _is_number(limit) else 0


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _to_root(before: str, after: str) -> bool:
    return "0" in after.split() and "0" not in before.split()


def _shared(before: str, after: str) -> bool:
    return before == OWN != after


def _unlabelled(before: str, after: str) -> bool:
    return after in UNLABELLED and before not in UNLABELLED


def _opened(before: str, after: str) -> bool:
    """Compare a mount's options: a lost restriction, a lost mask of a file of the kernel, a mount that spreads."""
    if not after:
        return before.startswith("ro ")
    if not before:
        return False
    old, new = set(before.split()), set(after.split())
    lost = {"ro", "nosuid", "nodev", "noexec", "nosymfollow", "private"} & old - new
    return bool(lost) or ("shared" in new - old)


FACTS: Mapping[str, Fact] = {
    "user ids": Fact(Aspect.CONFINEMENT, "/proc/PID/status, Uid: real, effective, saved, file system", _to_root),
    "group ids": Fact(Aspect.CONFINEMENT, "/proc/PID/status, Gid", _to_root),
    "groups": Fact(Aspect.CONFINEMENT, "/proc/PID/status, Groups", _to_root),
    "effective capabilities": Fact(Aspect.CONFINEMENT, "/proc/PID/status, CapEff", _more_bits),
    "permitted capabilities": Fact(Aspect.CONFINEMENT, "/proc/PID/status, CapPrm", _more_bits),
    "inheritable capabilities": Fact(Aspect.CONFINEMENT, "/proc/PID/status, CapInh", _more_bits),
    "bounding capabilities": Fact(Aspect.CONFINEMENT, "/proc/PID/status, CapBnd", _more_bits),
    "ambient capabilities": Fact(Aspect.CONFINEMENT, "/proc/PID/status, CapAmb", _more_bits),
    "no_new_privs": Fact(Aspect.CONFINEMENT, "/proc/PID/status, NoNewPrivs", _fewer),
    "seccomp mode": Fact(Aspect.CONFINEMENT, "/proc/PID/status, Seccomp", _fewer),
    "seccomp filters": Fact(Aspect.CONFINEMENT, "/proc/PID/status, Seccomp_filters", _fewer),
    "security label": Fact(Aspect.CONFINEMENT, "/proc/PID/attr/current", _unlabelled),
    "namespace": Fact(
        Aspect.CONFINEMENT, "/proc/PID/ns: its own, or shared with the node or with the machine", _shared
    ),
    "user mapping": Fact(Aspect.CONFINEMENT, "/proc/PID/uid_map and gid_map"),
    "root folder": Fact(Aspect.CONFINEMENT, "/proc/PID/root"),
    "mount": Fact(
        Aspect.CONFINEMENT,
        "/proc/PID/mountinfo: ro or rw, options, propagation and type; masked and read-only paths are mounts",
        _opened,
    ),
    "what is mounted": Fact(Aspect.CONFINEMENT, "/proc/PID/mountinfo: the folder or file of the mounted file system"),
    "device programs": Fact(
        Aspect.CONFINEMENT, "bpf(2), BPF_PROG_QUERY of BPF_CGROUP_DEVICE: number of programs of the group", _fewer
    ),
    "device rules": Fact(Aspect.CONFINEMENT, "devices.list of the group, cgroup v1"),
    "personality": Fact(Aspect.CONFINEMENT, "/proc/PID/personality"),
    "resource limit": Fact(Aspect.LIMITS, "/proc/PID/limits: soft and hard", _more),
    "group limit": Fact(Aspect.LIMITS, "files of the container's control group", _more),
    "oom_score_adj": Fact(Aspect.LIMITS, "/proc/PID/oom_score_adj", _fewer),
    "nice": Fact(Aspect.LIMITS, "/proc/PID/stat", _fewer),
    "scheduling": Fact(Aspect.LIMITS, "/proc/PID/stat: policy and priority"),
    "processors": Fact(Aspect.LIMITS, "/proc/PID/status, Cpus_allowed_list"),
    "memory nodes": Fact(Aspect.LIMITS, "/proc/PID/status, Mems_allowed_list"),
    "timer slack": Fact(Aspect.LIMITS, "/proc/PID/timerslack_ns"),
    "dumped mappings": Fact(Aspect.LIMITS, "/proc/PID/coredump_filter"),
    "control group": Fact(Aspect.IDENTITY, "/proc/PID/cgroup, below the node's own group"),
    "name": Fact(Aspect.IDENTITY, "/proc/PID/comm"),
    "arguments": Fact(Aspect.IDENTITY, "/proc/PID/cmdline: their number and SHA-256"),
    "environment": Fact(Aspect.IDENTITY, "/proc/PID/environ: the names"),
    "executable": Fact(Aspect.IDENTITY, "/proc/PID/exe"),
    "working folder": Fact(Aspect.IDENTITY, "/proc/PID/cwd"),
    "umask": Fact(Aspect.IDENTITY, "/proc/PID/status, Umask"),
    "threads": Fact(Aspect.IDENTITY, "/proc/PID/status, Threads"),
    "host name": Fact(Aspect.IDENTITY, "uname(2) in its uts namespace"),
    "domain name": Fact(Aspect.IDENTITY, "/proc/sys/kernel/domainname in its uts namespace"),
    "descriptor": Fact(Aspect.DESCRIPTORS, "/proc/PID/fd and fdinfo: what it is, and its flags"),
    "offset": Fact(Aspect.DESCRIPTORS, "/proc/PID/fdinfo, pos"),
    "lock": Fact(Aspect.DESCRIPTORS, "/proc/PID/fdinfo, lock"),
    "socket": Fact(Aspect.DESCRIPTORS, "/proc/PID/net: protocol, addresses and state"),
    "blocked signals": Fact(Aspect.SIGNALS, "/proc/PID/status, SigBlk"),
    "ignored signals": Fact(Aspect.SIGNALS, "/proc/PID/status, SigIgn"),
    "caught signals": Fact(Aspect.SIGNALS, "/proc/PID/status, SigCgt"),
    "timer": Fact(Aspect.SIGNALS, "/proc/PID/timers: clock, signal and way of notification"),
    "interface": Fact(Aspect.NETWORK, "rtnetlink(7) in its network namespace: kind, state and MTU"),
    "address": Fact(Aspect.NETWORK, "rtnetlink(7) in its network namespace"),
}
"""Everything that is compared."""

OF_THREAD = "of thread "
"""How the name of a thread begins in `Key.of`."""
CAUSED_BY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "no-resources": (("device programs", ""),),
    "criu-cgroups": (("namespace", "cgroup"), ("what is mounted", "/sys/fs/cgroup"), ("control group", "*")),
}
"""Facts, and what they are about, that a workaround of this machine changes, by its name."""


def workaround(key: Key, present: Iterable[str]) -> str:
    """Return the name of the present workaround that changes a fact; empty if none does."""
    about = ((key.fact, key.of), (key.fact, "*"))
    return next((name for name in present if any(each in CAUSED_BY.get(name, ()) for each in about)), "")
