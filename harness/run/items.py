"""What a run executes, as items of a test session: cells, controls, and what mutants come to together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.model.cells import Cell
from harness.model.controls import Control, ControlKind
from harness.run.options import Options
from harness.trial.bench import Bench


class Item(NamedTuple):
    """What is planned, for the tests that ask for it by a fixture's name."""

    fixture: str
    value: Cell | Control | tuple[Control, ...]
    said: str
    """What stands in brackets."""
    cell: Cell


def items_of(options: Options) -> Iterator[Item]:
    """All that is executed here; what mutants come to together is asked where they were played."""
    cells, controls = options.share
    for cell in cells:
        yield Item("cell", cell, cell.id, cell)
    for control in controls:
        yield Item("control", control, f"{control.id}.{control.cell.checkpoint}", control.cell)
    played = {control.cell.checkpoint: control.cell for control in controls if control.kind is ControlKind.MUTANT}
    for who, cell in played.items():
        together = tuple(each for each in controls if each.cell.checkpoint == who)
        yield Item("mutants", together, f"all.{who}", cell)


def benches_of(options: Options) -> dict[str, int]:
    """The number of the bench that an item needs, in the order of planning, by what is in its brackets."""
    numbers: dict[object, int] = {}
    return {item.said: numbers.setdefault(Bench.key_of(item.cell), len(numbers)) for item in items_of(options)}
