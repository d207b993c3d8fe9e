from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.commands.cli import main
from harness.model.cells import Cell, CgroupVersion, FreezePolicy, Settings
from harness.model.errors import NotComparable
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.records.record import Record
from reports.analysis.compare import MEANINGS, CellDifference, Kind, compare
from reports.analysis.tables import RunSummary
from reports.terminal.compare import lines
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, cell, moving, plan, record, store, summary

CLEAN, VACUOUS, REFUSED = Outcome.CONSISTENT, Outcome.VACUOUS, Outcome.REFUSED
OTHER = cell(runtime="crun")
THIRD = cell(runtime="criu")


def trials(clean: int, wrong: int = 0, outcome: Outcome = Outcome.INCONSISTENT, cell: Cell = STILL) -> list[Record]:
    return [record(cell, number, outcome if number < wrong else CLEAN) for number in range(clean + wrong)]


def run(*records: Record, cells: tuple[Cell, ...] = (STILL,), **changes: Any) -> RunSummary:
    return summary(plan(cells, 1).model_copy(update=changes), records)


def one(before: list[Record], after: list[Record]) -> CellDifference:
    (found,) = compare(run(*before), run(*after)).cells
    return found


def reasoned(reason: str, stage: Stage = Stage.RESTORE) -> list[Record]:
    verdict = Verdict(outcome=Outcome.RESTORE_FAILED, stage=stage, reason=reason)
    return [record(STILL).model_copy(update={"verdict": verdict})]


@pytest.mark.parametrize(
    ("before", "after", "kind", "regression"),
    [
        (trials(5), trials(5), None, False),
        (trials(0, 5), trials(0, 5), None, False),
        (trials(60), trials(59, 1), Kind.SOMETIMES, False),
        (trials(1), trials(0, 1), Kind.SOMETIMES, False),
        (trials(5), trials(0, 5), Kind.NEW, True),
        (trials(4, 1), trials(5), Kind.SOMETIMES, False),
        (trials(0, 5), trials(5), Kind.FIXED, False),
        (trials(0, 5), [*trials(0, 4), record(STILL, 4, Outcome.HUNG)], Kind.SOMETIMES, False),
        (trials(1), trials(0, 1, REFUSED), Kind.SOMETIMES, False),
        (trials(3, 2), trials(2, 3), None, False),
        (trials(28, 2), trials(2, 28), Kind.WORSE, True),
        (trials(2, 28), trials(28, 2), Kind.CHANGED, False),
        (trials(0, 5), trials(0, 5, Outcome.HUNG), Kind.WORSE, True),
        (trials(0, 5, Outcome.HUNG), trials(0, 5), Kind.CHANGED, False),
        (trials(5), trials(0, 5, Outcome.NOT_CAPTURED), Kind.WORSE, True),
        (trials(5), trials(0, 5, REFUSED), Kind.WORSE, True),
        (trials(0, 5, REFUSED), trials(5), Kind.CHANGED, False),
        (trials(0, 5), trials(0, 5, REFUSED), Kind.CHANGED, False),
        (trials(0, 5, REFUSED), trials(0, 5), Kind.NEW, True),
        (trials(5), trials(0, 5, VACUOUS), Kind.DISAPPEARED, True),
        (trials(5), trials(0, 5, Outcome.UNSUPPORTED), Kind.DISAPPEARED, True),
        (trials(5), trials(4, 1, Outcome.HARNESS_ERROR), None, False),
        (trials(0, 5, VACUOUS), trials(5), None, False),
        (trials(0, 5, VACUOUS), trials(4, 1), Kind.NEW, True),
        (trials(0, 5, VACUOUS), trials(0, 5, VACUOUS), None, False),
        ([], trials(5), None, False),
        (trials(5), [], Kind.DISAPPEARED, True),
    ],
)
def test_kinds_of_difference(before: list[Record], after: list[Record], kind: Kind | None, regression: bool) -> None:
    found = one(before, after)
    assert (found.kind, found.regression) == (kind, regression)


def test_cells_that_one_run_was_not_asked_are_counted_and_no_difference() -> None:
    found = compare(
        run(*trials(1), *trials(1, cell=OTHER), *trials(0, 1, cell=THIRD), cells=(STILL, OTHER, THIRD)),
        run(*trials(1), record(MOVING), cells=(STILL,)),
    )
    assert [(each.cell.id, each.kind) for each in found.cells] == [(STILL.id, None)]
    assert (found.added, found.left_out) == ((MOVING.id,), (OTHER.id, THIRD.id))
    assert found.exit_code == 0
    assert found.findings == ()
    told = list(lines(found))
    assert "only in the first run: 2 cells" in told
    assert "only in the second run: 1 cell" in told


