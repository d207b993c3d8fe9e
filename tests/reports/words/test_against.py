"""Variants against the unmodified stack: what is worse, better, the same, and when nobody can tell."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from harness.model.cells import Cell
from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Verdict
from harness.records.plan import Closing
from reports.analysis.against import Against, Effect
from reports.analysis.tables import RunSummary, summarise
from reports.terminal.terminal import show_run
from reports.words import findings as words
from tests.reports.synthetic import MOVING, NOON, STILL, plan, record

GOOD, BAD, WORSE = Outcome.CONSISTENT, Outcome.INCONSISTENT, Outcome.RESTORE_FAILED
UNSAID, VACUOUS = Outcome.HARNESS_ERROR, Outcome.VACUOUS
SOMETIMES = Expectation(
    outcome=WORSE, rate=(0.05, 0.9), reason="a race", link="https://example.org/1", owner="runc", declared="f.toml:1-9"
)


@dataclass
class Run:
    """A run of one cell in the stack itself and in a variant of it."""

    summary: RunSummary

    @property
    def found(self) -> Against:
        assert self.summary.against is not None
        return self.summary.against

    @property
    def effect(self) -> tuple[Effect, Exit]:
        return self.found.cells[0].effect, self.summary.conclusion.exit_code


def tried(
    before: Sequence[Outcome], after: Sequence[Outcome], *, cell: Cell = STILL, known: Expectation | None = None
) -> Run:
    """A run with these outcomes of the stack itself, and of a variant."""
    variant = cell.of("mine", "mine")
    planned = plan([cell, variant], rounds=max(len(before), len(after)))
    if known:
        planned = planned.model_copy(update={"expectations": {each.id: known for each in (cell, variant)}})
    records = [
        record(where, number, outcome, reason="broken" if outcome.violates else "").model_copy(
            update={"components": dict.fromkeys(("checkpoint", "restore"), (program,))}
        )
        for where, outcomes, program in (
            (cell, before, Component(name="criu", version="4.2")),
            (variant, after, Component(name="criu", version="4.2", sha256="ab" * 32)),
        )
        for number, outcome in enumerate(outcomes)
    ]
    closing = Closing(run=planned.run, end_ns=NOON, leaks=())
    return Run(summarise(planned, records, closing))


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ([GOOD] * 6, [GOOD] * 6, Effect.SAME),
        ([BAD] * 6, [BAD] * 6, Effect.SAME),
        ([GOOD] * 2, [WORSE] * 2, Effect.WORSE),
        ([BAD] * 2, [WORSE] * 2, Effect.WORSE),
        ([GOOD] * 6, [GOOD] * 4 + [WORSE] * 2, Effect.WORSE),
        ([GOOD] * 6, [GOOD] * 5 + [WORSE], Effect.CANNOT_TELL),
        ([GOOD], [WORSE], Effect.CANNOT_TELL),
        ([WORSE] * 2, [GOOD] * 2, Effect.BETTER),
        ([WORSE] * 6, [GOOD] * 6, Effect.BETTER),
        ([GOOD] * 3 + [WORSE] * 3, [WORSE] * 3 + [GOOD] * 3, Effect.CANNOT_TELL),
        ([GOOD] * 5 + [WORSE], [WORSE] * 6, Effect.CANNOT_TELL),
        ([GOOD] * 6 + [WORSE], [WORSE] * 7, Effect.WORSE),
        ([Outcome.UNSUPPORTED] * 2, [Outcome.UNSUPPORTED] * 2, Effect.SAME),
        ([GOOD] * 2, [Outcome.UNSUPPORTED] * 2, Effect.WORSE),
        ([GOOD] * 2, [UNSAID] * 2, Effect.CANNOT_TELL),
        ([VACUOUS] * 2, [VACUOUS] * 2, Effect.CANNOT_TELL),
        ([GOOD] * 2, [GOOD], Effect.CANNOT_TELL),
    ],
)
def test_an_answer_follows_from_pairs(before: list[Outcome], after: list[Outcome], effect: Effect) -> None:
    code = {Effect.WORSE: Exit.UNEXPECTED, Effect.CANNOT_TELL: Exit.INCOMPLETE}.get(effect, Exit.EXPECTED)
    assert tried(before, after).effect == (effect, code)


def test_what_is_declared_to_show_sometimes_is_the_same_unless_the_pairs_prove_a_difference() -> None:
    assert tried([GOOD] * 4 + [WORSE] * 2, [WORSE] * 3 + [GOOD] * 3, known=SOMETIMES).effect[0] is Effect.SAME
    assert tried([GOOD] * 6, [WORSE] * 6, known=SOMETIMES).effect[0] is Effect.WORSE
    assert tried([GOOD] * 6, [WORSE] * 4 + [GOOD] * 2, known=SOMETIMES).effect[0] is Effect.SAME


def test_a_known_issue_that_is_gone_is_better_and_no_surprise() -> None:
    always = SOMETIMES.model_copy(update={"rate": None})
    run = tried([WORSE] * 2, [GOOD] * 2, known=always)
    assert run.effect == (Effect.BETTER, Exit.EXPECTED)
    assert run.summary.conclusion.sentence == "The same as the unmodified stack in 0 cells; better in 1."
    assert run.summary.unexpected == ()


def test_a_failure_that_both_have_is_no_surprise() -> None:
    run = tried([WORSE] * 2, [WORSE] * 2)
    assert run.effect == (Effect.SAME, Exit.EXPECTED)
    assert run.summary.unexpected == ()


def test_another_way_to_fail_is_told() -> None:
    run = tried([WORSE] * 2, [WORSE] * 2)
    other = [
        each.model_copy(update={"verdict": each.verdict.model_copy(update={"reason": "another way"})})
        for each in run.summary.cells[1].trials
    ]
    records = [*run.summary.cells[0].trials, *other]
    found = summarise(run.summary.plan, records, run.summary.closing).against
    assert found is not None
    assert (found.cells[0].effect, found.cells[0].why) == (Effect.CANNOT_TELL, "it fails in another way")


def test_causes_come_in_the_order_in_which_to_read_them() -> None:
    run = tried([GOOD] * 2, [WORSE] * 2)
    (cause,) = run.found.causes
    changed = "[criu 4.2 -> 4.2 (sha256 abababababab)]"
    told = words.compared_cause(cause)
    assert told == f"worse, 1 cell: restore-failed : broken (before: consistent in 1) {changed}"
    assert words.compared_pairs(cause.cells[0]) == "ledger.pause.runc@debian-sid+mine: worse in 2 of 2 pairs"
    assert words.compared_score(run.found) == (
        "1 worse, 0 cannot tell, 0 better, 0 same, of 1 cell also tried in the unmodified stack"
    )
    assert run.summary.conclusion.sentence == (
        "1 of 1 cell: worse than the unmodified stack: ledger.pause.runc@debian-sid+mine."
    )
    order = [each.effect for each in itertools.chain(tried([GOOD], [BAD]).found.causes)]
    assert order == [Effect.CANNOT_TELL]


def test_a_run_without_the_unmodified_stack_is_judged_by_what_is_expected() -> None:
    variant = MOVING.of("mine", "mine")
    alone = plan([variant], rounds=1)
    found = summarise(alone, [record(variant, 0, BAD)], Closing(run=alone.run, end_ns=NOON, leaks=()))
    assert found.against is None


def test_the_end_of_a_run_tells_causes_and_not_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    show_run(tried([GOOD] * 2, [WORSE] * 2).summary)
    said = capsys.readouterr().out
    assert "compared: 1 worse, 0 cannot tell, 0 better, 0 same" in said
    assert "stillframe show ledger.pause.runc@debian-sid+mine" in said
    assert "unexpected, should be" not in said
    show_run(tried([GOOD], [WORSE]).summary)
    assert "To tell more, try these cells again with more pairs: --rounds 20." in capsys.readouterr().out


def test_what_was_left_behind_hides_no_failure() -> None:
    leaked = Verdict(outcome=Outcome.LEAKED, reason="left behind: a file", also=(WORSE,))
    run = tried([GOOD] * 2, [WORSE] * 2)
    records = [each.model_copy(update={"verdict": leaked}) for each in run.summary.cells[1].trials]
    found = summarise(run.summary.plan, [*run.summary.cells[0].trials, *records], run.summary.closing).against
    assert found is not None
    (cause,) = found.causes
    assert cause.cells[0].after.foremost is WORSE
    assert cause.after == "leaked, restore-failed : left behind: a file"
