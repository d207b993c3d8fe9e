"""Cross-restores: how participants decline each other's checkpoints, and which restores a bridge makes work. Pure.

A bridge is a change to the checkpoint, or to the restoring side, that may make the restore work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from harness.model.cells import Participant
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.analysis.reasons import declining

Pair = tuple[Participant, Participant]
Quality = tuple[bool, tuple[str, ...], bool, bool]


class Declined(Frozen):
    """Declined restores of the same quality."""

    early: bool = Field(description="declined before anything began to load memory")
    named: tuple[str, ...] = Field(description="the differing facts that the reasons name")
    unharmed: bool = Field(description="the source is unchanged")
    clean: bool = Field(description="nothing is left behind")
    trials: int
    cells: tuple[str, ...] = Field(description="ids")
    would: tuple[str, ...] = Field(description="ids of the cells that restore consistently with a bridge")
    reason: str = Field(description="reason of the first trial")


class Bridge(Frozen):
    """The effect of one bridge."""

    name: str = Field(description="`translated`, `mapped`, or another way to use the source")
    tried: int = Field(description="number of pairs")
    closed: tuple[str, ...] = Field(description="ids of pairs that fail without and with the bridge")
    opened: tuple[str, ...] = Field(description="ids of pairs that restore consistently only with the bridge")
    broken: tuple[str, ...] = Field(description="ids of pairs that restore consistently only without the bridge")


def declined(cells: Sequence[CellSummary]) -> tuple[Declined, ...]:
    """Group the graded trials, the best grade first; refusals with a bridge do not count."""
    plain, over = _parted(cells)
    opened = {_pair(each) for each in over if _fine(each)}
    groups: dict[Quality, list[tuple[CellSummary, Record]]] = {}
    for each in plain.values():
        for trial in each.trials:
            if trial.refusal is not None:
                found = trial.verdict.found
                harm = (Outcome.SOURCE_HARMED not in found, Outcome.LEAKED not in found)
                groups.setdefault((trial.refusal.early, trial.refusal.named, *harm), []).append((each, trial))
    return tuple(
        Declined(
            early=early,
            named=named,
            unharmed=unharmed,
            clean=clean,
            trials=len(graded),
            cells=tuple(dict.fromkeys(each.cell.id for each, _ in graded)),
            would=tuple(dict.fromkeys(each.cell.id for each, _ in graded if _pair(each) in opened)),
            reason=declining(graded[0][1]),
        )
        for (early, named, unharmed, clean), graded in sorted(groups.items(), key=_worst_last)
    )


def bridges(cells: Sequence[CellSummary]) -> tuple[Bridge, ...]:
    """Compare the pairs with each bridge and without it."""
    plain, over = _parted(cells)
    tried: dict[str, dict[str, tuple[CellSummary, CellSummary]]] = {}
    for each in over:
        name = each.cell.scenario if not each.cell.scenario.as_it_is else each.cell.way
        tried.setdefault(name, {})[each.cell.id] = (plain[_pair(each)], each)
    return tuple(_bridge(name, pairs) for name, pairs in tried.items())


def _parted(cells: Sequence[CellSummary]) -> tuple[dict[Pair, CellSummary], list[CellSummary]]:
    """Return the plain cross-restore of each pair, in the plainest way that was tried; and all other cross-restores."""
    crossing = [each for each in cells if each.cell.restore != each.cell.checkpoint]
    plain: dict[Pair, CellSummary] = {}
    for each in sorted(crossing, key=lambda each: len(each.cell.way)):
        if each.cell.scenario.as_it_is:
            plain.setdefault(_pair(each), each)
    return plain, [each for each in crossing if plain.get(_pair(each), each) is not each]


def _bridge(name: str, pairs: Mapping[str, tuple[CellSummary, CellSummary]]) -> Bridge:
    def those(*, before: bool, after: bool) -> tuple[str, ...]:
        return tuple(key for key, (as_is, over) in pairs.items() if (_fine(as_is), _fine(over)) == (before, after))

    return Bridge(
        name=name,
        tried=len(pairs),
        closed=those(before=False, after=False),
        opened=those(before=False, after=True),
        broken=those(before=True, after=False),
    )


def _pair(each: CellSummary) -> Pair:
    return each.cell.checkpoint, each.cell.restore


def _fine(each: CellSummary) -> bool:
    return each.outcome is Outcome.CONSISTENT


def _worst_last(group: tuple[Quality, object]) -> tuple[bool, ...]:
    early, named, unharmed, clean = group[0]
    return not early, not named, not unharmed, not clean
