"""A run in sixteen folders is the same run, and a shard that owes results is red."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.commands.cli import main
from harness.model.controls import CANARY, CONTROLS, ControlKind
from harness.model.errors import RecordError
from harness.model.expectations import Expectation
from harness.model.machine import Component, Condition
from harness.model.outcomes import Outcome, Verdict
from harness.model.shard import Shard
from harness.records.plan import Closing
from harness.records.run_files import append, read_plan, read_records, write_closing
from reports.analysis.cells import Exit
from reports.formats.report import report, write_report, write_share
from reports.runs.fingerprint import fingerprint
from reports.runs.pool import as_json, pool
from reports.runs.read import compare_runs, read_run, read_share
from reports.runs.shards import find, gather
from reports.terminal.show import show_cell
from tests.reports import engines
from tests.reports.sharded import canary_of, change_plan, divide, pages, rename
from tests.reports.synthetic import HOST, MOVING, NOON, STILL, expected_run, matrix, moving, plan, record, store

CELLS = [*matrix(), *(each.model_copy(update={"workload": "shm"}) for each in matrix() if each.policy == "pause")]
OF = 16
BUSY = next(number for number in range(1, OF + 1) if len(Shard(number=number, of=OF).share(CELLS, ())[0]) > 1)
"""Number of a shard with several cells."""
PLAYED = [
    record(each.cell, outcome=each.outcome, anomalies=(each.anomaly,) if each.anomaly else (), control=each.name)
    for each in (
        CANARY.control(MOVING, ControlKind.CANARY),
        *(CONTROLS["fresh-start"].control(cell, ControlKind.CONTROL) for cell in CELLS if cell.policy == "pause"),
    )
]
CONTROLS_PLANNED = (
    CANARY.control(MOVING, ControlKind.CANARY),
    *(CONTROLS["fresh-start"].control(cell, ControlKind.CONTROL) for cell in CELLS if cell.policy == "pause"),
)


LINK = "https://example.org/1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of one machine with only expected results."""
    promised = plan(CELLS, 2).model_copy(update={"controls": CONTROLS_PLANNED})
    return store(tmp_path_factory.mktemp("whole") / "run", promised, [*expected_run(CELLS, 2), *PLAYED])


