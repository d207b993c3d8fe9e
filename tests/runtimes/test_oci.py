"""The adapters for raw OCI runtimes, in a simulated node: their commands, and their use of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.disk import CapturedFiles
from harness.model.cells import CgroupVersion, SurfaceKind
from harness.model.commands import Command
from harness.model.errors import CommandFailed
from harness.model.machine import Component
from harness.runtimes import adapter
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec, Contents, Mount, Runtime, State
from harness.runtimes.oci import OciRuntime
from tests.folder_node import Answer, FolderNode

DEFAULTS: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {"terminal": True, "args": ["sh"], "user": {"uid": 0, "gid": 0}, "noNewPrivileges": True},
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "runc",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": "pid"}, {"type": "mount"}],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
    },
}
OURS = "/srv/stillframe/containers/one"
SPEC = ContainerSpec(
    name="one",
    image="/srv/image",
    argv=("/ledger", "--ring", "4"),
    folder=OURS,
    report="/srv/stillframe/containers/source/report",
    report_mount="/report",
    mounts=(Mount(SurfaceKind.TMPFS, "/scratch"),),
)
CONTAINER = Container(SPEC, cgroup="/sys/fs/cgroup/one", upper=f"{OURS}/upper")
TAKEN = Checkpoint(CONTAINER, "/c")


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    node = FolderNode(tmp_path)
    node.path(OURS).mkdir(parents=True)
    node.put("/proc/1/cgroup", "12:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n")

    def write_defaults(_: Sequence[str], cwd: str) -> Answer:
        node.put(f"{cwd}/config.json", json.dumps(DEFAULTS))
        return 0, "", ""

    node.programs["spec"] = write_defaults
    return node


@pytest.fixture(params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest, node: FolderNode) -> Runtime:
    return adapter(request.param)(node)


def own(node: FolderNode) -> list[Command]:
    """The commands of the runtime itself."""
    return [command for command in node.journal.commands if command.runtime]


def config(node: FolderNode) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(node.path(f"{OURS}/config.json").read_text(encoding="utf-8"))
    return read


def test_criu_is_kept_away_from_the_control_groups(runtime: Runtime, node: FolderNode) -> None:
    runtime.prepare()
    own_configuration = node.path(f"/etc/criu/{runtime.name}.conf").read_text(encoding="utf-8")
    assert own_configuration == "manage-cgroups=ignore\n"
    assert node.path("/etc/criu/default.conf").read_text(encoding="utf-8").splitlines() == [
        "cgroup-root=cpu:/",
        "cgroup-root=cpuacct:/",
        "cgroup-root=name=systemd:/",
    ]
    assert "criu-cgroups" in node.accommodations


def test_where_there_are_no_other_control_groups_criu_is_used_as_it_is(runtime: Runtime, node: FolderNode) -> None:
    node.put("/proc/1/cgroup", "0::/\n")
    runtime.prepare()
    assert [file.name for file in node.path("/etc/criu").iterdir()] == ["default.conf"], "which the hook adds to"
    assert node.path("/etc/criu/default.conf").read_text(encoding="utf-8") == ""
    assert "criu-cgroups" not in node.accommodations


@pytest.mark.parametrize("controllers", [None, "\n", "cpu memory pids\n"])
def test_resources_are_limited_as_by_default_where_that_can_be_done(
    runtime: Runtime, node: FolderNode, controllers: str | None
) -> None:
    if controllers is not None:
        node.put("/sys/fs/cgroup/cgroup.controllers", controllers)
    can_be = bool(controllers and controllers.strip())
    runtime.prepare()
    runtime.start(SPEC)
    assert ("no-resources" in node.accommodations) is not can_be
    assert config(node)["linux"]["resources"] == (DEFAULTS["linux"]["resources"] if can_be else {})


def test_a_container_is_started_detached_on_an_overlay_of_its_image(runtime: Runtime, node: FolderNode) -> None:
    assert runtime.start(SPEC) == CONTAINER
    (mount,) = (line for line in node.said() if line.startswith("mount "))
    assert mount == (
        f"mount -t overlay overlay -o lowerdir=/srv/image,upperdir={OURS}/upper,workdir={OURS}/work {OURS}/rootfs"
    )
    name = runtime.name
    assert node.said()[-1] == f"{name} --root /run/{name} --log {OURS}/{name}.log run --detach --bundle {OURS} one"
    assert own(node)[-1].detached, "the container would inherit our streams"


def test_a_containers_group_is_that_of_the_freezer_that_the_node_has(runtime: Runtime, node: FolderNode) -> None:
    node.version = CgroupVersion.V1
    assert runtime.start(SPEC).cgroup == "/sys/fs/cgroup/freezer/one"


def test_a_new_container_has_an_empty_writable_layer_and_a_restored_one_the_captured(
    runtime: Runtime, node: FolderNode
) -> None:
    runtime.start(SPEC)
    assert f"mkdir -p {OURS}/upper" in node.said()
    node.journal.commands.clear()
    runtime.restore(TAKEN, SPEC)
    assert f"cp --archive /c/upper {OURS}/upper" in node.said()
    assert f"mkdir -p {OURS}/upper" not in node.said()


def test_the_runtimes_own_defaults_are_kept_but_for_what_the_experiment_needs(
    runtime: Runtime, node: FolderNode
) -> None:
    runtime.start(SPEC)
    made, expected = config(node), json.loads(json.dumps(DEFAULTS))
    expected["process"] |= {"terminal": False, "args": ["/ledger", "--ring", "4"]}
    expected["root"]["readonly"] = False
    expected["linux"] |= {"resources": {}, "cgroupsPath": "/one"}
    proc, dev, scratch, report = made.pop("mounts")
    del expected["mounts"]
    assert made == expected
    assert [proc, dev] == DEFAULTS["mounts"][:2]
    assert (scratch["destination"], scratch["type"]) == ("/scratch", "tmpfs")
    assert (report["destination"], report["type"], report["source"]) == ("/report", "bind", SPEC.report)
    assert set(report["options"]) == {"rbind", "rw"}


def test_the_defaults_are_asked_for_once_and_not_worn_out(runtime: Runtime, node: FolderNode) -> None:
    runtime.start(SPEC)
    first = config(node)
    runtime.start(SPEC)
    assert config(node) == first
    assert sum("spec" in command.argv for command in own(node)) == 1


def test_mounts_are_made_as_they_were_asked_for(runtime: Runtime, node: FolderNode) -> None:
    mounts = (Mount(SurfaceKind.BIND, "/bind", "/srv/shared"), Mount(SurfaceKind.SHM, "/dev/shm"))
    runtime.start(replace(SPEC, mounts=mounts))
    made = {mount["destination"]: mount for mount in config(node)["mounts"]}
    assert list(made) == ["/proc", "/dev", "/bind", "/report"], "the defaults have the one at /dev/shm, if any"
    assert (made["/bind"]["type"], made["/bind"]["source"]) == ("bind", "/srv/shared")


def test_a_live_checkpoint_leaves_the_container_running(runtime: Runtime, node: FolderNode) -> None:
    runtime.live_checkpoint(TAKEN)
    name = runtime.name
    made, taken = node.said()
    assert made == "mkdir -p /c/images /c/work"
    assert taken == (
        f"{name} --root /run/{name} --log /c/{name}.log checkpoint --leave-running "
        "--image-path /c/images --work-path /c/work one"
    )


def test_memory_is_dumped_in_rounds_each_upon_the_one_before(runtime: Runtime, node: FolderNode) -> None:
    assert isinstance(runtime, OciRuntime)
    for earlier in (("a",), ("a", "b")):
        runtime.pre_dump(replace(TAKEN, earlier=earlier))
    runtime.live_checkpoint(replace(TAKEN, earlier=("a", "b")))
    dumped = [line.partition(" checkpoint ")[2] for line in node.said() if " checkpoint " in line]
    assert dumped == [
        "--pre-dump --image-path /c/a --work-path /c/work one",
        "--pre-dump --image-path /c/b --parent-path ../a --work-path /c/work one",
        "--leave-running --image-path /c/images --parent-path ../b --work-path /c/work one",
    ]


def test_the_disk_is_captured_with_all_attributes(runtime: Runtime, node: FolderNode) -> None:
    runtime.capture(TAKEN)
    assert node.said() == [f"cp --archive {OURS}/upper /c/upper"]


def test_a_checkpoint_is_open_as_it_is_and_all_in_its_folder(runtime: Runtime, node: FolderNode) -> None:
    assert runtime.contents(TAKEN) == Contents("/c/images", {"/": CapturedFiles(node.path("/c/upper"))})
    runtime.discard(TAKEN)
    assert node.said() == []


def test_an_image_is_a_folder(runtime: Runtime) -> None:
    assert runtime.load_image("/srv/image") == "/srv/image"


def test_a_restore_makes_a_container_out_of_the_images(runtime: Runtime, node: FolderNode) -> None:
    assert runtime.restore(TAKEN, SPEC).name == "one"
    name = runtime.name
    assert node.said()[-1] == (
        f"{name} --root /run/{name} --log {OURS}/{name}.log restore --detach --bundle {OURS} "
        f"--image-path /c/images --work-path {OURS}/criu one"
    )
    assert own(node)[-1].detached, "the container would inherit our streams"


CRIU_SAYS = (
    "(00.1) Error (criu/rlimit.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n(00.2) Error (criu/x.c:2): why\n"
)


def test_a_failed_checkpoint_brings_criu_s_own_words(runtime: Runtime, node: FolderNode) -> None:
    work = "/c/work"
    node.put_log(f"{work}/dump.log", CRIU_SAYS)
    node.answer("checkpoint", 1, stderr="criu failed: type NOTIFY errno 0")
    with pytest.raises(CommandFailed) as raised:
        runtime.live_checkpoint(TAKEN)
    assert raised.value.log == ("(00.2) Error (criu/x.c:2): why",)


def test_a_failed_restore_brings_criu_s_own_words_although_its_folder_goes(runtime: Runtime, node: FolderNode) -> None:
    node.put_log(f"{OURS}/criu/restore.log", CRIU_SAYS)
    node.answer("restore", 1)
    with pytest.raises(CommandFailed) as raised:
        runtime.restore(TAKEN, SPEC)
    assert raised.value.log == ("(00.2) Error (criu/x.c:2): why",)


def test_a_failure_without_a_log_is_still_a_failure(runtime: Runtime, node: FolderNode) -> None:
    node.answer("checkpoint", 1, stderr="no")
    with pytest.raises(CommandFailed) as raised:
        runtime.live_checkpoint(TAKEN)
    assert (raised.value.log, raised.value.stderr) == ((), "no")


BEGINNINGS: dict[str, Callable[[Runtime], Container]] = {
    "run": lambda runtime: runtime.start(SPEC),
    "restore": lambda runtime: runtime.restore(TAKEN, SPEC),
}
UNMOUNTED = f"umount {OURS}/rootfs"


@pytest.mark.parametrize("command", BEGINNINGS)
@pytest.mark.parametrize("delete", [0, 1], ids=["", "and its deletion fails too"])
def test_nothing_stays_of_a_container_that_did_not_come_to_be(
    runtime: Runtime, node: FolderNode, command: str, delete: int
) -> None:
    node.answer(command, 1)
    node.answer("delete", delete, stderr="there is no such container")
    with pytest.raises(CommandFailed, match=rf"log {command} --detach .* ended with code 1 on folder$"):
        BEGINNINGS[command](runtime)
    assert "delete" in own(node)[-1].argv
    assert node.said()[-1] == UNMOUNTED


@pytest.mark.parametrize("command", BEGINNINGS)
def test_the_runtimes_own_log_tells_why_a_container_did_not_come_to_be(
    runtime: Runtime, node: FolderNode, command: str
) -> None:
    node.put(f"{OURS}/{runtime.name}.log", "before\nwhat the runtime has to say\n")
    node.answer(command, 1)
    with pytest.raises(CommandFailed) as raised:
        BEGINNINGS[command](runtime)
    assert "what the runtime has to say" in raised.value.log, "its streams are /dev/null, and its log goes"


@pytest.mark.parametrize("command", BEGINNINGS)
def test_a_bundle_that_could_not_be_laid_out_is_unmounted_too(runtime: Runtime, node: FolderNode, command: str) -> None:
    node.answer("mount", 32, stderr="the cause")
    with pytest.raises(CommandFailed, match="the cause"):
        BEGINNINGS[command](runtime)
    assert node.said()[-1] == UNMOUNTED


def test_a_container_is_removed_with_all_that_was_made_for_it(runtime: Runtime, node: FolderNode) -> None:
    runtime.delete(CONTAINER)
    name = runtime.name
    assert node.said() == [f"{name} --root /run/{name} delete --force one", UNMOUNTED]


@pytest.mark.parametrize(("code", "fine"), [(0, True), (32, True), (1, False)])
def test_a_root_that_is_not_mounted_any_more_is_fine(runtime: Runtime, node: FolderNode, code: int, fine: bool) -> None:
    node.answer("umount", code)
    if fine:
        runtime.delete(CONTAINER)
    else:
        with pytest.raises(CommandFailed):
            runtime.delete(CONTAINER)


def test_a_kill_is_over_when_the_kernel_says_so(runtime: Runtime, node: FolderNode) -> None:
    node.put("/sys/fs/cgroup/one/cgroup.procs", "42\n")

    def kill(*_: object) -> Answer:
        node.put("/sys/fs/cgroup/one/cgroup.procs", "")
        return 0, "", ""

    node.programs["kill"] = kill
    runtime.kill(CONTAINER)
    name = runtime.name
    assert node.said() == [f"{name} --root /run/{name} kill one KILL"]
    runtime.kill(CONTAINER)
    assert len(node.said()) == 1, "it has ended already"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume_are_the_runtimes_own(runtime: Runtime, node: FolderNode, verb: str) -> None:
    getattr(runtime, verb)(CONTAINER)
    assert node.said() == [f"{runtime.name} --root /run/{runtime.name} {verb} one"]
    assert own(node) == node.journal.commands[-1:]


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.STOPPED])
def test_a_state_is_what_the_runtime_says(runtime: Runtime, node: FolderNode, state: State) -> None:
    node.answer("state", stdout=json.dumps({"id": "one", "status": state.value}))
    assert runtime.state(CONTAINER) is state


@pytest.mark.parametrize(
    "complaint", ["container does not exist", "error opening file `/run/crun/one/status`: No such file or directory"]
)
def test_a_container_that_nobody_knows_is_absent(runtime: Runtime, node: FolderNode, complaint: str) -> None:
    node.answer("state", 1, stderr=complaint)
    assert runtime.state(CONTAINER) is State.ABSENT


def test_any_other_complaint_is_a_failure(runtime: Runtime, node: FolderNode) -> None:
    node.answer("state", 1, stderr="permission denied")
    with pytest.raises(CommandFailed, match="permission denied"):
        runtime.state(CONTAINER)


@pytest.mark.parametrize("answer", ["", "{}", "[]", '{"status": "bewildered"}'])
def test_an_answer_that_is_no_state_is_the_runtimes_failure(runtime: Runtime, node: FolderNode, answer: str) -> None:
    node.answer("state", stdout=answer)
    with pytest.raises(CommandFailed) as raised:
        runtime.state(CONTAINER)
    assert raised.value.runtime


def test_versions_are_read_from_the_binaries(runtime: Runtime, node: FolderNode) -> None:
    node.answer(runtime.name, stdout=f"{runtime.name} version 1.3.0+ds1-2 \ncommit: 1\nspec: 1.2.1\n")
    node.answer("criu", stdout="Version: 4.1.1\nGitID: x\n")
    assert runtime.components() == (
        Component(name=runtime.name, version="1.3.0+ds1-2"),
        Component(name="criu", version="4.1.1"),
    )


@pytest.mark.parametrize("code", [0, 1])
def test_what_criu_can_do_here_is_asked_of_criu(runtime: Runtime, node: FolderNode, code: int) -> None:
    node.answer("check", code, stdout="Looks good." if code == 0 else "", stderr="no ptrace" if code else "")
    (found,) = runtime.capabilities()
    assert (found.name, found.available) == ("checkpoint", code == 0)
    assert ("no ptrace" if code else "Looks good.") in found.evidence
    assert node.said() == [f"{runtime.name} --version", "criu check"]
