"""Histories of trials, written by hand: readings, logs, and what a sound trial has learned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.readings import Reading, SourceHealth, SurfaceReading, Witness
from harness.oracle.evidence import Evidence
from harness.records.record import Continuation

NOW = 1_795_435_200_000_000_000
TICK_NS = 15_000
COUNTER = 90_000
NONCE, OTHER = "00000000c0ffee00", "00000000deadbeef"
NAMES = ("added", "image", "tmpfs")


def surface(skew: int | None, name: str, /, **defects: int) -> SurfaceReading:
    if skew is None:
        return SurfaceReading(surface=name, newest=None, newest_wall_ns=None, **defects)
    return SurfaceReading(surface=name, newest=COUNTER + skew, newest_wall_ns=NOW + skew * TICK_NS, **defects)


def reading(
    *skews: int | None, witness: Witness = Witness.OFFLINE, nonce: str = NONCE, defects: dict[str, int] | None = None
) -> Reading:
    """A reading whose surfaces have these distances from memory; `defects` belong to the first surface."""
    first, *others = zip(skews, NAMES, strict=False)
    surfaces = (surface(*first, **(defects or {})), *(surface(*other) for other in others))
    return Reading(witness=witness, nonce=nonce, counter=COUNTER, counter_wall_ns=NOW, surfaces=surfaces)


def restored(*skews: int | None, nonce: str = NONCE, defects: dict[str, int] | None = None) -> Reading:
    return reading(*skews, witness=Witness.RESTORED, nonce=nonce, defects=defects)


def trial(**changes: Any) -> Evidence:
    """The evidence of a sound trial, with `changes`."""
    sound = Evidence(
        source_nonce=NONCE,
        freeze_begin_ns=NOW - TICK_NS,
        offline=reading(0, 0, 0),
        restored=restored(0, 0, 0),
        restored_moves=True,
        source=SourceHealth(ticking=True, frozen=False, same_nonce=True, lost_ticks=0, longest_gap_us=90_000.0),
    )
    return replace(sound, **changes)


def both(*skews: int | None, **defects: int) -> Evidence:
    return trial(offline=reading(*skews, defects=defects), restored=restored(*skews, defects=defects))


AHEAD, BEHIND, TORN = Anomaly.DISK_AHEAD, Anomaly.DISK_BEHIND, Anomaly.TORN
DISAGREE, BACKWARDS, ORDER = Anomaly.SURFACES_DISAGREE, Anomaly.TIME_BACKWARDS, Anomaly.ORDER_BROKEN
LOST, AGAIN = Anomaly.RECORD_LOST, Anomaly.RECORD_REPEATED

FAILURE = Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.RESTORE, reason="Error (criu): no")

LAG = 50


def printing(skew: int | None, *skews: int, **defects: int) -> Reading:
    """An offline reading whose last surface is a log with this distance from memory."""
    held = reading(*(skews or (0, 0)))
    log = surface(skew, "stdout", lag=LAG, **defects)
    return held.model_copy(update={"surfaces": (*held.surfaces, log)})


def of_printing(skew: int | None, *skews: int, **defects: int) -> Evidence:
    """A trial with a log; the restored workload cannot read it."""
    return trial(offline=printing(skew, *skews, **defects), restored=restored(*(skews or (0, 0))))


def log_of(first: int | None, newest: int | None, *, travels: bool = True, **changes: Any) -> Continuation:
    counts = {name: changes.pop(name) for name in ("holes", "repeated", "torn") if name in changes}
    held = SurfaceReading(surface="stdout", newest=newest, newest_wall_ns=None, lag=LAG, **counts)
    return Continuation(surface=held, first=first, travels=travels, due=COUNTER + 60, **changes)
