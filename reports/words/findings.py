"""What many cells show together, in words: freezing, refusals, bridges, predictions."""

from __future__ import annotations

from harness.model.outcomes import Answer
from reports.analysis.cross_restores import Bridge, Declined
from reports.analysis.freezing import FrozenPair
from reports.analysis.predictions import Agreement, Missed, Predictions
from reports.analysis.statistics import LEVEL, fewest_pairs
from reports.analysis.tables import counted
from reports.words.numbers import percent

FREEZING = (
    "Trials of the same number have the same schedule under every policy, so they are pairs. Counted are the pairs of "
    "which one trial violates and the other does not; p is that of McNemar's exact test, two-sided, of each row by "
    "itself."
)


def freeze_effect(pair: FrozenPair) -> str:
    """Tell in words what a comparison of pairs proves."""
    if pair.p is None:
        return "no pair differs"
    if not pair.differs:
        return "no difference is proved" if pair.pairs >= fewest_pairs() else "too few pairs to prove a difference"
    return "held still, fewer trials violate" if pair.only_without > pair.only_with else "held still, more violate"


def freezing_line(pairs: tuple[FrozenPair, ...]) -> str:
    """Put all comparisons of pairs in one line; empty where there are none."""
    if not pairs:
        return ""
    only_without, only_with = sum(each.only_without for each in pairs), sum(each.only_with for each in pairs)
    return (
        f"freezing, paired: {counted(len(pairs), 'comparison')}, {counted(sum(each.pairs for each in pairs), 'pair')}: "
        f"{only_without} violate only without a freeze, {only_with} only with one; "
        f"{freezing_proved(pairs)}"
    )


def freezing_proved(pairs: tuple[FrozenPair, ...]) -> str:
    """Tell in how many comparisons a difference is proved, or that there are too few pairs for it."""
    if all(each.pairs < fewest_pairs() for each in pairs):
        return f"none has the {fewest_pairs()} pairs that it takes to prove a difference"
    fewer = sum(each.differs and each.only_without > each.only_with for each in pairs)
    more = sum(each.differs for each in pairs) - fewer
    return f"with p < {LEVEL}, fewer violate held still in {fewer}, more in {more}"


def how_declined(each: Declined) -> str:
    """Tell how well a restore was declined: `early, naming crun and runc, source unharmed, nothing left behind`."""
    return ", ".join(
        (
            "early" if each.early else "late",
            f"naming {', '.join(each.named)}" if each.named else "naming nothing that differs",
            "source unharmed" if each.unharmed else "source harmed",
            "nothing left behind" if each.clean else "something left behind",
        )
    )


def would_restore(each: Declined) -> str:
    """Tell whether it was right to decline."""
    if not each.would:
        return "over no bridge that was tried"
    return f"over a bridge {len(each.would)} of {len(each.cells)} restore consistently"


def bridge(each: Bridge) -> str:
    """Tell what a bridge comes to: `translated: opens 30 of 30 pairs that do not restore as they are`."""
    asked = len(each.opened) + len(each.closed)
    told = f"{each.name}: opens {len(each.opened)} of {asked} pairs that do not restore as they are"
    return f"{told}, and breaks {len(each.broken)}" if each.broken else told


def score_of(found: Predictions) -> str:
    """Put the score of predictions in one line: `right in 180 of 187 cells (96.2 %), false yes 0, false no 3`."""
    share = percent(found.right / found.cells) if found.cells else "none"
    told = f"right in {found.right} of {counted(found.cells, 'cell')} ({share})"
    numbers = (len(found.of(answer)) for answer in Answer)
    return ", ".join(
        (told, *(f"{what} {n}" for what, n in zip(("false yes", "false no", "unknown"), numbers, strict=True)))
    )


def agreement_of(found: Agreement) -> str:
    """Tell how often two readings of a checkpoint agree."""
    told = f"`stillframe inspect` and the oracle agree on {found.agreed} of {counted(found.checkpoints, 'checkpoint')}"
    return told if found.agreed == found.checkpoints else f"{told}; they differ on"


def missed(each: Missed) -> str:
    """Tell what was predicted and why, and what came about: `said no, since ...; it was consistent`."""
    since = f", since {'; '.join(each.reasons)}" if each.reasons else ""
    return f"said {each.answer}{since}; it was {each.outcome}: {each.reason}"
