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
    planned = tuple(
        Cell(workload=DEFAULT_WORKLOAD, policy=FreezePolicy(policy), checkpoint=who, restore=who)
        for stack in stacks or DEFAULT_STACKS
        for runtime in runtimes or DEFAULT_RUNTIMES
        for who in (Participant(runtime=runtime, stack=stack),)
        for policy in policies or list(FreezePolicy)
    )
    for pattern in cells:
        if not any(fnmatch.fnmatchcase(cell.id, pattern) for cell in planned):
            raise unknown("cell", pattern, [cell.id for cell in planned])
    return tuple(
        cell for cell in planned if not cells or any(fnmatch.fnmatchcase(cell.id, pattern) for pattern in cells)
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