def test_what_disappears_does_so_for_one_cause_whatever_it_was() -> None:
    cells = (STILL, OTHER, THIRD)
    before = run(*trials(1), *trials(0, 1, cell=OTHER), *trials(1, cell=THIRD), cells=cells)
    (owed,) = compare(before, run(*trials(1), cells=cells)).findings
    assert owed.sentence == "2 cells have no result now."


def test_a_run_that_did_not_finish_is_said_and_owes_its_results() -> None:
    cells = (STILL, OTHER)
    whole, cut = run(*trials(1), *trials(1, cell=OTHER), cells=cells), run(*trials(1), cells=cells)
    assert compare(whole, cut).exit_code == 1, "it was asked, and finished without a result"
    killed = cut.model_copy(update={"unfinished": True})
    found = compare(whole, killed)
    assert found.unfinished == ("The second run did not finish: 1 of 2 cells lacks results.",)
    assert [(each.kind, each.regression) for each in found.cells] == [(None, False), (Kind.DISAPPEARED, False)]
    assert found.exit_code == 3
    assert compare(killed, whole).exit_code == 3
    assert any(line.startswith("The first run did not finish") for line in lines(compare(killed, whole)))
    worse = run(*trials(0, 5), cells=(STILL,)).model_copy(update={"unfinished": True})
    assert compare(run(*trials(5)), worse).exit_code == 1


def test_what_an_unfinished_run_has_no_result_of_is_neither_new_nor_unchanged() -> None:
    nothing = run(cells=(STILL,)).model_copy(update={"unfinished": True})
    found = compare(nothing, run(*trials(0, 5)))
    assert (found.cells[0].kind, found.exit_code) == (None, 3)
    assert list(lines(found))[-1] == (
        "verdict: 0 regressions, 0 of 1 cell unchanged, 1 without a result before (exit code 3)"
    )


def test_a_rate_that_differs_alone_but_not_among_all_cells_may_be_chance() -> None:
    cells = tuple(cell(policy, runtime) for policy in (FreezePolicy.PAUSE, FreezePolicy.HOOK) for runtime in "abcdefgh")
    others = [each for cell in cells[1:] for each in trials(5, 1, cell=cell)]
    before, after = trials(5, 1, cell=cells[0]) + others, trials(0, 6, cell=cells[0]) + others
    (alone,) = compare(run(*before[:6], cells=cells[:1]), run(*after[:6], cells=cells[:1])).cells
    assert (alone.kind, alone.regression) == (Kind.WORSE, True)
    found = compare(run(*before, cells=cells), run(*after, cells=cells)).cells
    assert [each.kind for each in found] == [Kind.SOMETIMES, *[None] * 15]
    assert found[0].pooled is not None
    assert (found[0].pooled.k, found[0].pooled.n) == (7, 12)


def upgraded(records: list[Record], version: str = "4.3") -> list[Record]:
    newer = {side: (Component(name="criu", version=version),) for side in ("checkpoint", "restore")}
    return [each.model_copy(update={"components": newer}) for each in records]


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (trials(1), trials(0, 1), Kind.NEW),
        (trials(60), trials(59, 1), Kind.NEW),
        (trials(0, 1), trials(1), Kind.FIXED),
        (trials(4, 1), trials(5), Kind.SOMETIMES),
        (trials(59, 1), trials(60), Kind.SOMETIMES),
        (trials(2, 28), trials(30), Kind.FIXED),
        (trials(0, 5), [*trials(0, 4), record(STILL, 4, Outcome.HUNG)], Kind.SOMETIMES),
        (trials(0, 1), trials(0, 1, Outcome.HUNG), Kind.WORSE),
    ],
)
def test_after_an_upgrade_only_what_shows_sometimes_may_be_chance(
    before: list[Record], after: list[Record], kind: Kind
) -> None:
    assert one(before, upgraded(after)).kind is kind


def test_what_shows_sometimes_is_one_list_with_its_rate_and_the_entry_that_declares_it() -> None:
    hung = Outcome.HUNG
    before = run(*trials(8, 2, hung), *trials(10, cell=OTHER), cells=(STILL, OTHER), rounds=10)
    after = run(*trials(10), *trials(9, 1, hung, cell=OTHER), cells=(STILL, OTHER), rounds=10)
    found = compare(before, after)
    (listed,) = found.findings
    assert (listed.kind, listed.sentence) == (Kind.SOMETIMES, "2 cells differ, which may be chance.")
    assert found.exit_code == 0
    told = list(lines(found))
    assert any(line.endswith("together: hung 2/20 (1.2-31.7 %)") for line in told)
    begin = told.index("To declare what shows sometimes, complete these lines in scenarios/expectations/NAME.toml:")
    entries = tomllib.loads("\n".join(line for line in told[begin + 1 :] if line.startswith("  ") or not line))
    (entry,) = entries["expectation"]
    assert set(entry["match"]) == {STILL.id, OTHER.id}
    assert (entry["outcome"], entry["rate"]) == ("hung", [0.0, 0.32])


