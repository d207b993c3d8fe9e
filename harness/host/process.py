"""The process gate: Stillframe starts every program through `Executor.run`.

A program gets an argument list (never a shell), a newly built environment, a deadline and accepted exit codes. The
result is a `Command` value, which stays in the trial's journal. Output goes to anonymous memory files: a daemon that
keeps them open does not block and loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess  # noqa: TID251
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, GivenUp
from harness.model.outcomes import Stage
from harness.model.readings import GivesUp

BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
OUTPUT_LIMIT = 1 << 20
"""Bytes that are kept from the end of each output stream; errors are at the end."""
GRACE_SECONDS = 2.0


class Journal:
    """The commands of one trial, in order, and the stage of the next command."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.stage = Stage.PREPARE

    @contextlib.contextmanager
    def at(self, stage: Stage) -> Iterator[None]:
        """Attribute the commands that run inside to `stage`."""
        before, self.stage = self.stage, stage
        try:
            yield
        finally:
            self.stage = before


class Process(Protocol):
    """A started program."""

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal, or None if the program still runs after `seconds`."""

    def signal(self, number: int) -> None:
        """Send a signal to all processes in the program's session."""


class Patience:
    """When and how the caller of a runtime gives up on what it has begun."""

    def __init__(self, seconds: float, how: GivesUp) -> None:
        self.seconds = seconds
        self.how = how
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._until - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether the caller gives up now; clocks and timers differ a little."""
        return self.left <= 0.01 * self.seconds


class Executor:
    """A place where programs run: the host, or a node."""

    where = "host"

    def __init__(self) -> None:
        self.journal = Journal()
        self.runtime_seconds = 0.0
        """Seconds in commands of runtimes, over all journals."""
        self.patience: Patience | None = None
        """Of the caller of runtimes; it loses it once."""
        self.look: Callable[[], tuple[str, ...]] = tuple
        """Looks around when a command is late, before it is ended: what is in the record then."""

    def note(self, command: Command) -> None:
        """Add a command that has ended to the journal."""
        self.journal.commands.append(command)
        self.runtime_seconds += command.seconds if command.runtime else 0.0

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdio: tuple[int | None, int | None, int | None]
    ) -> Process:
        raise NotImplementedError

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: float = 30.0,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        accept: Container[int] = (0,),
        stdin: bytes | None = None,
        detached: bool = False,
        runtime: bool = False,
        on_tick: Callable[[bytes], None] | None = None,
    ) -> Command:
        """Run `argv` to its end and return the `Command`.

        `detached` gives the program /dev/null for all three streams; a container inherits the streams of the program
        that starts it. `on_tick` is called about four times a second with the end of stderr, for progress. Raises
        `CommandFailed` on an exit code outside `accept`, `DeadlineExceeded` after `deadline` seconds, and `GivenUp` if
        `patience` ends before. A late or interrupted program is ended with its process group. The journal keeps the
        command in any case.
        """
        patience = self.patience if runtime else None
        environment = {**BASE_ENVIRONMENT, **(env or {})}
        start, begun = time.time_ns(), time.monotonic()
        code: int | None = None
        seen: tuple[str, ...] = ()
        with contextlib.ExitStack() as files:
            streams = (None, None) if detached else (_memory_file(files, "stdout"), _memory_file(files, "stderr"))
            process: Process | None = None
            try:
                process = self._start(argv, environment, cwd, (_input(files, stdin), *streams))
                allowed = min(deadline, patience.left) if patience else deadline
                code = _await(process, begun + allowed, on_tick, streams[1])
            finally:
                if code is None and process is not None:
                    seen = self.look() if runtime and not patience else ()
                    _stop(process, grace=0 if patience and patience.how is GivesUp.KILLED else GRACE_SECONDS)
                command = Command(
                    argv=tuple(argv),
                    where=self.where,
                    stage=self.journal.stage,
                    runtime=runtime,
                    detached=detached,
                    cwd=cwd,
                    exit_code=code,
                    start_ns=start,
                    seconds=time.monotonic() - begun,
                    stdout=_tail(streams[0]),
                    stderr=_tail(streams[1]),
                )
                self.note(command)
        if code is None and patience:
            self.patience = None
            raise GivenUp(f"{replay(command)} was given up on after {command.seconds:.3f} s on {self.where}")
        if code is None:
            late = f"{replay(command)} did not end within {deadline:g} s on {self.where}"
            raise DeadlineExceeded(late, ours=not runtime, log=seen)
        if code not in accept:
            raise CommandFailed(
                f"{replay(command)} {_ending(code)} on {self.where}{_last_line(command)}",
                stdout=command.stdout,
                stderr=command.stderr,
                exit_code=code,
                runtime=runtime,
            )
        return command


class _HostProcess:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)

    def wait(self, seconds: float) -> int | None:
        if self._pidfd >= 0:
            if not _readable(self._pidfd, seconds):
                return None
            self.signal(signal.SIGKILL)  # the rest of its session, before its number is reused
            os.close(self._pidfd)
            self._pidfd = -1
        return self._popen.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)


class Host(Executor):
    """Programs on the machine itself."""

    PASSED_ON = ("TMPDIR", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")

    def launch(self, argv: Sequence[str], *, pass_fds: Sequence[int]) -> Process:
        """Start a program in a new session, with `pass_fds` kept open, and do not wait for it."""
        return _HostProcess(
            subprocess.Popen(  # noqa: S603
                list(argv),
                stdin=subprocess.DEVNULL,
                env=BASE_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                pass_fds=pass_fds,
            )
        )

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdio: tuple[int | None, int | None, int | None]
    ) -> Process:
        passed = {name: os.environ[name] for name in self.PASSED_ON if name in os.environ}
        streams = [subprocess.DEVNULL if fd is None else fd for fd in stdio]
        try:
            popen = subprocess.Popen(  # noqa: S603
                list(argv),
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                env={**passed, **env},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(f"{error.filename or argv[0]} could not be started: {error.strerror}") from error
        return _HostProcess(popen)


class NodeProcess:
    """A program in a node.

    The node's init answers with the exit code. It kills the session when the connection closes.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """Descriptor that can be read when it has ended."""
        return self._connection.fileno()

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal, or None if the program still runs after `seconds`."""
        if self._connection.fileno() < 0:
            return -signal.SIGKILL  # it has ended with its node, which was told
        if not _readable(self._connection.fileno(), seconds):
            return None
        try:
            answer = self._connection.recv(1024)
        except ConnectionResetError:  # a signal has crossed the answer, which is the next to be received
            answer = self._connection.recv(1024)
        self._connection.close()
        if not answer:
            raise CommandFailed("the node ended while a command was running in it")
        return int(json.loads(answer)["code"])

    def signal(self, number: int) -> None:
        """Send a signal to all processes in the program's session."""
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps({"signal": number}).encode())

    def hang_up(self) -> None:
        """Close the connection, which ends the program; do not wait."""
        self._connection.close()


