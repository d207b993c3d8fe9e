"""What the judge says of histories that are written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.readings import Aspect, Difference, Reading, Sameness, SourceHealth, Witness
from harness.oracle.evidence import Evidence
from harness.oracle.judge import OVERLAP_NS, Check, anomalies, judge, overlapped
from harness.oracle.skews import apart, skews, skews_of_others
from tests.oracle.histories import (
    AHEAD,
    BACKWARDS,
    BEHIND,
    COUNTER,
    DISAGREE,
    FAILURE,
    LOST,
    NAMES,
    NONCE,
    NOW,
    ORDER,
    OTHER,
    TICK_NS,
    TORN,
    both,
    log_of,
    of_printing,
    reading,
    restored,
    surface,
    trial,
)


@pytest.mark.parametrize("held", [(0, 0, 0), (0, 0, -1), (0, -1, -1), (-1, -1, -1)])
def test_one_instant_is_wherever_the_tick_has_got_to(held: tuple[int, ...]) -> None:
    verdict = judge(both(*held))
    assert (verdict.outcome, verdict.anomalies) == (Outcome.CONSISTENT, ())


def test_a_restored_workload_may_have_finished_its_tick() -> None:
    evidence = trial(offline=reading(0, -1, -1), restored=restored(0, 0, 0))
    assert judge(evidence).outcome is Outcome.CONSISTENT


HISTORIES = {
    "every surface is a tick ahead": (both(1, 1, 1), (AHEAD,)),
    "every surface is far ahead": (both(3000, 3000, 3000), (AHEAD,)),
    "the first surface is a tick ahead": (both(1, 0, 0), (AHEAD,)),
    "every surface is two ticks behind": (both(-2, -2, -2), (BEHIND,)),
    "the last surface is two ticks behind": (both(-1, -1, -2), (BEHIND,)),
    "no surface holds anything": (both(None, None, None), (BEHIND,)),
    "one surface holds nothing": (both(0, None, 0), (BEHIND,)),
    "a record is torn": (both(0, 0, 0, torn=1), (TORN,)),
    "a record is another's": (both(0, 0, 0, foreign=1), (TORN,)),
    "the surfaces are two ticks apart": (both(1, 0, -1), (AHEAD, DISAGREE)),
    "the surfaces are far apart": (both(0, 0, -500), (BEHIND, DISAGREE)),
    "the second surface is newer than the first": (both(-1, 0, 0), (ORDER,)),
    "the last surface is newer than the others": (both(-1, -1, 0), (ORDER,)),
    "a record below the newest is missing": (both(0, 0, 0, holes=1), (LOST,)),
    "time runs backwards": (both(0, 0, 0, backwards=1), (BACKWARDS,)),
    "everything is wrong": (
        both(9, None, 12, torn=1, foreign=1, holes=1, backwards=1),
        (AHEAD, BEHIND, TORN, DISAGREE, BACKWARDS, ORDER, LOST),
    ),
}


@pytest.mark.parametrize(("evidence", "expected"), HISTORIES.values(), ids=HISTORIES)
def test_what_is_not_one_instant_is_inconsistent_and_called_by_its_names(
    evidence: Evidence, expected: tuple[Anomaly, ...]
) -> None:
    verdict = judge(evidence)
    assert (verdict.outcome, verdict.stage, verdict.anomalies) == (Outcome.INCONSISTENT, Stage.READ, expected)


def beside(ticks: int) -> Evidence:
    """A container of one instant, and another one that is of one instant, too, `ticks` later."""
    other = reading(0, 0, 0)
    later = {"counter": other.counter + ticks, "counter_wall_ns": other.counter_wall_ns + ticks * TICK_NS}
    files = [
        each.model_copy(update={"newest": (each.newest or 0) + ticks, "newest_wall_ns": None})
        for each in other.surfaces
    ]
    return replace(both(0, 0, 0), group=[other.model_copy(update={**later, "surfaces": tuple(files)})])


@pytest.mark.parametrize("ticks", [-1, 0, 1])
def test_containers_that_tick_together_are_a_tick_apart_at_most(ticks: int) -> None:
    assert judge(beside(ticks)).outcome is Outcome.CONSISTENT


@pytest.mark.parametrize("ticks", [-2, 2, 1160])
def test_containers_may_each_be_of_one_instant_and_not_together(ticks: int) -> None:
    verdict = judge(beside(ticks))
    assert (verdict.outcome, verdict.anomalies) == (Outcome.INCONSISTENT, (Anomaly.CONTAINERS_DISAGREE,))
    assert verdict.reason == (
        f"containers-disagree: the memory of container 2 is {ticks:+d} ticks from that of the first one"
    )
    assert judge(beside(ticks), frozenset({Check.TOGETHER})).outcome is Outcome.CONSISTENT
    (skew,) = apart(beside(ticks))
    assert [each.surface for each in skews_of_others(beside(ticks))] == [
        f"{each.surface} of container 2" for each in skews(beside(ticks).group[0])
    ]
    assert (skew.surface, skew.ticks, skew.microseconds) == ("container 2", ticks, ticks * TICK_NS / 1000)


def test_another_container_of_the_group_is_judged_by_itself_too() -> None:
    assert judge(replace(both(0, 0, 0), group=[reading(3, 3, 3)])).anomalies == (AHEAD,)


def test_the_reason_names_the_surface_that_is_furthest_away() -> None:
    assert "image holds -700 ticks from memory (offline reading)" in judge(both(5, -700, 0)).reason
    assert "tmpfs holds nothing of this workload" in judge(both(0, -700, None)).reason


def test_the_restored_reading_alone_convicts() -> None:
    verdict = judge(trial(offline=None, restored=restored(7, 7, 7)))
    assert (verdict.outcome, verdict.anomalies) == (Outcome.INCONSISTENT, (AHEAD,))
    assert "(restored reading)" in verdict.reason


def test_the_offline_reading_alone_convicts_when_the_restore_fails() -> None:
    failure = Verdict(outcome=Outcome.CONSISTENT, reason="stands for anything milder")
    verdict = judge(trial(offline=reading(7, 7, 7), restored=None, failures=[failure]))
    assert (verdict.outcome, verdict.anomalies) == (Outcome.INCONSISTENT, (AHEAD,))


@pytest.mark.parametrize(
    ("evidence", "outcome", "stage", "words"),
    [
        (trial(restored=restored(0, 0, 0, nonce=OTHER)), Outcome.COLD_START, Stage.RESTORE, "nonce differs"),
        (trial(restored=None, started_afresh=True), Outcome.COLD_START, Stage.RESTORE, "new process"),
        (trial(started_afresh=True), Outcome.COLD_START, Stage.RESTORE, "new process"),
        (trial(restored=None, restored_moves=False), Outcome.RESTORE_FAILED, Stage.READ, "said nothing"),
        (trial(restored_moves=False), Outcome.RESTORE_FAILED, Stage.READ, "does not move"),
        (trial(source=SourceHealth(frozen=True)), Outcome.SOURCE_HARMED, Stage.THAW, "still frozen"),
        (trial(source=SourceHealth(same_nonce=False)), Outcome.SOURCE_HARMED, Stage.THAW, "replaced"),
        (trial(source=SourceHealth(lost_ticks=3)), Outcome.SOURCE_HARMED, Stage.THAW, "differ by 3 ticks"),
        (trial(source=SourceHealth(ticking=False)), Outcome.SOURCE_HARMED, Stage.THAW, "no longer ticks"),
        (trial(source=SourceHealth(kept_pause=False)), Outcome.SOURCE_HARMED, Stage.THAW, "not paused any more"),
        (trial(source=SourceHealth(stops=False)), Outcome.SOURCE_HARMED, Stage.THAW, "does not end when it is asked"),
        (trial(leaks=("process 9 criu", "mount /x (tmpfs)")), Outcome.LEAKED, Stage.AUDIT, "9 criu, mount /x (tmpfs)"),
    ],
)
def test_what_else_goes_wrong_has_its_outcome_and_its_words(
    evidence: Evidence, outcome: Outcome, stage: Stage, words: str
) -> None:
    verdict = judge(evidence)
    assert (verdict.outcome, verdict.stage) == (outcome, stage)
    assert words in verdict.reason


@pytest.mark.parametrize(
    "health", [SourceHealth(kept_pause=True), SourceHealth(stops=True), SourceHealth(frozen=False)]
)
def test_a_source_of_which_good_was_observed_is_not_harmed(health: SourceHealth) -> None:
    assert judge(trial(source=health)).outcome is Outcome.CONSISTENT


def test_a_pause_that_was_lost_is_told_before_what_follows_from_it() -> None:
    lost = SourceHealth(kept_pause=False, frozen=True, same_nonce=False, lost_ticks=3, ticking=False, stops=False)
    assert "its user had paused the source" in judge(trial(source=lost)).reason


def test_what_was_not_observed_of_the_source_is_not_held_against_anybody() -> None:
    assert judge(trial(source=SourceHealth())).outcome is Outcome.CONSISTENT


@pytest.mark.parametrize(
    ("idle_ns", "period_ns", "counts"),
    [
        (-TICK_NS, 0, True),
        (OVERLAP_NS, 0, True),
        (OVERLAP_NS + 1, 0, False),
        (OVERLAP_NS + 3_000_000_000, 1_000_000_000, True),
        (OVERLAP_NS + 3_000_000_001, 1_000_000_000, False),
    ],
)
def test_a_trial_counts_only_if_the_workload_ticked_up_to_the_freeze(
    idle_ns: int, period_ns: int, counts: bool
) -> None:
    evidence = trial(freeze_begin_ns=NOW + idle_ns, period_ns=period_ns)
    assert overlapped(evidence) is counts
    assert judge(evidence).outcome is (Outcome.CONSISTENT if counts else Outcome.VACUOUS)


def test_a_trial_without_overlap_says_how_long_nothing_ticked() -> None:
    assert "4000 ms before the freeze" in judge(trial(freeze_begin_ns=NOW + 4_000_000_000)).reason


def test_a_counter_that_never_ticked_proves_nothing() -> None:
    still = Reading(
        witness=Witness.OFFLINE, nonce=NONCE, counter=0, counter_wall_ns=NOW, surfaces=reading(-COUNTER).surfaces
    )
    assert not overlapped(trial(offline=still))


def test_a_trial_that_learned_nothing_is_our_own_fault() -> None:
    verdict = judge(Evidence())
    assert (verdict.outcome, verdict.stage) == (Outcome.HARNESS_ERROR, Stage.READ)
    assert judge(trial(freeze_begin_ns=None)).outcome is Outcome.HARNESS_ERROR


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (trial(offline=None, restored=None), Outcome.RESTORE_FAILED),
        (trial(offline=None, restored=None, started_afresh=True), Outcome.COLD_START),
    ],
)
def test_of_a_checkpoint_that_cannot_be_read_the_restored_container_has_to_tell(
    evidence: Evidence, outcome: Outcome
) -> None:
    assert judge(evidence).found == (outcome,)


def test_without_an_offline_reading_the_restored_one_tells_about_the_overlap() -> None:
    assert judge(trial(offline=None)).outcome is Outcome.CONSISTENT
    assert judge(trial(offline=None, freeze_begin_ns=NOW + OVERLAP_NS + 1)).outcome is Outcome.VACUOUS


@pytest.mark.parametrize(
    ("offline", "restored"),
    [
        (reading(0, 0, 0), restored(3, 3, 3)),
        (reading(3, 3, 3), restored(0, 0, 0)),
        (reading(40, 40, 40), restored(10, 10, 10)),
        (reading(0, 0, 0), restored(1, 1, 1)),
        (reading(0, 0, 0), restored(0, 0, 0, defects={"torn": 1})),
        (reading(0, 0, None), restored(0, 0, 0)),
        (reading(0, 0, 0), restored(0, 0)),
        (reading(0, 0, 0, nonce=OTHER), restored(0, 0, 0)),
    ],
)
def test_two_readings_that_disagree_are_our_own_fault(offline: Reading, restored: Reading) -> None:
    verdict = judge(trial(offline=offline, restored=restored))
    assert verdict.outcome is Outcome.HARNESS_ERROR
    assert "disagree" in verdict.reason


@pytest.mark.parametrize(
    ("later", "outcome"), [(1, Outcome.CONSISTENT), (3, Outcome.HARNESS_ERROR), (-1, Outcome.HARNESS_ERROR)]
)
def test_two_readings_are_of_the_same_tick_or_the_next(later: int, outcome: Outcome) -> None:
    ticked = {"counter": COUNTER + later, "counter_wall_ns": NOW + later * TICK_NS}
    surfaces = tuple(surface(later, name) for name in NAMES)
    evidence = trial(restored=restored(0, 0, 0).model_copy(update={**ticked, "surfaces": surfaces}))
    assert judge(evidence).outcome is outcome


def test_two_bad_readings_may_lie_a_finished_tick_apart() -> None:
    evidence = trial(offline=reading(40, 40, 40), restored=restored(38, 38, 38))
    assert judge(evidence).outcome is Outcome.INCONSISTENT


# ---- stages that failed, and several findings


def test_a_stage_that_failed_is_the_verdict() -> None:
    assert judge(trial(restored=None, restored_moves=False, failures=[FAILURE])) == FAILURE


def test_the_worst_finding_counts_and_of_equals_the_first() -> None:
    evidence = trial(failures=[FAILURE], offline=reading(9, 9, 9))
    assert judge(evidence).reason == FAILURE.reason
    harmed = replace(evidence, source=SourceHealth(frozen=True, ticking=False))
    assert judge(harmed).reason == "the kernel says that the source is still frozen"
    leaking = replace(harmed, leaks=("process 9 criu",))
    assert judge(leaking).outcome is Outcome.LEAKED
    hung = FAILURE.model_copy(update={"outcome": Outcome.HUNG})
    assert judge(replace(leaking, failures=[hung])).reason == hung.reason


def test_milder_findings_are_told_too_worst_first() -> None:
    harmed = both(9, 9, 9)
    harmed = replace(harmed, source=SourceHealth(frozen=True, ticking=False), leaks=("process 9 criu",))
    assert judge(harmed).found == (Outcome.LEAKED, Outcome.SOURCE_HARMED, Outcome.INCONSISTENT)
    assert judge(trial()).found == (Outcome.CONSISTENT,)


def test_outcomes_are_ordered_by_severity() -> None:
    ordered = sorted(Outcome, key=lambda outcome: outcome.severity)
    assert " ".join(ordered) == (
        "consistent not-captured refused unsupported vacuous altered unfit inconsistent cold-start checkpoint-failed "
        "restore-failed source-harmed checkpoint-broken leaked hung harness-error missing"
    )


def test_skews_are_distances_from_memory_in_ticks_and_microseconds() -> None:
    ahead, behind, nothing = skews(reading(2, -3, None))
    assert (ahead.surface, ahead.ticks, ahead.microseconds) == ("added", 2, 30.0)
    assert (behind.surface, behind.ticks, behind.microseconds) == ("image", -3, -45.0)
    assert (nothing.surface, nothing.ticks, nothing.microseconds) == ("tmpfs", None, None)
    assert {skew.witness for skew in (ahead, behind, nothing)} == {Witness.OFFLINE}


ROOT = Difference(aspect=Aspect.CONFINEMENT, process=1, fact="user ids", before="1", after="0", weaker=True)


def test_a_container_that_is_not_the_same_is_altered_and_the_difference_told() -> None:
    verdict = judge(trial(sameness=Sameness(compared=1, differences=(ROOT,))))
    assert (verdict.outcome, verdict.stage) == (Outcome.ALTERED, Stage.RESTORE)
    assert verdict.reason == (
        "the restored container is not the same: less confined: user ids of process 1: 1 before, 0 after"
    )
    assert judge(trial(sameness=Sameness(compared=1))).outcome is Outcome.CONSISTENT


def test_what_restores_well_but_for_a_difference_and_cannot_be_read_is_our_own_fault() -> None:
    differs = Sameness(compared=1, differences=(ROOT,))
    verdict = judge(trial(offline=None, lacking="pages-1.img is missing", sameness=differs))
    assert verdict.found == (Outcome.HARNESS_ERROR, Outcome.ALTERED)


def test_what_a_workaround_of_the_machine_changes_convicts_nobody() -> None:
    ours = ROOT.model_copy(update={"workaround": "criu-cgroups"})
    assert judge(trial(sameness=Sameness(compared=1, differences=(ours,)))).outcome is Outcome.CONSISTENT


def test_of_many_differences_some_are_told_and_the_others_counted() -> None:
    many = tuple(ROOT.model_copy(update={"process": number}) for number in range(5))
    assert judge(trial(sameness=Sameness(compared=5, differences=many))).reason.endswith("; and 2 more")


def test_a_single_surface_is_enough() -> None:
    assert anomalies(reading(0)) == ()
    assert anomalies(reading(1)) == (AHEAD,)


# ---- what each check is for


def test_what_could_not_be_read_although_it_restores_is_our_own_fault() -> None:
    verdict = judge(trial(offline=None, unreadable="no pages"))
    assert (verdict.outcome, verdict.stage) == (Outcome.HARNESS_ERROR, Stage.READ)
    assert "could not be read: no pages" in verdict.reason


def test_what_could_not_be_read_and_restores_badly_is_called_by_what_the_restore_shows() -> None:
    assert judge(trial(offline=None, unreadable="no pages", restored=None)).outcome is Outcome.RESTORE_FAILED


def test_the_anomalies_of_all_findings_are_told() -> None:
    failure = Verdict(outcome=Outcome.RESTORE_FAILED, reason="a file is missing")
    verdict = judge(trial(offline=reading(0, None, 0), restored=None, failures=[failure]))
    assert (verdict.outcome, verdict.also) == (Outcome.RESTORE_FAILED, (Outcome.INCONSISTENT,))
    assert verdict.anomalies == (BEHIND,)


@pytest.mark.parametrize(
    ("check", "evidence"),
    [
        (Check.AHEAD, both(1, 1, 1)),
        (Check.COMPLETE, both(0, 0, 0, holes=1)),
        (Check.REPEATED, of_printing(0, repeated=1)),
        (Check.REPEATED, replace(of_printing(0), log=log_of(1, COUNTER + 60, repeated=1, again=(9, 9)))),
        (Check.CONTINUES, replace(of_printing(0), log=log_of(1, COUNTER + 60, holes=1, lost=(9, 9)))),
        (Check.RESTORED, trial(offline=None, restored=restored(7, 7, 7))),
        (Check.MOVES, trial(restored_moves=False)),
        (Check.SAME_CONTAINER, trial(sameness=Sameness(compared=1, differences=(ROOT,)))),
        (Check.OVERLAP, trial(freeze_begin_ns=NOW + 10**12)),
    ],
)
def test_a_check_that_is_left_out_finds_nothing(check: Check, evidence: Evidence) -> None:
    assert judge(evidence).outcome is not Outcome.CONSISTENT
    assert judge(evidence, frozenset({check})).outcome is Outcome.CONSISTENT
