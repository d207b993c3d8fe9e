"""How each engine is configured, how it gets its images, and what it is told where CRI has no word for it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from harness.cri.engines import ENGINES, SANDBOX, WORKLOAD, Containerd, Crio
from harness.stacks import registry
from harness.stacks.node import Node
from tests.folder_node import FolderNode

STORE = f"[overlay@{Node.storage}/crio/root+/run/crio/runroot]"
every_engine = pytest.mark.parametrize("name", sorted(ENGINES))


@pytest.fixture
def launched(node: FolderNode, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands of the daemons that are started on the node."""
    found: list[list[str]] = []
    monkeypatch.setattr(node, "launch", found.append)
    monkeypatch.setattr(registry, "start", lambda _: found.append(["registry"]))
    return found


def configuration(node: FolderNode, path: str) -> dict[str, Any]:
    return tomllib.loads(node.path(path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", ["runc", "crun"])
def test_crio_has_no_process_for_a_pod_and_one_oci_runtime(
    node: FolderNode, launched: list[list[str]], program: str
) -> None:
    node.answer("sh", stdout="/usr/bin/conmon\n")
    Crio().start(node, program, f"/usr/bin/{program}")
    command = ["crio", "--log-level", "warn", "--config", "/etc/crio/crio.conf", "--config-dir", ""]
    assert launched == [command], "and no registry"
    said = configuration(node, "/etc/crio/crio.conf")["crio"]
    assert said["root"].startswith(node.storage), "overlayfs needs a real file system"
    assert said["api"]["listen"] == Crio.socket
    assert (said["runtime"]["enable_criu_support"], said["runtime"]["drop_infra_ctr"]) == (True, True)
    assert said["runtime"]["default_runtime"] == program
    own = {"runtime_path": f"/usr/bin/{program}", "runtime_root": f"/run/{program}", "monitor_path": "/usr/bin/conmon"}
    assert said["runtime"]["runtimes"] == {program: own}
    assert said["image"] == {"pause_image": SANDBOX, "pause_command": "/pause"}


def test_containerd_calls_what_stands_for_the_oci_runtime_and_has_a_registry(
    node: FolderNode, launched: list[list[str]]
) -> None:
    Containerd().start(node, "crun", "/usr/local/bin/crun-for-containerd")
    assert launched == [["registry"], ["containerd"]]
    said = configuration(node, "/etc/containerd/config.toml")
    assert said["root"].startswith(node.storage)
    plugins = said["plugins"]
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"] == {"sandbox": SANDBOX}
    own = plugins["io.containerd.cri.v1.runtime"]
    assert own["restrict_oom_score_adj"], "the machine may lack CAP_SYS_RESOURCE"
    options = own["containerd"]["runtimes"]["runc"]["options"]
    assert options["BinaryName"] == "/usr/local/bin/crun-for-containerd"
    assert Containerd().logs("c0ffee")[1].startswith(options["CriuWorkPath"])


@pytest.mark.parametrize(
    ("name", "target"),
    [("containerd", f"docker://{WORKLOAD}"), ("crio", f"containers-storage:{STORE}{WORKLOAD}")],
)
def test_an_image_goes_where_the_engine_takes_it_from(node: FolderNode, name: str, target: str) -> None:
    ENGINES[name].load(node, "/workload.tar", WORKLOAD)
    (command,) = node.said()
    assert command.startswith("skopeo copy ")
    assert command.endswith(f" docker-archive:/workload.tar {target}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "containerd",
            {
                "ctr --namespace k8s.io tasks pause c0ffee",
                "ctr --namespace k8s.io tasks resume c0ffee",
                "crun --root /run/containerd/runc/k8s.io resume c0ffee",
                "ctr --namespace k8s.io tasks kill --signal TERM c0ffee",
            },
        ),
        (
            "crio",
            {
                "crun --root /run/crun pause c0ffee",
                "crun --root /run/crun resume c0ffee",
                "crun --root /run/crun kill c0ffee TERM",
            },
        ),
    ],
)
def test_what_cri_has_no_word_for_is_said_by_a_command(name: str, said: set[str]) -> None:
    engine = ENGINES[name]
    commands = (
        engine.pause("crun", "c0ffee"),
        *engine.resume("crun", "c0ffee"),
        engine.signal("crun", "c0ffee", "TERM"),
    )
    assert {" ".join(each) for each in commands} == said


@every_engine
def test_the_programs_of_an_engine_begin_with_its_own(name: str) -> None:
    assert next(iter(ENGINES[name].programs)) == ENGINES[name].name == name
