"""What is wrong, whose fault it is, what would fix it, and whether a cross-restore restores."""

from __future__ import annotations

import re
import shlex

import pytest

from harness.model.cells import FreezePolicy, Scenario
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Refusal, Stage, Verdict
from harness.records.record import Record
from reports.analysis.cells import CellSummary
from reports.analysis.reasons import OTHER, cause, culprit, reasons
from reports.analysis.remedies import remedies
from reports.analysis.restores import Answer, restored
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.terminal import grid
from reports.words import causes
from tests.reports import engines
from tests.reports.synthetic import STILL, cell, moving, plan, record, summary, versioned

OTHERS = cell(runtime="crun")
THERE = STILL.model_copy(update={"restore": OTHERS.checkpoint})
MASKED = "(00.006) Error (criu/mount.c:3130): mnt: No mapping for 166:(null) mountpoint"
COUNTS = "(00.02) Error (criu/x.c:1): ELF header magic mismatch"


def crossed(
    *found: Outcome, reason: str = "", log: tuple[str, ...] = (), leaks: tuple[str, ...] = (), n: int = 0
) -> Record:
    made = record(THERE, n, found[0], reason=reason)
    verdict = made.verdict.model_copy(update={"also": found[1:]})
    return made.model_copy(update={"verdict": verdict, "log": log, "leaks": leaks})


def of_pair(*trials: Record) -> CellSummary:
    return summary(plan([THERE], len(trials)), trials).cells[0]


def run(*records: Record) -> RunSummary:
    return summary(plan([each.cell for each in records], 1), records)


def test_a_leak_does_not_hide_that_a_pair_does_not_restore() -> None:
    leaked = crossed(
        Outcome.LEAKED,
        Outcome.RESTORE_FAILED,
        reason="left behind: cgroup /x",
        log=(MASKED, "1 python"),
        leaks=("cgroup /x", "cgroup /y"),
    )
    run = summary(plan([STILL, THERE], 1), [record(STILL), leaked])
    (table,) = run.tables
    assert [causes.entry(table, each) for each in run.cells] == [
        "restores 1/1",
        "does not restore 1/1: masked paths, left behind: cgroup",
    ]
    assert causes.score(table) == "0 of 1 pair restore; 1 does not: masked paths (1)"
    assert causes.row_score(table, table.rows[0]) == "1 of 2 restore"
    assert "✗ does not restore 1/1: masked paths, left behind: cgroup" in markdown.render(run)


def test_the_sign_answers_too_in_every_table() -> None:
    run = summary(plan([STILL, THERE], 1), [record(STILL), crossed(Outcome.LEAKED, leaks=("cgroup /x",))])
    (table,) = run.tables
    assert [causes.entry(table, each) for each in run.cells] == ["restores 1/1", "restores 1/1, left behind: cgroup"]
    assert [causes.glyph_of(table, each) for each in run.cells] == ["✓", "✓"]
    assert [grid.answered(table, each) for each in run.cells] == [
        "✓ restores 1/1",
        "✓! restores 1/1, left behind: cgroup",
    ]
    assert grid.legend([table], ascii_only=False).plain.startswith("✓\N{NO-BREAK SPACE}restores, !")


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ((Outcome.CONSISTENT,), Answer.YES),
        ((Outcome.INCONSISTENT,), Answer.YES),
        ((Outcome.LEAKED,), Answer.YES),
        ((Outcome.LEAKED, Outcome.REFUSED), Answer.NO),
        ((Outcome.COLD_START,), Answer.NO),
        ((Outcome.SOURCE_HARMED, Outcome.RESTORE_FAILED), Answer.NO),
        ((Outcome.CHECKPOINT_FAILED,), Answer.UNKNOWN),
        ((Outcome.HUNG,), Answer.UNKNOWN),
        ((Outcome.VACUOUS,), Answer.UNKNOWN),
        ((Outcome.UNSUPPORTED,), Answer.UNKNOWN),
        ((Outcome.HARNESS_ERROR,), Answer.UNKNOWN),
    ],
)
def test_each_outcome_answers_whether_it_restores(found: tuple[Outcome, ...], answer: Answer) -> None:
    assert restored(of_pair(crossed(*found))).answer is answer


def test_a_restore_that_hangs_does_not_restore_and_a_broken_checkpoint_says_nothing_unless_it_was_read() -> None:
    made = crossed(Outcome.HUNG)
    hung = made.model_copy(update={"verdict": Verdict(outcome=Outcome.HUNG, stage=Stage.RESTORE, reason="")})
    assert restored(of_pair(hung)).answer is Answer.NO
    broken = crossed(Outcome.CHECKPOINT_BROKEN)
    assert restored(of_pair(broken)).answer is Answer.YES
    assert restored(of_pair(broken.model_copy(update={"skews": ()}))).answer is Answer.UNKNOWN


def test_trials_that_differ_restore_sometimes_and_trials_without_an_answer_do_not_count() -> None:
    found = restored(
        of_pair(
            crossed(Outcome.CONSISTENT),
            crossed(Outcome.RESTORE_FAILED, log=(COUNTS,), n=1),
            crossed(Outcome.VACUOUS, n=2),
        )
    )
    assert causes.answer(found) + causes.because(found) == "restores sometimes 1/2: page counts of CRIU 4.2"
    silent = restored(of_pair(crossed(Outcome.VACUOUS)))
    assert causes.answer(silent) == "not known: no trial counted"


