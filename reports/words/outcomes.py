"""Outcomes, freeze policies, scenarios and verdicts in words and signs."""

from __future__ import annotations

from harness.model.cells import FreezePolicy, Scenario
from harness.model.expectations import Expectation
from harness.model.outcomes import Outcome, Verdict
from reports.analysis.cells import Exit
from reports.words.numbers import interval

MEANINGS = {
    Outcome.CONSISTENT: "restored, and each captured surface is within one tick of memory",
    Outcome.NOT_CAPTURED: "the surface is documented as outside the checkpoint; the skew is reported",
    Outcome.REFUSED: "declined early, naming the fact that differs, source unharmed",
    Outcome.UNSUPPORTED: "proved by a probe to be impossible here",
    Outcome.VACUOUS: "proves nothing: the workload was not ticking right up to the checkpoint",
    Outcome.INCONSISTENT: "memory and disk are not of one instant",
    Outcome.COLD_START: "claimed to be restored, but it is a new process",
    Outcome.CHECKPOINT_FAILED: "no checkpoint came about",
    Outcome.RESTORE_FAILED: "the checkpoint could not be restored",
    Outcome.SOURCE_HARMED: "after a live checkpoint the source is frozen, gone, not paused any more, or lost ticks",
    Outcome.CHECKPOINT_BROKEN: "called a success, and the checkpoint is cut off, incomplete or unreadable",
    Outcome.LEAKED: "processes, mounts, cgroups, namespaces, firewall rules or files were left behind",
    Outcome.HUNG: "a stage passed its deadline",
    Outcome.HARNESS_ERROR: "the fault of stillframe or of the host; says nothing about the runtime",
    Outcome.MISSING: "planned, and did not come back",
}
HOLDERS = {
    FreezePolicy.NONE: "nobody holds still",
    FreezePolicy.ENGINE: "the engine, as it thinks fit",
    FreezePolicy.PAUSE: "the runtime's pause",
    FreezePolicy.CGROUP: "the kernel's freezer",
    FreezePolicy.HOOK: "CRIU's post-dump hook",
}
SCENARIOS = {
    Scenario.LIVE: "a running container is checkpointed, runs on, and is restored",
    Scenario.PAUSED: "its user has paused the container before the checkpoint, and it has to stay paused",
    Scenario.GENERATIONS: "what was restored is checkpointed and restored again, three times in a row",
    Scenario.INCREMENTAL: "memory is dumped in rounds before the checkpoint, which is moved with all of them",
    Scenario.MAPPED: "CRIU is told, by its configuration where it restores, what the checkpoint calls external mounts",
    Scenario.TRANSLATED: "the checkpoint is translated to what the restoring side takes, before it is restored",
    Scenario.KEEP: "the checkpoint is kept, for versions to come",
    Scenario.KEPT: "the checkpoint was kept, and its container is long gone",
}
VERDICTS = {
    Exit.EXPECTED: "as expected",
    Exit.UNEXPECTED: "not as expected",
    Exit.INCOMPLETE: "incomplete",
    Exit.BLIND: "instrument blind",
}
FLAGS = {**VERDICTS, Exit.UNEXPECTED: "unexpected"}
_MILD = {Outcome.NOT_CAPTURED, Outcome.REFUSED}
_VOID = {Outcome.UNSUPPORTED, Outcome.VACUOUS, Outcome.HARNESS_ERROR, Outcome.MISSING}


def tone(outcome: Outcome) -> str:
    """Tint an outcome: `good`, `mild`, `void` (says nothing) or `bad`."""
    if outcome is Outcome.CONSISTENT:
        return "good"
    return "mild" if outcome in _MILD else "void" if outcome in _VOID else "bad"


def glyph(outcome: Outcome) -> str:
    """Choose the sign beside the word, for those who do not see colours."""
    return {"good": "✓", "mild": "◇", "void": "?", "bad": "✗"}[tone(outcome)]


def expectation(told: Expectation) -> str:
    """Tell what a cell should be: `hung in 5.0-40.0 % of the trials`, `unsupported (kernel lacks mem_dirty_track)`."""
    part = f"in {interval(*told.rate)} of the trials" if told.rate else ""
    return " ".join(filter(None, (told.outcome, told.anomaly, part, told.when and f"({told.when})")))


def found(verdict: Verdict) -> str:
    """List what a trial found, worst first: `leaked, inconsistent`."""
    return ", ".join(verdict.found)
