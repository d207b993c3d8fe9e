"""A daemon's state: whether it has ended, and its last log lines."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.host import audit
from harness.host.process import NodeProcess
from harness.model.errors import EnvironmentUnfit
from harness.stacks.daemon import Daemon
from tests.folder_node import FolderNode


class Running(NodeProcess):
    """A process that runs until `code` is set; its code can be read once."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.hung_up = 0

    def wait(self, seconds: float) -> int | None:
        assert seconds == 0, "a look at it must not take time"
        assert not self.hung_up
        code, self.code = self.code, -99 if self.code is not None else None
        return code

    def hang_up(self) -> None:
        self.hung_up += 1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "dockerd.log"
    log.write_bytes(b"first\n\nsecond\n  third \xff\nlast\n \n")
    return log


def test_a_daemon_that_runs_is_fine(log: Path) -> None:
    daemon = Daemon(("dockerd",), Running(), log)
    for _ in range(2):
        daemon.check()
    assert not daemon.ended


def test_a_daemon_that_has_ended_is_an_error_with_its_last_words(log: Path) -> None:
    process = Running()
    process.code = 1
    daemon = Daemon(("dockerd",), process, log)
    for _ in range(2):  # its code can be had only once
        with pytest.raises(EnvironmentUnfit) as raised:
            daemon.check()
        assert str(raised.value) == ("dockerd has ended with code 1: second /   third \N{REPLACEMENT CHARACTER} / last")


def test_a_daemon_that_ended_without_a_word_is_an_error_too(log: Path) -> None:
    log.write_bytes(b"")
    process = Running()
    process.code = 0
    with pytest.raises(EnvironmentUnfit, match="dockerd has ended with code 0: it said nothing"):
        Daemon(("dockerd",), process, log).check()


@pytest.mark.parametrize(("code", "times"), [(None, 1), (0, 0)])
def test_a_daemon_is_let_go_unless_it_has_ended(log: Path, code: int | None, times: int) -> None:
    process = Running()
    process.code = code
    Daemon(("dockerd",), process, log).let_go()
    assert process.hung_up == times


def test_a_daemon_that_was_let_go_can_be_asked_and_let_go_again(log: Path) -> None:
    process = Running()
    daemon = Daemon(("dockerd",), process, log)
    for _ in range(2):
        daemon.let_go()
    assert process.hung_up == 1
    with pytest.raises(EnvironmentUnfit, match="dockerd was ended: second"):
        daemon.check()


@pytest.mark.parametrize(("lines", "told"), [(1, ("last",)), (9, ("first", "second", "  third \ufffd", "last"))])
def test_of_a_log_the_end_is_told(log: Path, lines: int, told: tuple[str, ...]) -> None:
    assert Daemon(("dockerd",), Running(), log).tail(lines) == told


def test_the_logs_of_a_node_say_whose_they_are(log: Path, tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    assert node.daemon_logs(2) == ()
    node.daemons += [Daemon(("containerd",), Running(), log), Daemon(("dockerd",), Running(), log)]
    assert node.daemon_logs(1) == ("containerd: last", "dockerd: last")


def test_of_what_crashed_the_first_words_are_told(tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    node.crash_logs = {"/var/log/runsc.panic": 0, "/nowhere": 0}
    crashed = "chatter\npanic: one\n\ngoroutine 44:\nrun.go:1\nfatal error: two\n"
    node.put("/var/log/runsc.panic", crashed)
    assert node.crashes() == ("panic: one", "fatal error: two")
    node.mark()
    assert node.crashes() == ()
    node.put("/var/log/runsc.panic", crashed + "panic: three\n")
    assert node.crashes() == ("panic: three",)


def test_what_a_log_said_before_a_mark_is_not_told_again(log: Path, tmp_path: Path) -> None:
    node = FolderNode(tmp_path)
    node.daemons.append(Daemon(("dockerd",), Running(), log))
    node.mark()
    assert node.daemon_logs(9) == ()
    with log.open("a", encoding="utf-8") as more:
        more.write("and this\n")
    assert node.daemon_logs(9) == ("dockerd: and this",)


def test_a_daemon_is_started_again_as_it_was_started_and_answers_before_anybody_goes_on(log: Path) -> None:
    ended, begun = Running(), Running()
    launched: list[tuple[list[str], Path]] = []

    class Executor:
        def launch(self, argv: list[str], *, log: Path) -> Running:
            launched.append((argv, log))
            return begun

    answers = iter([True, True])
    daemon = Daemon(["dockerd", "--debug"], ended, log)
    daemon.await_answer(lambda: next(answers), seconds=5)
    ended.code = -9
    assert daemon.ended
    daemon.revive(Executor())  # type: ignore[arg-type]
    assert launched == [(["dockerd", "--debug"], log)]
    assert (list(answers), daemon.ended) == ([], False)


def test_what_a_daemon_has_that_was_started_again_is_not_left_behind(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = FolderNode(tmp_path)
    node.daemons += [Daemon(("containerd",), Running(), log), Daemon(("dockerd",), Running(), log)]
    node.daemons[0].revived = True
    found = ("file /tmp/containerd", "process 7 containerd", "process 8 containerd", "process 9 dockerd")
    monkeypatch.setattr(audit, "family", lambda _, names: ["7 containerd"] if names == {"containerd"} else [])
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "api"))
        told = node.without_revived((*found, f"file {tmp_path}/api", f"file {tmp_path}/api.old"))
    left = ("file /tmp/containerd", "process 8 containerd", "process 9 dockerd", f"file {tmp_path}/api.old")
    assert told == left
    node.daemons[0].revived = False
    assert node.without_revived(found) == found
