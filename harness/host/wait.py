"""Waiting: for a state, which is polled under a deadline, or for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.model.errors import DeadlineExceeded

T = TypeVar("T")
SHORTEST, LONGEST = 0.0005, 0.01


def moment(due: float) -> None:
    """Wait until `time.monotonic()` is `due`, in seconds."""
    time.sleep(max(0.0, due - time.monotonic()))


def until(probe: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Call `probe` until its result is neither None nor False; raise `DeadlineExceeded` with `what` after `seconds`."""
    end = time.monotonic() + seconds
    pause = SHORTEST
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{what} did not happen within {seconds:g} s")
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST)
