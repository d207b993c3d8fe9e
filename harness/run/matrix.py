"""Plan the matrix: cells as plain values, which can be listed and counted without root."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from harness.model import expectations
from harness.model.cells import FAULTS, Cell, FreezePolicy, Participant, Scenario
from harness.model.controls import (
    DEFAULT_WORKLOAD,
    GROUP_WORKLOAD,
    POD_WORKLOAD,
)
from harness.model.errors import UsageError, unknown
from harness.model.expectations import AT_ONCE, MOVING, ONE_AFTER_ANOTHER, OUTSIDE, STILL, Expectation
from harness.model.invalid import wrong
from harness.model.machine import Condition
from harness.model.outcomes import Outcome
from harness.runtimes import RUNTIMES, way_of
from harness.runtimes.contract import Way
from harness.stacks import definition
from harness.workload import definitions
from harness.workload.definitions import Suite, Workload

DEFAULT_STACKS = ("debian-trixie", "debian-sid", "debian-experimental", "debian-bookworm")
PAUSED_BY_USER = (FreezePolicy.PAUSE, FreezePolicy.ENGINE)
"""Policies for a container that its user has paused, best first: nothing else has to hold it still."""
ALL = "all"
"""In place of a workload's name: every workload under every policy."""
VARIED = (Scenario.ABANDONED, Scenario.CONCURRENT, *FAULTS)
"""Scenarios whose trials differ: in moment and means, or in the second request."""
ACROSS_ENGINES = "deleted-file"
"""Workload that every engine carries, and whose deletion the engines' archives note in different ways."""
SPELLED = re.compile(r"([a-z-]+:)?[a-z0-9-]+\.[a-z]+\.")
"""A cell pattern that spells out workload and policy."""
NEAREST = 5
"""Number of suggestions for an unknown cell."""


class Extent(NamedTuple):
    """Which workloads take part besides the default one."""

    suite: Suite
    named: frozenset[str] = frozenset()
    """Workloads that are named, of whatever suite."""

    def has(self, workload: Workload) -> bool:
        """Return whether a workload takes part."""
        asked = not workload.proof and (workload.suite is not Suite.FULL or self.suite is Suite.FULL)
        return asked or workload.name in self.named or self is EVERYTHING


QUICK, DEFAULT, EVERYTHING = Extent(Suite.QUICK), Extent(Suite.DEFAULT), Extent(Suite.FULL, frozenset({ALL}))


def plan(
    stacks: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    policies: Sequence[str] = (),
    cells: Sequence[str] = (),
    *,
    workloads: Sequence[str] = (),
    suite: Suite = Suite.DEFAULT,
    interop: bool = False,
) -> tuple[Cell, ...]:
    """Plan the cells of every runtime of every stack, restored by the same participant; empty choices mean the default.

    With `interop`, plan cross-restore instead: each participant restores the checkpoints of each participant with the
    same kind, as they are and over bridges. `cells` narrows the plan to ids; shell patterns are allowed. A pattern that
    spells out workload and policy also finds cells outside the default plan. An unknown name raises `UsageError`.
    `workloads`: only these, of whatever suite; `all`: every one under every policy.
    """
    _check("stack", stacks, carried())
    _check("runtime", runtimes, RUNTIMES)
    _check("policy", policies, list(FreezePolicy))
    _check("workload", workloads, [ALL, *definitions.available()])
    participants = list(participants_of(stacks, runtimes))
    extent = Extent(suite, frozenset(workloads)) if ALL not in workloads else EVERYTHING
    planned = _of_policies(policies, _asked(participants, interop=interop, extent=extent))
    if workloads and ALL not in workloads:
        planned = tuple(cell for cell in planned if cell.workload in workloads)
    if not cells:
        if not planned:
            raise _nothing(stacks, runtimes, policies, workloads, interop=interop)
        return planned
    wider = [cell for who in participants for cell in cells_of(who, EVERYTHING)] if not interop else []
    spelled, every = _by_id(_of_policies(policies, dict.fromkeys((*planned, *wider)))), _by_id(every_cell())
    shown = _by_id(planned)
    chosen: set[Cell] = set()
    for pattern in cells:  # an id alone can name any cell, even one outside the default plan
        found = _named(pattern, spelled if SPELLED.match(pattern) else shown)
        if not found and not (stacks or runtimes or policies):
            found = _named(pattern, every)
        if not found and (hidden := _named(pattern, every)):
            raise _excluded(pattern, hidden, stacks, runtimes, policies)
        if not found:
            raise unknown("cell", pattern, every, nearest=NEAREST)
        chosen.update(found)
    return tuple(cell for cell in dict.fromkeys((*spelled.values(), *every.values())) if cell in chosen)