class NodeExecutor(Executor):
    """Programs inside a node; the node's init starts them in all its namespaces and cgroups."""

    def __init__(self, where: str, address: Path) -> None:
        super().__init__()
        self.where = where
        self._address = str(address)

    def begin(
        self, argv: Sequence[str], env: Mapping[str, str], stdio: tuple[int, int, int], *, terminal: bool = False
    ) -> NodeProcess:
        """Start `argv` on the given streams without a deadline; `terminal` makes them the controlling terminal."""
        return self._request({"argv": list(argv), "env": dict(env), "cwd": "/", "terminal": terminal}, stdio)

    def launch(self, argv: Sequence[str], *, log: Path) -> NodeProcess:
        """Start a daemon whose output goes to the file `log`; it ends with the node at the latest."""
        with log.open("ab", buffering=0) as output:
            start = time.time_ns()
            process = self._start(argv, BASE_ENVIRONMENT, "/", (None, output.fileno(), output.fileno()))
        command = Command(
            argv=tuple(argv), where=self.where, stage=self.journal.stage, background=True, start_ns=start, seconds=0
        )
        self.note(command)
        return process

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdio: tuple[int | None, int | None, int | None]
    ) -> NodeProcess:
        return self._request({"argv": list(argv), "env": dict(env), "cwd": cwd}, stdio)

    def _request(self, request: dict[str, Any], stdio: tuple[int | None, int | None, int | None]) -> NodeProcess:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [fd for fd in stdio if fd is not None]
        request["stdio"] = [fd is not None for fd in stdio]
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            connection.connect(self._address)
            socket.send_fds(connection, [json.dumps(request).encode()], given)
        except OSError as error:
            connection.close()
            raise CommandFailed(f"the node of {self.where} is gone: {error.strerror}") from error
        return NodeProcess(connection)


def replay(command: Command) -> str:
    """Return the command as a line for a shell of the host or node where it ran."""
    line = shlex.join(command.argv)
    return line if command.cwd == "/" else f"cd {shlex.quote(command.cwd)} && {line}"


def _await(process: Process, until: float, on_tick: Callable[[bytes], None] | None, stderr: int | None) -> int | None:
    while True:
        left = max(0.0, until - time.monotonic())
        code = process.wait(min(left, 0.25) if on_tick else left)
        if code is not None or left == 0.0:
            return code
        if on_tick and stderr is not None:
            on_tick(_tail(stderr, 4096).encode())


def _stop(process: Process, *, grace: float) -> None:
    """Send SIGTERM, then SIGKILL; the session's owner ends the other processes when the leader is gone."""
    if grace:
        process.signal(signal.SIGTERM)
    if not grace or process.wait(grace) is None:
        process.signal(signal.SIGKILL)
        process.wait(GRACE_SECONDS)


def _input(files: contextlib.ExitStack, data: bytes | None) -> int | None:
    if data is None:
        return None
    descriptor = _memory_file(files, "stdin")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _memory_file(files: contextlib.ExitStack, name: str) -> int:
    descriptor = os.memfd_create(name)
    files.callback(os.close, descriptor)
    return descriptor


def _tail(descriptor: int | None, limit: int = OUTPUT_LIMIT) -> str:
    if descriptor is None:
        return ""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, limit, max(0, size - limit)).decode(errors="replace")


def _readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _ending(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _last_line(command: Command) -> str:
    lines = [line for line in (command.stderr or command.stdout).splitlines() if line.strip()]
    return f": {lines[-1].strip()}" if lines else ""


HOST = Host()
