"""The command `shell`: what it shares with the host, and how it greets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.commands.declarations.runs import SHELL
from harness.commands.shell import PROGRAMS, _configure, _versions, greeting, is_empty, shareable
from harness.model.errors import UsageError
from harness.runtimes.criu_configuration import DEFAULT
from tests.folder_node import FolderNode

IMAGE = "/srv/stillframe/image"
FOUND = dict.fromkeys(PROGRAMS, "28.5.2+dfsg4")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_folder_is_shared_by_the_path_that_it_really_has(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert shareable("--share", tmp_path / "link", cache) == tmp_path / "there"


def test_what_is_no_folder_is_not_shared(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=rf"--share {tmp_path}/nothing: No such file or directory\. Make the folder"):
        shareable("--share", tmp_path / "nothing", cache)
    with pytest.raises(UsageError, match=rf"--share {tmp_path}/file is not a folder\. Name a folder of your own\."):
        shareable("--share", tmp_path / "file", cache)
    (tmp_path / "circle").symlink_to("circle")
    for broken in ("circle", "nul\0"):
        with pytest.raises(UsageError, match="--share"):
            shareable("--share", tmp_path / broken, cache)


@pytest.mark.parametrize(
    "folder", ["/", "/proc", "/proc/self", "/sys/fs", "/dev", "/etc", "/usr/share", "/run", "/tmp"]
)
def test_the_system_s_folders_are_not_shared(folder: str, tmp_path: Path, cache: Path) -> None:
    link = tmp_path / "innocent"
    link.symlink_to(folder)
    for path in (Path(folder), link):
        with pytest.raises(UsageError, match="root in the node could change the host's own files"):
            shareable("--share", path, cache)


@pytest.mark.parametrize("name", [".", "cache", "cache/stacks"])
def test_the_stacks_are_not_shared(name: str, tmp_path: Path, cache: Path) -> None:
    (cache / "stacks").mkdir(parents=True)
    with pytest.raises(UsageError, match="which a node must not change"):
        shareable("--share", tmp_path / name, cache)


@pytest.mark.parametrize("shared", [None, Path("/home/ada/share")])
def test_the_greeting_fits_a_terminal(shared: Path | None) -> None:
    lines = list(greeting("debian-experimental", IMAGE, shared, FOUND))
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for told in ("debian-experimental", f"{IMAGE}/ledger", "/srv/share", "criu 28.5.2+dfsg4", "stillframe show CELL"):
        assert told in text
    assert ("on the host: /home/ada/share" in text) is (shared is not None)
    assert ("--share DIR" in text) is (shared is None)


def test_the_greeting_speaks_of_what_is_there() -> None:
    text = "\n".join(greeting("bare", IMAGE, None, {"runsc": "1"}))
    assert "Podman" not in text
    assert "runsc 1\n" in text
    assert "\n\n" not in "\n".join(greeting("bare", IMAGE, None, {}))


@pytest.fixture
def node(tmp_path: Path) -> FolderNode:
    node = FolderNode(tmp_path)
    node.put("/proc/1/cgroup", "1:pids:/\n0::/\n")
    node.put("/sys/fs/cgroup/cgroup.controllers", "")
    return node


def test_versions_are_read_from_the_programs_that_are_there(node: FolderNode) -> None:
    for program in ("runc", "podman", "dockerd"):
        node.put(f"/usr/bin/{program}", "")
    node.answer("runc", stdout="runc version 1.3.6+ds1\ncommit: 1\n")
    node.answer("dockerd", stdout="Docker version 28.5.2+dfsg4, build 1\n")
    node.answer("podman", 126, stderr="cannot run")
    assert _versions(node) == {"runc": "1.3.6+ds1", "podman": "(does not run here)", "dockerd": "28.5.2+dfsg4"}


def test_podman_and_criu_are_configured_where_they_are(node: FolderNode) -> None:
    _configure(node)
    assert not node.path("/etc").exists()
    node.put("/usr/sbin/criu", "")
    node.put("/usr/bin/podman", "")
    _configure(node)
    assert 'driver = "overlay"' in node.read("/etc/containers/storage.conf")
    assert node.read("/etc/containers/containers.conf") == "[containers]\npids_limit = 0\n"
    assert node.read("/etc/criu/runc.conf") == node.read("/etc/criu/crun.conf") == "manage-cgroups=ignore\n"
    assert node.read(DEFAULT) == "cgroup-root=pids:/\n"


def test_its_options_are_read() -> None:
    found = SHELL.read(["debian-sid", "--share", "x"])
    assert (found.stack_name, found.share) == ("debian-sid", Path("x"))


def test_input_that_ends_at_once_is_noticed_and_other_input_is_not_consumed(tmp_path: Path) -> None:
    script = tmp_path / "script"
    for content, empty in (("", True), ("true\n", False)):
        script.write_text(content, encoding="utf-8")
        ours, theirs = os.pipe()
        os.write(theirs, content.encode())
        os.close(theirs)
        with script.open("rb") as file, open(ours, "rb") as pipe:
            assert (is_empty(file.fileno()), is_empty(pipe.fileno())) == (empty, empty)
            assert file.read() == pipe.read() == content.encode()
    with Path(os.devnull).open("rb") as nothing:
        assert is_empty(nothing.fileno())


def test_a_folder_without_a_name_or_with_one_that_is_no_text_is_not_shared(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        SHELL.read(["debian-sid", "--share", ""])
    odd = tmp_path / os.fsdecode(b"bad\xff")
    odd.mkdir()
    with pytest.raises(UsageError, match="the name is not UTF-8"):
        shareable("--share", odd, tmp_path / "cache")