def _of_policies(policies: Sequence[str], cells: Iterable[Cell]) -> tuple[Cell, ...]:
    return tuple(cell for cell in cells if not policies or cell.policy in policies)


def _nothing(
    stacks: Sequence[str], runtimes: Sequence[str], policies: Sequence[str], workloads: Sequence[str], *, interop: bool
) -> UsageError:
    """Say which of the choices leaves no cell, and what there would be without it."""
    if workloads and (left := plan(stacks, runtimes, policies, interop=interop)):
        there = ", ".join(dict.fromkeys(cell.workload for cell in left))
        what = f"no cell with these choices has the workload {' or '.join(workloads)}"
        raise UsageError(what, remedy=f"There are {len(left)} cells with {there}.")
    given = {"--stack": stacks, "--runtime": runtimes, "--policy": policies, "--interop": ("",) if interop else ()}
    chosen = [f"{flag} {' '.join(names)}".rstrip() for flag, names in given.items() if names]
    told = []
    for flag, names in given.items():
        fewer = {name: () if name == flag else values for name, values in given.items()}
        who = participants_of(fewer["--stack"], fewer["--runtime"])
        left = _of_policies(fewer["--policy"], _asked(who, interop=bool(fewer["--interop"]))) if names else ()
        if left:
            has = {
                "--stack": {cell.checkpoint.stack for cell in left},
                "--runtime": {cell.checkpoint.runtime for cell in left},
                "--policy": {str(cell.policy) for cell in left},
            }.get(flag, ())
            told.append(f"Without {flag} there are {len(left)}" + f" ({', '.join(sorted(has))})" * bool(has) + ".")
    if bare := [name for name in stacks if not runtimes and not definition.load(name).runtimes]:
        told = [f"{' and '.join(bare)} names no `runtimes`. Name one with --runtime, or in the file of the stack."]
    remedy = " ".join(told) or "`stillframe plan` lists every cell."
    return UsageError(f"no cell matches {', '.join(chosen)}", remedy=remedy)


def _excluded(
    pattern: str, hidden: Sequence[Cell], stacks: Sequence[str], runtimes: Sequence[str], policies: Sequence[str]
) -> UsageError:
    """Say which choices exclude a cell that there is."""
    fits = {
        "--stack": [cell.checkpoint.stack in stacks or not stacks for cell in hidden],
        "--runtime": [cell.checkpoint.runtime in runtimes or not runtimes for cell in hidden],
        "--policy": [cell.policy in policies or not policies for cell in hidden],
    }
    if any(all(fit) for fit in zip(*fits.values(), strict=True)):
        told = f"--cell {pattern} names cells of --suite full alone"
        raise UsageError(told, remedy="Add --suite full, or spell out workload and policy.")
    against = [flag for flag, found in fits.items() if not any(found)] or [
        flag for flag, given in (("--stack", stacks), ("--runtime", runtimes), ("--policy", policies)) if given
    ]
    alone = len(against) == 1
    what = f"{' and '.join(against)} {'excludes' if alone else 'together exclude'} --cell {pattern}"
    return UsageError(what, remedy="Leave it out." if alone else "Leave one of them out.")


def _by_id(cells: Iterable[Cell]) -> dict[str, Cell]:
    return {cell.id: cell for cell in cells}


def _named(pattern: str, cells: Mapping[str, Cell]) -> list[Cell]:
    return [cells[name] for name in cells if fnmatch.fnmatchcase(name, pattern)]


def default_cells() -> tuple[Cell, ...]:
    """Return all cells of the default plan, including cross-restore."""
    everybody = list(participants_of((), ()))
    return tuple(dict.fromkeys((*_asked(everybody, interop=False), *_asked(everybody, interop=True))))


def every_cell() -> tuple[Cell, ...]:
    """Return all possible cells: every runtime in every defined stack, every workload under every policy."""
    everybody = list(participants_of(definition.available(), list(RUNTIMES)))
    alone = (cell for who in everybody for cell in cells_of(who, EVERYTHING))
    return tuple(dict.fromkeys((*alone, *_asked(everybody, interop=True))))


def carried() -> dict[str, tuple[str, ...]]:
    """Read every stack that is defined: the runtimes that it carries; `WrongFile` if any definition is wrong."""
    found = {}
    for name in definition.available():
        found[name] = definition.load(name).runtimes
        for number, runtime in enumerate(found[name]):
            place, what = ("runtimes", number), ""
            if runtime not in RUNTIMES:
                what = str(unknown("runtime", runtime, RUNTIMES))
            elif runtime in found[name][:number]:
                what = f"{runtime!r} is named twice. Remove one."
            if what:
                raise wrong(definition.path_of(name), place, what)
    return found


