"""Control groups, read from texts in the kernel's format and from plain folders in place of groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.host import cgroups
from harness.host.cgroups import Hierarchy, hierarchies

CGROUP2 = "30 25 0:26 {root} {mountpoint} rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 25 0:27 {root} /sys/fs/cgroup/{names} rw,relatime shared:9 - cgroup cgroup rw,{names}"
OTHER = "25 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw", "26 25 0:22 / /proc rw shared:3 - proc proc rw"


def cgroup2(mountpoint: str = "/sys/fs/cgroup", root: str = "/") -> str:
    return CGROUP2.format(mountpoint=mountpoint, root=root)


def v1(names: str, root: str = "/") -> str:
    return V1.format(names=names, root=root)


HYBRID = (
    [
        v1("cpu,cpuacct"),
        v1("memory"),
        v1("freezer"),
        v1("xattr,name=systemd"),
        v1("perf_event"),
        cgroup2("/sys/fs/cgroup/unified"),
    ],
    [
        "12:freezer:/",
        "11:cpu,cpuacct:/user.slice",
        "9:memory:/user.slice/user-0.slice/session-1.scope",
        "1:name=systemd:/user.slice/user-0.slice/session-1.scope",
        "0::/user.slice/user-0.slice/session-1.scope",
    ],
)
PURE = ([cgroup2()], ["0::/user.slice/user-1000.slice/session-3.scope"])
OLD = ([v1("memory"), v1("freezer"), v1("pids")], ["3:pids:/a", "2:freezer:/", "1:memory:/a"])
NAMESPACED = ([v1("pids", root="/docker/c0ffee"), cgroup2(root="/")], ["2:pids:/docker/c0ffee/sub", "0::/"])
OUT_OF_SIGHT = ([cgroup2(root="/../../system.slice"), v1("pids", root="/docker/other")], ["1:pids:/docker/own", "0::/"])


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    return tmp_path


def told(proc: Path, mounts: list[str], groups: list[str], process: str = "self") -> list[Hierarchy]:
    (proc / process).mkdir(exist_ok=True)
    (proc / "self" / "mountinfo").write_text("\n".join((*OTHER, *mounts)) + "\n", encoding="utf-8")
    (proc / process / "cgroup").write_text("\n".join(groups) + "\n", encoding="utf-8")
    return hierarchies(process, str(proc))


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (
            HYBRID,
            {
                "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct/user.slice",
                "freezer": "/sys/fs/cgroup/freezer",
                "name=systemd": "/sys/fs/cgroup/xattr,name=systemd/user.slice/user-0.slice/session-1.scope",
                "unified": "/sys/fs/cgroup/unified/user.slice/user-0.slice/session-1.scope",
            },
        ),
        (PURE, {"unified": "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope"}),
        (OLD, {"freezer": "/sys/fs/cgroup/freezer", "pids": "/sys/fs/cgroup/pids/a"}),
        (NAMESPACED, {"pids": "/sys/fs/cgroup/pids/sub", "unified": "/sys/fs/cgroup"}),
        (OUT_OF_SIGHT, {}),
        (([], ["0::/"]), {}),
    ],
    ids=["hybrid", "cgroup2 alone", "v1 alone", "in a container", "mounts of groups that are not ours", "none"],
)
def test_our_groups_are_found(proc: Path, machine: tuple[list[str], list[str]], expected: dict[str, str]) -> None:
    found = told(proc, *machine)
    assert {each.name: each.own for each in found} == expected
    assert {each.name for each in found if each.version != 1} == {"unified"} & set(expected)


@pytest.mark.parametrize("names", ["memory", "cpu,memory"])
def test_the_memory_hierarchy_is_left_alone(proc: Path, names: str) -> None:
    assert told(proc, [v1(names), v1("pids")], [f"2:{names}:/", "1:pids:/"])[0].name == "pids"
    assert len(told(proc, [v1(names)], [f"2:{names}:/"])) == 0


def test_a_hierarchy_that_is_mounted_twice_counts_once(proc: Path) -> None:
    (found,) = told(proc, [cgroup2("/first"), cgroup2("/second")], ["0::/a"])
    assert (found.mountpoint, found.own) == ("/first", "/first/a")


def test_a_mount_that_shows_our_group_counts_although_an_earlier_one_does_not(proc: Path) -> None:
    (found,) = told(proc, [cgroup2("/first", root="/b"), cgroup2("/second", root="/a")], ["0::/a/c"])
    assert found.own == "/second/c"


def test_the_groups_may_be_those_of_another_process(proc: Path) -> None:
    (found,) = told(proc, [cgroup2()], ["0::/node"], process="4711")
    assert found.own == "/sys/fs/cgroup/node"


def test_a_group_that_only_begins_like_the_mounted_one_is_not_below_it(proc: Path) -> None:
    assert told(proc, [cgroup2(root="/node")], ["0::/node-2"]) == []


def test_the_unified_hierarchy_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [hierarchy("/v1", 1), hierarchy("/v2", 2)]
    monkeypatch.setattr(cgroups, "hierarchies", lambda: both)
    assert cgroups.unified() is both[1]
    monkeypatch.setattr(cgroups, "hierarchies", lambda: both[:1])
    with pytest.raises(FileNotFoundError, match="no cgroup2 file system is mounted"):
        cgroups.unified()


def hierarchy(own: str, version: int, *controllers: str) -> Hierarchy:
    return Hierarchy(mountpoint=own, version=version, controllers=frozenset(controllers), own=own)


def test_a_new_cpuset_gets_what_its_parent_has(tmp_path: Path) -> None:
    for setting, value in (("cpus", "0-3\n"), ("mems", "0\n")):
        (tmp_path / f"cpuset.{setting}").write_text(value, encoding="ascii")
    group = Path(cgroups.create(hierarchy(str(tmp_path), 1, "cpuset"), "node"))
    assert group == tmp_path / "node"
    assert {path.name: path.read_text(encoding="ascii") for path in group.iterdir()} == {
        "cgroup.clone_children": "1",
        "cpuset.cpus": "0-3",
        "cpuset.mems": "0",
    }
    assert list(Path(cgroups.create(hierarchy(str(tmp_path), 2), "other")).iterdir()) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("cgroup.events", "populated 1\nfrozen 0\n", False),
        ("cgroup.events", "populated 1\nfrozen 1\n", True),
        ("cgroup.events", "populated 1\n", None),
        ("freezer.state", "FROZEN\n", True),
        ("freezer.state", "THAWED\n", False),
        ("freezer.state", "FREEZING\n", False),
        ("cgroup.procs", "", None),
    ],
)
def test_the_kernel_says_whether_a_group_is_frozen(tmp_path: Path, file: str, text: str, expected: bool | None) -> None:
    (tmp_path / file).write_text(text, encoding="ascii")
    assert cgroups.frozen(str(tmp_path)) is expected


def test_either_freezer_is_let_go_and_none_is_fine(tmp_path: Path) -> None:
    cgroups.thaw(str(tmp_path))
    assert (tmp_path / "cgroup.freeze").read_text(encoding="ascii") == "0"
    assert (tmp_path / "freezer.state").read_text(encoding="ascii") == "THAWED"
    cgroups.thaw(str(tmp_path / "nowhere"))


def test_processes_of_a_group_are_its_own_alone(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text("12\n7\n", encoding="ascii")
    (tmp_path / "below" / "cgroup.procs").write_text("13\n", encoding="ascii")
    assert cgroups.processes(str(tmp_path)) == [12, 7]
    assert cgroups.processes(str(tmp_path / "nowhere")) == []


def test_a_process_that_ends_is_told_from_one_that_lives() -> None:
    assert not cgroups.is_ending(os.getpid())
    if not (child := os.fork()):
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert cgroups.is_ending(child), "it still has its number"
    os.waitpid(child, 0)
    assert cgroups.is_ending(child)


def test_groups_are_listed_deepest_first(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert cgroups.subgroups(str(tmp_path)) == [f"{tmp_path}/a/b", f"{tmp_path}/a", f"{tmp_path}"]
    assert cgroups.subgroups(str(tmp_path / "nowhere")) == []


def test_removal_thaws_ends_and_removes_all_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group, below = tmp_path / "node", tmp_path / "node" / "container"
    below.mkdir(parents=True)
    (below / "cgroup.procs").write_text("4711\n", encoding="ascii")
    done: list[object] = []

    def kill(*process: int) -> None:
        """Act like the kernel: the process leaves its group, and a group's files are deleted with the group."""
        done.append(process)
        (below / "cgroup.procs").unlink()

    monkeypatch.setattr(cgroups, "thaw", done.append)
    monkeypatch.setattr(os, "kill", kill)
    assert cgroups.remove(str(group)) == []
    assert not group.exists()
    assert done == [str(below), (4711, 9), str(group)], "a frozen task of v1 cannot be killed"


