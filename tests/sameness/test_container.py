"""What the kernel tells of a container: real processes, and a plain folder in place of their control group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess  # noqa: TID251  # the processes of a container
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host import cgroups, syscalls
from harness.host.wait import until
from harness.model.readings import Aspect
from harness.sameness.compare import compared
from harness.sameness.container import SANDBOXED, look
from harness.sameness.facts import FACTS, Facts, Key

Start = Callable[..., Path]
UP = "ip link set lo up;"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command in namespaces of its own, and give its group."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*argv: str) -> Path:
        group = tmp_path / f"group-{len(running)}"
        group.mkdir()
        running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True))
        (group / "cgroup.procs").write_text(f"{running[-1].pid}\n", encoding="ascii")
        exe = Path(f"/proc/{running[-1].pid}/exe")
        until(lambda: exe.readlink().name in ("sleep", "runsc-sandbox"), seconds=20, what="sleep")
        return group

    yield run
    for each in running:
        os.killpg(each.pid, signal.SIGKILL)
        each.wait()


def told(group: Path, *names: str) -> Facts:
    return look(os.getpid(), str(group), names)


def test_the_host_name_and_the_network_are_its_own(start: Start) -> None:
    script = f"{UP} hostname inside; ip address add 10.9.8.7/24 dev lo; exec sleep 1000"
    found = told(start("unshare", "--net", "--uts", "sh", "-c", script)).values
    assert found[Key(None, "host name")] == "inside" != os.uname().nodename
    assert found[Key(None, "interface", "lo")] == "device up MTU 65536"
    assert found[Key(None, "address", "of lo: 10.9.8.7/24")] == "set"
    shared = told(start("sleep", "1000")).values
    assert not [key for key in shared if key.fact in ("host name", "interface", "address")]
    down = told(start("unshare", "--net", "sleep", "1000")).values
    assert down[Key(None, "interface", "lo")] == "device down MTU 65536"
    assert os.uname().nodename != "inside"  # we came back from its namespaces


def test_a_child_in_another_group_belongs_to_the_container(start: Start) -> None:
    group = start("sh", "-c", "sleep 1000 & exec sleep 1000")
    assert len({key.process for key in told(group).values} - {None}) == len(("the shell", "its child"))


def test_the_names_of_the_container_are_kept_longest_first(start: Start) -> None:
    found = told(start("sleep", "1000"), "ab", "abc", "", "ab")
    assert found.names == ("abc", "ab")
    assert found.unnamed("abc/ab") == "NAME/NAME"


def test_the_mount_of_the_harness_is_left_out(start: Start) -> None:
    group = start("sleep", "1000")
    assert Key(int(group_pid(group)), "mount", "/proc") in look(os.getpid(), str(group)).values
    assert not [key for key in look(os.getpid(), str(group), without="/proc").values if key.of == "/proc"]


def group_pid(group: Path) -> str:
    pid = (group / "cgroup.procs").read_text(encoding="ascii").strip()
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii").partition("NSpid:")[2].split("\n")[0].split()[-1]


def test_limits_of_its_control_groups_are_told(start: Start) -> None:
    found = told(start("sleep", "1000")).values
    assert [key.of for key in found if key.fact == "group limit"]


def test_of_a_sandbox_its_confinement_is_told_by_the_roles_of_its_processes(start: Start, tmp_path: Path) -> None:
    shutil.copy(str(shutil.which("sleep")), tmp_path / "runsc-sandbox")
    found = told(start(str(tmp_path / "runsc-sandbox"), "1000"))
    assert {key.process for key in found.values} == {1, None}
    assert {FACTS[key.fact].aspect for key in found.values} == {Aspect.CONFINEMENT, Aspect.LIMITS}
    assert not [key for key in found.values if key.fact in ("mount", "interface")]
    assert f"what is inside: {SANDBOXED}" in compared([found], [found]).uncompared


def test_a_process_that_ends_before_its_children_are_listed_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text(f"4194303\n{os.getpid()}\n", encoding="ascii")
    assert {key.process for key in told(tmp_path).values} > {None}


def test_a_process_that_has_ended_and_an_empty_group_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("4194303\n", encoding="ascii")
    assert not {key for key in told(tmp_path).values if key.process}
    (tmp_path / "cgroup.procs").write_text("", encoding="ascii")
    assert told(tmp_path) == Facts({})


def test_the_programs_that_decide_on_devices_are_counted_unless_that_is_not_permitted(tmp_path: Path) -> None:
    with contextlib.suppress(PermissionError):
        assert syscalls.device_programs(cgroups.unified().own) >= 0
    with pytest.raises(OSError, match=r"bpf\("):
        syscalls.device_programs(str(tmp_path))
