"""A node is isolated, disposable, and takes everything with it."""

from __future__ import annotations

import os
import signal
import subprocess  # noqa: TID251  # plays the harness that is killed
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import audit, cgroups
from harness.host.wait import until
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit
from harness.stacks.node import Node

NAMESPACES = ("mnt", "pid", "cgroup", "ipc", "uts", "net")


def our_groups() -> list[str]:
    return [item for item in audit.of_host().items if item.startswith("cgroup ")]


@pytest.mark.parametrize("kind", NAMESPACES)
def test_has_a_namespace_of_its_own(node: Node, kind: str) -> None:
    inside = node.run(["readlink", f"/proc/self/ns/{kind}"]).stdout.strip()
    assert inside.startswith(kind)
    assert inside != os.readlink(f"/proc/self/ns/{kind}")


def test_sees_no_process_and_no_link_of_the_host(node: Node) -> None:
    assert audit.processes_of(node.pid)[0].startswith("1 ")
    assert len(audit.processes_of(node.pid)) == 1
    links = node.run(["ip", "-o", "link"]).stdout.splitlines()
    assert [line.split()[1] for line in links if "LOOPBACK" in line and ",UP" in line] == ["lo:"]
    assert not [line for line in links if "eth" in line]


def test_writes_stay_in_the_node(node: Node, stack_root: Path) -> None:
    node.run(["sh", "-c", "echo spoiled > /etc/hostname; rm /etc/debian_version"])
    assert (stack_root / "etc/debian_version").exists()
    assert "spoiled" not in (stack_root / "etc/hostname").read_text()


def test_no_link_in_the_node_leads_to_the_host(node: Node, tmp_path: Path) -> None:
    node.run(["ln", "-s", f"{tmp_path}", "/srv/away"])
    node.run(["ln", "-s", f"{tmp_path}/new", "/srv/file"])
    node.make(str(tmp_path))
    node.write("/srv/away/written", "in the node")
    node.write("/srv/file", "in the node")
    node.make("/srv/away/made")
    assert not list(tmp_path.iterdir())
    listed = node.run(["sh", "-c", f"cd {tmp_path} && ls && cat written new"]).stdout
    assert listed == "made\nnew\nwritten\nin the nodein the node"
    node.remove("/srv/file")
    assert node.run(["readlink", "/srv/file"], accept=(1,)).exit_code == 1
    assert node.read(f"{tmp_path}/new") == "in the node"


def test_storage_is_no_overlay(node: Node) -> None:
    assert node.run(["stat", "-f", "-c", "%T", node.storage]).stdout.strip() == "tmpfs"


def test_has_a_pure_cgroup2_of_its_own(node: Node) -> None:
    assert node.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).stdout.strip() == "cgroup2fs"
    assert node.run(["cat", "/proc/self/cgroup"]).stdout.splitlines()[-1] == "0::/init"


def test_owns_a_group_in_every_hierarchy_but_memory(node: Node) -> None:
    groups = audit.groups_of(node.pid)
    assert len(groups) == len(cgroups.hierarchies())
    assert all(cgroups.PREFIX in group and os.path.isdir(group) for group in groups)
    assert not list(Path("/sys/fs/cgroup").glob(f"memory/**/{cgroups.PREFIX}*"))


def test_nodes_do_not_meet(start: Callable[[str], Node]) -> None:
    one, other = start("one"), start("other")
    one.run(["sh", "-c", "sleep 600 & mkdir /sys/fs/cgroup/mine"])
    assert not [line for line in audit.processes_of(other.pid) if "sleep" in line]
    assert not other.path("/sys/fs/cgroup/mine").exists()
    assert not set(audit.groups_of(one.pid)) & set(audit.groups_of(other.pid))


def test_ending_ends_daemons_and_frozen_tasks(start: Callable[[str], Node]) -> None:
    node = start("ending")
    node.run(["sh", "-c", "setsid sleep 600 & mkdir /sys/fs/cgroup/cold; echo $! > /sys/fs/cgroup/cold/cgroup.procs"])
    node.set("/sys/fs/cgroup/cold/cgroup.freeze", "1")
    groups = audit.groups_of(node.pid)
    node.end()
    assert not [group for group in groups if os.path.exists(group)]


def test_ending_ends_tasks_in_the_v1_freezer(start: Callable[[str], Node]) -> None:
    freezers = [each.mountpoint for each in cgroups.hierarchies() if "freezer" in each.controllers]
    node = start("ending")
    groups = [group for group in audit.groups_of(node.pid) if group.startswith(tuple(freezers))] if freezers else []
    assert len(groups) == len(freezers)  # none on a host that has cgroup2 only
    node.run(["sh", "-c", "setsid sleep 600 &"])
    for group in groups:
        Path(group, "freezer.state").write_text("FROZEN")
    node.end()
    assert not [group for group in groups if os.path.exists(group)]


