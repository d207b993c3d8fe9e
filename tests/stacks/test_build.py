"""Stacks, built with a stand-in for mmdebstrap that makes a folder or fails with mmdebstrap's messages."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.host.process import BASE_ENVIRONMENT, HOST, Journal
from harness.model.errors import StackUnavailable
from harness.stacks import build, definition
from harness.stacks.build import MIRROR_VARIABLE, prepare
from harness.stacks.definition import StackDefinition

STACK = StackDefinition(name="mine", description="A stack", suite="sid", packages=("criu", "runc"))
ROOT = 'for word; do case "$word" in */root) root=$word ;; esac; done; mkdir -p "$root/bin"'
BUILDS = f'{ROOT}; echo shell > "$root/bin/sh"; ln -s sh "$root/bin/bash"'
FAILS = f"{ROOT}; echo 'I: chroot' >&2; echo 'E: no such suite' >&2; echo 'I: main() received signal' >&2; exit 25"
QUIET: Callable[[str], None] = lambda _: None  # noqa: E731


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins that is first on every search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setitem(BASE_ENVIRONMENT, "PATH", f"{folder}:{BASE_ENVIRONMENT['PATH']}")
    monkeypatch.setattr(HOST, "journal", Journal())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(build, "BUILD_SECONDS", 20.0)
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    for name in ("setpriv", "unshare"):
        install(folder, name, 'until [ "$1" = mmdebstrap ]; do shift; done; exec "$@"')
    install(folder, "mmdebstrap", BUILDS)
    install(folder, "apt-get", "exit 1")
    return folder


def install(folder: Path, name: str, lines: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def builds() -> list[tuple[str, ...]]:
    """The mmdebstrap part of each build's command line."""
    lines = [command.argv for command in HOST.journal.commands if "mmdebstrap" in command.argv]
    return [line[line.index("mmdebstrap") :] for line in lines]


@pytest.fixture
def cache(tmp_path: Path, programs: Path) -> Path:
    return tmp_path / "cache"


def prepared(cache: Path, stack: StackDefinition = STACK, **changes: Any) -> Path:
    return prepare(stack, cache, **{"mirror": None, "progress": QUIET, **changes})


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "stacks").iterdir() if path.name.startswith(".")]


def test_a_stack_is_built_once_and_used_again(cache: Path) -> None:
    told: list[str] = []
    root = prepared(cache, progress=told.append)
    assert (root / "bin" / "sh").read_text(encoding="ascii") == "shell\n"
    assert root.parent.name == f"mine-{STACK.key}"
    assert (told[0], told[-1]) == ("mine: building with mmdebstrap", "mine: ready")
    assert prepared(cache, progress=told.append) == root
    assert len(builds()) == 1
    assert leftovers(cache) == []


def test_a_stack_that_exists_is_used_as_it_is(cache: Path, tmp_path: Path) -> None:
    host = StackDefinition(name="host", description="This machine", root=tmp_path)
    assert prepared(cache, host) == tmp_path
    assert builds() == []


def test_the_build_dies_with_us(cache: Path) -> None:
    prepared(cache)
    (line,) = (command.argv for command in HOST.journal.commands if "mmdebstrap" in command.argv)
    assert line[:3] == ("setpriv", "--pdeathsig", "KILL")
    assert {"unshare", "--pid", "--kill-child"} <= set(line[: line.index("mmdebstrap")])


def test_packages_and_suite_are_those_of_the_definition(cache: Path) -> None:
    prepared(cache, mirror="http://m/debian")
    (line,) = builds()
    assert "--include=criu,runc" in line
    suite, target, mirror = line[-3:]
    assert (suite, mirror) == ("sid", "http://m/debian")
    assert target.endswith("/root")


def test_a_second_suite_has_the_sources_of_the_first(cache: Path, tmp_path: Path) -> None:
    stack = definition.load("debian-experimental")
    prepared(cache, stack)
    (line,) = builds()
    assert line[-2] == "sid"
    assert f"--include={','.join(stack.packages)}" in line
    (hook,) = (word.removeprefix("--setup-hook=") for word in line if word.startswith("--setup-hook="))
    sources = tmp_path / "chroot" / "etc" / "apt" / "sources.list.d"
    sources.mkdir(parents=True)
    (sources.parent / "sources.list").write_text("deb [trusted=no] http://m/sid sid main\n", encoding="ascii")
    HOST.run(["sh", "-c", hook, "hook", str(tmp_path / "chroot")])
    listed = (sources / "experimental.list").read_text(encoding="ascii")
    assert listed == "deb [trusted=no] http://m/sid experimental main\n"


@pytest.mark.parametrize(
    ("option", "environment", "host", "used"),
    [
        ("http://option", "http://environment", "http://host", ["http://option"]),
        (None, "http://environment", "http://host", ["http://environment"]),
        (None, None, "http://host", ["http://host"]),
        (None, None, None, []),
    ],
)
def test_the_mirror_is_what_was_named_closest(
    cache: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    environment: str | None,
    host: str | None,
    used: list[str],
) -> None:
    if environment:
        monkeypatch.setenv(MIRROR_VARIABLE, environment)
    if host:
        targets = f"Ubuntu|Ubuntu|http://ubuntu\nDebian|Debian-Security|http://security\nDebian|Debian|{host}\n"
        install(programs, "apt-get", f"printf %s {shlex.quote(targets)}")
    prepared(cache, mirror=option)
    (line,) = builds()
    assert list(line[line.index("sid") + 2 :]) == used


