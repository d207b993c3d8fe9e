"""A run in sixteen folders is the same run."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from harness.commands.cli import main
from harness.model.errors import Exit
from harness.records.run_files import read_plan, read_records
from harness.records.shard import Shard
from reports.formats.report import write_share
from reports.runs.fingerprint import fingerprint
from reports.runs.pool import as_json, pool
from reports.runs.read import compare_runs, read_run, read_share
from reports.runs.shards import find, gather
from reports.terminal.show import show_cell
from tests.reports.sharded import BUSY, CELLS, OF, divide, rename, report_of, sentence
from tests.reports.synthetic import HOST, NOON

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