def test_a_command_that_is_late_goes_with_all_it_started(node: Node) -> None:
    with pytest.raises(DeadlineExceeded, match="sleep 600"):
        node.run(["sh", "-c", "trap '' TERM; sleep 600 & sleep 600"], deadline=0.3)
    until(lambda: len(audit.processes_of(node.pid)) == 1, seconds=10, what="the end of the late command")


def test_a_late_command_of_a_runtime_tells_what_was_there_before_it_was_ended(node: Node) -> None:
    with pytest.raises(DeadlineExceeded, match="sleep 600") as raised:
        node.run(["sh", "-c", "sleep 600 & sleep 600"], deadline=0.3, runtime=True)
    init, shell, *sleeping = raised.value.log
    assert " state S cgroup 0::/" in init
    assert shell.startswith("  ")
    assert "sh state S" in shell
    assert [line.split()[1] for line in sleeping] == ["sleep", "sleep"]
    assert all(line.startswith("    ") and "nanosleep" in line for line in sleeping)


def test_a_command_inherits_nothing(node: Node) -> None:
    assert node.run(["sh", "-c", "ls /proc/self/fd | wc -l"]).stdout.strip() == "4"
    assert "HOME=/root" in node.run(["env"], env={"X": "1"}).stdout


def test_a_missing_program_and_a_signal_are_told_apart(node: Node) -> None:
    with pytest.raises(CommandFailed, match="code 127"):
        node.run(["no-such-program"])
    with pytest.raises(CommandFailed, match="SIGKILL"):
        node.run(["sh", "-c", "kill -9 $$"])


def test_a_folder_in_which_a_process_still_writes_is_removed(node: Node) -> None:
    writes = "cd /tmp/full && for i in $(seq 3000); do : >$i; done"
    node.make("/tmp/full")
    node.run(["sh", "-c", f"({writes}) </dev/null >/dev/null 2>&1 &"])
    until(lambda: any(node.path("/tmp/full").iterdir()), seconds=5, what="the first file")
    node.remove("/tmp/full")
    assert not node.path("/tmp/full").exists()


def test_a_node_that_died_says_so(node: Node) -> None:
    os.kill(node.pid, signal.SIGKILL)
    with pytest.raises(CommandFailed, match=r"gone|ended"):
        node.run(["true"])


def test_a_stack_that_is_not_there_says_so() -> None:
    with pytest.raises(EnvironmentUnfit, match=r"cannot be started.*No such file"):
        Node("nowhere", Path("/no/such/stack"))


HARNESS = """
import sys
from pathlib import Path
from harness.stacks.node import Node
node = Node("victim", Path(sys.argv[1]), name="victim")
node.run(["sh", "-c", "setsid sleep 600 & mkdir -p /sys/fs/cgroup/a/b; echo $! > /sys/fs/cgroup/a/b/cgroup.procs"])
node.set("/sys/fs/cgroup/a/cgroup.freeze", "1")
print(node.pid, flush=True)
node.run(["sleep", "600"], deadline=600)
"""


def victim(stack_root: Path) -> tuple[subprocess.Popen[str], int]:
    harness = subprocess.Popen([sys.executable, "-c", HARNESS, str(stack_root)], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    with harness.stdout as said:
        return harness, int(said.readline())


def test_killing_the_harness_leaves_nothing(stack_root: Path) -> None:
    before = our_groups()
    harness, pid = victim(stack_root)
    assert our_groups() != before
    harness.kill()
    harness.wait()
    until(lambda: our_groups() == before, seconds=20, what="the end of the node's groups")
    assert not os.path.exists(f"/proc/{pid}")


def test_killing_the_supervisor_too_leaves_what_the_next_run_sweeps(stack_root: Path) -> None:
    before = our_groups()
    harness, pid = victim(stack_root)
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    harness.kill()
    harness.wait()
    until(lambda: not os.path.exists(f"/proc/{pid}"), seconds=20, what="the end of the node's init")
    assert cgroups.sweep()
    assert our_groups() == before


def test_sweeping_spares_living_nodes(node: Node) -> None:
    assert cgroups.sweep() == []
    assert node.run(["echo", "alive"]).stdout == "alive\n"


PLANTED = {
    "process": ["sh", "-c", "setsid sleep 600 &"],
    "mount": ["mount", "-t", "tmpfs", "leak", "/mnt"],
    "cgroup": ["mkdir", "/sys/fs/cgroup/leak"],
    "link": ["ip", "link", "add", "leak0", "type", "veth", "peer", "name", "leak1"],
    "nftables": ["iptables", "-A", "INPUT", "-p", "tcp", "-j", "DROP"],
    "file": ["touch", "/run/leak"],
}


@pytest.mark.parametrize("kind", PLANTED)
def test_the_audit_finds_what_is_left_behind(node: Node, kind: str) -> None:
    before = audit.of_node(node.pid)
    assert audit.of_node(node.pid).leaks(before) == ()
    node.run(PLANTED[kind])
    found = audit.of_node(node.pid).leaks(before)
    assert [leak for leak in found if leak.startswith(kind)]
