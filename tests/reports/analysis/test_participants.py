from __future__ import annotations

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant
from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis.participants import Health, participants, parts
from reports.words import causes
from reports.words.cells import mark
from tests.reports import engines
from tests.reports.pages.parsed import Site
from tests.reports.synthetic import CRASH, STILL, cell, crashed, plan, record, summary, versioned

OTHER = Participant(runtime="crun", stack="debian-sid")
OWN = cell(runtime="crun")
CROSSED = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=STILL.checkpoint, restore=OTHER)


def test_a_cell_counts_for_both_of_its_sides() -> None:
    run = summary(plan([STILL, CROSSED], 1), [record(STILL), record(CROSSED, outcome=Outcome.RESTORE_FAILED)])
    first, second = participants(run)
    assert (first.name, [each.cell for each in first.cells]) == ("runc@debian-sid", [STILL, CROSSED])
    assert (second.name, [each.cell for each in second.cells]) == ("crun@debian-sid", [CROSSED])
    assert second.sentence == "0 of 1 cell consistent, 0 known issues, 1 not as expected"


def test_a_participant_answers_for_its_own_cells_alone() -> None:
    found = {each.name: each for each in participants(engines.summary())}
    assert found["runc@debian-sid"].exit_code is Exit.EXPECTED
    assert found["containerd@debian-sid"].exit_code is Exit.UNEXPECTED
    assert found["crun@debian-trixie"].exit_code is Exit.INCOMPLETE
    assert found["podman/crun@debian-sid"].known == 4
    assert found["podman/crun@debian-sid"].path == "participants/podman_crun@debian-sid.html"


def test_a_participant_is_all_right_or_broken_in_a_known_way_or_unexpected_or_has_no_result() -> None:
    run = engines.summary()
    found = {each.name: each for each in participants(run)}
    assert {name: found[name].health(run) for name in HEALTH} == HEALTH
    blind = run.model_copy(update={"conclusion": run.conclusion.model_copy(update={"exit_code": Exit.BLIND})})
    assert {each.health(blind) for each in found.values()} == {Health.UNPROVED}


HEALTH = {
    "runc@debian-sid": Health.WELL,
    "podman/crun@debian-sid": Health.KNOWN,
    "containerd@debian-sid": Health.UNEXPECTED,
    "crun@debian-trixie": Health.INCOMPLETE,
}


@pytest.mark.parametrize(
    ("outcome", "besides", "health"),
    [
        (Outcome.REFUSED, (), Health.LIMITED),
        (Outcome.UNSUPPORTED, (), Health.LIMITED),
        (Outcome.RESTORE_FAILED, (), Health.KNOWN),
        (Outcome.CONSISTENT, (Outcome.SOURCE_HARMED,), Health.KNOWN),
    ],
)
def test_a_refusal_is_a_limit_and_what_shows_sometimes_is_broken(
    outcome: Outcome, besides: tuple[Outcome, ...], health: Health
) -> None:
    told = engines.NO_RESTORE.model_copy(update={"outcome": outcome, "besides": besides, "signature": ""})
    run = summary(
        plan([STILL], 1).model_copy(update={"expectations": {STILL.id: told}}), [record(STILL, outcome=outcome)]
    )
    (only,) = participants(run)
    assert only.health(run) is health
    assert [each.issue for each in only.troubles] == [told]


def test_what_is_unexpected_comes_before_the_known_issues() -> None:
    run = engines.summary()
    (podman,) = [each for each in participants(run) if each.name == "podman/runc@debian-experimental"]
    assert [bool(each.issue) for each in podman.troubles] == [False, True]


def test_components_have_the_participants_of_each_version() -> None:
    found = {each.name: each.versions for each in parts(summary(plan([STILL, CROSSED], 1), [record(STILL)]))}
    assert found == {"runc": {"1.3.6": ("runc@debian-sid",)}, "criu": {"4.2.1": ("runc@debian-sid",)}}


@pytest.mark.parametrize("struck", [True, False])
def test_a_known_crash_of_a_component_breaks_its_participants_whether_or_not_it_strikes(struck: bool) -> None:
    trials = [versioned(record(STILL, number), "6.0") for number in range(3)]
    trials[1] = crashed(trials[1]) if struck else trials[1]
    some = plan([STILL, OWN], 3).model_copy(update={"crashes": (CRASH,)})
    run = summary(some, [*trials, *(record(OWN, number) for number in range(3))])
    podman, other = participants(run)
    assert [each.crash for each in podman.crashes(run)] == [CRASH]
    assert (podman.health(run), other.health(run)) == (Health.KNOWN, Health.WELL)
    assert mark(run.cells[0]) == ("known" if struck else "")
    page = Site(run)["index.html"].text
    assert "crashes sometimes: it looks in the wrong place" in page
    assert f"struck {int(struck)} of 3 trials with this version · " in page


def test_a_crash_that_struck_another_participant_says_so() -> None:
    both = [versioned(record(each, number), "6.0") for each in (STILL, OWN) for number in range(3)]
    both[1] = crashed(both[1])
    run = summary(plan([STILL, OWN], 3).model_copy(update={"crashes": (CRASH,)}), both)
    assert run.conclusion.sentence.endswith("; a known crash struck 1 trial.")
    assert "Nothing is new. 2 of 2 participants are broken in a known way." in Site(run)["index.html"].text
    first, other = participants(run)
    (crash,) = other.crashes(run)
    assert causes.struck(crash, first.cells) == "struck 1 of 6 trials with this version"
    assert causes.struck(crash, other.cells) == "struck 1 of 6 trials with this version, none of them here"


def test_what_fails_only_sometimes_and_did_not_comes_last() -> None:
    rare = engines.NO_RESTORE.model_copy(
        update={"outcome": Outcome.CONSISTENT, "besides": (Outcome.RESTORE_FAILED,), "rate": (0.0, 0.1)}
    )
    often = engines.NO_RESTORE.model_copy(update={"signature": ""})
    cells = [STILL.model_copy(update={"policy": policy}) for policy in list(FreezePolicy)[1:4]]
    declared = {cells[0].id: rare, cells[1].id: rare, cells[2].id: often}
    trials = [record(cells[0]), record(cells[1]), record(cells[2], outcome=Outcome.RESTORE_FAILED)]
    run = summary(plan(cells, 1).model_copy(update={"expectations": declared}), trials)
    seen, unseen = participants(run)[0].troubles
    assert (seen.issue, unseen.issue) == (often, rare)
    assert causes.unseen(seen) == ""
    assert causes.unseen(unseen) == "not seen in 2 trials of this run; declared rate 0-10 %"
