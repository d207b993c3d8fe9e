"""From the evidence of a trial to its verdict. Pure: all checks run, one finding convicts, and the worst one counts.

Every check has a name, so that a caller can leave it out: the mutants that then escape show what the check is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from harness.model.outcomes import Anomaly, Outcome, Refusal, Stage, Verdict
from harness.model.readings import Reading, Skew, SourceHealth, SurfaceReading, altered
from harness.oracle.continuity import FINISHED_TICKS, breaks
from harness.oracle.evidence import Evidence
from harness.oracle.skews import apart, skews

AGREEMENT_TICKS = FINISHED_TICKS
"""Ticks by which two readings may differ."""
OVERLAP_NS = 500_000_000
"""Maximum age of the last tick when the freeze begins; on a busy machine the workload waits for the processor."""


class Check(StrEnum):
    """The oracle's checks; a mutant escapes if the only check that detects it is left out."""

    FAILURE = "every stage succeeds"
    KEPT_PAUSE = "the source is still paused if its user paused it"
    THAWED = "the source is not frozen"
    SAME_SOURCE = "the source is still the same process"
    SOURCE_WHOLE = "the source's own disk and memory agree"
    SOURCE_TICKS = "the source goes on ticking"
    SOURCE_STOPS = "the source ends when it is asked to"
    NOTHING_LEFT = "nothing is left behind"
    OVERLAP = "the workload was ticking right up to the checkpoint"
    SAME_PROCESS = "the restored workload does not start again from the beginning"
    SAME_NONCE = "the restored workload has the nonce of the source"
    HEARD = "the restored workload reports what it found"
    MOVES = "the restored counter moves"
    READABLE = "a checkpoint that restores can also be read offline"
    WHOLE = "a checkpoint that was reported as a success is complete"
    OFFLINE = "the offline reading is of one instant"
    EVERY_WORKLOAD = "the offline reading of every other workload in the checkpoint is of one instant"
    TOGETHER = "containers that tick together are of one instant"
    RESTORED = "the reading of the restored workload is of one instant"
    OUTSIDE = "a surface that is documented as outside the checkpoint is not called consistent"
    ONE_WORKLOAD = "both readings have the same nonce"
    ONE_MEMORY = "both readings have the same counter"
    ONE_DISK = "both readings have the same surfaces"
    BEHIND = "no surface is behind memory"
    AHEAD = "no surface is ahead of memory"
    TORN = "every record is whole"
    FOREIGN = "every record is of this workload and in its slot"
    BACKWARDS = "time does not run backwards from record to record"
    AGREEMENT = "the newest ticks of the surfaces differ by at most one"
    ORDER = "no surface is newer than a surface that is written before it"
    COMPLETE = "no record below the newest is missing"
    REPEATED = "no record was appended twice, and no line is in a log twice"
    DAMAGED = "no application calls its own files damaged"
    RECOVERED = "a fresh application finds the captured files of one instant with memory"
    AFTERWARDS = "so it finds the restored container's files, after it has run on and ended"
    GOES_ON = "the restored application can go on"
    CONTINUES = "the restored container's log goes on where memory does"
    SAME_CONTAINER = "the restored container is as confined and limited as the source, and has open what it had"


OF_LINES = {
    Anomaly.RECORD_LOST: Check.COMPLETE,
    Anomaly.RECORD_REPEATED: Check.REPEATED,
    Anomaly.TORN: Check.TORN,
}
"""Checks of the lines of a log, by anomaly."""

OF_LOGS = frozenset({Check.REPEATED, Check.CONTINUES})
"""Checks that only logs need."""

NONE_LEFT_OUT: frozenset[Check] = frozenset()


def judge(evidence: Evidence, without: frozenset[Check] = NONE_LEFT_OUT) -> Verdict:
    """Return the worst finding, with the anomalies of all findings; `consistent` only without any finding.

    `without`: checks to leave out.
    """
    findings = [finding for check, finding in _findings(evidence, without) if check not in without]
    if not findings:
        return Verdict(outcome=Outcome.CONSISTENT, reason="memory and every captured surface are of one instant")
    worst = max(findings, key=lambda finding: finding.outcome.severity)
    others = {finding.outcome for finding in findings} - {worst.outcome}
    seen = {anomaly for finding in findings for anomaly in finding.anomalies}
    return worst.model_copy(
        update={
            "also": tuple(sorted(others, key=lambda each: each.severity, reverse=True)),
            "anomalies": tuple(anomaly for anomaly in Anomaly if anomaly in seen),
        }
    )


