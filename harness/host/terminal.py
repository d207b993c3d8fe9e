"""Lend the user's terminal, or pipes, to a program in a node."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, Protocol

from harness.host.process import BASE_ENVIRONMENT, NodeExecutor, NodeProcess

PIECE = 1 << 14
HELD = 1 << 16
"""Bytes that a pipe or a terminal holds at the most."""
KEPT = 1 << 14
"""Bytes of what the program has said last that are kept for who answers its calls."""


class Calls(Protocol):
    """What the program asks of us meanwhile."""

    def fileno(self) -> int:
        """Descriptor that can be read when there is a call."""

    def take(self, said: str) -> None:
        """Take the calls that there are; `said` is what the program has said since the ones before."""


def interact(executor: NodeExecutor, argv: list[str], calls: Calls) -> int:
    """Run `argv` on our own streams until it ends, while `calls` are answered; gives its exit code.

    The user's terminal is relayed through a new pseudo terminal, which becomes the program's controlling terminal.
    """
    environment = {**BASE_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), "PS1": f"{executor.where}:\\w# "}
    if not sys.stdin.isatty():
        with _pipes() as (ours, theirs):
            process = executor.begin(argv, environment, (0, *theirs))
            for descriptor in set(theirs):
                os.close(descriptor)
            return _Relay(ours, process, calls).run()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    before = termios.tcgetattr(0)
    try:
        process = executor.begin(argv, environment, (slave, slave, slave), terminal=True)
        os.close(slave)
        os.set_blocking(master, False)
        tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead stays
        return _Relay({master: 1}, process, calls, typed=(0, master)).run()
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(master)


@contextlib.contextmanager
def _pipes() -> Iterator[tuple[dict[int, int], tuple[int, int]]]:
    """Pipes for standard output and error: ours with where they lead, and theirs.

    One for both if both lead to the same file, or else the order of what is said would be lost.
    """
    one, other = os.pipe(), (-1, -1)
    ours, theirs = {one[0]: 1}, (one[1], one[1])
    if not os.path.sameopenfile(1, 2):
        other = os.pipe()
        ours, theirs = {one[0]: 1, other[0]: 2}, (one[1], other[1])
    try:
        yield ours, theirs
    finally:
        for descriptor in ours:
            os.close(descriptor)


class _Relay:
    """Hands on what a program says and what is typed, until it ends."""

    def __init__(
        self, said: dict[int, int], process: NodeProcess, calls: Calls, *, typed: tuple[int, int] | None = None
    ) -> None:
        self._said = said
        self._process = process
        self._calls = calls
        self._kept = bytearray()
        self._typed = typed
        self._untold = b""
        """What was typed, or pasted, faster than the program reads: waiting for it could stop both for ever."""

    def run(self) -> int:
        """Relay until it has ended; gives its exit code."""
        ready: list[Any] = []
        while self._process not in ready:
            typed = [self._typed[0]] if self._typed and not self._untold else []
            untold = [self._typed[1]] if self._typed and self._untold else []
            watched: list[Any] = [*self._said, *typed, self._calls, self._process]
            ready, _, _ = select.select(watched, untold, [])
            self._hand_on()
            if self._typed:
                self._type(*self._typed, more=self._typed[0] in ready)
            if self._calls in ready:
                self._calls.take(self._kept.decode(errors="replace"))
                self._kept.clear()
        code = self._process.wait(0)
        return code if code is not None and code >= 0 else 128

    def _type(self, source: int, target: int, *, more: bool) -> None:
        if more:
            self._untold = os.read(source, PIECE)
            if not self._untold:
                self._typed = None
                self._process.signal(signal.SIGHUP)
        if self._untold:
            with contextlib.suppress(OSError):  # it does not read now, or has ended
                self._untold = self._untold[os.write(target, self._untold) :]

    def _hand_on(self) -> None:
        """Hand on all that the program has said by now, and not what it goes on saying."""
        for _ in range(HELD // PIECE + 1):
            ready, _, _ = select.select(list(self._said), [], [], 0)
            for source in ready:
                self._hand_on_from(source)
            if not ready:
                return

    def _hand_on_from(self, source: int) -> None:
        try:
            data = os.read(source, PIECE)
        except OSError:  # EIO: nobody holds the other end of the terminal any more
            data = b""
        if data:
            _write(self._said[source], data)
            self._kept = (self._kept + data)[-KEPT:]
        else:
            del self._said[source]


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
