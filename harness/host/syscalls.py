"""System calls that Python 3.11 does not offer. Standard library alone: the node's supervisor imports this."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

# Values from <linux/sched.h>, <linux/mount.h>, <linux/prctl.h>.
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_BPF = {"x86_64": 321, "aarch64": 280}
_SYS_OPENAT2 = 437
"""The same on every architecture."""


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Enter new namespaces; `OSError` names the call."""
    _checked(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace behind `descriptor`."""
    _checked(_libc.setns(descriptor, kind), f"setns({kind:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount `source` at `target`; `OSError` names both."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    _checked(result, f"mount({source}, {target}, {kind or 'bind'})")


def pivot_root(new_root: str) -> None:
    """Make `new_root` the root and unmount the old one."""
    os.chdir(new_root)
    _checked(_libc.syscall(_SYS_PIVOT_ROOT[os.uname().machine], b".", b"."), f"pivot_root({new_root})")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount2(old root)")
    os.chdir("/")


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open `path` as if the folder with the descriptor `root` were the root: no link in it leads out (openat2(2))."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    found = int(_libc.syscall(_SYS_OPENAT2, root, path.encode(errors="surrogateescape"), how, len(how)))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return found


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send `signal_number` to this process when its parent ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def loopback_up() -> None:
    """Bring up `lo` in the current network namespace (netdevice(7): SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(device, 0x8913, request))
        fcntl.ioctl(device, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def device_programs(group: str) -> int:
    """Return how many BPF programs decide on devices in the cgroup2 at `group` (bpf(2), BPF_PROG_QUERY)."""
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        asked = ctypes.create_string_buffer(struct.pack("=IIIIQI", descriptor, 6, 1, 0, 0, 0), 64)
        _checked(_libc.syscall(_SYS_BPF[os.uname().machine], 16, asked, len(asked)), f"bpf({group})")
        return int(struct.unpack_from("=I", asked, 24)[0])
    finally:
        os.close(descriptor)
