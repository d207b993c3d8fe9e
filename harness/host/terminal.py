"""Lend the user's terminal, or a pipe, to a program in a node."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import sys
import termios
import tty

from harness.host.process import BASE_ENVIRONMENT, NodeExecutor, Process


def interact(executor: NodeExecutor, argv: list[str]) -> int:
    """Run `argv` on the harness's own streams until it ends, and return its exit code.

    The user's terminal is relayed through a new pseudo terminal, which becomes the program's controlling terminal.
    """
    environment = {**BASE_ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb"), "PS1": f"{executor.where}:\\w# "}
    if not sys.stdin.isatty():
        process = executor.begin(argv, environment, (0, 1, 2))
        return _code(process)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    before = termios.tcgetattr(0)
    try:
        process = executor.begin(argv, environment, (theirs, theirs, theirs), terminal=True)
        os.close(theirs)
        tty.setraw(0, termios.TCSADRAIN)  # keeps what the user typed ahead
        _relay(ours)
        return _code(process)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(ours)


def _relay(ours: int) -> None:
    while True:
        ready, _, _ = select.select([0, ours], [], [])
        for source, target in ((0, ours), (ours, 1)):
            if source in ready:
                try:
                    data = os.read(source, 65536)
                except OSError:  # EIO: the other end is closed
                    return
                if not data:
                    return
                os.write(target, data)


def _code(process: Process) -> int:
    code = process.wait(float(1 << 20))
    return code if code is not None and code >= 0 else 128
