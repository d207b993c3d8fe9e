"""What this machine lacks for the participants of a run: told once, before anything is tried.

Comes in: participants, and the stacks as they were made ready. Goes out: a reason for each participant that cannot
take part, and a record for each of its trials, which says so. A runtime that cannot do something is another thing: that
is a result, which only a probe in a trial can prove.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from harness.model.cells import Cell, CgroupVersion, Participant
from harness.model.commands import Schedule
from harness.model.errors import StillframeError
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.records.plan import Plan
from harness.records.record import Record
from harness.runtimes import adapter
from harness.stacks import builds, definition
from harness.stacks.node import Node
from harness.trial.bench import Bench
from reports.text import counted

MACHINE = Path("/")
Key = tuple[Participant, str]
MISSING = re.compile(r"(\S+) .*ended with code 127 ")
"""How a command of a program that is not there ends, in a node as in a shell."""


def keys_of(cell: Cell) -> frozenset[Key]:
    """Return the participants and ways that a cell needs."""
    return frozenset((Bench.key_of(cell), Bench.far_key_of(cell)))


def hindered(keys: Iterable[Key], stacks: Mapping[str, Path | str], version: CgroupVersion) -> dict[str, str]:
    """Return the participants that cannot take part, each with the reason.

    Those of a stack that could not be made ready; and of the machine's own binaries those that it does not have.
    Raise an error for a build of the user's own that does not start.
    """
    for stack in sorted({who.stack for who, _ in keys}):
        if isinstance(root := stacks[stack], Path):
            prove(stack, root, version)
    found: dict[str, str] = {}
    for who, way in sorted(keys, key=str):
        root = stacks[who.stack]
        if isinstance(root, str):
            found[str(who)] = root
        elif definition.load(who.stack).root == MACHINE and (reason := lacking(who, way, root, version)):
            found[str(who)] = reason
    return found


def prove(stack: str, root: Path, version: CgroupVersion) -> None:
    """Raise an error if a build of this variant replaces nothing, or does not start."""
    if builds.over(stack):
        builds.check(stack, root)
        with Node(stack, root, name="probe", version=version) as node:
            builds.prove(node)


def lacking(who: Participant, way: str, root: Path, version: CgroupVersion) -> str:
    """Ask the programs of a stack whether they work; return what is lacking, empty if nothing is."""
    try:
        with Node(who.stack, root, name="probe", version=version) as node:
            runtime = adapter(who.runtime, way)(node)
            probed = runtime.capabilities()
            if all(each.available for each in probed):
                runtime.prepare()
                runtime.components()  # a program of another kind does not give the version
    except StillframeError as error:
        return str(error)
    said = "; ".join(_told(each.evidence) for each in probed if not each.available)
    return said and f"{said}. Install what is missing, or choose another stack with --stack."


def _told(evidence: str) -> str:
    """Say plainly that a program is missing; anything else as the probe has it."""
    program = MISSING.match(evidence)
    return f"{program[1]} is not installed" if program else evidence


def sentences(plan: Plan, lost: Mapping[str, str]) -> Iterator[str]:
    """Tell each reason once, with the number of cells and controls that it costs."""
    cells, controls = plan.share.cells, plan.share.controls
    for reason in dict.fromkeys(lost.values()):
        those = {who for who, why in lost.items() if why == reason}
        number = sum(hit(cell, those) for cell in cells)
        told = counted(number, "cell")
        if proofs := sum(hit(control.cell, those) for control in controls):
            told += f" and {counted(proofs, 'control')}"
        yield f"{told} cannot run ({', '.join(sorted(those))}): {reason}"


def hit(cell: Cell, lost: Collection[str]) -> bool:
    """Whether one of the cell's participants cannot take part."""
    return any(str(who) in lost for who, _ in keys_of(cell))


def records(plan: Plan, lost: Mapping[str, str]) -> Iterator[Record]:
    """Return a record for each trial that cannot run."""
    promised: list[tuple[Cell, str | None, int]] = [(cell, None, plan.rounds_of(cell)) for cell in plan.share.cells]
    promised += [(control.cell, control.id, 1) for control in plan.share.controls]
    for cell, control, rounds in promised:
        reason = next((lost[str(who)] for who, _ in sorted(keys_of(cell), key=str) if str(who) in lost), "")
        if reason:
            verdict = Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.PREPARE, reason=reason)
            for number in range(rounds):
                yield not_tried(plan, cell, number, verdict, control=control, start=time.time_ns())


def not_tried(plan: Plan, cell: Cell, number: int, verdict: Verdict, *, control: str | None, start: int) -> Record:
    """Return the record of a trial that came to nothing before it began."""
    return Record(
        run=plan.run,
        cell=cell,
        trial=number,
        control=control,
        verdict=verdict,
        start_ns=start,
        end_ns=time.time_ns(),
        schedule=Schedule(seed=plan.seed, planned_delay_us=0),
        host=plan.host,
        played=False,
    )