def overlapped(evidence: Evidence) -> bool:
    """Return whether the workload was ticking right up to the checkpoint, so that the trial can prove something."""
    cut, idle = evidence.cut, evidence.idle_ns
    return cut is not None and idle is not None and cut.counter > 0 and idle <= OVERLAP_NS + 3 * evidence.period_ns


def anomalies(
    reading: Reading, outside: frozenset[str] = frozenset(), without: frozenset[Check] = NONE_LEFT_OUT
) -> tuple[Anomaly, ...]:
    """Return the anomalies of `reading`, in the order of the vocabulary; empty if it is of one instant."""
    inside = [surface for surface in reading.surfaces if surface.surface not in outside]
    found = {anomaly for check, anomaly in _anomalies(inside, reading.counter) if check not in without}
    return tuple(anomaly for anomaly in Anomaly if anomaly in found)


def _anomalies(surfaces: Sequence[SurfaceReading], counter: int) -> Iterator[tuple[Check, Anomaly]]:
    for surface in surfaces:
        yield from _surface_anomalies(surface, counter)
    files = [surface.newest for surface in surfaces if surface.newest is not None and _ticks(surface)]
    if files and max(files) - min(files) > 1:
        yield Check.AGREEMENT, Anomaly.SURFACES_DISAGREE
    if any(_overtakes(surface, surfaces[:number]) for number, surface in enumerate(surfaces)):
        yield Check.ORDER, Anomaly.ORDER_BROKEN


def _ticks(surface: SurfaceReading) -> bool:
    """Return whether the surface gets each tick at once, so that it can be compared with others like it."""
    return surface.lag == 1


def _is_log(surface: SurfaceReading) -> bool:
    """Return whether the surface is a log: lines on their way to it are in neither, so it may be far behind memory."""
    return surface.lag > 1


def _overtakes(surface: SurfaceReading, before: Sequence[SurfaceReading]) -> bool:
    """Return whether the surface is newer than the file that is written before it."""
    files = [each.newest for each in before if each.newest is not None and _ticks(each)]
    return bool(files) and surface.newest is not None and surface.lag > 0 and surface.newest > files[-1]


def _surface_anomalies(surface: SurfaceReading, counter: int) -> Iterator[tuple[Check, Anomaly]]:
    """Yield the anomalies of one surface: memory gets a tick first, so a surface may be behind by its `lag`."""
    if surface.damaged:
        yield Check.DAMAGED, Anomaly.DAMAGED
        return
    nothing_yet = surface.newest is None and surface.lag > 0 and counter <= surface.lag
    if not nothing_yet and (surface.newest is None or counter - surface.newest > surface.lag):
        yield Check.BEHIND, Anomaly.DISK_BEHIND
    elif surface.newest is not None and surface.newest > counter:
        yield Check.AHEAD, Anomaly.DISK_AHEAD
    if surface.torn:
        yield Check.TORN, Anomaly.TORN
    if surface.foreign and not _is_log(surface):  # a log may hold lines of an earlier process
        yield Check.FOREIGN, Anomaly.TORN
    if surface.repeated:
        yield Check.REPEATED, Anomaly.RECORD_REPEATED
    if surface.holes:
        yield Check.COMPLETE, Anomaly.RECORD_LOST
    if surface.backwards:
        yield Check.BACKWARDS, Anomaly.TIME_BACKWARDS


def _findings(evidence: Evidence, without: frozenset[Check]) -> Iterator[tuple[Check, Verdict]]:
    for failure in evidence.failures:
        yield Check.FAILURE, _as_refused(failure, evidence.refusal)
    yield from _of_source(evidence.source)
    if evidence.leaks:
        reason = "left behind: " + ", ".join(evidence.leaks)
        yield Check.NOTHING_LEFT, Verdict(outcome=Outcome.LEAKED, stage=Stage.AUDIT, reason=reason)
    yield from _of_offline(evidence, without)
    if evidence.failures:
        yield from _of_lacking(evidence)
        return
    if evidence.freeze_begin_ns is None:
        reason = "there was no checkpoint to read"
        yield Check.FAILURE, Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason=reason)
        return
    cut, idle = evidence.cut, evidence.idle_ns
    if cut is not None and idle is not None and not overlapped(evidence):
        told = (
            f"the last tick was {idle / 1e6:.0f} ms before the freeze began"
            if cut.counter
            else "the workload never ticked"
        )
        reason = f"no overlap: {told}"
        yield Check.OVERLAP, Verdict(outcome=Outcome.VACUOUS, stage=Stage.FREEZE, reason=reason)
        return
    of_restored = list(_of_restored(evidence, without))
    yield from of_restored
    yield from _of_sameness(evidence)
    if of_restored:
        yield from _of_lacking(evidence)
    elif evidence.unreadable or evidence.lacking:
        reason = f"the checkpoint restores well, but could not be read: {evidence.unreadable or evidence.lacking}"
        yield Check.READABLE, Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason=reason)


