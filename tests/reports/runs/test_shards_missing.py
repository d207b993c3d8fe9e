"""What did not come back of a run in shards is red."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.model.controls import CANARY, ControlKind
from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.records.plan import Closing
from harness.records.run_files import append, read_plan, write_closing
from harness.records.shard import Shard
from reports.runs.read import read_run
from tests.reports.sharded import BUSY, CELLS, CONTROLS_PLANNED, OF, canary_of, divide, report_of, sentence
from tests.reports.synthetic import MOVING, NOON, record


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
