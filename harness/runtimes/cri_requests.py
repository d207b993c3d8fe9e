"""What a pod and a container are asked for with, as the kubelet would."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.archive import members
from harness.checkpoints.documents import SPEC, part, parts
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.cri.codes import CONTAINER, NODE, POD, UNCONFINED
from harness.cri.engines import LOGS
from harness.model.cells import SurfaceKind
from harness.runtimes.contract import ContainerSpec
from harness.stacks.node import Node

HOSTS = f"{Node.storage}/hosts"
"""The file /etc/hosts of each container: CRI-O has to have a mount for it, as the kubelet always makes one."""
PATHS = {"masked_paths": "maskedPaths", "readonly_paths": "readonlyPaths"}
"""Fields of a request, by the names of the specification: the kubelet sets them, and a restore needs the same."""
NAMESPACES = {
    "namespace_options": {"network": NODE, "pid": CONTAINER, "ipc": POD},
    "seccomp": {"profile_type": UNCONFINED},
}
"""The node's network needs no CNI; with a pid namespace of the pod, CRI-O needs CAP_SYS_RESOURCE."""


def pod(name: str) -> dict[str, Any]:
    """Return a `PodSandboxConfig`; its log directory must exist when the engine is asked."""
    return {
        "metadata": {"name": name, "uid": name, "namespace": "stillframe"},
        "log_directory": f"{LOGS}/{name}",
        "linux": {"cgroup_parent": f"/{name}", "security_context": NAMESPACES},
    }


def container(spec: ContainerSpec, image: str, paths: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a `ContainerConfig`; `paths`: masked and read-only ones."""
    mounts = [(spec.report_mount, spec.report), ("/etc/hosts", HOSTS)]
    mounts += [(mount.target, mount.source) for mount in spec.mounts if mount.kind is SurfaceKind.BIND]
    return {
        "metadata": {"name": spec.name},
        "image": {"image": image, "user_specified_image": image},
        "command": list(spec.argv),
        "envs": [dict(zip(("key", "value"), each.split("=", 1), strict=True)) for each in spec.env],
        "mounts": [{"container_path": target, "host_path": source} for target, source in mounts],
        "log_path": f"{spec.name}.log",
        "linux": {"security_context": {**NAMESPACES, **paths}},
    }


def specification(archive: Path) -> dict[str, Any]:
    """Return the mounts and the settings of Linux in an archive's specification; empty where it is unreadable."""
    with contextlib.suppress(Unreadable, ValueError, RecursionError):
        every = members(archive, Budget())
        content = next((b"".join(each.chunks()) for each in every if each.name == SPEC), b"{}")
        found = part({SPEC: json.loads(content)}, SPEC)
        return {"mounts": parts(found, "mounts"), "linux": part(found, "linux")}
    return {"mounts": [], "linux": {}}