def _of_offline(evidence: Evidence, without: frozenset[Check]) -> Iterator[tuple[Check, Verdict]]:
    if evidence.broken:
        yield Check.WHOLE, Verdict(outcome=Outcome.CHECKPOINT_BROKEN, stage=Stage.READ, reason=evidence.broken)
    if evidence.offline is not None:
        yield from _of_reading(Check.OFFLINE, evidence.offline, evidence.outside, without)
    for reading in (*evidence.others, *evidence.group):
        yield from _of_reading(Check.EVERY_WORKLOAD, reading, evidence.outside, without)
    if evidence.recovered is not None:
        yield from _of_reading(Check.RECOVERED, evidence.recovered, evidence.outside, without)
    for skew in apart(evidence):
        if abs(skew.ticks or 0) > 1:
            told = Anomaly.CONTAINERS_DISAGREE
            reason = f"{told}: the memory of {skew.surface} is {skew.ticks:+d} ticks from that of the first one"
            verdict = Verdict(outcome=Outcome.INCONSISTENT, stage=Stage.READ, reason=reason, anomalies=(told,))
            yield Check.TOGETHER, verdict


def _of_lacking(evidence: Evidence) -> Iterator[tuple[Check, Verdict]]:
    if evidence.lacking:
        yield Check.WHOLE, Verdict(outcome=Outcome.CHECKPOINT_BROKEN, stage=Stage.READ, reason=evidence.lacking)


def _as_refused(failure: Verdict, refusal: Refusal | None) -> Verdict:
    """Turn an early restore failure with a clear reason into `refused`; any harm is a finding of its own."""
    well = failure.outcome is Outcome.RESTORE_FAILED and refusal is not None and refusal.clear
    return failure.model_copy(update={"outcome": Outcome.REFUSED}) if well else failure


def _of_restored(evidence: Evidence, without: frozenset[Check]) -> Iterator[tuple[Check, Verdict]]:
    restored = evidence.restored
    new = Verdict(
        outcome=Outcome.COLD_START,
        stage=Stage.RESTORE,
        reason="the restored container is a new process: its nonce differs",
    )
    if evidence.unfit:
        reason = f"the restored application cannot go on: {evidence.unfit}"
        yield Check.GOES_ON, Verdict(outcome=Outcome.UNFIT, stage=Stage.READ, reason=reason)
    if evidence.started_afresh:
        yield Check.SAME_PROCESS, new
    elif restored is None and evidence.unfit:
        return
    elif restored is None:
        reason = "the restored container said nothing"
        yield Check.HEARD, Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.READ, reason=reason)
    elif restored.nonce != evidence.source_nonce:
        yield Check.SAME_NONCE, new
    else:
        if not evidence.restored_moves and not evidence.unfit:
            reason = "the restored counter does not move"
            if evidence.stood_at is not None:
                reason = f"the restored counter stands still after {evidence.stood_at - restored.counter:,} ticks"
            yield Check.MOVES, Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.READ, reason=reason)
        yield from _of_reading(Check.RESTORED, restored, evidence.outside, without)
        if evidence.afterwards is not None:
            yield from _of_reading(Check.AFTERWARDS, evidence.afterwards, evidence.outside, without)
        yield from _of_log(evidence, without)
        yield from _of_outside(restored, evidence)
        if evidence.offline is not None:
            yield from _of_disagreement(evidence.offline, restored, evidence.outside, without)


def _of_sameness(evidence: Evidence) -> Iterator[tuple[Check, Verdict]]:
    differences = evidence.sameness.altered if evidence.sameness else ()
    if differences:
        yield Check.SAME_CONTAINER, Verdict(outcome=Outcome.ALTERED, stage=Stage.RESTORE, reason=altered(differences))


