"""Plan the matrix: cells as plain values, listable and countable without root."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from harness.errors import UsageError, unknown
from harness.expectations import CONTROLS
from harness.model import Cell, Control, FreezePolicy, Participant
from harness.runtimes import RUNTIMES
from harness.stacks import definition

DEFAULT_STACKS = ("debian-trixie", "debian-sid", "debian-experimental")
DEFAULT_RUNTIMES = ("runc", "crun")
DEFAULT_WORKLOAD = "ledger"


def plan(
    stacks: Sequence[str] = (), runtimes: Sequence[str] = (), policies: Sequence[str] = (), cells: Sequence[str] = ()
) -> tuple[Cell, ...]:
    """Every runtime of every stack under every policy, restored by itself; empty choices mean the default.

    `cells` narrows to ids, shell patterns allowed. A name that does not exist raises `UsageError`.
    """
    _check("stack", stacks, definition.available())
    _check("runtime", runtimes, RUNTIMES)
    _check("policy", policies, list(FreezePolicy))
    planned = _product(stacks or DEFAULT_STACKS, runtimes or DEFAULT_RUNTIMES, policies or list(FreezePolicy))
    if not cells:
        return planned
    every = _product(definition.available(), list(RUNTIMES), list(FreezePolicy))
    chosen: set[Cell] = set()
    for pattern in cells:  # a cell can be named by its id alone, also one that is not run by default
        found = [cell for cell in planned if fnmatch.fnmatchcase(cell.id, pattern)]
        if not found and not (stacks or runtimes or policies):
            found = [cell for cell in every if fnmatch.fnmatchcase(cell.id, pattern)]
        if not found:
            raise unknown("cell", pattern, [cell.id for cell in planned])
        chosen.update(found)
    return tuple(cell for cell in dict.fromkeys((*planned, *every)) if cell in chosen)


def _product(stacks: Iterable[str], runtimes: Sequence[str], policies: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(
        Cell(workload=DEFAULT_WORKLOAD, policy=FreezePolicy(policy), checkpoint=who, restore=who)
        for stack in stacks
        for runtime in runtimes
        for who in (Participant(runtime=runtime, stack=stack),)
        for policy in policies
    )


def controls(cells: Sequence[Cell]) -> tuple[Control, ...]:
    """The negative controls that stand beside `cells`: each one for every participant that takes part."""
    participants = dict.fromkeys(cell.checkpoint for cell in cells)
    held_still = (
        Cell(workload=DEFAULT_WORKLOAD, policy=FreezePolicy.PAUSE, checkpoint=who, restore=who) for who in participants
    )
    return tuple(Control(name=name, cell=cell) for cell in held_still for name in CONTROLS)


def _check(kind: str, given: Sequence[str], valid: Iterable[str]) -> None:
    names = list(valid)
    for name in given:
        if name not in names:
            raise unknown(kind, name, names)
        if given.count(name) > 1:
            raise UsageError(f"{kind} {name!r} is given twice", remedy="Name each once.")
