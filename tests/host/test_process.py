"""The process gate on the host, with small shell scripts as programs."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host import process
from harness.host.process import BASE_ENVIRONMENT, OUTPUT_LIMIT, Host, NodeProcess, Patience, replay
from harness.host.wait import until
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, GivenUp
from harness.model.outcomes import Stage
from harness.model.readings import GivesUp

Script = Callable[[str], str]
WAIT_FOR_EVER = "read _ < {fifo}"
STUBBORN = "trap '' TERM;"


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a program from shell lines; a read of `{fifo}` in them never ends."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write(lines: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{lines.format(fifo=fifo)}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)


@pytest.fixture(autouse=True)
def _nothing_outlives_a_test(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in survivors(tmp_path):
        os.kill(pid, signal.SIGKILL)


def survivors(tmp_path: Path) -> list[int]:
    """Processes whose command line names the test's folder; a zombie's command line is empty."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if str(tmp_path).encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                found.append(int(entry))
    return found


def await_silence(tmp_path: Path) -> None:
    until(lambda: not survivors(tmp_path), seconds=2, what="the end of everything that was started")


def test_how_it_went_comes_back(host: Host, script: Script, tmp_path: Path) -> None:
    program = script('echo "$1 in $PWD"; echo grumbling >&2')
    before = time.time_ns()
    done = host.run([program, "a b"], cwd=str(tmp_path), runtime=True)
    assert (done.argv, done.where, done.cwd, done.runtime) == ((program, "a b"), "host", str(tmp_path), True)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"a b in {tmp_path}\n", "grumbling\n")
    assert before <= done.start_ns <= time.time_ns()
    assert 0 < done.seconds < 30


@pytest.mark.parametrize("code", [0, 1, 32])
def test_only_accepted_exit_codes_are_fine(host: Host, script: Script, code: int) -> None:
    program = script(f"exit {code}")
    assert host.run([program], accept=(code,)).exit_code == code
    with pytest.raises(CommandFailed) as raised:
        host.run([program], accept=(code + 1,))
    assert raised.value.code == code


def test_a_failure_can_be_pasted_and_tells_the_last_complaint(host: Host, script: Script, tmp_path: Path) -> None:
    program = script("echo out; echo first >&2; echo '  the cause' >&2; echo >&2; exit 3")
    with pytest.raises(CommandFailed) as raised:
        host.run([program, "it's", "$HOME"], cwd=str(tmp_path))
    line, said = str(raised.value).split(" ended with code 3 on host: ")
    assert said == "the cause"
    assert shlex.split(line) == ["cd", str(tmp_path), "&&", program, "it's", "$HOME"]
    assert (raised.value.stdout, raised.value.stderr) == ("out\n", "first\n  the cause\n\n")


def test_a_failure_without_complaint_tells_the_last_output(host: Host, script: Script) -> None:
    with pytest.raises(CommandFailed, match=r"program ended with code 1 on host: said before$"):
        host.run([script("echo said before; exit 1")])


def test_a_signal_is_called_by_its_name(host: Host, script: Script) -> None:
    with pytest.raises(CommandFailed, match=r"program was ended by SIGSEGV on host$") as raised:
        host.run([script("kill -SEGV $$")])
    assert raised.value.code == -signal.SIGSEGV


def test_a_replay_goes_where_the_command_ran() -> None:
    command = Command(argv=("ls", "a b"), where="host", stage=Stage.READ, start_ns=0, seconds=0)
    assert replay(command) == "ls 'a b'"
    assert replay(command.model_copy(update={"cwd": "/x y"})) == "cd '/x y' && ls 'a b'"


@pytest.mark.parametrize("argv", [["/nowhere/program"], ["a-program-that-nobody-has"]])
def test_a_missing_program_is_told_in_a_sentence_and_kept(host: Host, argv: list[str]) -> None:
    with pytest.raises(CommandFailed, match=rf"^{argv[0]} could not be started: No such file or directory$"):
        host.run(argv)
    assert [command.argv for command in host.journal.commands] == [tuple(argv)]


def test_a_missing_folder_is_not_blamed_on_the_program(host: Host, script: Script) -> None:
    with pytest.raises(CommandFailed, match="/nowhere/at/all"):
        host.run([script("exit 0")], cwd="/nowhere/at/all")