def _of_source(source: SourceHealth) -> Iterator[tuple[Check, Verdict]]:
    harms = (
        (Check.KEPT_PAUSE, source.kept_pause is False, "its user had paused the source, but it is not paused any more"),
        (Check.THAWED, source.frozen is True, "the kernel says that the source is still frozen"),
        (Check.SAME_SOURCE, source.same_nonce is False, "the source was replaced by another process"),
        (
            Check.SOURCE_WHOLE,
            bool(source.lost_ticks),
            f"the source's own disk and memory differ by {source.lost_ticks} ticks",
        ),
        (Check.SOURCE_TICKS, source.ticking is False, "the source no longer ticks"),
        (Check.SOURCE_STOPS, source.stops is False, "the source does not end when it is asked to"),
    )
    for check, harmed, reason in harms:
        if harmed:
            yield check, Verdict(outcome=Outcome.SOURCE_HARMED, stage=Stage.THAW, reason=reason)


def _of_reading(
    check: Check, reading: Reading, outside: frozenset[str], without: frozenset[Check]
) -> Iterator[tuple[Check, Verdict]]:
    found = anomalies(reading, outside, without)
    if found:
        apart = [skew for skew in skews(reading) if skew.surface not in outside]
        worst = max(apart, key=lambda skew: abs(skew.ticks) if skew.ticks is not None else 1 << 62)
        damaged = next((each.damaged for each in reading.surfaces if each.damaged), "")
        told = damaged or f"{worst.surface} holds {_distance(worst)}"
        reason = f"{', '.join(found)}: {told} ({reading.witness} reading)"
        yield check, Verdict(outcome=Outcome.INCONSISTENT, stage=Stage.READ, reason=reason, anomalies=found)


def _of_log(evidence: Evidence, without: frozenset[Check]) -> Iterator[tuple[Check, Verdict]]:
    if evidence.log is None or evidence.cut is None:
        return
    wrong = [each for each in breaks(evidence.log, evidence.cut) if OF_LINES[each[0]] not in without]
    if wrong:
        found = tuple(anomaly for anomaly in Anomaly if anomaly in dict(wrong))
        told = ", ".join(what for _, what in wrong)
        reason = (
            f"{', '.join(found)}: memory was at {evidence.cut.counter:,}, and in the restored container's log {told}"
        )
        verdict = Verdict(outcome=Outcome.INCONSISTENT, stage=Stage.READ, reason=reason, anomalies=found)
        yield Check.CONTINUES, verdict


def _of_outside(restored: Reading, evidence: Evidence) -> Iterator[tuple[Check, Verdict]]:
    outside, log = evidence.outside, evidence.log
    held = [f"{skew.surface} holds {_distance(skew)}" for skew in skews(restored) if skew.surface in outside]
    if log is not None and log.surface.surface in outside:
        begins = (
            f"the restored container's log begins with line {log.first:,}"
            if log.first
            else "the engine keeps no log of it"
        )
        held.append(f"{log.surface.surface} ({begins})")
    if held:
        reason = f"documented as outside the checkpoint: {', '.join(held)}"
        yield Check.OUTSIDE, Verdict(outcome=Outcome.NOT_CAPTURED, stage=Stage.READ, reason=reason)


def _distance(skew: Skew) -> str:
    return "nothing of this workload" if skew.ticks is None else f"{skew.ticks:+d} ticks from memory"


def _of_disagreement(
    offline: Reading, restored: Reading, outside: frozenset[str], without: frozenset[Check]
) -> Iterator[tuple[Check, Verdict]]:
    def disagree(check: Check, about: str, one: object, other: object) -> tuple[Check, Verdict]:
        reason = f"the two readings disagree on {about}: offline {one}, restored {other}"
        return check, Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.READ, reason=reason)

    if offline.nonce != restored.nonce:
        yield disagree(Check.ONE_WORKLOAD, "the workload", offline.nonce, restored.nonce)
    elif not 0 <= restored.counter - offline.counter <= AGREEMENT_TICKS:
        yield disagree(Check.ONE_MEMORY, "memory", offline.counter, restored.counter)
    said = {skew.surface: skew.ticks for skew in skews(restored)}
    read = {surface.surface for surface in offline.surfaces}
    outside |= {surface.surface for surface in offline.surfaces if _is_log(surface)}  # a workload cannot read its log
    outside |= said.keys() - read  # nor can we read an application's files
    one_is_clean = bool(anomalies(offline, outside, without)) != bool(anomalies(restored, outside, without))
    for skew in skews(offline):
        if skew.surface in outside:
            continue
        other = said.get(skew.surface)
        same = (
            skew.ticks == other if skew.ticks is None or other is None else abs(skew.ticks - other) <= AGREEMENT_TICKS
        )
        if one_is_clean or not same:
            yield disagree(Check.ONE_DISK, skew.surface, skew.ticks, f"{other} ticks")
            return
