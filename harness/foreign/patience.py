"""An end for work on foreign data, which may take for ever: a pattern on the text that it was made for, an answer."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from harness.model.errors import StillframeError


@contextlib.contextmanager
def within(seconds: float, late: StillframeError) -> Iterator[None]:
    """Raise `late` if the work takes longer; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise late

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
