"""Evidence of a trial -> verdict. Pure: one finding is enough to convict, all are looked for, the worst one counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from harness.model import Anomaly, Outcome, Reading, Skew, SourceHealth, Stage, SurfaceReading, Verdict

ALLOWED_TICKS = range(-1, 1)
"""Distance disk - memory that one instant allows: the tick is in memory first, then on each surface."""
AGREEMENT_TICKS = 2
"""How far two readings may lie apart: a restored workload finishes the tick in which it was stopped."""
OVERLAP_NS = 500_000_000
"""How old the last tick may be when the freeze begins; a busy machine withholds the processor for a while."""


@dataclass
class Evidence:
    """All that a trial learned, filled in as it goes; what stays None was not observed."""

    source_nonce: str | None = None
    freeze_begin_ns: int | None = None
    period_ns: int = 0
    outside: frozenset[str] = frozenset()
    """Surfaces that are documented as outside of the checkpoint."""
    offline: Reading | None = None
    restored: Reading | None = None
    restored_moves: bool = False
    """The restored counter was seen to grow."""
    started_afresh: bool = False
    """The restored container announced a start of its own."""
    source: SourceHealth = field(default_factory=SourceHealth)
    leaks: tuple[str, ...] = ()
    failures: list[Verdict] = field(default_factory=list)
    """How the stages ended that did not come to their end."""

    @property
    def cut(self) -> Reading | None:
        """The reading that tells the instant of the checkpoint."""
        return self.offline or self.restored

    @property
    def idle_ns(self) -> int | None:
        """How long the workload had not ticked when the freeze began; negative when it went on ticking."""
        if self.cut is None or self.freeze_begin_ns is None:
            return None
        return self.freeze_begin_ns - self.cut.counter_wall_ns


def judge(evidence: Evidence) -> Verdict:
    """Give the worst finding; `consistent` only if there is none."""
    findings = list(_findings(evidence))
    if not findings:
        return Verdict(outcome=Outcome.CONSISTENT, reason="memory and every captured surface are of one instant")
    worst = max(findings, key=lambda finding: finding.outcome.severity)
    others = {finding.outcome for finding in findings} - {worst.outcome}
    return worst.model_copy(update={"also": tuple(sorted(others, key=lambda each: each.severity, reverse=True))})


def overlapped(evidence: Evidence) -> bool:
    """Whether the workload was ticking right up to the checkpoint, so that the trial can prove something."""
    cut, idle = evidence.cut, evidence.idle_ns
    return cut is not None and idle is not None and cut.counter > 0 and idle <= OVERLAP_NS + 3 * evidence.period_ns


def skews(reading: Reading) -> tuple[Skew, ...]:
    """Distance of each surface from memory in `reading`."""
    return tuple(
        Skew(
            witness=reading.witness,
            surface=surface.surface,
            ticks=None if surface.newest is None else surface.newest - reading.counter,
            microseconds=None
            if surface.newest_wall_ns is None
            else (surface.newest_wall_ns - reading.counter_wall_ns) / 1000,
        )
        for surface in reading.surfaces
    )


def anomalies(reading: Reading, outside: frozenset[str] = frozenset()) -> tuple[Anomaly, ...]:
    """Ways in which `reading` is not one instant, in the order of the vocabulary; empty when it is one."""
    found: set[Anomaly] = set()
    inside = [surface for surface in reading.surfaces if surface.surface not in outside]
    for surface in inside:
        found |= _surface_anomalies(surface, reading.counter)
    held = [surface.newest for surface in inside if surface.newest is not None]
    if held and max(held) - min(held) > 1:
        found.add(Anomaly.SURFACES_DISAGREE)
    if any(later > earlier for earlier, later in pairwise(held)):
        found.add(Anomaly.ORDER_BROKEN)
    return tuple(anomaly for anomaly in Anomaly if anomaly in found)


def _surface_anomalies(surface: SurfaceReading, counter: int) -> set[Anomaly]:
    found = set()
    if surface.newest is None or surface.newest - counter < ALLOWED_TICKS.start:
        found.add(Anomaly.DISK_BEHIND)
    elif surface.newest - counter >= ALLOWED_TICKS.stop:
        found.add(Anomaly.DISK_AHEAD)
    if surface.torn or surface.foreign:
        found.add(Anomaly.TORN)
    if surface.holes:
        found.add(Anomaly.ORDER_BROKEN)
    if surface.backwards:
        found.add(Anomaly.TIME_BACKWARDS)
    return found


def _findings(evidence: Evidence) -> Iterator[Verdict]:
    yield from evidence.failures
    yield from _of_source(evidence.source)
    if evidence.leaks:
        yield Verdict(outcome=Outcome.LEAKED, stage=Stage.AUDIT, reason="left behind: " + ", ".join(evidence.leaks))
    if evidence.offline is not None:
        yield from _of_reading(evidence.offline, evidence.outside)
    if evidence.failures:
        return
    if evidence.freeze_begin_ns is None:
        yield Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason="there was no checkpoint to read")
        return
    cut, idle = evidence.cut, evidence.idle_ns
    if cut is not None and idle is not None and not overlapped(evidence):
        reason = f"the last tick was {idle / 1e6:.0f} ms before the freeze began" if cut.counter else "it never ticked"
        yield Verdict(outcome=Outcome.VACUOUS, stage=Stage.FREEZE, reason=f"no overlap: {reason}")
        return
    yield from _of_restored(evidence)


def _of_restored(evidence: Evidence) -> Iterator[Verdict]:
    restored = evidence.restored
    if evidence.started_afresh or (restored is not None and restored.nonce != evidence.source_nonce):
        yield Verdict(
            outcome=Outcome.COLD_START,
            stage=Stage.RESTORE,
            reason="the restored container is a new process: its nonce differs",
        )
    elif restored is None:
        yield Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.READ, reason="the restored container said nothing")
    else:
        if not evidence.restored_moves:
            yield Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.READ, reason="the restored counter does not move")
        yield from _of_reading(restored, evidence.outside)
        yield from _of_outside(restored, evidence.outside)
        if evidence.offline is not None:
            yield from _of_disagreement(evidence.offline, restored, evidence.outside)


def _of_source(source: SourceHealth) -> Iterator[Verdict]:
    harms = (
        (source.kept_pause is False, "its user had paused the source, and it is not paused any more"),
        (source.frozen is True, "the kernel says that the source is still frozen"),
        (source.same_nonce is False, "the source was replaced by another process"),
        (bool(source.lost_ticks), f"the source's own disk and memory differ by {source.lost_ticks} ticks"),
        (source.ticking is False, "the source no longer ticks"),
        (source.stops is False, "the source does not end when it is asked to"),
    )
    for harmed, reason in harms:
        if harmed:
            yield Verdict(outcome=Outcome.SOURCE_HARMED, stage=Stage.THAW, reason=reason)


def _of_reading(reading: Reading, outside: frozenset[str]) -> Iterator[Verdict]:
    found = anomalies(reading, outside)
    if found:
        apart = [skew for skew in skews(reading) if skew.surface not in outside]
        worst = max(apart, key=lambda skew: abs(skew.ticks) if skew.ticks is not None else 1 << 62)
        reason = f"{', '.join(found)}: {worst.surface} holds {_distance(worst)} ({reading.witness} reading)"
        yield Verdict(outcome=Outcome.INCONSISTENT, stage=Stage.READ, reason=reason, anomalies=found)


def _of_outside(restored: Reading, outside: frozenset[str]) -> Iterator[Verdict]:
    held = [f"{skew.surface} holds {_distance(skew)}" for skew in skews(restored) if skew.surface in outside]
    if held:
        reason = f"documented as outside of the checkpoint: {', '.join(held)}"
        yield Verdict(outcome=Outcome.NOT_CAPTURED, stage=Stage.READ, reason=reason)


def _distance(skew: Skew) -> str:
    return "nothing of this workload" if skew.ticks is None else f"{skew.ticks:+d} ticks from memory"


def _of_disagreement(offline: Reading, restored: Reading, outside: frozenset[str]) -> Iterator[Verdict]:
    if offline.nonce != restored.nonce:
        reason = f"the two readings disagree on the workload: offline {offline.nonce}, restored {restored.nonce}"
        yield Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason=reason)
    elif not 0 <= restored.counter - offline.counter <= AGREEMENT_TICKS:
        reason = f"the two readings disagree on memory: offline {offline.counter}, restored {restored.counter}"
        yield Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason=reason)
    said = {skew.surface: skew.ticks for skew in skews(restored)}
    one_is_clean = bool(anomalies(offline, outside)) != bool(anomalies(restored, outside))
    for skew in skews(offline):
        if skew.surface in outside:
            continue
        other = said.get(skew.surface)
        same = (
            skew.ticks == other if skew.ticks is None or other is None else abs(skew.ticks - other) <= AGREEMENT_TICKS
        )
        if one_is_clean or not same:
            yield Verdict(
                outcome=Outcome.HARNESS_ERROR,
                stage=Stage.READ,
                reason=f"the two readings disagree on {skew.surface}: offline {skew.ticks}, restored {other} ticks",
            )
            return
