"""The common part of Docker and containerd: containerd's shim, which calls the OCI runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.model.cells import CgroupVersion
from harness.runtimes import criu_log
from harness.stacks.node import Node

CRUN = """#!/bin/sh
# Translates for containerd's shim, which expects runc: crun has no option -no-subreaper, makes no folder for CRIU's
# logs, and has another error message for the deletion of a missing container.
for word; do
    shift
    case $before in
        --root) root=$word ;;
        --work-path) mkdir -p "$word" ;;
        --bundle) bundle=$word ;;
    esac
    [ "$word" != delete ] || deletes=yes
    before=$word
    [ "$word" = -no-subreaper ] || set -- "$@" "$word"
done
[ -z "$deletes" ] || [ -d "$root/$before" ] || exit 0
"""
RUNC = """#!/bin/sh
for word; do
    [ "$before" != --bundle ] || bundle=$word
    before=$word
done
"""
WITHOUT_RESOURCES = """
[ -z "$bundle" ] || perl -i -0pe 's/"resources":(\\{(?:[^{}]|(?1))*\\})/"resources":{}/' "$bundle/config.json"
"""


def runtime(node: Node, program: str, path: str) -> str:
    """Return what containerd's shim can call in place of runc: the OCI runtime at `path`, or a script before it."""
    change = "linux.resources of the specification is empty"
    bare = node.version is CgroupVersion.V2 and node.without_controllers("no-resources", change=change)
    if program == "runc" and not bare:
        return path
    script = f"/usr/local/bin/{program}-for-containerd"
    text = (CRUN if program == "crun" else RUNC) + (WITHOUT_RESOURCES if bare else "")
    node.write(script, f'{text}exec {path} "$@"\n', mode=0o755)
    return script


@contextlib.contextmanager
def restoring(node: Node, log: str) -> Iterator[None]:
    """Attach the errors in CRIU's `log` to a failed restore, and remove the shim's remains of every restore."""
    try:
        with criu_log.explained(node, log):
            yield
    finally:
        for left in node.path("/").glob("tmp/ctrd-checkpoint*"):
            node.remark("containerd left the restored checkpoint in /tmp (containerd#10166); removed")
            node.remove(f"/tmp/{left.name}")  # noqa: S108