def others() -> tuple[str, ...]:
    """Stacks that are defined and take part only where they are named, each with what else has to be named."""
    more = {name: "" if runtimes else " (with --runtime: it has no `runtimes`)" for name, runtimes in carried().items()}
    return tuple(f"{name}{told}" for name, told in more.items() if name not in DEFAULT_STACKS)


def keepers(stacks: Sequence[str] = (), runtimes: Sequence[str] = ()) -> tuple[Participant, ...]:
    """Return the chosen participants that take part in cross-restore; an unknown name raises `UsageError`."""
    _check("stack", stacks, carried())
    _check("runtime", runtimes, RUNTIMES)
    return tuple(who for who in participants_of(stacks, runtimes) if _shared(who))


def to_keep(participants: Iterable[Participant]) -> Iterator[Cell]:
    """Plan one cell per participant that keeps a checkpoint: in the plainest way, and held still."""
    for who in participants:
        for way in _shared(who)[:1]:
            yield cell_of(who, way, way.still, scenario=Scenario.KEEP)


def _shared(who: Participant) -> list[Way]:
    """Return the participant's ways with cross-restore, the plainest first."""
    return [way for way in RUNTIMES[who.runtime].ways if way.kind]


def _asked(participants: Iterable[Participant], *, interop: bool, extent: Extent = DEFAULT) -> Iterator[Cell]:
    if not interop:
        of = _quickly if extent == QUICK else cells_of
        yield from (cell for who in participants for cell in of(who, extent))
        return
    users = [(who, way) for who in participants for way in _shared(who)]
    for who, way in users:
        for other, others in users:
            if (others.kind, others.name) == (way.kind, way.name):
                for scenario in (Scenario.LIVE, *(way.bridges if other != who else ())):
                    yield cell_of(who, way, way.still, scenario=scenario).model_copy(update={"restore": other})
            elif _across_engines((who, way), (other, others)):
                for scenario in (Scenario.LIVE, Scenario.TRANSLATED):
                    cell = cell_of(who, way, way.still, name=ACROSS_ENGINES, scenario=scenario)
                    yield cell.model_copy(update={"restore": other})


def _across_engines(one: tuple[Participant, Way], other: tuple[Participant, Way]) -> bool:
    """Return whether they are of one stack and one OCI runtime, and write archives of different forms."""
    (who, way), (another, others) = one, other
    same = (who.stack, who.runtime.rpartition("/")[2]) == (another.stack, another.runtime.rpartition("/")[2])
    return same and bool(way.form and others.form) and way.form != others.form


def participants_of(stacks: Sequence[str], runtimes: Sequence[str]) -> Iterator[Participant]:
    """Give each stack's default runtimes; another runtime needs both names on the command line."""
    for stack in stacks or DEFAULT_STACKS:
        own = definition.load(stack).runtimes
        for runtime in runtimes or own:
            if stacks or runtime in own:
                yield Participant(runtime=runtime, stack=stack)


def cells_of(who: Participant, extent: Extent = DEFAULT) -> Iterator[Cell]:
    """Give the participant's cells: in every way, the default workload under every policy, and every scenario.

    Other workloads have the policies that they ask for, and in `EVERYTHING` every policy.
    """
    known = [definitions.find(name) for name in definitions.available()]
    others = [each for each in known if extent.has(each)]
    for way in RUNTIMES[who.runtime].ways:
        for policy in way.policies:
            yield cell_of(who, way, policy)
        for other in others:
            if other.name != way.plain and other.containers == 1 and way.carries(other):
                for policy in way.policies if extent is EVERYTHING else _policies(who, way, other):
                    yield cell_of(who, way, policy, name=other.name)
        for scenario in way.groups:
            for policy in way.policies if scenario is Scenario.GROUP else way.policies[:1]:
                if policy is not FreezePolicy.HOOK:
                    yield cell_of(who, way, policy, name=GROUP_WORKLOAD, scenario=scenario)
        for scenario in (*way.scenarios, *(way.thorough if extent.suite is Suite.FULL else ())):
            by_user = next((each for each in PAUSED_BY_USER if each in way.policies), way.still)
            policy = by_user if scenario is Scenario.PAUSED else way.still
            yield cell_of(who, way, policy, scenario=scenario)


def _quickly(who: Participant, _: Extent) -> Iterator[Cell]:
    """Give the default workload in the plainest way, under the first policy and under the one that holds best."""
    way = RUNTIMES[who.runtime].ways[0]
    yield from (cell_of(who, way, policy) for policy in dict.fromkeys((way.policies[0], way.still)))


def _first_way(who: Participant, workload: Workload) -> Way | None:
    """Return the first way of a participant that captures every surface of a workload."""
    kinds = {surface.kind for surface in workload.surfaces}
    fitting = (way for way in RUNTIMES[who.runtime].ways if way.carries(workload) and not kinds & way.outside)
    return next(fitting, None)