def test_a_reason_without_a_signature_stays_other_and_quotes_its_line() -> None:
    found = restored(of_pair(crossed(Outcome.RESTORE_FAILED, reason="it says no")))
    assert causes.because(found) == ": other reason: it says no"
    named = crossed(Outcome.REFUSED, reason="4.1.1 cannot read 4.2").model_copy(
        update={"refusal": Refusal(early=True, named=("4.1.1 and 4.2",))}
    )
    why = cause([named])
    assert why is not None
    assert (why.kind, why.line) == ("differing versions", "4.1.1 cannot read 4.2")
    assert cause([record(STILL)]) is None


def test_the_signatures_are_those_of_the_known_issues() -> None:
    """Each reason why pairs do not restore has a kind."""
    lines = {
        MASKED: "masked paths",
        COUNTS: "page counts of CRIU 4.2",
        "Error (criu/cgroup.c:1): cg: Can't move 1 into machine.slice": "control groups",
        "Error: checkpoint archive /x was created with runtime 'runc' and cannot be restored with runtime 'crun'": (
            "runtime name"
        ),
        "panic: error decoding object": "gVisor release",
        "Error (criu/x.c:1): anything": OTHER,
    }
    for line, kind in lines.items():
        why = cause([crossed(Outcome.RESTORE_FAILED, reason=line)])
        assert why is not None
        assert why.kind == kind
    assert all(re.compile(each.signature) for each in reasons())


def test_the_fault_is_the_known_issues_owner_or_what_the_evidence_names_or_not_known() -> None:
    by_id = engines.summary().by_id
    known = next(each for each in by_id.values() if each.known and each.as_expected and each.expectation.owner)
    assert (culprit(known), causes.fault(known)) == ("podman", "podman, which has to act on the known issue")
    named = of_pair(crossed(Outcome.RESTORE_FAILED, reason="failed", log=(COUNTS,)))
    assert causes.fault(named) == f"criu, which this line names: {COUNTS}"
    alone = summary(plan([cell(FreezePolicy.ENGINE)], 1), [moving(cell(FreezePolicy.ENGINE))]).cells[0]
    assert causes.fault(alone) == "runc, which alone decides when memory and disk are taken"
    silent = of_pair(crossed(Outcome.RESTORE_FAILED, reason="failed"))
    assert (culprit(silent), causes.fault(silent)) == ("", "not known: the evidence names no component")


def test_what_fixes_a_cell_is_a_version_or_a_bridge_that_is_consistent_in_the_same_run() -> None:
    newer = cell(stack="debian-experimental")
    older = cell(stack="debian-trixie")
    found = run(versioned(moving(STILL), "5.8"), versioned(record(newer), "6.1"), versioned(moving(older), "5.4"))
    assert [causes.remedy(each) for each in remedies(found.cells[0], found)] == [
        "consistent in this run with podman 6.1"
    ]
    bridge = THERE.model_copy(update={"scenario": Scenario.TRANSLATED})
    found = run(crossed(Outcome.RESTORE_FAILED), record(bridge), record(OTHERS))
    (only,) = remedies(found.cells[0], found)
    assert (only.cell, causes.remedy(only)) == (bridge.id, "consistent in this run if the checkpoint is translated")


@pytest.mark.parametrize("name", ["ledger", "it's; rm -rf /", "a\x1b[2J"])
def test_the_commands_can_be_pasted(name: str) -> None:
    odd = STILL.model_copy(update={"workload": name})
    run, show, shell, handed = causes.reproduce(odd)
    assert run.text.startswith("sudo ci/matrix --cell ")
    assert show.text.startswith("sudo ci/stillframe show ")
    assert shell.text == f"{show.text} | sudo ci/stillframe shell debian-sid"
    assert handed.text.startswith("ci/stillframe repro ")
    assert handed.text.endswith(" -o repro")
    assert "\x1b" not in run.text
    if name.isprintable():
        assert shlex.split(run.text)[-1] == shlex.split(show.text)[-1] == odd.id


def test_a_variant_is_repeated_with_its_builds() -> None:
    built = (Component(name="criu", version="4.2", sha256="ab" * 32), Component(name="runc", version="1.3"))
    run, _, shell, _ = causes.reproduce(STILL.of("new", "new"), built * 2)
    assert run.text == "sudo ci/matrix --cell ledger.pause.runc@debian-sid+new --with criu=PATH --as new"
    assert shell.text.endswith("| sudo ci/stillframe shell debian-sid --with criu=PATH --as new")


def test_requests_at_the_same_time_cannot_be_repeated_in_a_shell() -> None:
    for scenario in (Scenario.ABANDONED, Scenario.CONCURRENT, Scenario.GROUP_AT_ONCE):
        found = causes.reproduce(STILL.model_copy(update={"scenario": scenario}))
        assert [step.text.split()[1] for step in found] == ["ci/matrix", "ci/stillframe"]


def test_a_cross_restore_cannot_be_repeated_in_one_shell() -> None:
    assert [step.text.split()[1] for step in causes.reproduce(THERE)] == ["ci/matrix", "ci/stillframe"]


def test_a_reason_is_cut_after_its_first_clause() -> None:
    assert causes.headline("Podman takes memory first: the disk is from the future") == "Podman takes memory first"
    assert causes.headline("The sandbox panics, `running on goroutine ... (task`") == "The sandbox panics"
    assert causes.headline("It ends ... sometimes. Rarely") == "It ends ... sometimes"
    assert causes.headline("A kernel lacks it") == "A kernel lacks it"
