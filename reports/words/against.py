"""Variants against the unmodified stack, in words."""

from __future__ import annotations

from collections.abc import Iterator

from reports.analysis.against import Against, Answer, Cause, Compared
from reports.text import counted

MEANINGS = {
    Answer.WORSE: "worse than in the unmodified stack",
    Answer.CANNOT_TELL: "nobody can tell from these trials",
    Answer.BETTER: "better than in the unmodified stack",
}


def score(against: Against) -> str:
    """Count the cells by answer, in one sentence."""
    counts = ", ".join(f"{len(against.of(each))} {each}" for each in Answer)
    return f"{counts}, of {counted(len(against.cells), 'cell')} that were also tried in the unmodified stack"


def heading(cause: Cause) -> str:
    """Say what is different, by which components, and why nobody can tell if so."""
    by = "; ".join(map(str, cause.changed))
    told = f"{cause.before} -> {cause.after}" if cause.before != cause.after else cause.before
    return " ".join(filter(None, (f"{cause.answer}: {told}", by and f"[{by}]", cause.why and f"({cause.why})")))


def pairs(each: Compared) -> str:
    """Say how the pairs of a cell differ."""
    some = (("worse", each.worse), ("better", each.better))
    told = " and ".join(f"{what} in {number}" for what, number in some if number) or "not worse in any"
    return f"{each.cell.id}: {told} of {counted(each.pairs, 'pair')}"


def remedies(against: Against) -> Iterator[str]:
    """Say what may help where nobody can tell."""
    if against.of(Answer.CANNOT_TELL):
        yield "To tell more, try these cells again with more pairs: --rounds 20."