@pytest.fixture(scope="module")
def told(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the report of the run."""
    return pages(write_report([whole], tmp_path_factory.mktemp("told")).parent)


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    return divide(whole, tmp_path / "shards", OF)


def report_of(*folders: Path) -> dict[str, bytes]:
    return pages(write_report(folders, folders[0].parent / "site").parent)


def sentence(*folders: Path) -> tuple[int, str]:
    run = report(folders, folders[0].parent / "site")[1]
    return run.conclusion.exit_code.value, run.conclusion.sentence


# ---- the same result for any number of shards


def test_the_run_is_one_in_which_all_is_well(whole: Path, told: dict[str, bytes]) -> None:
    assert json.loads(told["summary.json"])["conclusion"]["exit_code"] == 0
    assert len([name for name in told if name.startswith("cells/")]) == len(CELLS)


def test_sixteen_shards_are_the_run_byte_by_byte(parts: list[Path], told: dict[str, bytes]) -> None:
    assert sum(bool(list(read_records(part))) for part in parts) > OF // 2
    assert report_of(parts[0].parent) == told


@pytest.mark.parametrize("of", [1, 2, 3, 40])
def test_so_are_any_number_of_shards(whole: Path, tmp_path: Path, told: dict[str, bytes], of: int) -> None:
    divide(whole, tmp_path / "shards", of)
    assert report_of(tmp_path / "shards") == told


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_the_order_nor_the_names_of_folders_matter(
    parts: list[Path], tmp_path: Path, told: dict[str, bytes], seed: int
) -> None:
    shuffled = random.Random(seed).sample(parts, OF)
    assert report_of(*shuffled) == told
    for number, part in enumerate(shuffled):
        place = tmp_path / "downloads" / f"machine-{number}" / "out"
        place.mkdir(parents=True)
        part.rename(place / "run")
    assert report_of(tmp_path / "downloads") == told


def test_a_link_to_the_newest_of_runs_is_no_other_run(parts: list[Path], told: dict[str, bytes]) -> None:
    (parts[0].parent / "latest").symlink_to(parts[0].name)
    assert len(find(parts[0].parent).parts) == OF
    assert report_of(parts[0].parent) == told
    assert report_of(*parts[0].parent.glob("*")) == told


def test_the_same_shard_twice_counts_once(parts: list[Path], told: dict[str, bytes]) -> None:
    shutil.copytree(parts[3], parts[0].parent / "again")
    assert report_of(parts[0].parent) == told


def test_it_is_read_so_by_every_command(
    whole: Path, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = parts[0].parent
    assert show_cell(shards, CELLS[1].id) == show_cell(whole, CELLS[1].id)
    assert as_json(pool([shards])) == as_json(pool([whole])) == as_json(pool([*parts]))
    assert as_json(pool([shards, whole])) == as_json(pool([whole])), "a copy of the run"
    assert fingerprint([shards]) == fingerprint([whole])
    assert compare_runs(whole, shards) == compare_runs(whole, whole)
    assert main(["show", CELLS[1].id, "--run", str(shards)]) == 0
    assert main(["report", str(shards), str(whole), "--out", str(tmp_path / "site")]) == 0
    assert "verdict: All 30 cells are as expected" in capsys.readouterr().err


# ---- the same id, whichever machine began first


def later(parts: list[Path]) -> None:
    """Return shards as machines make them: each with its own name, time and host."""
    for number, part in enumerate(parts, 1):
        shard = Shard(number=number, of=len(parts))
        host = HOST.model_copy(update={"cpus": number})
        rename(part, f"at-{number % 5}{shard.suffix}", created_ns=NOON + number % 5, host=host)


def test_a_run_is_named_after_the_shard_that_began_first(whole: Path, tmp_path: Path) -> None:
    parts = divide(whole, tmp_path / "shards", 4)
    later(parts)
    first = min(range(1, 5), key=lambda number: number % 5)
    for order in (parts, parts[::-1]):
        (run,) = gather(order)
        assert (run.plan.run, run.plan.created_ns, run.plan.shard) == (f"at-{first}", NOON + first, None)
        assert run.plan.host.cpus == first
    assert find(tmp_path / "shards").plan == run.plan


def test_shards_of_machines_are_one_run_in_any_order(parts: list[Path]) -> None:
    later(parts)
    code, verdict = sentence(parts[0].parent)
    assert (code, verdict) == (0, f"All {len(CELLS)} cells are as expected, in {2 * len(CELLS)} trials.")
    assert report_of(*parts) == report_of(*parts[::-1]) == report_of(parts[0].parent)


# ---- shards that did not come back


@pytest.mark.parametrize("number", range(1, OF + 1))
def test_a_shard_that_did_not_come_back_is_red_by_its_name_and_cells(
    whole: Path, parts: list[Path], number: int
) -> None:
    promised = read_plan(whole)
    cells, controls = Shard(number=number, of=OF).share(promised.cells, promised.controls)
    shutil.rmtree(parts[number - 1])
    run = read_run(parts[0].parent)
    assert run.conclusion.exit_code == Exit.INCOMPLETE
    (finding,) = (each for each in run.conclusion.findings if "Shard" in each.what)
    count = sum(each.kind is not ControlKind.CANARY for each in controls)
    share = f"{len(cells)} of {len(CELLS)} cells, {count} of {len(CONTROLS_PLANNED)} controls"
    assert finding.what == f"Shard {number}/{OF} did not come back ({share})"
    assert run.conclusion.findings == (finding,), "and no other finding repeats it"
    assert set(finding.cells) == {cell.id for cell in cells}
    assert len(finding.controls) == count
    assert {each.cell.id for each in run.cells if each.outcome is Outcome.MISSING} == {cell.id for cell in cells}
    assert all(each.missing == 2 for each in run.cells if each.cell in cells)
    page = report_of(parts[0 if number > 1 else 1].parent)
    assert all(f"Shard {number}/{OF} did not come back".encode() in page[name] for name in ("index.html", "report.md"))
    assert all(cell.id.encode() in page["index.html"] for cell in cells)


def test_several_are_told_in_one_sentence(parts: list[Path]) -> None:
    for part in parts[2:9]:
        shutil.rmtree(part)
    _, verdict = sentence(parts[0].parent)
    assert "Shards 3, 4, 5, 6, 7, 8, 9 of 16 did not come back (" in verdict


def test_what_is_missing_for_another_reason_is_told_besides(parts: list[Path]) -> None:
    shutil.rmtree(parts[BUSY - 1])
    other = next(part for part in parts if part.exists() and read_plan(part).share.cells)
    cell = read_plan(other).share.cells[0]
    (other / "records" / f"{cell.slug}.jsonl").unlink()
    lost, _ = Shard(number=BUSY, of=OF).share(CELLS, ())
    _, verdict = sentence(parts[0].parent)
    assert f"{len(lost) + 1} of 30 cells with incomplete evidence: " in verdict
    assert f"Shard {BUSY}/16 did not come back ({len(lost)} of 30 cells, " in verdict


def test_a_violation_of_a_lost_shard_s_cell_stays(parts: list[Path]) -> None:
    cell = Shard(number=BUSY, of=OF).share(CELLS, ())[0][-1]
    shutil.rmtree(parts[BUSY - 1])
    other = next(part for part in parts if part.exists())
    append(other, record(cell, outcome=Outcome.LEAKED))
    code, verdict = sentence(parts[0].parent)
    assert code == 1
    assert f"1 of 30 cells not as expected: {cell.id}." in verdict


def test_of_one_shard_that_is_read_as_a_run_the_others_are_missing(parts: list[Path]) -> None:
    """Otherwise a run with one of its machines would be green."""
    code, verdict = sentence(parts[2])
    assert code == 3
    assert "Shards 1, 2, 4, 5," in verdict


def test_a_shard_that_did_not_end_is_red_by_its_name(parts: list[Path]) -> None:
    (parts[6] / "closing.json").unlink()
    code, verdict = sentence(parts[0].parent)
    assert (code, verdict) == (3, "Shard 7/16 did not finish.")
    (parts[7] / "closing.json").unlink()
    assert sentence(parts[0].parent) == (3, "Shards 7, 8 of 16 did not finish.")


def test_what_any_machine_leaves_behind_is_left_behind(parts: list[Path]) -> None:
    for number, leaks in ((3, ("file b", "file c")), (9, ("file a", "file b"))):
        write_closing(parts[number], Closing(run="2026-11-23-1", end_ns=NOON, leaks=leaks))
    assert sentence(*parts) == (1, "Left behind on the host: file a, file b, file c.")


def test_each_machine_has_to_prove_that_it_sees(whole: Path, tmp_path: Path) -> None:
    parts = divide(whole, tmp_path / "shards", 3)
    canary_of(parts[1]).unlink()
    assert sentence(*parts) == (3, "Shard 2/3 ran no canary, so nothing proves that the instrument works there.")


def test_one_blind_machine_makes_the_run_blind(whole: Path, tmp_path: Path) -> None:
    parts = divide(whole, tmp_path / "shards", 3)
    canary_of(parts[1]).unlink()
    append(parts[1], record(MOVING, outcome=Outcome.CONSISTENT, control=CANARY.name))
    for order in (parts, parts[::-1]):
        assert sentence(*order)[0] == Exit.BLIND


# ---- a shard that was run again


def again(part: Path, *, outcome: Outcome | None = None) -> Path:
    """Run the same shard once more, on another day."""
    copy = Path(shutil.copytree(part, part.with_name(f"{part.name}-again")))
    records = [each for each in read_records(copy) if each.control is None]
    rename(copy, "again", created_ns=NOON + 99)
    shutil.rmtree(copy / "records")
    (copy / "records").mkdir()
    for each in records:
        verdict = each.verdict.model_copy(update={"outcome": outcome or each.verdict.outcome})
        append(copy, each.model_copy(update={"run": "again", "start_ns": each.start_ns + 5, "verdict": verdict}))
    return copy


def test_a_rerun_adds_evidence(parts: list[Path]) -> None:
    again(parts[BUSY - 1])
    run = read_run(parts[0].parent)
    cells, _ = Shard(number=BUSY, of=OF).share(CELLS, ())
    assert {each.cell.id: each.n for each in run.cells} == {cell.id: 4 if cell in cells else 2 for cell in CELLS}
    assert run.conclusion.exit_code == Exit.EXPECTED
    assert {each.n for each in pool([parts[0].parent]) if each.cell in cells} == {4}


def test_a_rerun_is_told_the_same_in_any_order(parts: list[Path]) -> None:
    """Two reruns that differ only in their records have an order, too."""
    copy = Path(shutil.copytree(parts[BUSY - 1], parts[0].parent / "again"))
    versions = {
        "checkpoint": (Component(name="criu", version="5.0"),),
        "restore": (Component(name="criu", version="5.1"),),
    }
    changes = {"host": HOST.model_copy(update={"cpus": 99}), "components": versions}
    records = [each for each in read_records(copy) if each.control is None]
    shutil.rmtree(copy / "records")
    (copy / "records").mkdir()
    for each in records:
        append(copy, each.model_copy(update={**changes, "start_ns": each.start_ns - 5}))
    told = report_of(*parts, copy)
    assert b"5.1" in told["summary.json"]
    assert report_of(copy, *parts) == told


@pytest.mark.parametrize("first", [True, False])
def test_a_rerun_turns_nothing_green(parts: list[Path], first: bool) -> None:
    other = again(parts[BUSY - 1], outcome=Outcome.LEAKED)
    if first:
        shutil.rmtree(parts[BUSY - 1])
        again(other, outcome=Outcome.CONSISTENT)
    assert sentence(parts[0].parent)[0] == Exit.UNEXPECTED


def test_of_a_control_the_worst_counts(parts: list[Path]) -> None:
    control = PLAYED[1]
    shard = next(
        part for part in parts if (part / "records" / f"control-fresh-start.{control.cell.slug}.jsonl").exists()
    )
    append(shard, record(control.cell, outcome=Outcome.CONSISTENT, control="fresh-start", reason="so it seems"))
    run = read_run(parts[0].parent)
    assert run.conclusion.exit_code == Exit.BLIND
    assert [each.verdict.reason for each in run.controls if not each.detected] == ["so it seems"]


# ---- one shard by itself


def test_a_shard_speaks_of_its_share(whole: Path, parts: list[Path]) -> None:
    for number, part in enumerate(parts, 1):
        run = read_share(part)
        shard = Shard(number=number, of=OF)
        assert tuple(each.cell for each in run.cells) == shard.share(CELLS, ())[0]
        count = "The cell is" if len(run.cells) == 1 else f"All {len(run.cells)} cells are"
        what = f"{count} as expected" if run.cells else "It has no cell of this run"
        assert run.conclusion.sentence.startswith(f"Shard {shard}: {what}")
        assert run.conclusion.exit_code == Exit.EXPECTED
    assert not all(read_share(part).cells for part in parts)
    assert read_share(whole) == read_run(whole)


def test_what_a_shard_owes_is_missing_in_its_own_view_too(parts: list[Path]) -> None:
    part = next(part for part in parts if read_plan(part).share.cells)
    cell = read_plan(part).share.cells[0]
    (part / "records" / f"{cell.slug}.jsonl").unlink()
    run = read_share(part)
    assert run.conclusion.exit_code == Exit.INCOMPLETE
    assert run.conclusion.sentence.startswith(f"Shard {read_plan(part).shard}: 1 of {len(run.cells)} cell")
    assert write_share(part) == part / "report" / "index.html"
    assert cell.id in (part / "report" / "report.md").read_text(encoding="utf-8")


# ---- folders that do not belong together


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 8}, "seed 7 and 8"),
        ({"rounds": 3, "rule": "other"}, "rounds 2 and 3"),
        ({"rate": 0.05}, "rate None and 0.05"),
        ({"cells": tuple(CELLS[:3])}, "cells"),
        ({"stillframe": "0.2"}, "stillframe 0.1.0 and 0.2"),
        ({"shard": Shard(number=5, of=17)}, "16 and 17 shards"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_shards_of_two_plans_are_refused_by_what_differs(
    parts: list[Path], changes: dict[str, Any], told: str, named: bool
) -> None:
    change_plan(parts[4], created_ns=NOON + 1, **changes)
    with pytest.raises(RecordError, match=f"are shards of different plans: {told}") as raised:
        gather(parts if named else [parts[0].parent])
    assert str(parts[4]) in str(raised.value)
    assert raised.value.remedy


def test_of_a_review_that_was_due_between_two_beginnings_the_first_day_counts(parts: list[Path]) -> None:
    for number, part in enumerate(parts):
        known = {STILL.id: engines.AHEAD.model_copy(update={"overdue": number > 4})}
        change_plan(part, expectations=known, conditional=known, created_ns=NOON + number)
    assert not find(parts[0].parent).plan.expected(STILL).overdue


def test_shards_of_machines_that_differ_are_one_run_and_each_cell_is_held_against_its_own(parts: list[Path]) -> None:
    there = Expectation(when=Condition.LACKS_MEM_DIRTY_TRACK, outcome=Outcome.UNSUPPORTED, reason="x", link=LINK)
    conditional = {each.id: there for each in CELLS if each.policy == "pause"}
    lacking: set[str] = set()
    for number, part in enumerate(parts):
        lacks = number % 2
        host = HOST.model_copy(update={"conditions": tuple(Condition)[:lacks]})
        cells = {each.id for each in read_plan(part).share.cells} & conditional.keys()
        change_plan(part, host=host, conditional=conditional)
        records = list(read_records(part))
        shutil.rmtree(part / "records")
        (part / "records").mkdir()
        for each in records:
            verdict = each.verdict
            if lacks and each.cell.id in cells and each.control is None:
                verdict = Verdict(outcome=Outcome.UNSUPPORTED, reason="no tracking")
            append(part, each.model_copy(update={"host": host, "verdict": verdict}))
        lacking |= cells if lacks else set()
    run = read_run(parts[0].parent)
    assert lacking
    assert lacking < conditional.keys(), "the machines have to differ"
    assert run.conclusion.exit_code is Exit.EXPECTED
    assert {each.cell.id for each in run.cells if each.known} == lacking


@pytest.mark.parametrize("named", [True, False])
def test_an_undivided_run_among_shards_is_refused(whole: Path, parts: list[Path], named: bool) -> None:
    copy = Path(shutil.copytree(whole, parts[0].parent / "whole"))
    with pytest.raises(RecordError, match=rf"{copy} is a whole run among shards like "):
        gather([*parts, copy] if named else [parts[0].parent])


def test_an_older_run_may_be_named_beside_shards(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    older = change_plan(Path(shutil.copytree(whole, tmp_path / "older")), seed=1, created_ns=NOON - 9)
    pages = report_of(*parts, older)
    assert "history.html" in pages
    assert report_of(older, parts[0].parent) == pages


def test_several_runs_in_a_folder_are_refused(whole: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(whole, tmp_path / "out" / name)
    with pytest.raises(RecordError, match=rf"{tmp_path / 'out'} has 2 runs that are not shards of one run"):
        gather([tmp_path / "out"])


@pytest.mark.parametrize(("depth", "found"), [(0, True), (3, True), (4, False)])
def test_a_run_is_found_some_folders_below(whole: Path, tmp_path: Path, depth: int, found: bool) -> None:
    place = tmp_path.joinpath("named", *["deeper"] * depth)
    shutil.copytree(whole, place)
    if found:
        assert find(tmp_path / "named").parts[0].folder == place
    else:
        with pytest.raises(RecordError, match=r"named holds no run: there is no plan\.json"):
            find(tmp_path / "named")


# ---- records outside the plan


def strays(folder: Path, *records: Any) -> tuple[int, str]:
    for each in records:
        append(folder, each)
    return sentence(folder)


def test_a_record_of_another_run_stands_in_for_nothing(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    cell = CELLS[1]
    path = folder / "records" / f"{cell.slug}.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:1]), encoding="utf-8")
    code, verdict = strays(folder, record(cell, 1).model_copy(update={"run": "another"}))
    assert code == 3
    assert f"1 of 30 cells with incomplete evidence: {cell.id}." in verdict
    assert f"1 record from outside the plan, which cannot make a cell green: {cell.id}." in verdict
    summary = read_run(folder).by_id[cell.id]
    assert (summary.n, summary.missing, summary.strays) == (1, 1, 1)
    assert [each.n for each in pool([folder]) if each.cell == cell] == [1]


def test_a_violation_convicts_wherever_it_is_from(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    assert strays(folder, moving(CELLS[1]).model_copy(update={"run": "another"}))[0] == 1
    assert read_run(folder).by_id[CELLS[1].id].k == 1


@pytest.mark.parametrize("trial", [2, 10**6])
def test_a_trial_beyond_the_plan_is_evidence_but_leaves_nothing_green(whole: Path, tmp_path: Path, trial: int) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    code, verdict = strays(folder, record(CELLS[1], trial))
    told = f"1 record from outside the plan, which cannot make a cell green: {CELLS[1].id}."
    assert (code, verdict) == (3, told)
    assert read_run(folder).by_id[CELLS[1].id].n == 3


@pytest.mark.parametrize("run", ["2026-11-23-1", "another"])
def test_a_cell_that_was_not_planned_is_shown_and_not_green(whole: Path, tmp_path: Path, run: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    unplanned = CELLS[1].model_copy(update={"workload": "volumes"})
    code, verdict = strays(folder, record(unplanned).model_copy(update={"run": run}))
    assert code == 3
    assert f"which cannot make a cell green: {unplanned.id}." in verdict
    assert not read_run(folder).by_id[unplanned.id].as_expected
    assert any(unplanned.id in name for name in pages(folder.parent / "site"))


def test_a_control_of_another_run_proves_nothing(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    control = PLAYED[1]
    path = folder / "records" / f"control-fresh-start.{control.cell.slug}.jsonl"
    path.unlink()
    code, verdict = strays(folder, control.model_copy(update={"run": "another"}))
    assert code == 3
    assert "1 of 13 controls did not run: " in verdict


def test_a_line_that_is_there_twice_counts_once(whole: Path, tmp_path: Path, told: dict[str, bytes]) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    for path in (folder / "records").iterdir():
        path.write_bytes(path.read_bytes() * 3)
    assert report_of(folder) == told


# ---- the exit code of a report


def test_a_report_ends_as_the_run_did_if_it_is_asked_to(
    parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(parts[0].parent), "--out", str(tmp_path / "site")]
    assert main([*words, "--exit-code"]) == 0
    shutil.rmtree(parts[BUSY - 1])
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--exit-code"]) == 3
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'site' / 'index.html'}\n"
    assert f"Shard {BUSY}/16 did not come back (" in said.err
    assert said.err.endswith("(exit code 3)\n")
