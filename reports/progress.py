"""Progress of long work, on a terminal only. Short work shows nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_SECONDS = 2.0
EVERY = 100
"""Values between two looks at the clock."""

T = TypeVar("T")


def shown(values: Iterable[T], what: str, total: int, done: Callable[[T], int]) -> Iterator[T]:
    """Yield the values, and show how much of the total is `done` after `PATIENCE_SECONDS`."""
    if not sys.stderr.isatty():
        yield from values
        return
    begun = time.monotonic()
    with contextlib.ExitStack() as ending:
        bar: Progress | None = None
        for number, value in enumerate(values):
            if number % EVERY == 0 and time.monotonic() - begun >= PATIENCE_SECONDS:
                if bar is None:
                    from rich.console import Console  # noqa: PLC0415  # slow to load, and most work needs no bar
                    from rich.progress import Progress  # noqa: PLC0415

                    bar = ending.enter_context(Progress(console=Console(stderr=True), transient=True))
                    task = bar.add_task(what, total=total)
                bar.update(task, completed=done(value))
            yield value
