"""How clearly a restore is declined: before any harm is possible, and with a reason that names what differs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from harness.model.machine import Component
from harness.model.outcomes import Refusal

NAMES_THE_PAUSE = re.compile(r"paus|frozen|not running", re.IGNORECASE)
"""How a runtime says that it declines a live checkpoint because its user has paused the container."""
RUNTIMES = frozenset({"runc", "crun"})
SHIM = ("containerd-shim-runc-v2", "io.containerd.runc.v2")
"""A component, and containerd's name for the runtime behind it."""


def graded(said: str, checkpoint: Sequence[Component], restore: Sequence[Component], *, late: bool) -> Refusal:
    """Grade the message of a failed restore, given the components of both sides; `late`: loading had started."""
    named = (f"{one} and {other}" for one, other in _differing(checkpoint, restore) if {one, other} <= _words(said))
    return Refusal(early=not late, named=tuple(dict.fromkeys(named)))


def _differing(checkpoint: Sequence[Component], restore: Sequence[Component]) -> Iterator[tuple[str, str]]:
    """Yield pairs that differ: versions of components that both sides have, names that only one has, OCI runtimes."""
    one, other = ({each.name: _release(each.version) for each in side} for side in (checkpoint, restore))
    yield from ((one[name], other[name]) for name in one if name in other and one[name] != other[name])
    yield from ((name, another) for name in one if name not in other for another in other if another not in one)
    yield from ((called, another) for called in _called(one) for another in _called(other) if called != another)


def _called(side: Collection[str]) -> Collection[str]:
    """Return the names by which an engine calls its OCI runtime; containerd gives the name of its shim."""
    return (SHIM[1],) if SHIM[0] in side else RUNTIMES.intersection(side)


def _release(version: str) -> str:
    """Return a version without a distribution's additions: `1.1.15+ds1`, `0.0~20240729.0`."""
    return version.rpartition("~")[2].partition("+")[0]


def _words(said: str) -> frozenset[str]:
    return frozenset(word.strip(".") for word in re.findall(r"[\w.]+", said))
