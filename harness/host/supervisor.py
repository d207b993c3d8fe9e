"""The process outside a node that owns its cgroups: starts the node's init, and cleans up however the node ends.

It runs by file name with the standard library alone. Its argument is one JSON object {lower, name, lifeline, ready, v1,
share, builds}. `lifeline` is a descriptor whose other end only the harness holds: it closes when the harness ends, even
by SIGKILL, and then the node ends too. `ready` gets one JSON line, {"pid": N} with the init's number, or
{"error": "..."}.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from harness.host import cgroups, init, syscalls

RESISTED = 1


def main() -> int:
    """Supervise one node until it ends; return 1 if one of its groups could not be removed, else 0."""
    spec = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended, wake = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(wake, b"."))
    name = f"{cgroups.PREFIX}{os.getpid()}-{cgroups.start_time(os.getpid())}-{spec['name']}"
    groups: list[str] = []
    pid = 0
    try:
        unified = cgroups.create(cgroups.unified(), name)
        groups.append(unified)
        groups.extend(cgroups.create(hierarchy, name) for hierarchy in cgroups.hierarchies() if hierarchy.version == 1)
        syscalls.unshare(syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            init.run(spec, groups, unified)
        os.close(spec["ready"])
        _await_end(pid, spec["lifeline"], ended)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(spec["ready"], json.dumps({"error": error.strerror}).encode() + b"\n")
    finally:
        left = _clear(pid, groups)
    return RESISTED if left else 0


def _await_end(pid: int, lifeline: int, ended: int) -> None:
    poll = select.poll()
    for descriptor in (lifeline, ended, os.pidfd_open(pid)):
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    poll.poll()


def _clear(pid: int, groups: list[str]) -> list[str]:
    """End the node's init, and so its whole pid namespace, then remove the groups; return the groups that remain."""
    if pid:
        for group in groups:
            for below in cgroups.subgroups(group):
                cgroups.thaw(below)  # a task in the v1 freezer cannot be killed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return [left for group in groups for left in cgroups.remove(group)]


if __name__ == "__main__":
    sys.exit(main())
