"""Groups of versions that restore each other's checkpoints, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from reports.runs.fingerprint import Fingerprint
from reports.text import counted, one_line


def lines(found: Fingerprint) -> Iterator[str]:
    """Yield the groups with their members, and the number of trials last."""
    for each in found.classes:
        yield f"{each.name}:" + (f" also restores {', '.join(each.restores)}" if each.restores else "")
        yield from (f"  {one_line(member)}" for member in each.members)
    trials = sum(each.consistent + each.refused + each.other for each in found.edges)
    yield f"from {counted(trials, 'trial')} of {counted(len(found.edges), 'ordered pair')}; --json lists all pairs"
