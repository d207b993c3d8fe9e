"""What the judge says of applications: what a fresh one finds, before and afterwards, and one that cannot go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.outcomes import Anomaly, Outcome
from harness.model.readings import Reading, SurfaceReading, Witness
from harness.oracle.evidence import Evidence
from harness.oracle.judge import Check, judge
from tests.oracle.histories import COUNTER, both, reading, restored

WHY = "drive cannot tick 7: attempt to write a readonly database"


def found(witness: Witness, ticks: int | None, damaged: str = "") -> Reading:
    """What a fresh application found, so many ticks from memory."""
    newest = None if ticks is None else COUNTER + ticks
    app = SurfaceReading(surface="application", newest=newest, newest_wall_ns=None, damaged=damaged)
    return reading(0).model_copy(update={"witness": witness, "surfaces": (app,)})


def trial(recovered: int | None = 0, afterwards: int | None = 0, *, damaged: str = "") -> Evidence:
    """A trial with sentinels of one instant, and what a fresh application found twice."""
    return replace(
        both(0, 0, 0),
        recovered=found(Witness.RECOVERED, recovered, damaged),
        afterwards=found(Witness.AFTERWARDS, afterwards),
    )


@pytest.mark.parametrize("ticks", [0, -1])
def test_a_fresh_application_may_lack_the_tick_that_was_under_way(ticks: int) -> None:
    assert judge(trial(ticks, ticks)).outcome is Outcome.CONSISTENT


@pytest.mark.parametrize(
    ("evidence", "check", "anomaly", "says"),
    [
        (trial(4100), Check.RECOVERED, Anomaly.DISK_AHEAD, "application holds +4100 ticks from memory (recovered"),
        (trial(-2), Check.RECOVERED, Anomaly.DISK_BEHIND, "application holds -2 ticks from memory (recovered reading)"),
        (trial(None), Check.RECOVERED, Anomaly.DISK_BEHIND, "application holds nothing of this workload (recovered"),
        (trial(0, 4558), Check.AFTERWARDS, Anomaly.DISK_AHEAD, "application holds +4558 ticks from memory (afterwards"),
        (trial(None, damaged="240 rows gone"), Check.DAMAGED, Anomaly.DAMAGED, "damaged: 240 rows gone (recovered"),
    ],
)
def test_each_witness_convicts_alone_and_nothing_else_does(
    evidence: Evidence, check: Check, anomaly: Anomaly, says: str
) -> None:
    verdict = judge(evidence)
    assert (verdict.found, verdict.anomalies) == ((Outcome.INCONSISTENT,), (anomaly,))
    assert says in verdict.reason
    assert judge(evidence, frozenset({check})).outcome is Outcome.CONSISTENT, "without the check it escapes"


def test_an_application_that_cannot_go_on_is_unfit_and_not_inconsistent() -> None:
    evidence = replace(both(0, 0, 0), unfit=WHY, restored_moves=False)
    verdict = judge(evidence)
    assert (verdict.found, verdict.anomalies) == ((Outcome.UNFIT,), ())
    assert verdict.reason == f"the restored application cannot go on: {WHY}"
    assert verdict.outcome.violates
    assert judge(replace(evidence, restored=None)).found == (Outcome.UNFIT,)
    assert judge(replace(evidence, restored_moves=True), frozenset({Check.GOES_ON})).outcome is Outcome.CONSISTENT


def test_what_is_inconsistent_as_well_is_worse_than_unfit() -> None:
    evidence = replace(trial(4100), unfit=WHY)
    assert judge(evidence).found == (Outcome.INCONSISTENT, Outcome.UNFIT)


def test_the_files_of_an_application_are_not_what_two_readings_can_disagree_on() -> None:
    app = SurfaceReading(surface="application", newest=COUNTER + 6, newest_wall_ns=None)
    seen = restored(0, 0, 0)
    evidence = replace(both(0, 0, 0), restored=seen.model_copy(update={"surfaces": (*seen.surfaces, app)}))
    assert judge(evidence).found == (Outcome.INCONSISTENT,)
