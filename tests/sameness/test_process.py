"""What the kernel tells of a process: real processes that differ in one thing, and files that are not there."""

from __future__ import annotations

import contextlib
import os
import subprocess  # noqa: TID251  # processes that differ in one thing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host.wait import until
from harness.sameness.facts import OWN, Key
from harness.sameness.process import Around, Process

LAST = ("sleep", "1000")
Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command that ends as `sleep`, and give its process id."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*before: str) -> int:
        words = [*before[:-1], f"{before[-1]} exec sleep 1000"] if before[:1] == ("sh",) else [*before, *LAST]
        running.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        pid = running[-1].pid
        until(lambda: _children(pid) or Path(f"/proc/{pid}/comm").read_text() == "sleep\n", seconds=20, what="sleep")
        return _children(pid)[0] if _children(pid) else pid

    yield run
    for each in running:
        for pid in (*_children(each.pid), each.pid):
            os.kill(pid, 9)
        each.wait()


def _children(pid: int) -> list[int]:
    """The children that have become `sleep`; others come and go."""
    found = []
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            found += [int(each)] if Path(f"/proc/{each}/comm").read_text() == "sleep\n" else []
    return found


def told(pid: int) -> dict[tuple[str, str], str]:
    """Everything the kernel tells of a process, without its id."""
    process = Process(pid)
    found = {(key.fact, key.of): value for key, value in process.read(Around.of(os.getpid()))}
    assert not process.unread
    return found


@pytest.mark.parametrize(
    ("before", "fact", "of"),
    [
        (("prlimit", "--nofile=100:200"), "resource limit", "open files"),
        (("nice", "-n", "5"), "nice", ""),
        (("setpriv", "--no-new-privs"), "no_new_privs", ""),
        (("setpriv", "--bounding-set", "-net_raw"), "bounding capabilities", ""),
        (("setpriv", "--inh-caps", "+net_raw"), "inheritable capabilities", ""),
        (("setpriv", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"), "ambient capabilities", ""),
        (("setpriv", "--reuid", "1000", "--keep-groups"), "user ids", ""),
        (("setpriv", "--reuid", "1000", "--keep-groups"), "effective capabilities", ""),
        (("setpriv", "--reuid", "1000", "--keep-groups"), "permitted capabilities", ""),
        (("setpriv", "--regid", "1000", "--keep-groups"), "group ids", ""),
        (("setpriv", "--groups", "5,6"), "groups", ""),
        (("chrt", "--idle", "0"), "scheduling", ""),
        (("taskset", "1"), "processors", ""),
        (("choom", "-n", "100", "--"), "oom_score_adj", ""),
        (("unshare", "--uts"), "namespace", "uts"),
        (("unshare", "--net"), "namespace", "net"),
        (("unshare", "--cgroup"), "namespace", "cgroup"),
        (("unshare", "--ipc"), "namespace", "ipc"),
        (("unshare", "--mount"), "namespace", "mnt"),
        (("unshare", "--fork", "--pid"), "namespace", "pid"),
        (("unshare", "--user", "--map-root-user"), "user mapping", ""),
        (("unshare", "--mount", "mount-read-only"), "mount", "/proc/bus"),
        (("setarch", "--addr-no-randomize"), "personality", ""),
        (("env", "NEW=1"), "environment", "NEW"),
        (("sh", "-c", "umask 0077;"), "umask", ""),
        (("sh", "-c", "cd /;"), "working folder", ""),
        (("sh", "-c", "exec 7<>/dev/null;"), "descriptor", "7"),
        (("sh", "-c", "trap '' HUP;"), "ignored signals", ""),
        (("sh", "-c", "echo 0x31 > /proc/self/coredump_filter;"), "dumped mappings", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_one_thing_that_differs_is_told(start: Start, before: tuple[str, ...], fact: str, of: str) -> None:
    if before[-1] == "mount-read-only":
        before = ("unshare", "--mount", "sh", "-c", "mount --bind -o ro /proc/bus /proc/bus; exec sleep 1000")
        other = told(_started(start, before))
    else:
        other = told(start(*before))
    plain = told(start("env"))
    assert other.get((fact, of)) != plain.get((fact, of))


def _started(start: Start, words: tuple[str, ...]) -> int:
    return start("env", *words, "ignored")  # `sh -c` takes what follows as its own arguments


def test_two_processes_that_are_alike_have_equal_facts(start: Start) -> None:
    one, other = told(start("env")), told(start("env"))
    assert one == other
    assert len(one) > 60


def test_an_own_namespace_is_told_from_a_shared_one(start: Start) -> None:
    found = told(start("unshare", "--net"))
    assert found["namespace", "net"] == OWN
    assert found["namespace", "uts"] == "the machine's"


def test_an_offset_a_lock_and_a_deleted_file_are_told(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("some text", encoding="utf-8")
    script = f"exec 8<{file}; flock -s 8; head -c 4 <&8 >/dev/null; rm {file};"
    found = told(start("sh", "-c", script))
    assert found["descriptor", "8"].startswith(f"{file} (deleted) flags ")
    assert found["lock", "of descriptor 8, bytes 0 to EOF"] == "FLOCK ADVISORY READ"
    assert found["offset", "of descriptor 8"] == "4"


PROGRAM = """
import socket, signal, threading, time, ctypes
one = socket.socket(); one.bind(("127.0.0.1", 0)); one.listen()
libc = ctypes.CDLL(None)
timer = ctypes.c_void_p()
assert libc.timer_create(0, None, ctypes.byref(timer)) == 0
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
"""


def test_sockets_timers_threads_and_signals_are_told() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        found = told(running.pid)
        running.kill()
    assert found["threads", ""] == "2"
    assert [of for fact, of in found if fact == "user ids" and of.startswith("of thread ")]
    assert found["blocked signals", ""] == "0000000000000200"
    assert found["timer", "0"].startswith("clock 0, signal 14, signal")
    (told_of,) = [value for (fact, _), value in found.items() if fact == "socket"]
    assert told_of.startswith("tcp 0100007F:")
    assert told_of.endswith("listens")


def test_what_a_kernel_does_not_tell_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "status").write_text("Name:\tx\nNSpid:\t7\t1\nUid:\t0\t0\t0\t0\n", encoding="utf-8")
    process = Process(7, tmp_path)
    found = dict(process.read(Around({}, {})))
    assert found[Key(1, "user ids")] == "0 0 0 0"
    assert process.unread["resource limit"] == "limits: No such file or directory"
    assert process.unread["effective capabilities"] == "CapEff in status: this kernel does not tell it"
    assert {key.fact for key in found}.isdisjoint(process.unread)


def test_a_process_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Process(7, tmp_path)
