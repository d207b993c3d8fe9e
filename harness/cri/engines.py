"""containerd and CRI-O as engines behind CRI: how each is configured and started, and how it gets its images."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import ClassVar, Protocol

from harness.stacks import registry
from harness.stacks.daemon import Daemon
from harness.stacks.node import Node

LOGS = "/var/log/pods"
"""Folder of the pods' logs, as the kubelet has it."""
WORKLOAD = f"{registry.ADDRESS}/workload:latest"
SANDBOX = f"{registry.ADDRESS}/pause:1"
"""Image of the process that holds a pod's namespaces."""
SANDBOX_ENTRY = "/pause"
IMAGE_SECONDS = 60.0
CRIU_LOGS = "/var/log/criu"


class Engine(Protocol):
    """An engine behind CRI."""

    name: ClassVar[str]
    """As in a participant: `cri/NAME/runc`."""
    programs: ClassVar[Mapping[str, str]]
    """Programs that belong to it, its own one first, with their options for the version."""
    tools: ClassVar[tuple[str, ...]]
    """Programs that bring the images to it."""
    socket: ClassVar[str]
    shimmed: ClassVar[bool]
    """It calls the OCI runtime through containerd's shim."""
    pulls: ClassVar[bool]
    """It has to pull its images."""
    prefix: ClassVar[str]
    """What stands before a container's id in the name of its control group."""

    def start(self, node: Node, program: str, path: str) -> Daemon:
        """Configure and start the engine on the OCI runtime `program`, which is called at `path`."""

    def load(self, node: Node, archive: str, name: str) -> None:
        """Give the engine an image out of an archive, or put it where the engine can pull it."""

    def pause(self, program: str, identity: str) -> list[str]:
        """Return the command that freezes a container; CRI has none."""

    def resume(self, program: str, identity: str) -> tuple[list[str], ...]:
        """Return the commands that thaw it, to be tried until one succeeds."""

    def signal(self, program: str, identity: str, name: str) -> list[str]:
        """Return the command that sends its first process a signal."""

    def logs(self, identity: str) -> tuple[str, str]:
        """Return patterns for CRIU's logs of a checkpoint and of a restore."""


CTR = ("ctr", "--namespace", "k8s.io")
TASKS = "/run/containerd/runc/k8s.io"
"""Root folder of the OCI runtime, whichever it is."""
BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
CONTAINERD = """version = 3
root = "{storage}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[debug]
level = "warn"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{sandbox}"
[plugins."io.containerd.cri.v1.runtime"]
  # A machine without CAP_SYS_RESOURCE cannot lower the sandbox's score.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{path}"
  CriuWorkPath = "{logs}"
"""


class Containerd:
    """containerd with its CRI plugin; it takes checkpoints since 2.0, and restores them since 2.1."""

    name: ClassVar[str] = "containerd"
    programs: ClassVar[Mapping[str, str]] = {"containerd": "-v", "containerd-shim-runc-v2": "-v"}
    tools: ClassVar[tuple[str, ...]] = ("skopeo", registry.PROGRAM)
    socket: ClassVar[str] = "/run/containerd/containerd.sock"
    shimmed: ClassVar[bool] = True
    pulls: ClassVar[bool] = True
    prefix: ClassVar[str] = ""

    def start(self, node: Node, program: str, path: str) -> Daemon:  # noqa: ARG002
        """Start it beside a registry: a restore pulls the image of the container, even one that is there."""
        node.make(CRIU_LOGS, "/run/containerd/fifo")
        text = CONTAINERD.format(storage=node.storage, sandbox=SANDBOX, path=path, logs=CRIU_LOGS)
        node.write("/etc/containerd/config.toml", text)
        node.make(f"{node.storage}/containerd/io.containerd.grpc.v1.introspection")
        node.write(f"{node.storage}/containerd/io.containerd.grpc.v1.introspection/uuid", str(uuid.uuid4()))
        registry.start(node)
        return node.launch(["containerd"])

    def load(self, node: Node, archive: str, name: str) -> None:
        """Push the image to the registry, from which the engine pulls it."""
        copy = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"docker-archive:{archive}", f"docker://{name}"]
        node.run(copy, deadline=IMAGE_SECONDS)

    def pause(self, program: str, identity: str) -> list[str]:  # noqa: ARG002
        """Pause the task."""
        return [*CTR, "tasks", "pause", identity]

    def resume(self, program: str, identity: str) -> tuple[list[str], ...]:
        """Resume the task; if the engine does not know that it is paused, have the OCI runtime do it."""
        return [*CTR, "tasks", "resume", identity], [program, "--root", TASKS, "resume", identity]

    def signal(self, program: str, identity: str, name: str) -> list[str]:  # noqa: ARG002
        """Send the task a signal."""
        return [*CTR, "tasks", "kill", "--signal", name, identity]

    def logs(self, identity: str) -> tuple[str, str]:
        """Return the log in the bundle, and the one in the folder that the shim is told."""
        return f"{BUNDLES}/{identity}/criu-dump.log", f"{CRIU_LOGS}/restore.log"


