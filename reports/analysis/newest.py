"""The newest result of each cell and participant: a page stays, even if the newest run leaves its subject out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from reports.analysis.cells import CellSummary
from reports.analysis.participants import Participant, participants
from reports.analysis.tables import RunSummary

T = TypeVar("T")


def cells(run: RunSummary, before: Sequence[RunSummary]) -> Iterator[tuple[RunSummary, tuple[CellSummary, ...]]]:
    """Yield each run with the cells that no newer run has, the newest run first; `before`: older runs, oldest first."""
    return _lasting((run, *reversed(before)), lambda each: each.cells, lambda cell: cell.cell.id)


def who(run: RunSummary, before: Sequence[RunSummary]) -> Iterator[tuple[RunSummary, tuple[Participant, ...]]]:
    """Yield each run with the participants that no newer run has, as `cells` does."""
    return _lasting((run, *reversed(before)), participants, lambda participant: participant.name)


def _lasting(
    runs: Sequence[RunSummary], having: Callable[[RunSummary], Sequence[T]], name: Callable[[T], str]
) -> Iterator[tuple[RunSummary, tuple[T, ...]]]:
    there: set[str] = set()
    for run in runs:
        found = having(run)
        yield run, tuple(each for each in found if name(each) not in there)
        there.update(map(name, found))
