"""What is wrong, whose fault it is, what would fix it, and how to reproduce it, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from harness.model.cells import Cell, Scenario, base_of
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from reports.analysis.cells import NO_EVIDENCE, CellSummary
from reports.analysis.crashes import KnownCrash, percent
from reports.analysis.participants import Health, Trouble
from reports.analysis.reasons import OTHER, cause, culprit
from reports.analysis.remedies import Remedy
from reports.analysis.restores import Answer, Restored, restored
from reports.analysis.tables import Row, Table
from reports.analysis.turns import Turn
from reports.text import counted, shorten
from reports.words import outcomes
from reports.words.cells import brief, first_reason, mark
from reports.words.commands import quoted
from reports.words.tables import row_summary

NOT_KNOWN = "not known"
LONGEST = 120
"""Characters of a reason in a list."""

CLAUSE_END = re.compile(r"(?:[:;]|(?<!\.)\.) |,? \(|, `")
"""End of a clause, but not an ellipsis."""

SHAPES = {"": "good", "expected": "meant", "known": "known", "unexpected": "off"}
"""How to draw a cell, by its mark; every other mark means that there is no result."""
DRAWN = {"off": "unexpected", "void": "without a result", "known": "known", "meant": "as designed", "good": "clean"}

TONES = {Health.WELL: "good", Health.LIMITED: "good", Health.KNOWN: "known", Health.UNEXPECTED: "bad"}
GLYPHS = {Health.WELL: "✓", Health.LIMITED: "✓", Health.KNOWN: "◆", Health.UNEXPECTED: "✗"}


class Step(NamedTuple):
    """A command to copy."""

    text: str
    what: str


def tone(health: Health) -> str:
    """Return the tone of a state; `void` if nothing is known."""
    return TONES.get(health, "void")


def glyph(health: Health) -> str:
    """Return the sign beside a state, for readers who do not see colours."""
    return GLYPHS.get(health, "?")


def shape(cell: CellSummary) -> str:
    """Return how to draw a cell: `good`, `meant`, `known`, `off` or `void`."""
    return SHAPES.get(mark(cell), "void")


def counts(cells: Sequence[CellSummary]) -> str:
    """Count cells by what they show, the worst first: `1 unexpected, 3 known, 9 clean`."""
    drawn = Counter(map(shape, cells))
    return ", ".join(f"{drawn[each]} {name}" for each, name in DRAWN.items() if each in drawn)


def wrong(trouble: Trouble) -> str:
    """Say what is wrong: `inconsistent disk-ahead: Podman before 6.0 takes memory first`."""
    issue, cell = trouble.issue, trouble.worst.cell
    if cell.restore != cell.checkpoint:
        found = restored(trouble.worst)
        if found.answer in (Answer.NO, Answer.SOMETIMES):
            why = headline(issue.reason) if issue else shorten(first_reason(trouble.worst), LONGEST)
            return f"{found.answer}, {found.cause.kind if found.cause else OTHER}: {why}"
    if issue is None:
        return f"{trouble.worst.outcome}: {shorten(first_reason(trouble.worst), LONGEST)}"
    if issue.outcome is Outcome.CONSISTENT:
        return f"sometimes {', '.join(issue.besides)}: {headline(issue.reason)}"
    return f"{' '.join(filter(None, (issue.outcome, issue.anomaly)))}: {headline(issue.reason)}"


def unseen(trouble: Trouble) -> str:
    """Say that a known issue did not show in this run; empty if it did."""
    if trouble.seen or trouble.issue is None:
        return ""
    tried = counted(sum(each.n for each in trouble.cells), "trial")
    declared = f"; declared rate {percent(trouble.issue.rate)}" if trouble.issue.rate else ""
    return f"not seen in {tried} of this run{declared}"


def struck(each: KnownCrash, cells: Collection[CellSummary]) -> str:
    """Say how often a known crash struck in the run, and whether it struck a participant's `cells`."""
    told = f"struck {each.shown} of {counted(each.trials, 'trial')} with this version"
    own = {cell.cell.id for cell in cells}
    return told if not each.shown or not own.isdisjoint(each.cells) else f"{told}, none of them here"


def headline(reason: str) -> str:
    """Return the first clause of a reason."""
    return shorten(CLAUSE_END.split(reason, maxsplit=1)[0], LONGEST)


def fault(cell: CellSummary) -> str:
    """Say whose fault a failure is, and how this is known."""
    owner, why = culprit(cell), cause(cell.trials)
    if not owner:
        return (
            f"{NOT_KNOWN}: {'there is no result' if cell.outcome in NO_EVIDENCE else 'the evidence names no component'}"
        )
    if cell.as_expected and cell.expectation.owner:
        return f"{owner}, which has to act on the known issue"
    if why and why.component:
        return f"{owner}, which this line names: {shorten(why.line, 2 * LONGEST)}"
    return f"{owner}, which alone decides when memory and disk are taken"


def remedy(each: Remedy) -> str:
    """Say what is different where the same question is consistent."""
    if each.bridge:
        return f"consistent in this run if the checkpoint is {each.bridge}"
    told = ", ".join(map(str, each.versions))
    return f"consistent in this run with {told}" if told else "consistent in this run on another stack"