def test_groups_that_resist_are_told(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "stuck").touch()
    assert cgroups.remove(str(tmp_path / "node"), seconds=0) == [f"{tmp_path}/node"]
    assert cgroups.remove(str(tmp_path / "nowhere"), seconds=0) == []


OURS = f"stillframe-{os.getpid()}-{cgroups.start_time(os.getpid())}-node"


@pytest.mark.parametrize(
    ("name", "supervised"),
    [
        (OURS, True),
        (f"stillframe-{os.getpid()}-1-node", False),
        ("stillframe-99999999-1-node", False),
        ("stillframe-node", False),
        ("stillframe-", False),
    ],
    ids=["alive", "its number is taken by another", "gone", "no number", "nothing"],
)
def test_a_group_knows_its_supervisor(name: str, supervised: bool) -> None:
    assert cgroups._supervised(name) is supervised


HARNESS, WORKER, SUPERVISOR = 4001, 4002, 4003


@pytest.mark.parametrize(
    ("parents", "us", "theirs"),
    [
        ({SUPERVISOR: HARNESS, HARNESS: 1}, HARNESS, False),
        ({SUPERVISOR: WORKER, WORKER: HARNESS, HARNESS: 700, 700: 1}, HARNESS, False),
        ({SUPERVISOR: WORKER, WORKER: HARNESS, HARNESS: 700, 700: 1}, WORKER, False),
        ({SUPERVISOR: WORKER, WORKER: HARNESS, HARNESS: 700, 700: 1}, 4004, True),
        ({SUPERVISOR: HARNESS, HARNESS: 1}, 4004, True),
        ({SUPERVISOR: HARNESS, HARNESS: 700}, 4004, True),
        ({SUPERVISOR: 1}, HARNESS, False),
    ],
    ids=[
        "ours",
        "of our worker",
        "of us, a worker",
        "of another worker or run",
        "of another run",
        "of another run that is just ending",
        "of a worker that is gone",
    ],
)
def test_a_group_belongs_to_the_run_that_its_supervisor_descends_from(
    monkeypatch: pytest.MonkeyPatch, parents: dict[int, int], us: int, theirs: bool
) -> None:
    monkeypatch.setattr(cgroups, "_supervised", lambda _: True)
    monkeypatch.setattr(cgroups, "_parent", lambda pid: parents.get(pid, 0))
    monkeypatch.setattr(os, "getpid", lambda: us)
    assert cgroups.of_another_run(f"/cg/stillframe-{SUPERVISOR}-1-node") is theirs


NOBODY = {
    "its number is taken": f"stillframe-{os.getpid()}-1-node",
    "gone": "stillframe-99999999-1-node",
    "odd": "stillframe-node",
}


@pytest.mark.parametrize("name", NOBODY.values(), ids=NOBODY)
def test_a_group_without_its_supervisor_belongs_to_nobody_else(name: str) -> None:
    assert cgroups.of_another_run(f"/cg/{name}") is False


def test_a_process_knows_its_parent() -> None:
    assert cgroups._parent(os.getpid()) == os.getppid()
    assert cgroups._parent(99_999_999) == 0


def test_the_sweep_takes_abandoned_groups_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = "stillframe-99999999-1-runc"
    for name in (f"user.slice/{stale}/container", f"user.slice/{OURS}/{stale}", "user.slice/other"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [hierarchy(str(tmp_path), 2)])
    monkeypatch.setattr(cgroups, "thaw", lambda _: None)
    assert cgroups.sweep() == [f"{tmp_path}/user.slice/{stale}"]
    assert {path.name for path in (tmp_path / "user.slice").iterdir()} == {OURS, "other"}
    assert (tmp_path / "user.slice" / OURS / stale).is_dir(), "what is in a node belongs to its supervisor"
