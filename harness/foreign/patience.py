"""An end for work on foreign data: a pattern may take for ever on the text that it was made for."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from harness.model.errors import RecordError


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Raise `RecordError` if the work takes longer; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise RecordError(f"{what} takes more than {seconds:.0f} s", remedy="Look at the patterns of its known issues.")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
