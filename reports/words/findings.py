"""Findings about many cells, in words: freezing, refusals, bridges, predictions, what a restore changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.model.cells import Scenario
from harness.model.outcomes import Answer, Stage
from harness.model.readings import Aftermath, Aspect, Difference, Fault
from harness.records.plan import Effort
from reports.analysis.against import Against, Cause, Compared, Effect
from reports.analysis.crashes import KnownCrash
from reports.analysis.cross_restores import Bridge, Declined
from reports.analysis.freezing import FrozenPair
from reports.analysis.predictions import Agreement, Missed, Predictions
from reports.analysis.sameness import KnownDifferenceSummary, Same, Seen
from reports.analysis.secrets import Spread
from reports.analysis.sides import NO_RESULT
from reports.analysis.statistics import LEVEL, fewest_pairs
from reports.analysis.sweeps import Faulted, Sweep
from reports.text import counted, shorten
from reports.words.numbers import interval, percent
from reports.words.outcomes import SIGNS

FREEZING = (
    "Trials with the same number have the same schedule under every freeze policy, so they form pairs. The table "
    "counts the pairs in which only one of the two trials violates. Each row has its own p value, from McNemar's exact "
    "test, two-sided."
)

SAMENESS = """\
The kernel is asked about the source just before and just after its checkpoint, and about the restored container as \
soon as it runs. What the source changes by itself is not compared. What a workaround of this machine changes is \
listed, and is no fault of the runtime."""
ASPECTS = {
    Aspect.CONFINEMENT: "confinement",
    Aspect.LIMITS: "limits",
    Aspect.IDENTITY: "identity",
    Aspect.DESCRIPTORS: "descriptors",
    Aspect.SIGNALS: "signals and timers",
    Aspect.NETWORK: "network",
}
KINDS = ("altered", "less confined as known", "different as known", "the same")

GIVING_UP = (
    "The client of a live checkpoint gives up before the checkpoint is done: it reaches its deadline, or it is killed. "
    "The source should go on, and an engine should leave the whole archive or none. A dash stands for nothing to tell."
)
FAULTS = (
    "In the middle of a live checkpoint one thing fails: a program that takes part is killed, or the target cannot "
    "take the checkpoint. The source should go on, unfrozen; the call should end, and say so if it failed; an engine "
    "should leave the whole archive or none; and the next checkpoint, which follows at once, should be consistent."
)
SECRETS = (
    "A container has canaries in its memory, in a file, in its environment and in its arguments. After its live "
    "checkpoint all files of the node are searched for them, also compressed ones, but for those that had them before. "
    "They are searched once more after the checkpoint and the restored container were removed."
)
FAILS = {
    Scenario.KILLED_CRIU: "CRIU is killed",
    Scenario.KILLED_RUNTIME: "the OCI runtime is killed",
    Scenario.KILLED_SHIM: "the monitor or shim is killed",
    Scenario.KILLED_DAEMON: "the daemon is killed",
    Scenario.DISK_FULL: "the target is full",
    Scenario.READ_ONLY: "the target is read-only",
}
HOW_FAR = {
    None: "at its begin",
    Stage.FREEZE: "not yet frozen",
    Stage.CHECKPOINT: "frozen, CRIU at work",
    Stage.CAPTURE: "frozen, CRIU done",
    Stage.THAW: "let go again",
    Stage.RESTORE: "during its restore",
}


def freeze_effect(pair: FrozenPair) -> str:
    """Say what a comparison of pairs proves."""
    if pair.p is None:
        return "no pair differs"
    if not pair.differs:
        return "no difference is proved" if pair.pairs >= fewest_pairs() else "too few pairs to prove a difference"
    return f"{'fewer' if pair.only_without > pair.only_with else 'more'} trials violate with a freeze"


def freezing_line(pairs: tuple[FrozenPair, ...]) -> str:
    """Sum up all comparisons of pairs in one line; empty if there are none."""
    if not pairs:
        return ""
    only_without, only_with = sum(each.only_without for each in pairs), sum(each.only_with for each in pairs)
    return (
        f"effect of freezing: {counted(len(pairs), 'comparison')}, "
        f"{counted(sum(each.pairs for each in pairs), 'pair of trials', 'pairs of trials')}; "
        f"violations only without a freeze: {only_without}, only with one: {only_with}; "
        f"{freezing_proved(pairs)}"
    )


def freezing_proved(pairs: tuple[FrozenPair, ...]) -> str:
    """Count the comparisons that prove a difference, or say that they have too few pairs."""
    if all(each.pairs < fewest_pairs() for each in pairs):
        return f"none has the {fewest_pairs()} pairs that a proof needs"
    fewer = sum(each.differs and each.only_without > each.only_with for each in pairs)
    more = sum(each.differs for each in pairs) - fewer
    return f"with p < {LEVEL}, a freeze lowers the failure rate in {fewer} and raises it in {more}"


def columns(found: Sequence[Faulted]) -> tuple[Scenario, ...]:
    """Return what has failed in a run, in the order of the table."""
    return tuple(each for each in FAILS if any(each is one.scenario for one in found))


def faults_of(found: Sequence[Faulted]) -> dict[str, dict[Scenario, Faulted]]:
    """Order the faults in rows of participants."""
    rows: dict[str, dict[Scenario, Faulted]] = {}
    for each in found:
        rows.setdefault(each.label, {})[each.scenario] = each
    return rows


def score_of_faults(each: Faulted) -> str:
    """Say how often a fault has done harm: `✗ 2 of 4 violate`, or `✓ 4 survived`."""
    if each.violations:
        return f"{SIGNS['bad']} {each.violations} of {len(each.calls)} violate"
    return f"{SIGNS['good']} {len(each.calls)} survived"


def faults_line(found: Sequence[Faulted]) -> str:
    """Sum up all faults in one line; empty if there are none."""
    if not found:
        return ""
    calls, harmed = sum(len(each.calls) for each in found), sum(each.violations for each in found)
    return f"failures in the middle of a live checkpoint: {counted(calls, 'trial')}; {harmed} with a violation"


def secrets_line(found: Sequence[Spread]) -> str:
    """Sum up in one line where the canaries were; empty if nobody looked."""
    if not found:
        return ""
    files = [secret for each in found for secret, _ in each.files]
    exposed, stay = sum(each.exposed for each in files), sum(each.stays for each in files)
    told = f"canaries: in {counted(len(files), 'file')} of {counted(len(found), 'participant')}"
    return f"{told}; others can read {exposed}; {stay} still there after the removal"


def ended_with(call: Fault) -> str:
    """Say what a call in the middle of which something failed has said of itself."""
    return shorten(call.said) if call.said else "reported as done"


def went_on(call: Aftermath) -> str:
    """Say how the source went on after its checkpoint was broken off."""
    if call.ticking is False:
        return "stays frozen" if call.frozen else "no longer ticks"
    return "goes on" if call.ticking else "was not seen"


def abandoned_line(found: tuple[Sweep, ...]) -> str:
    """Sum up all abandoned calls in one line; empty if there are none."""
    if not found:
        return ""
    calls, harmed = sum(len(each.calls) for each in found), sum(each.harmed for each in found)
    return f"clients that gave up: {counted(calls, 'call')}; the source did not go on as before after {harmed}"


def how_declined(each: Declined) -> str:
    """Grade a declined restore: `early, names crun and runc, source unharmed, nothing left behind`."""
    return ", ".join(
        (
            "early" if each.early else "late",
            f"names {', '.join(each.named)}" if each.named else "names no differing fact",
            "source unharmed" if each.unharmed else "source harmed",
            "nothing left behind" if each.clean else "something left behind",
        )
    )


def would_restore(each: Declined) -> str:
    """Say in how many of the declined cells the restore works with a bridge."""
    if not each.would:
        return "no bridge that was tried helps"
    return f"with a bridge, consistent in {len(each.would)} of {counted(len(each.cells), 'cell')}"


def bridge(each: Bridge) -> str:
    """Say what a bridge changes: `translated: fixes 30 of 30 pairs failing without it`."""
    asked = len(each.opened) + len(each.closed)
    told = f"{each.name}: fixes {len(each.opened)} of {counted(asked, 'pair')} failing without it"
    return f"{told}, and breaks {counted(len(each.broken), 'pair')}" if each.broken else told


def score_of(found: Predictions) -> str:
    """Sum up the predictions in one line: `right in 180 of 187 cells (96.2 %), false yes 0, false no 3`."""
    share = percent(found.right / found.cells) if found.cells else "none"
    told = f"right in {found.right} of {counted(found.cells, 'cell')} ({share})"
    numbers = (len(found.of(answer)) for answer in Answer)
    return ", ".join(
        (told, *(f"{what} {n}" for what, n in zip(("false yes", "false no", "unknown"), numbers, strict=True)))
    )


def agreement_of(found: Agreement) -> str:
    """Say how often two readings of a checkpoint agree."""
    told = f"`stillframe inspect` and the oracle agree on {found.agreed} of {counted(found.checkpoints, 'checkpoint')}"
    return told if found.agreed == found.checkpoints else f"{told}; they differ on"


def effort_of(effort: Effort) -> str:
    """Compare the workers' time with the runtimes': `workers: 1,234 s, 1.21 times the 1,020 s of the runtimes`."""
    told = f"workers: {effort.worker_seconds:,.0f} s"
    times = f", {effort.ratio:.2f} times the {effort.runtime_seconds:,.0f} s of the runtimes" if effort.ratio else ""
    return f"{told}{times}"


def crash_of(each: KnownCrash) -> str:
    """Say how often a known crash struck: `known crash of runsc 0.0~20240729.0, 2 of 140 trials (declared: 0-10 %)`."""
    crash = each.crash
    declared = f"declared: {interval(*crash.rate)}"
    told = f"known crash of {crash.component} {', '.join(crash.versions)}"
    return f"{told}, {each.shown} of {counted(each.trials, 'trial')} ({declared})"


def missed(each: Missed) -> str:
    """Compare a wrong prediction with the result: `predicted no, because ...; the result is consistent: ...`."""
    because = f", because {'; '.join(each.reasons)}" if each.reasons else ""
    return f"predicted {each.answer}{because}; the result is {each.outcome}: {each.reason}"


def compared_score(against: Against) -> str:
    """Count the cells by answer, in one sentence."""
    counts = ", ".join(f"{len(against.of(each))} {each}" for each in Effect)
    return f"{counts}, of {counted(len(against.cells), 'cell')} also tried in the unmodified stack"


def compared_cause(cause: Cause) -> str:
    """Say what is different, by which components, and why nobody can tell if so."""
    by = "; ".join(map(str, cause.changed))
    before = ", ".join(f"{outcome or NO_RESULT} in {number}" for outcome, number in cause.before.items())
    told = f"{cause.effect}, {counted(len(cause.cells), 'cell')}: {cause.after} (before: {before})"
    return " ".join(filter(None, (told, by and f"[{by}]", cause.why and f"({cause.why})")))


def compared_pairs(each: Compared) -> str:
    """Say of which cell how its pairs differ."""
    return f"{each.cell.id}: {paired(each)}"


def answered(each: Compared) -> str:
    """Say whether a cell is worse in the variant, and how its pairs differ or why nobody can tell."""
    if each.effect.value in paired(each):
        return paired(each)
    return f"{each.effect}, {each.why or paired(each)}"


def paired(each: Compared) -> str:
    """Say how the pairs of a cell differ."""
    some = (("worse", each.worse), ("better", each.better))
    told = " and ".join(f"{what} in {number}" for what, number in some if number) or "not worse in any"
    return f"{told} of {counted(each.pairs, 'pair')}"


def compared_remedy(against: Against) -> Iterator[str]:
    """Say what may help where nobody can tell because too few pairs differ."""
    if any(each.worse or each.better for each in against.of(Effect.CANNOT_TELL)):
        yield "To tell more, try these cells again with more pairs: --rounds 20."


def differs(each: Difference) -> str:
    """Say what differs, and how: `mount /proc/timer_list: ro nosuid, then rw nosuid`."""
    whose = "" if each.process in (None, 1) else f" of process {each.process}"
    return f"{each.fact}{whose}: {each.before or 'none'}, then {each.after or 'none'}"


def standing_of(seen: Seen) -> str:
    """Say how to take a difference: `less confined, known`, `workaround criu-cgroups`, `UNEXPECTED`."""
    if seen.difference.workaround:
        return f"workaround {seen.difference.workaround}"
    told = "known" if seen.known else "UNEXPECTED"
    return f"less confined, {told}" if seen.difference.less_confined else told


def compared_of(same: Same) -> str:
    """Say how much was compared: `131 facts in 6 trials`, or why nothing was."""
    if same.trials:
        return f"{counted(same.facts, 'fact')} in {counted(same.trials, 'trial')}"
    return "not compared: " + "; ".join(same.uncompared)


def score_of_sameness(rows: Sequence[Same]) -> str:
    """Sum up the rows in one line."""
    compared = [each for each in rows if each.trials]
    counts = Counter(_kind(each) for each in compared)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return f"the same container: {counted(len(compared), 'row')} compared: {told}" if compared else ""


def _kind(same: Same) -> str:
    ours = [each for each in same.seen if not each.difference.workaround]
    if any(each.convicts for each in ours):
        return KINDS[0]
    return KINDS[1] if any(each.difference.less_confined for each in ours) else KINDS[2] if ours else KINDS[3]


def known_difference(each: KnownDifferenceSummary) -> str:
    """Say in how many cells a known difference shows: `known difference, in 12 of 12 cells`."""
    every = len(each.shown) + len(each.absent)
    return f"known difference, in {len(each.shown)} of {counted(every, 'cell')}"
