"""The cells of variants: stacks in which builds of the user's own replace programs."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from harness.model.cells import VARIANT, Cell, Participant
from harness.model.errors import UsageError
from harness.runtimes import RUNTIMES
from harness.stacks import builds

ENGINES = {
    "podman": ("podman", "conmon", "netavark"),
    "docker": ("dockerd", "containerd", "containerd-shim-runc-v2"),
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "criu"),
    "crio": ("crio", "conmon", "pinns"),
}
RUNTIMES_OF_OCI = {"runc": ("runc", "criu"), "crun": ("crun", "criu"), "criu": ("criu",), "runsc": ("runsc",)}
"""Programs that the parts of a runtime's name stand for; a test holds them against the records of real runs."""


def programs_of(runtime: str) -> frozenset[str]:
    """Return the programs that a runtime runs: an engine's own, and those of the OCI runtime below it."""
    parts = (ENGINES.get(part, ()) + RUNTIMES_OF_OCI.get(part, ()) for part in runtime.split("/"))
    return frozenset(program for part in parts for program in part)


def affects(variant: str, cell: Cell) -> bool:
    """Return whether a build of a variant is among the programs that the cell's runtimes run.

    A program that no runtime is known to run may affect every cell.
    """
    programs = _programs(variant)
    used = programs_of(cell.checkpoint.runtime) | programs_of(cell.restore.runtime)
    return bool(programs & used) or not programs <= _known()


def _programs(variant: str) -> frozenset[str]:
    return frozenset(each.program for each in builds.over(f"{VARIANT}{variant}"))


@functools.cache
def _known() -> frozenset[str]:
    """Return the programs that any runtime runs."""
    return frozenset(program for runtime in RUNTIMES for program in programs_of(runtime))


def check() -> None:
    """Raise `UsageError` for a variant that has the name of a way, since both are told by a `+` in an id."""
    for name in builds.variants():
        if any(way.name == name for each in RUNTIMES.values() for way in each.ways):
            remedy = "Choose another with --as NAME."
            raise UsageError(f"{name!r} is no name for a variant: it is a way to use a runtime", remedy=remedy)


def only(stack: str) -> str:
    """Return the one variant of a stack, or the stack itself if there is none; `UsageError` if there are several."""
    names = builds.variants()
    if len(names) > 1:
        raise UsageError(f"a shell has one variant, not {' and '.join(names)}", remedy="Name builds of one of them.")
    return f"{stack}{VARIANT}{names[0]}" if names else stack


def of_stack(stack: str, *, alone: bool) -> tuple[str, ...]:
    """Return the stack itself, unless `alone`, and its variants."""
    return (*(() if alone else (stack,)), *(f"{stack}{VARIANT}{name}" for name in builds.variants()))


def of_participants(participants: Iterable[Participant], *, alone: bool) -> tuple[Participant, ...]:
    """Return the participants themselves, unless `alone`, and in each variant."""
    names = (*(() if alone else ("",)), *builds.variants())
    return tuple(who.of(name) for who in participants for name in names)


def plain(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of ids of cells without the names of variants in them."""
    names = "|".join(map(re.escape, builds.variants()))
    return tuple(re.sub(rf"[{VARIANT}]({names})(?=$|[~{VARIANT}*])", "", each) if names else each for each in patterns)


def cells(planned: Sequence[Cell], patterns: Sequence[str], *, alone: bool, across: bool) -> tuple[Cell, ...]:
    """Give each cell that is planned in the stack itself, unless `alone`, and in each variant that can affect it.

    With `across`, each participant restores the checkpoints of its variants, and they restore its own: cross-restores
    of other participants are left out. A pattern with the name of a variant chooses that alone. `UsageError` if no
    build can affect what was chosen.
    """
    found = [each for cell in planned for each in _varied(cell, alone=alone, across=across)]
    if planned and not found:
        names = sorted({program for name in builds.variants() for program in _programs(name)})
        what = f"--with: no cell that was chosen runs {' or '.join(names)}"
        raise UsageError(what, remedy="Choose cells of a runtime that runs it: `stillframe plan` lists them.")
    if not patterns:
        return tuple(found)
    return tuple(cell for cell in found if any(_fits(cell, pattern) for pattern in patterns))


def _varied(cell: Cell, *, alone: bool, across: bool) -> Iterator[Cell]:
    if across and cell.checkpoint != cell.restore:
        return
    names = [name for name in builds.variants() if affects(name, cell)]
    if names and not alone:
        yield cell
    for name in names:
        yield cell.of(name, name)
        if across:
            yield cell.of("", name)
            yield cell.of(name, "")


def _fits(cell: Cell, pattern: str) -> bool:
    return fnmatch.fnmatchcase(cell.id, pattern) or fnmatch.fnmatchcase(cell.base.id, pattern)
