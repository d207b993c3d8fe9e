"""The part of CRI that checkpoints need: messages of `runtime.v1`, by the numbers that the published API gives them.

Enumerations travel as the numbers in `codes`. https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto;
`CheckpointPod` and `RestorePod` are those of version 0.37.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from harness.foreign.protobuf import BOOL, INT32, INT64, TEXT, TEXTS, UINT32, Fields, Many, types

PACKAGE = "runtime.v1"
_ID: Final = {"container_id": (1, TEXT)}
_SANDBOX: Final = {"pod_sandbox_id": (1, TEXT)}
_NOTHING: Final[dict[str, tuple[int, Any]]] = {}

FIELDS: Fields = {
    "VersionRequest": {"version": (1, TEXT)},
    "VersionResponse": {
        "version": (1, TEXT),
        "runtime_name": (2, TEXT),
        "runtime_version": (3, TEXT),
        "runtime_api_version": (4, TEXT),
    },
    "PodSandboxMetadata": {"name": (1, TEXT), "uid": (2, TEXT), "namespace": (3, TEXT), "attempt": (4, UINT32)},
    "NamespaceOption": {"network": (1, INT32), "pid": (2, INT32), "ipc": (3, INT32), "target_id": (4, TEXT)},
    "SecurityProfile": {"profile_type": (1, INT32), "localhost_ref": (2, TEXT)},
    "LinuxSandboxSecurityContext": {"namespace_options": (1, "NamespaceOption"), "seccomp": (9, "SecurityProfile")},
    "LinuxPodSandboxConfig": {"cgroup_parent": (1, TEXT), "security_context": (2, "LinuxSandboxSecurityContext")},
    "PodSandboxConfig": {
        "metadata": (1, "PodSandboxMetadata"),
        "hostname": (2, TEXT),
        "log_directory": (3, TEXT),
        "labels": (6, TEXTS),
        "annotations": (7, TEXTS),
        "linux": (8, "LinuxPodSandboxConfig"),
    },
    "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig"), "runtime_handler": (2, TEXT)},
    "RunPodSandboxResponse": _SANDBOX,
    "StopPodSandboxRequest": _SANDBOX,
    "StopPodSandboxResponse": _NOTHING,
    "RemovePodSandboxRequest": _SANDBOX,
    "RemovePodSandboxResponse": _NOTHING,
    "ContainerMetadata": {"name": (1, TEXT), "attempt": (2, UINT32)},
    "ImageSpec": {"image": (1, TEXT), "annotations": (2, TEXTS), "user_specified_image": (18, TEXT)},
    "KeyValue": {"key": (1, TEXT), "value": (2, TEXT)},
    "Mount": {"container_path": (1, TEXT), "host_path": (2, TEXT), "readonly": (3, BOOL), "propagation": (5, INT32)},
    "LinuxContainerSecurityContext": {
        "namespace_options": (3, "NamespaceOption"),
        "masked_paths": (13, Many(TEXT)),
        "readonly_paths": (14, Many(TEXT)),
        "seccomp": (15, "SecurityProfile"),
    },
    "LinuxContainerConfig": {"security_context": (2, "LinuxContainerSecurityContext")},
    "ContainerConfig": {
        "metadata": (1, "ContainerMetadata"),
        "image": (2, "ImageSpec"),
        "command": (3, Many(TEXT)),
        "args": (4, Many(TEXT)),
        "envs": (6, Many("KeyValue")),
        "mounts": (7, Many("Mount")),
        "labels": (9, TEXTS),
        "annotations": (10, TEXTS),
        "log_path": (11, TEXT),
        "tty": (14, BOOL),
        "linux": (15, "LinuxContainerConfig"),
    },
    "CreateContainerRequest": {
        "pod_sandbox_id": (1, TEXT),
        "config": (2, "ContainerConfig"),
        "sandbox_config": (3, "PodSandboxConfig"),
    },
    "CreateContainerResponse": _ID,
    "StartContainerRequest": _ID,
    "StartContainerResponse": _NOTHING,
    "StopContainerRequest": {"container_id": (1, TEXT), "timeout": (2, INT64)},
    "StopContainerResponse": _NOTHING,
    "RemoveContainerRequest": _ID,
    "RemoveContainerResponse": _NOTHING,
    "Container": {
        "id": (1, TEXT),
        "pod_sandbox_id": (2, TEXT),
        "metadata": (3, "ContainerMetadata"),
        "state": (6, INT32),
    },
    "ListContainersRequest": _NOTHING,
    "ListContainersResponse": {"containers": (1, Many("Container"))},
    "ContainerStatusRequest": {"container_id": (1, TEXT), "verbose": (2, BOOL)},
    "ContainerStatus": {
        "id": (1, TEXT),
        "metadata": (2, "ContainerMetadata"),
        "state": (3, INT32),
        "exit_code": (7, INT32),
        "image": (8, "ImageSpec"),
        "image_ref": (9, TEXT),
        "reason": (10, TEXT),
        "message": (11, TEXT),
        "annotations": (13, TEXTS),
        "log_path": (15, TEXT),
    },
    "ContainerStatusResponse": {"status": (1, "ContainerStatus"), "info": (2, TEXTS)},
    "CheckpointContainerRequest": {"container_id": (1, TEXT), "location": (2, TEXT), "timeout": (3, INT64)},
    "CheckpointContainerResponse": _NOTHING,
    "CheckpointPodRequest": {
        "pod_sandbox_id": (1, TEXT),
        "output_path": (2, TEXT),
        "container_ids": (3, Many(TEXT)),
        "options": (4, TEXTS),
    },
    "CheckpointPodResponse": _NOTHING,
    "RestorePodRequest": {
        "checkpoint_path": (1, TEXT),
        "config": (2, "PodSandboxConfig"),
        "runtime_handler": (3, TEXT),
        "options": (4, TEXTS),
        "container_configs": (5, Many("ContainerConfig")),
    },
    "RestoredContainer": {"name": (1, TEXT), "container_id": (2, TEXT)},
    "RestorePodResponse": {**_SANDBOX, "restored_containers": (2, Many("RestoredContainer"))},
    "PullImageRequest": {"image": (1, "ImageSpec")},
    "PullImageResponse": {"image_ref": (1, TEXT)},
    "Image": {"id": (1, TEXT), "repo_tags": (2, Many(TEXT)), "repo_digests": (3, Many(TEXT)), "pinned": (8, BOOL)},
    "ImageStatusRequest": {"image": (1, "ImageSpec")},
    "ImageStatusResponse": {"image": (1, "Image")},
}
IMAGES = frozenset({"PullImage", "ImageStatus"})
"""Methods of the image service; the others are of the runtime service."""

TYPES: dict[str, type[Message]] = types(PACKAGE, FIELDS, syntax="proto3")
"""Classes of the messages by name."""


def address(method: str) -> str:
    """Return the path of a method: `/runtime.v1.RuntimeService/Version`."""
    return f"/{PACKAGE}.{'ImageService' if method in IMAGES else 'RuntimeService'}/{method}"
