"""Plan the instrument's own proof: canary, controls, and mutants with their neighbours."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Sequence

from harness.model.cells import Cell, Participant
from harness.model.controls import CANARY, CANARY_OF_A_GROUP, CONTROLS, Control, ControlKind, Ground
from harness.model.mutants import MUTANTS
from harness.model.outcomes import Outcome
from harness.run import matrix
from harness.runtimes import RUNTIMES
from harness.runtimes.contract import Way


def controls(cells: Sequence[Cell], today: dt.date, *, full: bool) -> tuple[Control, ...]:
    """Plan the instrument's own proof for `cells`: canary, controls per participant, and if `full` all mutants."""
    found = list(_canary(cells, today))
    for who in dict.fromkeys(cell.checkpoint for cell in cells):
        ways = sorted(RUNTIMES[who.runtime].ways, key=lambda way: not way.scenarios)
        stills = [(way, matrix.cell_of(who, way, way.still)) for way in ways]
        possible = (each for each in stills if matrix.expected(each[1], today).outcome is not Outcome.UNSUPPORTED)
        way, cell = next(possible, stills[0])
        found += [CONTROLS[name].control(cell, ControlKind.CONTROL) for name in way.controls]
    return (*found, *_mutants(cells)) if full else tuple(found)


def _canary(cells: Sequence[Cell], today: dt.date) -> Iterator[Control]:
    """Give one cell with a known issue that must show: from `cells`, or else from their stacks."""
    for proof in (CANARY, CANARY_OF_A_GROUP):
        neighbours = (cell for who in _neighbours(cells) for cell in matrix.cells_of(who))
        for cell in itertools.chain(cells, neighbours):
            if cell.scenario is proof.scenario and matrix.expected(cell, today).control:
                yield proof.control(cell, ControlKind.CANARY)
                return


def _mutants(cells: Sequence[Cell]) -> Iterator[Control]:
    """Give every mutant and its neutral neighbour, on the first participant of these stacks that can run them."""
    grounds: dict[Ground, tuple[Participant, Way]] = {}
    for who in _neighbours(cells):
        for way in RUNTIMES[who.runtime].ways:
            if way.mutants:
                grounds.setdefault(way.mutants, (who, way))
    for proof in MUTANTS:
        if proof.ground in grounds:
            who, way = grounds[proof.ground]
            cell = matrix.cell_of(who, way, way.still, name=proof.workload, scenario=proof.scenario)
            yield proof.control(cell, ControlKind.MUTANT)
            yield proof.neighbour(cell.model_copy(update={"workload": proof.beside or proof.workload}))


def _neighbours(cells: Iterable[Cell]) -> Iterator[Participant]:
    """Give all default participants of the stacks of `cells`."""
    stacks = tuple(dict.fromkeys(cell.checkpoint.stack for cell in cells))
    return matrix.participants_of(stacks, ()) if stacks else iter(())
