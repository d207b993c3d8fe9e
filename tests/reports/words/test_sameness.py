"""The table of what differs after a restore, the state of known differences, and the exit code."""

from __future__ import annotations

import datetime as dt

from harness.model.cells import Cell
from harness.model.errors import Exit
from harness.model.expectations import STILL as SHOULD_BE_STILL
from harness.model.expectations import Expectation
from harness.model.known.differences import KnownDifference
from harness.model.outcomes import Outcome
from harness.model.readings import Aspect, Difference, Sameness
from harness.records.record import Record
from reports.analysis.cells import judge, judge_all
from reports.analysis.participants import Health, participants
from reports.analysis.sameness import demanded_of
from reports.analysis.tables import RunSummary, summarise
from reports.formats.markdown import render as markdown
from reports.pages.site import render
from reports.words import findings as words
from tests.reports.synthetic import MOVING, STILL, cell, closing, plan, record

OTHER = cell(stack="debian-trixie")
MASK = Difference(
    aspect=Aspect.CONFINEMENT, process=1, fact="mount /proc/timer_list", before="ro", after="rw", weaker=True
)
NICE = Difference(aspect=Aspect.LIMITS, process=1, fact="nice", before="0", after="5", weaker=False)
GROUP = MASK.model_copy(update={"fact": "namespace cgroup", "workaround": "criu-cgroups"})
KNOWN = KnownDifference(
    match=("*.runc@debian-sid",),
    signature="mount /proc/timer_list of process 1: ro before, rw after",
    reason="the mask is writable",
    link="https://example.org/1",
    owner="criu",
    added=dt.date(2026, 11, 30),
    review_by=dt.date(2027, 6, 1),
    declared="scenarios/expectations/sameness.toml:3-10",
)


def same(of: Cell, *differences: Difference, trial: int = 0, outcome: Outcome | None = None) -> Record:
    ours = [each for each in differences if not each.workaround]
    found = outcome or (Outcome.ALTERED if ours else Outcome.CONSISTENT)
    told = record(of, trial, found, reason="it is not the same")
    return told.model_copy(update={"sameness": Sameness(compared=119, differences=differences)})


def run(*records: Record, known: tuple[KnownDifference, ...] = (KNOWN,)) -> RunSummary:
    cells = tuple(dict.fromkeys(each.cell for each in records))
    planned = plan(cells, rounds=1).model_copy(update={"differences": known})
    return summarise(planned, [planned.settled(each) for each in records], closing())


def test_a_known_difference_leaves_the_run_as_expected_and_is_in_the_table() -> None:
    found = run(same(STILL, MASK, GROUP), same(OTHER))
    assert found.conclusion.exit_code is Exit.EXPECTED
    assert [each.outcome for each in found.cells] == [Outcome.CONSISTENT] * 2
    first, second = found.same
    assert [words.standing_of(each) for each in first.seen] == ["less confined, known", "workaround criu-cgroups"]
    assert words.compared_of(first) == "119 facts in 1 trial"
    assert (second.label, second.seen) == ("runc@debian-trixie", ())
    assert words.score_of_sameness(found.same) == (
        "the same container: 2 rows compared: 1 less confined as known, 1 the same"
    )


def test_a_participant_that_restores_with_a_known_difference_is_not_all_right() -> None:
    found = run(same(STILL, MASK, GROUP), same(OTHER))
    first, second = participants(found)
    assert (first.health(found), second.health(found)) == (Health.KNOWN, Health.WELL)
    assert "restored, but not the same: the mask is writable" in dict(render(found))["index.html"]


def test_an_unknown_difference_is_unexpected_and_named() -> None:
    found = run(same(STILL, MASK, NICE))
    assert found.conclusion.exit_code is Exit.UNEXPECTED
    (only,) = found.cells
    assert only.outcome is Outcome.ALTERED
    assert only.trials[0].verdict.reason.endswith("nice of process 1: 0 before, 5 after")
    assert [words.standing_of(each) for each in found.same[0].seen] == ["less confined, known", "UNEXPECTED"]
    assert words.score_of_sameness(found.same).endswith(": 1 altered")


def test_a_known_difference_that_does_not_show_is_unexpected() -> None:
    found = run(same(STILL))
    assert found.conclusion.exit_code is Exit.UNEXPECTED
    (entry,) = found.differences
    assert demanded_of(entry) == (
        "it does not show any more; delete lines 3 to 10 of scenarios/expectations/sameness.toml"
    )
    assert words.known_difference(entry) == "known difference, in 0 of 1 cell"
    assert "Known difference: it does not show any more" in found.conclusion.sentence


def test_one_that_shows_in_some_cells_alone_is_to_be_narrowed() -> None:
    moving = same(MOVING, MASK, outcome=Outcome.INCONSISTENT)
    (entry,) = run(moving, same(STILL)).differences
    assert demanded_of(entry).startswith(f"it does not show in {STILL.id}; narrow `match` in ")


def test_one_that_is_overdue_is_unexpected() -> None:
    old = KNOWN.model_copy(update={"overdue": True})
    found = run(same(STILL, MASK), known=(old,))
    assert found.conclusion.exit_code is Exit.UNEXPECTED
    assert "review was due by 2027-06-01" in found.conclusion.sentence


def test_without_a_comparison_nothing_is_said() -> None:
    found = run(record(STILL))
    assert (found.same, found.differences, found.conclusion.exit_code) == ((), (), Exit.EXPECTED)


def test_what_could_not_be_compared_is_said() -> None:
    told = record(STILL).model_copy(update={"sameness": Sameness(compared=0, uncompared=("a sandbox",))})
    found = run(told)
    assert words.compared_of(found.same[0]) == "not compared: a sandbox"
    assert found.differences == ()


def test_an_unknown_difference_beside_a_declared_failure_is_unexpected() -> None:
    issue = Expectation(outcome=Outcome.INCONSISTENT, reason="it moves", link="https://example.org/2")
    told = record(STILL, outcome=Outcome.INCONSISTENT).verdict.model_copy(update={"also": (Outcome.ALTERED,)})
    assert judge(told, (), issue) is Exit.UNEXPECTED
    assert judge(told, (), issue.model_copy(update={"besides": (Outcome.ALTERED,)})) is Exit.EXPECTED
    plain, strange = record(STILL, 0, Outcome.INCONSISTENT), record(STILL, 1).model_copy(update={"verdict": told})
    assert judge_all([plain, strange], issue) == {Exit.EXPECTED, Exit.UNEXPECTED}
    often = issue.model_copy(update={"rate": (0.5, 1.0)})
    assert judge_all([plain, strange], often) == {Exit.EXPECTED, Exit.UNEXPECTED}
    assert judge(told, (), SHOULD_BE_STILL) is Exit.UNEXPECTED


def test_the_page_and_the_summary_have_the_table() -> None:
    found = run(same(STILL, MASK, GROUP, NICE), same(OTHER))
    pages = dict(render(found))
    page = pages["sameness.html"]
    for text in (
        "mount /proc/timer_list: ro, then rw",
        "workaround criu-cgroups",
        "UNEXPECTED",
        "the mask is writable",
    ):
        assert text in page
    assert "nothing" in page
    assert "mount /proc/timer_list: ro, then rw" in markdown(found).replace("\\", "")
    (own,) = [
        text for name, text in pages.items() if name.startswith("cells/") and "debian-sid" in text.split("</h1>")[0]
    ]
    assert "119 facts of the source and of the restored container compared, 3 differences" in own