def test_the_environment_is_built(host: Host, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the user")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("https_proxy", "http://proxy")
    program = script("env")
    lines = host.run([program], env={"EXTRA": "1"}).stdout.splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert not set(seen) - set(BASE_ENVIRONMENT) - set(Host.PASSED_ON) - {"EXTRA", "PWD", "SHLVL", "_", "OLDPWD"}
    assert (seen["LANG"], seen["https_proxy"], seen["EXTRA"]) == ("C.UTF-8", "http://proxy", "1")


def test_stdin_is_what_was_given_or_empty(host: Host, script: Script) -> None:
    program = script("wc -c")
    assert host.run([program], stdin=b"x" * 100_000).stdout.strip() == "100000"
    assert host.run([program]).stdout.strip() == "0"


def test_of_huge_output_the_end_is_kept(host: Host, script: Script) -> None:
    megabytes = 3 * OUTPUT_LIMIT
    done = host.run([script(f"head -c {megabytes} /dev/zero | tr '\\0' x; echo the end")])
    assert len(done.stdout) == OUTPUT_LIMIT
    assert done.stdout.endswith("xthe end\n")


def test_output_that_is_no_text_is_kept_readable(host: Host, script: Script) -> None:
    assert host.run([script(r"printf 'a\377b'")]).stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_a_detached_program_gets_no_streams_of_ours(host: Host, script: Script) -> None:
    done = host.run([script("readlink /proc/$$/fd/1 > /dev/stderr; echo x")], detached=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_daemon_that_keeps_the_output_open_does_not_block(host: Host, script: Script, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    program = script(
        f"setsid sh -c 'echo > {ready}; {WAIT_FOR_EVER}' &\nuntil [ -e {ready} ]; do :; done\necho started"
    )
    assert host.run([program], deadline=20).stdout == "started\n"
    assert survivors(tmp_path), "there was no daemon"


def test_the_deadline_ends_the_program(host: Host, script: Script, tmp_path: Path) -> None:
    program = script(f"sh -c '{WAIT_FOR_EVER}' &\n{WAIT_FOR_EVER}")
    with pytest.raises(DeadlineExceeded, match=rf"^{program} did not end within 0\.2 s on host$"):
        host.run([program], deadline=0.2)
    await_silence(tmp_path)
    assert [command.exit_code for command in host.journal.commands] == [None]


@pytest.mark.parametrize("how", GivesUp)
def test_a_caller_gives_up_on_its_runtime_once(host: Host, script: Script, tmp_path: Path, how: GivesUp) -> None:
    told = tmp_path / "told"
    program = script(f"trap 'echo > {told}; exit' TERM; {WAIT_FOR_EVER}")
    host.patience = Patience(1.0, how)
    with pytest.raises(GivenUp, match=rf"^{program} was given up on after"):
        host.run([program], runtime=True)
    await_silence(tmp_path)
    assert told.exists() is (how is GivesUp.DEADLINE), "who is killed cannot tell"
    assert host.patience is None


def test_a_caller_without_patience_waits_for_commands_of_ours(host: Host, script: Script) -> None:
    host.patience = Patience(0.0, GivesUp.KILLED)
    assert host.run([script("sleep 0.1; echo done")]).stdout == "done\n"


@pytest.mark.parametrize("runtime", [False, True])
def test_an_error_knows_whether_the_command_was_ours_or_the_runtimes(host: Host, script: Script, runtime: bool) -> None:
    with pytest.raises(DeadlineExceeded) as late:
        host.run([script(WAIT_FOR_EVER)], deadline=0.0, runtime=runtime)
    with pytest.raises(CommandFailed) as failed:
        host.run([script("exit 1")], runtime=runtime)
    assert (late.value.ours, failed.value.runtime) == (not runtime, runtime)


@pytest.mark.parametrize("child", ["", STUBBORN], ids=["its child", "its child that ignores SIGTERM"])
@pytest.mark.parametrize("leader", ["", STUBBORN], ids=["a program", "a program that ignores SIGTERM"])
def test_an_interrupt_while_waiting_ends_the_program_and_what_it_started(
    host: Host, script: Script, tmp_path: Path, leader: str, child: str
) -> None:
    ready = tmp_path / "ready"
    program = script(
        f'{leader} sh -c "{child} echo > {ready}; {WAIT_FOR_EVER}" &\nwhile :; do {WAIT_FOR_EVER}; done; exit'
    )

    def interrupt_when_ready(_: bytes) -> None:
        if ready.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.run([program], on_tick=interrupt_when_ready)
    await_silence(tmp_path)
    assert [command.exit_code for command in host.journal.commands] == [None]


def test_what_a_failed_program_leaves_in_its_session_is_ended(host: Host, script: Script, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        host.run([script(f"sh -c '{WAIT_FOR_EVER}' &\nexit 1")])
    await_silence(tmp_path)


def test_progress_is_told_with_the_end_of_stderr(host: Host, script: Script, tmp_path: Path) -> None:
    told: list[bytes] = []

    def hear(end: bytes) -> None:
        told.append(end)
        with (tmp_path / "fifo").open("w", encoding="ascii") as fifo:
            fifo.write("go on\n")

    host.run([script(f"head -c 5000 /dev/zero >&2; echo half >&2; {WAIT_FOR_EVER}")], on_tick=hear)
    assert told[0].endswith(b"\0half\n")
    assert len(told[0]) == 4096


def test_the_journal_keeps_everything_in_order_with_its_stage(host: Host, script: Script) -> None:
    program = script('exit "$1"')
    host.run([program, "0"])
    with host.journal.at(Stage.CHECKPOINT):
        with pytest.raises(CommandFailed):
            host.run([program, "5"])
        with host.journal.at(Stage.FREEZE):
            host.run([program, "0"])
        host.run([program, "7"], accept=(7,))
    host.run([program, "0"])
    assert [(command.stage, command.exit_code) for command in host.journal.commands] == [
        (Stage.PREPARE, 0),
        (Stage.CHECKPOINT, 5),
        (Stage.FREEZE, 0),
        (Stage.CHECKPOINT, 7),
        (Stage.PREPARE, 0),
    ]


def test_the_stage_is_left_by_an_error_too(host: Host) -> None:
    with pytest.raises(ZeroDivisionError), host.journal.at(Stage.RESTORE):
        raise ZeroDivisionError
    assert host.journal.stage is Stage.PREPARE


def test_no_descriptor_stays_open(host: Host, script: Script) -> None:
    program = script('exit "$1"')
    host.run([program, "0"], stdin=b"x")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        host.run([program, "0"], stdin=b"x")
        with pytest.raises(CommandFailed):
            host.run([program, "1"])
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("answer", [b'{"code": 3}', b""], ids=["it has ended", "the node has ended"])
def test_a_signal_may_cross_the_answer_of_a_node(answer: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if answer:
        theirs.send(answer)
    started = NodeProcess(ours)
    started.signal(signal.SIGKILL)
    theirs.close()  # with the signal unread, so that the kernel resets the connection
    if answer:
        assert started.wait(0) == 3
    else:
        with pytest.raises(CommandFailed, match="the node ended"):
            started.wait(0)
        assert started.wait(0) == -signal.SIGKILL, "whoever stops it does not fail again"