def reproduce(cell: Cell, components: Iterable[Component] = ()) -> tuple[Step, ...]:
    """List the commands that repeat a cell and show its trials; `components` tell which programs were builds."""
    name, variant = quoted(cell.id), cell.checkpoint.variant or cell.restore.variant
    shown = f"sudo ci/stillframe show {name}"
    built = dict.fromkeys(f" --with {each.name}=PATH" for each in components if each.sha256)
    given = "".join(built) + f" --as {variant}" * bool(variant and built)
    steps = [
        Step(
            f"sudo ci/matrix --cell {name}{given}", "Try this cell again, from a clone; a known issue is as expected:"
        ),
        Step(shown, "Print each command of its worst trial in that run:"),
    ]
    if cell.restore == cell.checkpoint and not cell.scenario.overlaps:
        shell = f"{shown} | sudo ci/stillframe shell {quoted(base_of(cell.checkpoint.stack))}{given}"
        steps.append(Step(shell, "Repeat that trial command by command, in a node of its stack:"))
    if cell.restore == cell.checkpoint and cell.scenario in (Scenario.LIVE, Scenario.PAUSED):
        handed = f"ci/stillframe repro {name} -o repro"
        steps.append(Step(handed, "Write that trial as a shell script for somebody without Stillframe:"))
    return tuple(steps)


def turned(turn: Turn) -> tuple[str, ...]:
    """Say since which run a cell is as it is, and what changed with it."""
    now, other = ("good", "bad") if turn.good else ("bad", "good")
    if turn.before is None:
        return (f"{now} in {'the only run' if turn.tried == 1 else f'all {turn.tried} runs'} with a result",)
    changes = ", ".join(map(str, turn.changes)) or "nothing that is known"
    return (
        f"first {now}: run {turn.since.run}",
        f"last {other}: run {turn.before.run}",
        f"changed in between: {changes}",
    )


def entry(table: Table, cell: CellSummary) -> str:
    """Describe a cell in its table; in a cross-restore table the answer comes first."""
    if not table.by_pair:
        return f"{cell.outcome} {brief(cell, bound=table.by_policy)}"
    found = restored(cell)
    return ", ".join((f"{answer(found)}{because(found)}", *besides(found)))


def glyph_of(table: Table, cell: CellSummary) -> str:
    """Return the sign beside an entry."""
    return restore_glyph(restored(cell)) if table.by_pair else outcomes.glyph(cell.outcome)


def answer(found: Restored) -> str:
    """Answer whether a cross-restore restores, with the number of trials: `restores 5/5`, `does not restore 1/1`."""
    return f"{found.answer} {count(found)}" if found.tried else f"{found.answer}: {count(found)}"


def count(found: Restored) -> str:
    """Count the trials with the answer: `5/5`."""
    number = found.tried - found.restored if found.answer is Answer.NO else found.restored
    return f"{number}/{found.tried}" if found.tried else "no trial counted"


def because(found: Restored) -> str:
    """Name the kind of reason; of a reason that is not known the line."""
    why = found.cause
    if why is None:
        return ""
    return f": {why.kind}" if why.kind != OTHER else f": {why.kind}: {shorten(why.line)}"


def besides(found: Restored) -> Iterator[str]:
    """Yield what else was found, the worst first: `left behind: cgroup`."""
    for outcome in found.besides:
        yield f"left behind: {', '.join(found.left)}" if outcome is Outcome.LEAKED and found.left else outcome.value


def restore_tone(found: Restored) -> str:
    """Return the tone of an answer."""
    return {Answer.YES: "good", Answer.NO: "bad", Answer.SOMETIMES: "mild", Answer.UNKNOWN: "void"}[found.answer]


def restore_glyph(found: Restored) -> str:
    """Return the sign beside an answer."""
    return outcomes.SIGNS[restore_tone(found)]


def score(table: Table) -> str:
    """Count the answers of a cross-restore table: `18 of 36 pairs restore; 18 do not: masked paths (10), ...`."""
    pairs = [each for row in table.rows for each in row.entries if each and each.cell.restore != each.cell.checkpoint]
    answers = [restored(each) for each in pairs]
    counts = Counter(each.answer for each in answers)
    kinds = Counter(each.cause.kind for each in answers if each.cause and each.answer is Answer.NO)
    why = ", ".join(f"{kind} ({number})" for kind, number in kinds.most_common())
    told = {
        f"{counts[Answer.YES]} of {counted(len(pairs), 'pair')} restore": True,
        f"{counts[Answer.SOMETIMES]} sometimes": Answer.SOMETIMES in counts,
        f"{counts[Answer.NO]} {'does' if counts[Answer.NO] == 1 else 'do'} not: {why}": Answer.NO in counts,
        f"{counts[Answer.UNKNOWN]} not known": Answer.UNKNOWN in counts,
    }
    return "; ".join(each for each, said in told.items() if said)


def row_score(table: Table, row: Row) -> str:
    """Sum up a row; in a cross-restore table it counts who restores: `4 of 6 restore`."""
    if not table.by_pair:
        return row_summary(row)
    cells = [each for each in row.entries if each]
    return f"{sum(restored(each).answer is Answer.YES for each in cells)} of {len(cells)} restore"
