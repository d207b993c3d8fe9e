"""What this machine can do: each answer has its evidence and, if it is no, a remedy."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.host import cgroups, compiler
from harness.model.errors import EnvironmentUnfit

NEEDED_GIB = 3
TOOLS = ("mmdebstrap", "unshare", "setpriv")
INSTALL_TOOLS = "apt-get install mmdebstrap debian-archive-keyring util-linux"


@dataclass(frozen=True)
class Finding:
    """The result of one probe."""

    what: str
    fit: bool
    evidence: str
    remedy: str = ""


def examine(cache: Path) -> Iterator[Finding]:
    """Probe everything that a run needs; no probe needs root."""
    for probe in (_root, _capabilities, _kernel, _namespaces, _overlay, _hierarchies, _compiler, _tools):
        yield probe()
    yield _room(cache)


def _root() -> Finding:
    return Finding("root", os.geteuid() == 0, f"effective user id {os.geteuid()}", "Run it with sudo.")


def _capabilities() -> Finding:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    admin = bool(int(effective, 16) >> 21 & 1)  # CAP_SYS_ADMIN
    return Finding("CAP_SYS_ADMIN", admin, f"CapEff {effective}", "Run it with sudo, outside a restricted container.")


def _kernel() -> Finding:
    remedy = "Boot a kernel with CONFIG_CHECKPOINT_RESTORE, for example the distribution's own kernel."
    # /proc/PID/map_files exists only with that option (proc_pid_map_files(5)).
    there = Path("/proc/self/map_files").is_dir()
    return Finding("kernel with checkpoint/restore", there, f"Linux {platform.release()}, /proc/self/map_files", remedy)


def _namespaces() -> Finding:
    kinds = ("mnt", "pid", "cgroup", "ipc", "uts", "net")
    lacking = [kind for kind in kinds if not Path(f"/proc/self/ns/{kind}").exists()]
    evidence = f"missing: {', '.join(lacking)}" if lacking else ", ".join(kinds)
    return Finding("namespaces", not lacking, evidence, "Boot a kernel with these namespaces.")


def _overlay() -> Finding:
    there = "\toverlay\n" in Path("/proc/filesystems").read_text(encoding="ascii")
    return Finding("overlay file system", there, "/proc/filesystems", "Run: modprobe overlay")


def _hierarchies() -> Finding:
    found = cgroups.hierarchies()
    evidence = ", ".join(f"{each.name} at {each.mountpoint}" for each in found)
    unified = [each for each in found if each.version != 1]
    if unified and os.statvfs(unified[0].mountpoint).f_flag & os.ST_RDONLY:
        what = f"{unified[0].mountpoint} is read-only"
        return Finding(
            "cgroup2", fit=False, evidence=what, remedy="Run it outside a container, or in a privileged one."
        )
    return Finding(
        "cgroup2", bool(unified), evidence or "none", "On a hybrid host: mount -t cgroup2 none /sys/fs/cgroup/unified"
    )


def _compiler() -> Finding:
    try:
        return Finding("C compiler", fit=True, evidence=compiler.find()[0])
    except EnvironmentUnfit as error:
        return Finding("C compiler", fit=False, evidence=error.what, remedy=error.remedy)


def _tools() -> Finding:
    lacking = missing_tools()
    evidence = f"missing: {', '.join(lacking)}" if lacking else ", ".join(TOOLS)
    return Finding("tools for stacks", not lacking, evidence, INSTALL_TOOLS)


def missing_tools() -> list[str]:
    """Return the programs that this machine lacks for building a stack."""
    return [name for name in TOOLS if shutil.which(name) is None]


def _room(cache: Path) -> Finding:
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not there.is_dir():
        return Finding(
            "disk space", fit=False, evidence=f"{there} is not a folder", remedy="Choose another folder with --cache."
        )
    free = shutil.disk_usage(there).free / (1 << 30)
    return Finding(
        "disk space",
        free >= NEEDED_GIB,
        f"{free:.1f} GiB free in the cache",
        f"Free {NEEDED_GIB} GiB, or choose another folder with --cache.",
    )
