"""A difference that is known does not decide about a cell; one that is not known does, whatever else was found."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.commands import Schedule
from harness.model.known.differences import KnownDifference
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome, Verdict
from harness.model.readings import Aspect, Difference, Sameness
from harness.records.plan import Plan
from harness.records.record import Record

BOTH = Participant(runtime="crun", stack="debian-sid")
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=BOTH, restore=BOTH)
MASK = Difference(
    aspect=Aspect.CONFINEMENT, process=1, fact="mount /proc/timer_list", before="ro", after="rw", weaker=True
)
LIMIT = Difference(aspect=Aspect.LIMITS, process=1, fact="nice", before="0", after="5", weaker=False)
GROUP = MASK.model_copy(update={"fact": "namespace cgroup", "workaround": "criu-cgroups"})
KNOWN = KnownDifference(
    match=("*.crun@debian-sid",),
    signature="mount /proc/timer_list of process 1: ro before, rw after",
    reason="it is so",
    link="https://example.org/1",
    owner="crun",
    added=dt.date(2026, 11, 30),
    review_by=dt.date(2027, 6, 1),
)


def plan(*known: KnownDifference) -> Plan:
    host = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=2, memory_gib=4, os="Debian")
    return Plan(run="r", stillframe="0", created_ns=1, seed=1, rounds=1, cells=(CELL,), host=host, differences=known)


def record(*differences: Difference, **verdict: Any) -> Record:
    return Record(
        run="r",
        cell=CELL,
        trial=0,
        verdict=Verdict(**({"outcome": Outcome.ALTERED, "reason": "not the same"} | verdict)),
        start_ns=1,
        end_ns=2,
        schedule=Schedule(seed=1, planned_delay_us=1),
        sameness=Sameness(compared=9, differences=differences),
    )


def test_what_is_known_leaves_the_trial_consistent() -> None:
    verdict = plan(KNOWN).settled(record(MASK, GROUP)).verdict
    assert verdict.found == (Outcome.CONSISTENT,)
    assert verdict.reason == "all of it is known: not the same"


def test_what_is_not_known_decides_and_the_verdict_names_it_alone() -> None:
    verdict = plan(KNOWN).settled(record(MASK, LIMIT)).verdict
    assert verdict.outcome is Outcome.ALTERED
    assert verdict.reason == "the restored container is not the same: nice of process 1: 0 before, 5 after"


@pytest.mark.parametrize("differences", [(MASK, LIMIT), (LIMIT,)])
def test_a_trial_that_is_settled_stays_as_it_is(differences: tuple[Difference, ...]) -> None:
    once = plan(KNOWN).settled(record(*differences))
    assert plan(KNOWN).settled(once) is once


def test_a_worse_finding_and_its_reason_stay() -> None:
    both = {"outcome": Outcome.INCONSISTENT, "also": (Outcome.ALTERED,), "reason": "disk-ahead"}
    verdict = plan(KNOWN).settled(record(MASK, **both)).verdict
    assert (verdict.found, verdict.reason) == ((Outcome.INCONSISTENT,), "disk-ahead")
    strange = plan().settled(record(MASK, **both)).verdict
    assert (strange.found, strange.reason) == ((Outcome.INCONSISTENT, Outcome.ALTERED), "disk-ahead")


def test_a_milder_finding_becomes_the_outcome() -> None:
    verdict = plan(KNOWN).settled(record(MASK, also=(Outcome.NOT_CAPTURED,))).verdict
    assert verdict.found == (Outcome.NOT_CAPTURED,)


def test_the_worst_difference_is_told_first_and_a_workaround_convicts_nobody() -> None:
    assert record(LIMIT, GROUP, MASK).sameness.altered == (MASK, LIMIT)  # type: ignore[union-attr]
