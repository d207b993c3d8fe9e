"""The lines by which applications are driven, for those that are written in Python."""

import sys
from collections.abc import Callable


class Damaged(Exception):
    """The application calls its files damaged."""


def drive(tick: Callable[[int], object], read: Callable[[], int]) -> None:
    """Answer requests until the input ends: `tick(n)` makes n the counter, and `read` says what the files have."""
    for line in sys.stdin:
        what, *number = line.split()
        try:
            if what == "tick":
                tick(int(number[0]))
                say(f"ok {number[0]}")
            else:
                verify(read)
        except Exception as error:
            say(f"failed {type(error).__name__}: {error}")


def verify(read: Callable[[], int]) -> None:
    """Say what the files have, or why they are damaged."""
    try:
        say(f"disk {read()}")
    except Damaged as error:
        say(f"damaged {error}")


def say(line: str) -> None:
    """Print one line of at most 200 bytes, at once."""
    print(" ".join(line.split()).encode("ascii", "replace")[:200].decode(), flush=True)
