"""Outcomes, freeze policies, scenarios and verdicts in words and signs."""

from __future__ import annotations

from harness.model.cells import FreezePolicy, Scenario
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.outcomes import Outcome, Verdict
from reports.analysis.cells import SILENT
from reports.words.numbers import interval

MEANINGS = {
    Outcome.CONSISTENT: "restored, and each captured surface is within one tick of memory",
    Outcome.NOT_CAPTURED: "by its documentation, the checkpoint leaves this surface out; the skew is reported",
    Outcome.REFUSED: "declined early, with a reason that names the differing fact; the source is unharmed",
    Outcome.UNSUPPORTED: "a probe proved that this cannot work here",
    Outcome.VACUOUS: "proves nothing: the workload did not tick right up to the checkpoint",
    Outcome.ALTERED: "of one instant, but not the same container: less confined, or with other limits or descriptors",
    Outcome.UNFIT: "memory and disk are of one instant, and yet the restored application cannot go on",
    Outcome.INCONSISTENT: "memory and disk are from different instants",
    Outcome.COLD_START: "reported as restored, but it is a new process",
    Outcome.CHECKPOINT_FAILED: "no checkpoint could be made",
    Outcome.RESTORE_FAILED: "the checkpoint could not be restored",
    Outcome.SOURCE_HARMED: "after a live checkpoint, the source is frozen, gone or no longer paused, or it lost ticks",
    Outcome.CHECKPOINT_BROKEN: "reported as a success, but the checkpoint is cut off, incomplete or unreadable",
    Outcome.LEAKED: "processes, mounts, cgroups, namespaces, firewall rules or files were left behind",
    Outcome.HUNG: "a stage passed its deadline",
    Outcome.HARNESS_ERROR: "a fault of stillframe or of the host; it says nothing about the runtime",
    Outcome.MISSING: "planned, but no result came back",
}
HOLDERS = {
    FreezePolicy.NONE: "no freeze",
    FreezePolicy.ENGINE: "whatever the engine does by itself",
    FreezePolicy.PAUSE: "the runtime's pause command",
    FreezePolicy.CGROUP: "the kernel's freezer",
    FreezePolicy.HOOK: "CRIU's post-dump hook",
}
SCENARIOS = {
    Scenario.LIVE: "a running container is checkpointed and runs on; its checkpoint is restored",
    Scenario.PAUSED: "the user pauses the container before the checkpoint; it has to stay paused",
    Scenario.ABANDONED: "the client of a live checkpoint gives up, by its deadline or by being killed, before the "
    "checkpoint is done; then another one is taken and restored",
    Scenario.CONCURRENT: "two requests for a container at the same time: a live checkpoint, and a second one, a pause, "
    "a stop or a deletion; then the live checkpoint is taken and restored",
    Scenario.KILLED_CRIU: "CRIU is killed in the middle of a live checkpoint; then another one is taken and restored",
    Scenario.KILLED_RUNTIME: "the OCI runtime is killed in the middle of an engine's live checkpoint",
    Scenario.KILLED_SHIM: "the engine's monitor of a container (conmon, shim) is killed during its live checkpoint",
    Scenario.KILLED_DAEMON: "the engine's daemon is killed in the middle of a live checkpoint, and started again",
    Scenario.DISK_FULL: "the folder for a live checkpoint has too little room for it",
    Scenario.READ_ONLY: "the folder for a live checkpoint cannot be written",
    Scenario.SECRETS: "canaries in the container's memory, files, environment and arguments are looked for in all "
    "files of the node, after a live checkpoint and after its removal",
    Scenario.GROUP: "two containers tick together and are checkpointed one after the other, as a kubelet does; their "
    "memories must be of one instant",
    Scenario.GROUP_AT_ONCE: "two containers tick together and are checkpointed at the same time",
    Scenario.POD: "two containers of a pod tick together; the engine checkpoints both by `CheckpointPod`, and restores "
    "both by `RestorePod`; the rules of CRI for these calls are checked",
    Scenario.POD_FROZEN: "somebody freezes the pod's control group before the checkpoint of a container in it, and "
    "thaws it afterwards",
    Scenario.GENERATIONS: "the restored container is checkpointed and restored again, three times in a row",
    Scenario.INCREMENTAL: "memory is dumped in rounds before the checkpoint; all rounds travel with the checkpoint",
    Scenario.MAPPED: "CRIU's configuration on the restoring side explains the external mounts of the checkpoint",
    Scenario.TRANSLATED: "the checkpoint is translated into a form that the restoring side accepts, then restored",
    Scenario.KEEP: "the checkpoint is kept for later versions",
    Scenario.KEPT: "a kept checkpoint is restored; its container no longer exists",
}
VERDICTS = {
    Exit.EXPECTED: "as expected",
    Exit.UNEXPECTED: "not as expected",
    Exit.INCOMPLETE: "incomplete",
    Exit.BLIND: "instrument blind",
}
FLAGS = {**VERDICTS, Exit.UNEXPECTED: "unexpected"}
_MILD = {Outcome.NOT_CAPTURED, Outcome.REFUSED}
SIGNS = {"good": "✓", "mild": "◇", "void": "?", "bad": "✗"}
"""The sign beside a tone, for readers who do not see colours."""


def tone(outcome: Outcome) -> str:
    """Return the tone of an outcome: `good`, `mild`, `void` (says nothing) or `bad`."""
    if outcome is Outcome.CONSISTENT:
        return "good"
    return "mild" if outcome in _MILD else "void" if outcome in SILENT else "bad"


def glyph(outcome: Outcome) -> str:
    """Return the sign beside the outcome, for readers who do not see colours."""
    return SIGNS[tone(outcome)]


def expectation(told: Expectation) -> str:
    """Write an expectation: `hung in 5.0-40.0 % of the trials`, `unsupported (kernel lacks mem_dirty_track)`."""
    part = f"in {interval(*told.rate)} of the trials" if told.rate else ""
    return " ".join(filter(None, (told.outcome, told.anomaly, part, told.when and f"({told.when})")))


def found(verdict: Verdict) -> str:
    """List all outcomes of a trial, worst first: `leaked, inconsistent`."""
    return ", ".join(verdict.found)
