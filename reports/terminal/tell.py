"""Progress and errors, which go to standard error: standard output is for results."""

from __future__ import annotations

import contextlib
import sys


def tell(text: str) -> None:
    """Write a line to standard error; if that is closed or full, there is nowhere else to tell it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