def test_one_violation_after_a_change_convicts_whatever_its_p_and_rates_need_many() -> None:
    new = one(trials(60), upgraded(trials(59, 1)))
    assert new.p == pytest.approx(1.0)
    assert new.regression
    worse = one(trials(28, 2), trials(2, 28))
    assert worse.p is not None
    assert worse.p < 1e-6


def test_p_is_adjusted_over_all_cells() -> None:
    cells = tuple(cell(policy, runtime) for policy in (FreezePolicy.PAUSE, FreezePolicy.HOOK) for runtime in "abcdefgh")
    others = [each for cell in cells[1:] for each in trials(5, 1, cell=cell)]
    before, after = trials(9, 1, cell=cells[0]) + others, trials(4, 6, cell=cells[0]) + others
    found = compare(run(*before, cells=cells), run(*after, cells=cells))
    alone = compare(run(*before[:10], cells=cells[:1]), run(*after[:10], cells=cells[:1]))
    assert alone.cells[0].p == alone.cells[0].adjusted_p == found.cells[0].p == pytest.approx(0.0573, abs=5e-5)
    assert found.cells[0].adjusted_p == pytest.approx(0.0573 * 16, abs=1e-3)


def test_another_anomaly_or_another_reason_is_a_change_but_another_number_is_not() -> None:
    behind = record(STILL, outcome=Outcome.INCONSISTENT, anomalies=(Anomaly.DISK_BEHIND,))
    assert one([moving(STILL)], [behind]).kind is Kind.CHANGED
    assert one([moving(STILL)], [behind, moving(STILL, 1)]).kind is None, "the old anomaly still shows, too"
    assert one(reasoned("pid 7 of 5f3a9c01bb7e at 0xbeef"), reasoned("pid 8 of 00dcd3ab77ff at 0xfeed")).kind is None
    assert one(reasoned("no file"), reasoned("no network")).kind is Kind.CHANGED
    assert one(reasoned("no file"), reasoned("no file", Stage.START)).kind is Kind.CHANGED


def test_what_an_expected_rate_allows_for_is_listed_and_no_regression() -> None:
    sometimes = Expectation(outcome=Outcome.INCONSISTENT, rate=(0.1, 0.5), reason="a race", link="https://x.example/1")
    flaky: dict[str, Any] = {"expectations": {STILL.id: sometimes}, "rounds": 5}
    found = compare(run(*trials(5), **flaky), run(*trials(4, 1), **flaky))
    assert (found.cells[0].kind, found.exit_code) == (Kind.SOMETIMES, 0)
    assert any("; known issue: https://x.example/1" in line for line in lines(found))
    assert not any("expectation" in line for line in lines(found)), "it is declared already"
    back = compare(run(*trials(4, 1), **flaky), run(*upgraded(trials(5)), **flaky))
    assert back.cells[0].kind is Kind.SOMETIMES
    many = compare(run(*trials(5), **flaky), run(*trials(0, 20), **(flaky | {"rounds": 20})))
    assert many.exit_code == 1


def test_versions_that_differ_are_named() -> None:
    newer = {side: (Component(name="criu", version="4.3"),) for side in ("checkpoint", "restore")}
    found = one(trials(1), [each.model_copy(update={"components": newer}) for each in trials(0, 1)])
    assert "criu 4.2.1 -> 4.3" in [str(each) for each in found.conditions]


# ---- not comparable


