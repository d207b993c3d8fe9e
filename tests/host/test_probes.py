from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.host import cgroups, compiler, probes
from harness.host.probes import Finding, examine
from harness.model.errors import EnvironmentUnfit

TOOLS = ("cc", "mmdebstrap", "unshare", "setpriv")


@pytest.fixture(autouse=True)
def _fit_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with root, all tools, a cgroup2 hierarchy and much disk space; the kernel is the real one."""
    unified = cgroups.Hierarchy(mountpoint=str(tmp_path), version=2, controllers=frozenset(), own=str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [unified])
    monkeypatch.delenv("CC", raising=False)
    equip(monkeypatch)


def equip(monkeypatch: pytest.MonkeyPatch, *tools: str, gib: float = 50) -> None:
    given = tools or TOOLS
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in given else None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(gib * (1 << 30))))


def finding(what: str, cache: Path = Path("/")) -> Finding:
    return next(each for each in examine(cache) if each.what == what)


def test_everything_is_looked_at_and_has_evidence_and_a_remedy(tmp_path: Path) -> None:
    findings = list(examine(tmp_path / "not" / "yet"))
    assert [each.what for each in findings] == [
        "root",
        "CAP_SYS_ADMIN",
        "kernel with checkpoint/restore",
        "namespaces",
        "overlay file system",
        "cgroup2",
        "C compiler",
        "tools for stacks",
        "disk space",
    ]
    assert all(each.evidence and (each.fit or each.remedy) for each in findings)


@pytest.mark.parametrize("what", ["root", "cgroup2", "C compiler", "tools for stacks", "disk space"])
def test_a_fit_machine_is_found_fit(what: str) -> None:
    assert finding(what).fit


def test_an_ordinary_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert finding("root") == Finding("root", fit=False, evidence="effective user id 1000", remedy="Run it with sudo.")


def test_a_machine_without_a_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    equip(monkeypatch, "mmdebstrap")
    assert finding("C compiler") == Finding(
        "C compiler",
        fit=False,
        evidence="there is no C compiler: none of cc, gcc, clang is installed",
        remedy="Install gcc and libc6-dev",
    )


@pytest.mark.parametrize("chosen", ["", "gcc", "gcc -m64", "tcc"])
def test_the_compiler_is_found_exactly_when_a_workload_could_be_compiled(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", chosen)
    equip(monkeypatch, "cc", "gcc")
    try:
        path = compiler.find()[0]
    except EnvironmentUnfit:
        assert not finding("C compiler").fit
    else:
        assert (finding("C compiler").fit, finding("C compiler").evidence) == (True, path)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    equip(monkeypatch, "cc", "unshare")
    found = finding("tools for stacks")
    assert (found.fit, found.evidence) == (False, "missing: mmdebstrap, setpriv")
    assert "apt-get install mmdebstrap" in found.remedy


@pytest.mark.parametrize(("gib", "fit"), [(2.9, False), (3.0, True)])
def test_room_is_counted_where_the_cache_will_be(
    gib: float, fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=int(gib * (1 << 30)))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    found = finding("disk space", tmp_path / "not" / "yet")
    assert (found.fit, found.evidence) == (fit, f"{gib} GiB free in the cache")
    assert asked == [tmp_path]


def test_a_container_that_may_not_make_groups_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NOSUID))
    found = finding("cgroup2")
    assert (found.fit, found.evidence) == (False, f"{tmp_path} is read-only")
    assert "privileged" in found.remedy


def test_a_machine_without_cgroup2_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    old = cgroups.Hierarchy(mountpoint="/cg/pids", version=1, controllers=frozenset({"pids"}), own="/cg/pids")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [old])
    found = finding("cgroup2")
    assert (found.fit, found.evidence) == (False, "pids at /cg/pids")
    monkeypatch.setattr(cgroups, "hierarchies", list)
    assert finding("cgroup2").evidence == "none"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A simulated /proc in place of the kernel's."""
    proc = tmp_path / "proc"
    (proc / "self" / "ns").mkdir(parents=True)
    (proc / "self" / "status").write_text("Name:\tx\nCapEff:\t0000000000000000\n", encoding="ascii")
    (proc / "filesystems").write_text("nodev\tproc\n\text4\n", encoding="ascii")
    monkeypatch.setattr(probes, "Path", lambda path: tmp_path / path.lstrip("/"))
    return proc


def test_a_kernel_that_lacks_everything_is_told(kernel: Path) -> None:
    (kernel / "self" / "ns" / "mnt").touch()
    found = {each.what: each for each in examine(Path("/"))}
    assert not found["CAP_SYS_ADMIN"].fit
    assert not found["kernel with checkpoint/restore"].fit
    assert not found["overlay file system"].fit
    assert found["namespaces"].evidence == "missing: pid, cgroup, ipc, uts, net"


def test_a_kernel_that_has_everything_is_found_fit(kernel: Path) -> None:
    (kernel / "self" / "map_files").mkdir()
    (kernel / "self" / "status").write_text("CapEff:\t0000000000200000\n", encoding="ascii")
    (kernel / "filesystems").write_text("nodev\tproc\nnodev\toverlay\n", encoding="ascii")
    for kind in ("mnt", "pid", "cgroup", "ipc", "uts", "net"):
        (kernel / "self" / "ns" / kind).touch()
    assert [each for each in examine(Path("/")) if not each.fit] == []
