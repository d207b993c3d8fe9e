"""Calls out of a node: a program in it asks something, and the owner of the node answers.

The program is a few lines of shell, so it works in every stack. It hands over its words, waits, prints the answer, and
ends with the exit code of the answer.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from harness.host.init import ADDRESS
from harness.host.wait import until
from harness.model.errors import DeadlineExceeded

FOLDER = os.path.dirname(ADDRESS)  # noqa: PTH120
NAME = re.compile(r"answer\.[A-Za-z0-9]{8}")
PROGRAM = f"""#!/bin/sh
# Hand these words to the owner of the node, and print the answer.
answer=$(mktemp -u {FOLDER}/answer.XXXXXXXX) && mkfifo "$answer" || exit 70
echo "${{answer##*/}} $*" >{FOLDER}/calls
{{ read -r code; cat; }} <"$answer"
rm "$answer"
exit "$code"
"""
PIECE = 1 << 16
READY_SECONDS = 5.0
END_SECONDS = 5.0

Answer = tuple[int, str]
"""Exit code, and what is printed."""


class Calls:
    """What programs of a node ask; `answer` gets the words and what the terminal has said since the call before."""

    def __init__(self, root: Path, answer: Callable[[list[str], str], Answer]) -> None:
        """Open for calls in the node whose root file system is at `root`."""
        self._folder = root / FOLDER.lstrip("/")
        self._answer = answer
        self._worker: threading.Thread | None = None
        os.mkfifo(self._folder / "calls", 0o600)
        self._calls = os.open(self._folder / "calls", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Descriptor that can be read when there is a call."""
        return self._calls

    def take(self, said: str) -> None:
        """Take the calls that there are, and have them answered while the caller does something else."""
        lines = os.read(self._calls, PIECE).decode(errors="replace").splitlines()
        self._worker = threading.Thread(target=self._work, args=(lines, said, self._worker), daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Take no more calls; one that is being answered gets a moment to end."""
        if self._worker is not None:
            self._worker.join(END_SECONDS)
        os.close(self._calls)

    def _work(self, lines: list[str], said: str, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        for line in lines:
            name, *words = line.split() or [""]
            if NAME.fullmatch(name):
                code, text = self._answer(words, said)
                self._tell(self._folder / name, f"{code}\n{text}".encode())

    def _tell(self, fifo: Path, answer: bytes) -> None:
        """Write the answer, unless who has asked is gone."""

        def opened() -> int | None:
            try:
                return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                return None

        with contextlib.suppress(DeadlineExceeded, OSError):
            descriptor = until(opened, seconds=READY_SECONDS, what="a reader of the answer")
            with os.fdopen(descriptor, "wb") as pipe:
                if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.set_blocking(descriptor, True)
                    pipe.write(answer)