def _policies(who: Participant, way: Way, workload: Workload) -> Iterable[FreezePolicy]:
    """Give the policies under which a workload is tried that is not the default one."""
    if workload.every_policy:
        return way.policies
    if not workload.moving:
        return (way.still,)
    return dict.fromkeys((way.policies[0], way.still)) if way is _first_way(who, workload) else ()


def cell_of(
    who: Participant,
    way: Way,
    policy: FreezePolicy,
    *,
    name: str = "",
    scenario: Scenario = Scenario.LIVE,
) -> Cell:
    """Return a cell of a participant alone; without a name, of the default workload of its way."""
    return Cell(workload=name or way.plain, policy=policy, checkpoint=who, restore=who, way=way.name, scenario=scenario)


def fewer(cells: Sequence[Cell], rounds: int, today: dt.date) -> dict[str, int]:
    """Return the cells with fewer than `rounds` trials: those whose result does not depend on the moment.

    They get at least 2 trials, if `rounds` permits: the second one shows what the first did to the source. Trials that
    differ from each other get at least 4.
    """
    plain = (DEFAULT_WORKLOAD, POD_WORKLOAD)
    live = (cell for cell in cells if cell.workload in plain and cell.scenario is Scenario.LIVE)
    about_moment = {cell.id for cell in live if not _settled(expected(cell, today))}
    least = {cell.id: 4 if cell.scenario in VARIED else 2 for cell in cells if cell.id not in about_moment}
    return {name: min(rounds, max(few, rounds // 5)) for name, few in least.items()}


def _settled(known: Expectation) -> bool:
    """Return whether every trial is expected to fail: one violation convicts, and more of them prove no more."""
    return known.outcome is not Outcome.CONSISTENT and known.rate is None


def expected(cell: Cell, today: dt.date, *, conditions: Collection[Condition] = ()) -> Expectation:
    """Return what `cell` should be: a declared known issue, or else what policy and captured surfaces imply.

    Cells of the corpus have the expectation of the live cell. Those of a variant have that of its stack, but prove
    nothing about the instrument. `conditions` are those that are true on the machine.
    """
    if cell != cell.base:
        return expected(cell.base, today, conditions=conditions).model_copy(update={"control": False})
    if cell.scenario in (Scenario.KEEP, Scenario.KEPT):
        cell = cell.model_copy(update={"scenario": Scenario.LIVE})
    return expectations.known(cell, today, otherwise=_follows(cell), conditions=conditions)


def _follows(cell: Cell) -> Expectation:
    """Return the expectation that follows from the freeze policy and the runtime's documentation."""
    way = way_of(cell.checkpoint.runtime, cell.way)
    workload, unheld = definitions.find(cell.workload), cell.policy in (FreezePolicy.NONE, FreezePolicy.ENGINE)
    if way.leaves_disk and unheld and cell.scenario is Scenario.LIVE and workload.moves:
        # an application of anybody's proves nothing about the instrument
        return MOVING.model_copy(update={"control": not workload.application})
    if cell.scenario is Scenario.GROUP and unheld:
        return ONE_AFTER_ANOTHER
    if cell.scenario is Scenario.GROUP_AT_ONCE:
        return AT_ONCE
    kinds = {surface.kind for surface in workload.surfaces}
    return OUTSIDE if kinds & way.outside else STILL


def outdated(cells: Iterable[Cell], today: dt.date) -> Iterator[str]:
    """Tell which known issues make a run of these cells red, whatever its trials show."""
    if unmatched := expectations.unmatched(every_cell()):
        yield f"Known issues that match no cell: {', '.join(unmatched)}."
    late: dict[str, list[Expectation]] = {}
    for cell in cells:
        if (known := expected(cell, today)).overdue:
            late.setdefault(known.declared, []).append(known)
    for place, those in late.items():
        yield f"Overdue known issue: {place}, review by {those[0].review}, {len(those)} of these cells."


def words(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the meaning of names in the ids of `cells`: workloads, and ways as `RUNTIME+WAY` or plain `RUNTIME`."""
    found = {cell.workload: definitions.find(cell.workload).description for cell in cells}
    for cell in cells:
        name = f"{cell.checkpoint.runtime}+{cell.way}".rstrip("+")
        found[name] = way_of(cell.checkpoint.runtime, cell.way).what
    return found


def _check(kind: str, given: Sequence[str], valid: Iterable[str]) -> None:
    names = list(valid)
    for name in given:
        if name not in names:
            raise unknown(kind, name, names)
        if given.count(name) > 1:
            raise UsageError(f"{kind} {name!r} is given twice", remedy="Name it once.")