USERDATA = "overlay-containers/{}/userdata"
CRIO = """[crio]
root = "{storage}/crio/root"
runroot = "/run/crio/runroot"
storage_driver = "overlay"
log_dir = "/var/log/crio/pods"
version_file = "/run/crio/version"
clean_shutdown_file = "/run/crio/clean.shutdown"
[crio.api]
listen = "/run/crio/crio.sock"
[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
enable_criu_support = true
# Otherwise each pod gets a process with a score that a machine without CAP_SYS_RESOURCE cannot set.
drop_infra_ctr = true
pids_limit = -1
default_runtime = "{program}"
namespaces_dir = "/run/crio/ns"
container_exits_dir = "/run/crio/exits"
container_attach_socket_dir = "/run/crio/attach"
seccomp_profile = ""
hooks_dir = []
[crio.runtime.runtimes.{program}]
runtime_path = "{path}"
runtime_root = "/run/{program}"
monitor_path = "{conmon}"
[crio.image]
pause_image = "{sandbox}"
pause_command = "{entry}"
[crio.network]
network_dir = "/etc/cni/net.d"
plugin_dirs = ["/usr/lib/cni"]
"""


class Crio:
    """CRI-O, which takes and restores checkpoints since 1.25."""

    name: ClassVar[str] = "crio"
    programs: ClassVar[Mapping[str, str]] = {"crio": "--version", "conmon": "--version"}
    tools: ClassVar[tuple[str, ...]] = ("skopeo",)
    socket: ClassVar[str] = "/run/crio/crio.sock"
    shimmed: ClassVar[bool] = False
    pulls: ClassVar[bool] = False
    prefix: ClassVar[str] = "crio-"

    def start(self, node: Node, program: str, path: str) -> Daemon:
        """Start it; images come from its own store alone."""
        conmon = node.run(["sh", "-c", "command -v conmon"]).stdout.strip()
        values = {"program": program, "path": path, "conmon": conmon, "sandbox": SANDBOX, "entry": SANDBOX_ENTRY}
        node.write("/etc/crio/crio.conf", CRIO.format(storage=node.storage, **values))
        node.write("/etc/containers/policy.json", registry.ACCEPT)
        node.write("/etc/containers/registries.conf.d/loopback.conf", registry.PLAIN)
        node.make("/etc/cni/net.d", "/run/crio")
        return node.launch(["crio", "--log-level", "warn", "--config", "/etc/crio/crio.conf", "--config-dir", ""])

    def load(self, node: Node, archive: str, name: str) -> None:
        """Copy the image into the engine's store, also while it runs."""
        store = f"[overlay@{node.storage}/crio/root+/run/crio/runroot]"
        node.run(
            ["skopeo", "copy", "--quiet", f"docker-archive:{archive}", f"containers-storage:{store}{name}"],
            deadline=IMAGE_SECONDS,
        )

    def pause(self, program: str, identity: str) -> list[str]:
        """Have the OCI runtime pause it."""
        return [program, "--root", f"/run/{program}", "pause", identity]

    def resume(self, program: str, identity: str) -> tuple[list[str], ...]:
        """Have the OCI runtime resume it."""
        return ([program, "--root", f"/run/{program}", "resume", identity],)

    def signal(self, program: str, identity: str, name: str) -> list[str]:
        """Have the OCI runtime send it."""
        return [program, "--root", f"/run/{program}", "kill", identity, name]

    def logs(self, identity: str) -> tuple[str, str]:
        """Return the logs beside the container; of a failed restore nothing but the message stays."""
        folder = USERDATA.format(identity)
        return f"{Node.storage}/crio/root/{folder}/dump.log", f"/run/crio/runroot/{folder}/restore.log"


ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Containerd(), Crio())}
