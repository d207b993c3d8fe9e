"""Signals that ask a run to end: once, after the trials in progress; twice, at once.

The controller of a run hears them and leaves a file in the run's folder, which its workers look for before each trial.
Imported before everything else of a run, so nothing here imports a library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

from harness.model.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FILE = "stop"
TWICE_SECONDS = 0.5
"""A signal counts as another one after this time: timeout(1) and closing terminals send theirs twice."""
BEFORE = "interrupted by {} before the first trial; there is no result"


class Stopping:
    """What a run was asked by signals."""

    def __init__(self) -> None:
        self.heard = False
        """Whether signals come here."""
        self.by = ""
        """Name of the first signal; empty while there is none."""
        self.folder: Path | None = None
        """Folder of the run once it is prepared; before that, a signal raises `KeyboardInterrupt`."""
        self.trying = False
        """Whether a trial may be in progress, which a signal lets end."""
        self.tell: Callable[[str, bool], None] = tell
        """Told a sentence by the handler of a signal, and whether it is the last one. It must not wait for anything."""
        self._at = 0.0

    def __enter__(self) -> Self:
        """Hear the signals, but none that whoever started us ignores, as nohup(1) does."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self._before = {number: how for number, how in before.items() if how is not signal.SIG_IGN}
        self.heard, self.by, self.folder, self.trying = True, "", None, False
        for number in self._before:
            signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self.heard = False
        for number, how in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.by else how)  # all is told: only the exit code is to come

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if the run was asked to end; for threads, which hear no signal."""
        if self.by:
            raise KeyboardInterrupt

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.by and time.monotonic() - self._at < TWICE_SECONDS:
            return
        if self.by:
            self._end(f"stopped at once; {self._kept()}")
        self.by, self._at = signal.Signals(number).name, time.monotonic()
        if self.folder is None:
            raise KeyboardInterrupt
        if not self.trying:
            drop(self.folder)
            self._end(BEFORE.format(self.by))
        with contextlib.suppress(OSError):
            (self.folder / FILE).touch()
        self.tell(f"{self.by}: stopping after the trials in progress; once more stops at once", False)  # noqa: FBT003

    def _end(self, sentence: str) -> NoReturn:
        """End this process and its workers; the nodes of both end with them."""
        self.tell(sentence, True)  # noqa: FBT003
        for worker in _workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        os._exit(Interrupted.exit_code)

    def _kept(self) -> str:
        if self.folder is None or not has_records(self.folder):
            drop(self.folder)
            return "there is no result"
        return f"`stillframe report {self.folder}` shows what there is"


def tell(text: str, _: bool) -> None:  # noqa: FBT001
    """Write a sentence to standard error, unbuffered, as a handler has to."""
    with contextlib.suppress(OSError):
        os.write(2, f"stillframe: {text}\n".encode())


def has_records(folder: Path) -> bool:
    """Whether a run has a record."""
    return any(path.stat().st_size for path in folder.glob("records/*.jsonl"))


def drop(folder: Path | None) -> None:
    """Remove the folder of a run that has no record."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


STOPPING = Stopping()


def tidily(work: Callable[[], int]) -> int:
    """Do the work of a run; raise `Interrupted` if a signal ends it before its first trial."""
    with STOPPING:
        try:
            return work()
        except KeyboardInterrupt:
            raise Interrupted(BEFORE.format(STOPPING.by)) from None


def _workers() -> list[int]:
    """Return the children in this process group: all but the supervisors of nodes, which have work to do at the end."""
    found = (int(pid) for task in Path("/proc/self/task").iterdir() for pid in _read(task / "children").split())
    return [pid for pid in found if _group(pid) == os.getpgrp()]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii")
    return ""


def _group(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Start processes that hear no signal until they ask to: a terminal sends its signals to all of a run."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_controller() -> None:
    """Ignore the signals, as a worker; the programs that it starts do not."""
    for number in SIGNALS:
        signal.signal(number, _ignore)  # not SIG_IGN, which programs inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""