@pytest.mark.parametrize("change", [{"period_us": 7}, {"ring": 64}, {"cgroups": CgroupVersion.V1}])
def test_runs_with_other_settings_are_not_compared(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(NotComparable, match=rf"with {name} .*\. Compare runs with the same settings\."):
        compare(run(*trials(1)), run(*trials(1), settings=Settings(**change)))


def test_a_run_whose_own_proof_failed_is_not_compared() -> None:
    blind = run(record(MOVING), cells=(MOVING,))
    sound = run(moving(MOVING), cells=(MOVING,))
    for pair in ((blind, sound), (sound, blind)):
        with pytest.raises(NotComparable, match="own proof failed"):
            compare(*pair)


def test_runs_without_a_common_cell_are_not_compared() -> None:
    with pytest.raises(NotComparable, match="no cell in common"):
        compare(run(*trials(1)), run(*trials(1, cell=OTHER), cells=(OTHER,)))


# ---- in words


def test_what_is_different_is_told_the_worst_first_and_the_verdict_last() -> None:
    cells = (STILL, OTHER)
    found = compare(
        run(*trials(0, 5), *trials(5, cell=OTHER), cells=cells),
        run(*trials(5), *trials(1, 4, cell=OTHER), cells=cells, run="2"),
    )
    told = list(lines(found))
    assert told[0] == "before: 2026-11-23-1, after: 2"
    alone = "no known change in versions or machine: 1 cell: consistent -> inconsistent, sometimes."
    assert told[1] == f"new ({MEANINGS[Kind.NEW]}): {alone}"
    assert told[2] == f"  {OTHER.id}: consistent 0/5 -> inconsistent 4/5; p 0.048, adjusted 0.048"
    assert told[3].startswith("fixed (violated before, and does not now): ")
    assert "is below 0.05" in told[-2]
    assert told[-1] == "verdict: 1 regression, 0 of 2 cells unchanged (exit code 1)"


def test_cells_that_differ_alike_after_the_same_change_are_one_finding() -> None:
    def made(version: str, wrong: int) -> RunSummary:
        found = [
            each.model_copy(update={"components": {"checkpoint": (Component(name="podman", version=version),)}})
            for of in (STILL, OTHER)
            for each in trials(5 - wrong, wrong, cell=of)
        ]
        return run(*found, *trials(5, cell=THIRD), cells=(STILL, OTHER, THIRD), expectations=known)

    known = {each.id: engines.AHEAD for each in (STILL, OTHER)}
    (fixed,) = compare(made("5.8", 5), made("6.1", 0)).findings
    assert (fixed.kind, fixed.cells) == (Kind.FIXED, tuple(sorted((STILL.id, OTHER.id))))
    assert fixed.sentence == (
        "podman 5.8 -> 6.1 (checkpoint): 2 cells: inconsistent -> consistent. "
        f"Narrow or delete the known issue: {engines.AHEAD.link} "
        "(lines 3 to 17 of scenarios/expectations/podman.toml)."
    )
    (broken,) = compare(made("6.1", 0), made("5.8", 5)).findings
    assert (broken.kind, broken.gone) == (Kind.NEW, ())


def test_versions_that_changed_are_told_whatever_came_of_it() -> None:
    def made(**versions: str) -> RunSummary:
        components = tuple(Component(name=name, version=version) for name, version in versions.items())
        return run(
            *(
                each.model_copy(update={"components": {"checkpoint": components, "restore": components}})
                for of in (STILL, OTHER)
                for each in trials(3, cell=of)
            ),
            cells=(STILL, OTHER),
        )

    old, new = made(podman="5.8", criu="4.2"), made(podman="6.1", criu="4.2", passt="1")
    found = compare(old, new)
    assert found.findings == ()
    assert found.upgrades == (("podman 5.8 -> 6.1, passt none -> 1", (str(STILL.checkpoint), str(OTHER.checkpoint))),)
    assert any(line.startswith("versions: podman 5.8 -> 6.1, passt none -> 1: ") for line in lines(found))
    assert compare(old, old).upgrades == ()


def test_a_record_cannot_drive_the_terminal() -> None:
    evil = STILL.model_copy(update={"way": "\x1b[2J\n"})
    found = compare(run(record(evil), cells=(evil,)), run(moving(evil), cells=(evil,)))
    assert all(line.isprintable() for line in lines(found))


def folder(path: Path, records: list[Record], **changes: Any) -> str:
    return str(store(path, plan((STILL,), len(records)).model_copy(update=changes), records))


def test_the_exit_code_tells_how_they_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = folder(tmp_path / "good", trials(5)), folder(tmp_path / "bad", trials(0, 5), run="other")
    other = folder(tmp_path / "other", trials(5), settings=Settings(ring=64), run="another")
    assert main(["compare", good, good]) == 0
    assert main(["compare", bad, good]) == 0
    assert main(["compare", good, bad]) == 1
    assert "verdict: 1 regression" in capsys.readouterr().out
    assert main(["compare", good, str(tmp_path)]) == 2
    assert main(["compare", good, other]) == 3
    assert "Compare runs with the same settings" in capsys.readouterr().err


def test_a_comparison_is_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["compare", "--json", folder(tmp_path / "a", trials(5)), folder(tmp_path / "b", trials(0, 5), run="b")])
        == 1
    )
    raw = json.loads(capsys.readouterr().out)
    (each,) = raw.pop("cells")
    assert (raw["exit_code"], raw["level"], each["id"], each["kind"]) == (1, 0.05, STILL.id, "new")
