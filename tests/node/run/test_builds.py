"""Builds of the user's own, laid over real nodes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.errors import EnvironmentUnfit, UsageError
from harness.model.machine import Component
from harness.stacks import builds
from harness.stacks.node import Node
from tests.node.conftest import STACK

WITH = f"{STACK}+mine"
LIBRARY = "usr/lib/x86_64-linux-gnu/libcriu.so.2"


@pytest.fixture
def node(stack_root: Path) -> Iterator[Callable[..., Node]]:
    """Starts a node of the variant with these builds."""
    started = []

    def start(*given: str) -> Node:
        builds.declare(given)
        builds.check(WITH, stack_root)
        started.append(Node(WITH, stack_root, name="builds"))
        return started[-1]

    yield start
    for each in started:
        each.end()
    builds.declare(())


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return path


def nameless(path: Path) -> Path:
    path.write_text("#! \n", encoding="utf-8")
    path.chmod(0o755)
    return path


def program(path: Path, source: str, *flags: str) -> Path:
    """Compile a program."""
    code = path.with_suffix(".c")
    code.write_text(source, encoding="utf-8")
    HOST.run(["cc", "-o", str(path), str(code), *flags], deadline=60)
    return path


def test_an_install_root_with_a_link_for_a_folder_replaces_the_program_in_both(
    node: Callable[..., Node], tmp_path: Path
) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/sbin").symlink_to("/usr/bin")
    script(tmp_path / "usr/bin/runc", "echo mine")
    os.mkfifo(tmp_path / "usr/bin/pipe")
    there = node(f"runc={tmp_path}")
    assert there.run(["/usr/sbin/runc"]).stdout == there.run(["/usr/bin/runc"]).stdout == "mine\n"
    assert there.run(["readlink", "/usr/sbin"], accept=(1,)).stdout == ""


def test_a_file_where_the_stack_has_a_folder_is_told(node: Callable[..., Node], tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    script(tmp_path / "usr/bin/runc", "echo mine")
    (tmp_path / "usr/lib").touch()
    with pytest.raises(UsageError, match="/usr/lib is a folder on one side, and not on the other"):
        node(f"runc={tmp_path}")


def test_a_wrapper_calls_what_it_replaces(node: Callable[..., Node], tmp_path: Path) -> None:
    wrapper = script(tmp_path / "podman", 'echo "$@" >>/tmp/asked', 'exec /usr/bin/podman.distrib "$@"')
    started = node(f"podman={wrapper}")
    builds.prove(started)
    assert "5." in started.run(["podman", "--version"]).stdout
    assert "--version" in started.read("/tmp/asked")


def test_an_install_root_brings_its_libraries(node: Callable[..., Node], stack_root: Path, tmp_path: Path) -> None:
    for place, own in (("usr/bin/crun", "usr/local/bin/crun"), (f"{LIBRARY}.0", f"usr/local/{LIBRARY[4:]}")):
        (tmp_path / own).parent.mkdir(parents=True)
        shutil.copy(stack_root / place, tmp_path / own)
    with (tmp_path / "usr/local/bin/crun").open("ab") as file:
        file.write(b"changed")
    started = node(f"crun={tmp_path}")
    builds.prove(started)
    assert started.path("/usr/bin/crun").read_bytes().endswith(b"changed")
    first = next(line for line in started.run(["ldconfig", "-p"]).stdout.splitlines() if "libcriu.so.2 " in line)
    assert first.endswith(f"/usr/local/{LIBRARY[4:]}")
    (found,) = builds.components(started, [Component(name="crun", version="1.21")])
    assert (found.version, len(found.sha256)) == ("1.21", 64)


def test_a_build_is_read_by_its_own_version(node: Callable[..., Node], tmp_path: Path) -> None:
    started = node(f"conmon={script(tmp_path / 'conmon', 'echo conmon version 9.8.7')}")
    (found,) = builds.components(started, [])
    assert (found.name, found.version) == ("conmon", "9.8.7")


def test_a_build_that_does_not_start_is_told_in_one_sentence(node: Callable[..., Node], tmp_path: Path) -> None:
    library = program(tmp_path / "libnothing-3.so.200", "int nothing(void) { return 0; }", "-shared", "-fPIC")
    HOST.run(
        ["cc", "-shared", "-Wl,-soname,libnothing-3.so.200", "-o", str(library), "-x", "c", "/dev/null"], deadline=60
    )
    lacking = program(tmp_path / "lacking", "int main(void) { return 0; }", "-Wl,--no-as-needed", str(library))
    arm = Path(shutil.copy("/usr/bin/true", tmp_path / "arm"))
    with arm.open("r+b") as file:
        file.seek(18)
        file.write(b"\xb7\x00")
    told = {
        lacking: r"the stack lacks libnothing-3.so.200 \(by Debian's rule for names, package libnothing-3-200\)",
        arm: "it is for AArch64",
        script(tmp_path / "loop", 'exec /usr/sbin/criu "$@"'): r"did not end within .*criu\.distrib",
        script(tmp_path / "gone", "exec /nowhere/criu"): "/nowhere/criu",
        nameless(tmp_path / "nameless"): "its first line names no interpreter",
        script(tmp_path / "killed", "kill -9 $$"): "SIGKILL",
    }
    for path, sentence in told.items():
        started = node(f"criu={path}")
        with pytest.raises(EnvironmentUnfit, match=sentence):
            builds.prove(started)


def test_an_interpreter_that_the_stack_lacks_is_named(node: Callable[..., Node], tmp_path: Path) -> None:
    path = script(tmp_path / "criu")
    path.write_text("#!/usr/bin/python3.99\n", encoding="utf-8")
    with pytest.raises(EnvironmentUnfit, match=r"its interpreter /usr/bin/python3\.99 is not in the stack"):
        builds.prove(node(f"criu={path}"))


def test_the_stack_itself_does_not_change(
    node: Callable[..., Node], start: Callable[[str], Node], stack_root: Path, tmp_path: Path
) -> None:
    before = (stack_root / "usr/sbin/criu").stat()
    node(f"criu={script(tmp_path / 'criu', 'echo mine')}").run(["criu"])
    assert "mine" not in start("plain").run(["criu", "--version"]).stdout
    assert (stack_root / "usr/sbin/criu").stat() == before
