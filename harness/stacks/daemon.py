"""A daemon of an engine in a node."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.host.process import NodeExecutor, NodeProcess
from harness.host.wait import until
from harness.model.errors import EnvironmentUnfit

TAIL_BYTES, LONGEST_LINE = 1 << 16, 2000
"""What is read at the end of a daemon's log, in bytes, and of a line there, in characters."""


class Daemon:
    """A program that runs in the background of a node; it ends with the node at the latest."""

    def __init__(self, argv: Sequence[str], process: NodeProcess, log: Path) -> None:
        self.argv = argv
        self.name = Path(argv[0]).name
        self._process = process
        self._log = log
        self._told = 0
        self.revived = False
        self.start_seconds = 0.0
        """Seconds until its first answer."""
        self._code: int | None = None
        self._let_go = False
        self._answers, self._seconds = (lambda: True), 0.0

    @property
    def ended(self) -> bool:
        """Whether the daemon has ended, or is ending since it was let go."""
        if self._code is None and not self._let_go:
            self._code = self._process.wait(0)
        return self._let_go or self._code is not None

    def revive(self, executor: NodeExecutor) -> None:
        """Start it again after its end, as it was started, and wait until it answers as it did."""
        self.revived = True
        self._process, self._code = executor.launch(self.argv, log=self._log), None
        self.await_answer(self._answers, seconds=self._seconds)

    def await_answer(self, answers: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `answers` returns true; `EnvironmentUnfit` if the daemon ends first."""

        def probe() -> bool:
            self.check()
            return answers()

        self._answers, self._seconds = answers, seconds
        begun = time.monotonic()
        until(probe, seconds=seconds, what=f"an answer of {self.name}")
        self.start_seconds = time.monotonic() - begun

    def check(self) -> None:
        """Raise `EnvironmentUnfit`, with the last lines of the log, if the daemon has ended."""
        if self.ended:
            said = " / ".join(self.tail(3))
            how = "was ended" if self._let_go else f"has ended with code {self._code}"
            raise EnvironmentUnfit(f"{self.name} {how}: {said or 'it said nothing'}")

    def let_go(self) -> None:
        """Close the connection, which ends the daemon; nothing happens if it has ended, or was let go before."""
        if not self.ended:
            self._let_go = True
            self._process.hang_up()

    def tail(self, lines: int) -> tuple[str, ...]:
        """Return the last lines of the daemon's log since `mark`, each cut where it is very long."""
        with self._log.open("rb") as log:
            log.seek(max(self._told, self._log.stat().st_size - TAIL_BYTES))
            text = log.read(TAIL_BYTES).decode(errors="replace")
        return tuple(line[:LONGEST_LINE] for line in text.splitlines() if line.strip())[-lines:]

    def mark(self) -> None:
        """Leave out of `tail` what the log has now."""
        self._told = self._log.stat().st_size
