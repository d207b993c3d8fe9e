"""Facts about the machine that may matter for a result; nothing that names it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from harness.host import cgroups
from harness.model import HostFacts

GIB = 1 << 30


def host_facts() -> HostFacts:
    """Read the machine's facts from the kernel and os-release(5)."""
    versions = {hierarchy.version for hierarchy in cgroups.hierarchies()}
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return HostFacts(
        kernel=platform.release(),
        architecture=platform.machine(),
        cgroups="hybrid" if len(versions) > 1 else f"v{versions.pop()}" if versions else "none",
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / GIB, 1),
        os=system,
    )


def cpu_flags() -> frozenset[str]:
    """Extensions that all processors have, as the kernel calls them; empty where it does not tell."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    told = [frozenset(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))]
    return frozenset.intersection(*told) if told else frozenset()