def test_a_failing_build_leaves_nothing_and_says_why_in_mmdebstraps_words(cache: Path, programs: Path) -> None:
    install(programs, "mmdebstrap", FAILS)
    with pytest.raises(StackUnavailable) as raised:
        prepared(cache)
    assert str(raised.value) == (
        "the stack mine cannot be built: E: no such suite. "
        "Check the network, or name a Debian mirror with --mirror URL or in STILLFRAME_MIRROR."
    )
    assert raised.value.exit_code == 3
    assert [path.name for path in (cache / "stacks").iterdir()] == ["mine.lock"]
    install(programs, "mmdebstrap", BUILDS)
    assert (prepared(cache) / "bin" / "sh").exists(), "a failure is not remembered"


def test_a_build_that_takes_too_long_is_told(cache: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(programs, "mmdebstrap", f"{ROOT}; exec tail -f /dev/null")
    monkeypatch.setattr(build, "BUILD_SECONDS", 0.1)
    with pytest.raises(StackUnavailable, match=r"did not end within 0\.1 s"):
        prepared(cache)
    assert leftovers(cache) == []


def test_a_build_that_was_interrupted_is_not_used(cache: Path, programs: Path) -> None:
    def interrupt(text: str) -> None:
        if text == "mine: downloading":
            raise KeyboardInterrupt

    install(programs, "mmdebstrap", f"{ROOT}; echo 'I: downloading' >&2; exec tail -f /dev/null")
    with pytest.raises(KeyboardInterrupt):
        prepared(cache, progress=interrupt)
    install(programs, "mmdebstrap", BUILDS)
    assert (prepared(cache) / "bin" / "sh").exists()


def test_what_a_killed_build_left_is_removed_and_that_of_others_is_not(cache: Path) -> None:
    (cache / "stacks" / ".building-mine-0123456789abcdef" / "root").mkdir(parents=True)
    (cache / "stacks" / ".building-other-0123456789abcdef").mkdir()
    prepared(cache)
    assert leftovers(cache) == [".building-other-0123456789abcdef"]


def test_a_stack_whose_name_goes_on_is_another_stack(cache: Path) -> None:
    (cache / "stacks" / ".building-mine-too-0123456789abcdef").mkdir(parents=True)
    prepared(cache)
    assert leftovers(cache) == [".building-mine-too-0123456789abcdef"], "its builder may be at work"


def remove(root: Path) -> None:
    (root / "bin" / "sh").unlink()


def add(root: Path) -> None:
    (root / "bin" / "ssh").touch()


def grow(root: Path) -> None:
    (root / "bin" / "sh").write_text("shell and more\n", encoding="ascii")


def expose(root: Path) -> None:
    (root / "bin" / "sh").chmod(0o4755)


def forget(root: Path) -> None:
    (root.parent / "fingerprint").unlink()


def lose(root: Path) -> None:
    shutil.rmtree(root)


@pytest.mark.parametrize("damage", [remove, add, grow, expose, forget, lose])
def test_a_damaged_stack_is_built_again(cache: Path, damage: Callable[[Path], None]) -> None:
    damage(prepared(cache))
    told: list[str] = []
    root = prepared(cache, progress=told.append)
    assert told[0] == "mine: the cached copy is damaged; building it again"
    assert (root / "bin" / "sh").read_text(encoding="ascii") == "shell\n"
    assert len(builds()) == 2


def test_a_changed_definition_is_built_beside_the_old_one(cache: Path) -> None:
    before = prepared(cache)
    after = prepared(cache, STACK.model_copy(update={"packages": ("criu",)}))
    assert before != after
    assert before.exists()
    assert len(builds()) == 2


def test_two_builders_at_once_build_once(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    install(programs, "mmdebstrap", f"read _ < {fifo}; {BUILDS}")
    arrived, lock = threading.Semaphore(0), fcntl.flock

    def arrive(*arguments: Any) -> None:
        arrived.release()
        lock(*arguments)

    monkeypatch.setattr(fcntl, "flock", arrive)
    with ThreadPoolExecutor() as pool:
        roots = [pool.submit(prepared, cache) for _ in range(2)]
        both_came = all(arrived.acquire(timeout=10) for _ in range(2))
        with fifo.open("w", encoding="ascii"):  # waits for the first build to have begun, and lets it go on
            pass
        assert len({root.result(timeout=10) for root in roots}) == 1
    assert both_came
    assert len(builds()) == 1


def test_building_needs_root(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackUnavailable, match=r"^building a stack needs root\. Run it with sudo\.$"):
        prepared(cache)
    assert builds() == []


@pytest.mark.parametrize("missing", ["mmdebstrap", "setpriv", "unshare"])
def test_a_tool_that_is_not_installed_is_named_with_its_package(
    cache: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else which(name))
    with pytest.raises(StackUnavailable, match=rf": {missing} is not installed\. On Debian or Ubuntu: apt-get install"):
        prepared(cache)
    assert builds() == []


def test_a_full_disk_is_told_before_anything_is_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500 << 20))
    with pytest.raises(
        StackUnavailable, match=r"needs 1024 MiB, but .* has 500 MiB free\. Free some space, or .* --cache\."
    ):
        prepared(cache)
    assert builds() == []
    assert leftovers(cache) == []
