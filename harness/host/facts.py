"""Facts about the machine that may change a result, without any name of the machine."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from harness.host import cgroups
from harness.model.machine import Condition, HostFacts

GIB = 1 << 30
SOFT_DIRTY = 55
"""Bit in an entry of /proc/PID/pagemap: the page was written since the last clearing (proc_pid_pagemap(5))."""
CLEAR_SOFT_DIRTY = "4"
"""Text for /proc/PID/clear_refs that clears this bit of all pages (proc_pid_clear_refs(5))."""


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
        conditions=tuple(condition for condition, holds in PROBES.items() if holds()),
    )


def lacks_mem_dirty_track(process: Path = Path("/proc/self")) -> bool:
    """Return whether the kernel cannot report which pages a process has written.

    CRIU asks in the same way (`kerndat_get_dirty_track`). The probe clears the process's soft-dirty bits, which have
    no other reader.
    """
    try:
        with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
            page[0] = 1
            (process / "clear_refs").write_text(CLEAR_SOFT_DIRTY, encoding="ascii")
            page[0] = 2
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            with (process / "pagemap").open("rb", buffering=0) as pagemap:
                pagemap.seek(address // mmap.PAGESIZE * 8)
                entry = int.from_bytes(pagemap.read(8), sys.byteorder)
    except OSError:  # the kernel lacks one of these files, or declines the text
        return True
    return not entry >> SOFT_DIRTY & 1


def declines_passcred() -> bool:
    """Return whether the kernel knows SO_PASSCRED of unix sockets alone, as since 6.16; older CRIU asks of all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)
        except OSError as error:
            return error.errno == errno.EOPNOTSUPP
    return False


PROBES: Mapping[Condition, Callable[[], bool]] = {
    Condition.LACKS_MEM_DIRTY_TRACK: lacks_mem_dirty_track,
    Condition.DECLINES_PASSCRED: declines_passcred,
}
"""A quick and harmless probe for each condition of this machine."""


def cpu_flags() -> frozenset[str]:
    """Return the extensions that all processors have, by the kernel's names; empty if the kernel lists none."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    told = [frozenset(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))]
    return frozenset.intersection(*told) if told else frozenset()
