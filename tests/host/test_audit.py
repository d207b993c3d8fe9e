from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.host import audit, cgroups
from harness.host.audit import Snapshot


def snapshot(*items: str) -> Snapshot:
    return Snapshot(frozenset(items))


def test_what_is_new_was_left_behind() -> None:
    before = snapshot("mount / (overlay)", "process 1 init", "file /run/a")
    after = snapshot("mount / (overlay)", "process 1 init", "process 9 criu", "cgroup /cg/x")
    assert after.leaks(before) == ("cgroup /cg/x", "process 9 criu")


def test_what_went_away_is_no_leak() -> None:
    assert snapshot("process 1 init").leaks(snapshot("process 1 init", "process 2 criu")) == ()
    assert snapshot().leaks(snapshot("process 2 criu")) == ()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a node with two processes and some files."""
    for pid, line in ((1, "1 (init) S 0 1 1"), (42, "42 (a) b (c) T 1 42 42")):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "stat").write_text(f"{line}\n", encoding="ascii")
        (folder / "cgroup").write_text("1:pids:/\n0::/clone\n", encoding="ascii")
    (tmp_path / "proc" / "77").mkdir()
    (tmp_path / "proc" / "meminfo").touch()
    (tmp_path / "run" / "runc" / "one" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "run" / "runc" / "one" / "state.json").touch()
    (tmp_path / "run" / "link").symlink_to("/proc")
    return tmp_path


def test_processes_are_named_and_those_that_just_ended_are_passed_over(root: Path) -> None:
    assert {number: each.name for number, each in audit._running(str(root / "proc")).items()} == EVERYBODY


EVERYBODY = {1: "init", 42: "a) b (c"}


@pytest.mark.parametrize(("alive", "left"), [("/clone", set()), ("/source", {1, 42}), ("", {1, 42})])
def test_processes_of_a_group_that_is_alive_are_passed_over(root: Path, alive: str, left: set[int]) -> None:
    assert set(audit._running(str(root / "proc"), without=alive)) == left


def test_the_family_of_a_daemon_is_what_the_node_has_started_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = {
        1: audit.Running("init", "S", 0, "0::/"),
        7: audit.Running("dockerd", "S", 1, "0::/"),
        8: audit.Running("containerd", "S", 7, "0::/"),
        9: audit.Running("runc", "S", 8, "0::/"),
        10: audit.Running("dockerd", "S", 9, "0::/"),
        11: audit.Running("ledger", "S", 1, "0::/"),
    }
    monkeypatch.setattr(audit, "_running", lambda _: running)
    assert audit.family(1, {"dockerd"}) == ["7 dockerd", "8 containerd"]


def test_what_hangs_is_described_as_a_tree_with_state_group_freezer_and_where_it_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "proc/42/stack").write_text("[<0>] ptrace_stop+0x1/0x2\n[<0>] do_signal+0x3/0x4\n", encoding="ascii")
    (root / "clone").mkdir()
    (root / "clone/cgroup.events").write_text("populated 1\nfrozen 1\n", encoding="ascii")
    unified = cgroups.Hierarchy(mountpoint=str(root), version=2, controllers=frozenset(), own="/")
    monkeypatch.setattr(cgroups, "unified", lambda: unified)
    assert audit.tree_below(str(root / "proc")) == [
        "1 init state S cgroup 0::/clone, frozen",
        "  42 a) b (c state T cgroup 0::/clone, frozen in ptrace_stop < do_signal",
    ]


def test_files_are_listed_down_to_a_depth_and_links_are_not_followed(root: Path) -> None:
    listed = set(audit._files(root / "run", "/run", 3))
    assert listed == {"/run/runc", "/run/runc/one", "/run/runc/one/deep", "/run/runc/one/state.json", "/run/link"}
    assert set(audit._files(root / "run", "/run", 1)) == {"/run/runc", "/run/link"}
    assert set(audit._files(root / "nowhere", "/nowhere", 3)) == set()


def test_mounts_are_named_by_place_and_kind(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n31 25 0:5 /x /a rw - ext4 /dev/sda1 rw\n",
        encoding="ascii",
    )
    assert list(audit._mounts(str(mountinfo))) == ["/sys/fs/cgroup (cgroup2)", "/a (ext4)"]


def test_a_node_owns_the_group_that_carries_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def hierarchies(_: int) -> list[cgroups.Hierarchy]:
        groups = ("/cg/user.slice/stillframe-7-1-runc/init", "/cg/pids/stillframe-7-1-runc")
        return [cgroups.Hierarchy(mountpoint="/cg", version=2, controllers=frozenset(), own=own) for own in groups]

    monkeypatch.setattr(cgroups, "hierarchies", hierarchies)
    assert audit.groups_of(7) == ["/cg/user.slice/stillframe-7-1-runc", "/cg/pids/stillframe-7-1-runc"]


def test_nodes_of_another_run_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = (str(tmp_path / name) for name in ("stillframe-1-1-ours", "stillframe-2-1-theirs"))
    for group in (ours, theirs):
        Path(group, "below").mkdir(parents=True)
        Path(group, "below", "cgroup.procs").write_text(f"{os.getpid()}\n99999999\n", encoding="ascii")
    monkeypatch.setattr(audit, "HOST_FOLDERS", ())
    monkeypatch.setattr(audit, "_network", lambda: ["link lo"])
    monkeypatch.setattr(audit, "_mounts", lambda _: ["/tmp/stillframe (tmpfs)", "/ (overlay)"])
    monkeypatch.setattr(cgroups, "of_nodes", lambda: [ours, theirs])
    monkeypatch.setattr(cgroups, "of_another_run", lambda group: group == theirs)
    name = Path(f"/proc/{os.getpid()}/comm").read_text(encoding="utf-8").strip()
    assert audit.of_host().items == {
        "mount /tmp/stillframe (tmpfs)",
        f"cgroup {ours}",
        f"process {os.getpid()} {name}",
        "link lo",
    }
