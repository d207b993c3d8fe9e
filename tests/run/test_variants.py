"""Cells of variants, which builds of the user's own make of stacks."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.cells import Cell
from harness.model.errors import UsageError
from harness.run import matrix, variants
from harness.run.options import Options
from harness.runtimes import RUNTIMES
from harness.stacks import builds

CELL = "ledger.pause.runc@debian-sid"
BASIC: dict[str, Any] = {"seed": 1, "out": "out", "cache": "cache"}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    builds.declare(())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return Path(shutil.copy("/usr/bin/true", tmp_path / "criu"))


def options(*given: str, **more: Any) -> Options:
    said = {**BASIC, "builds": given, **more}
    return Options.read(lambda name: said.get(name, ()))


def ids(cells: tuple[Cell, ...]) -> list[str]:
    return [cell.id for cell in cells]


def test_each_cell_is_tried_in_the_stack_and_in_each_variant(program: Path) -> None:
    both = options(f"criu={program}", f"criu@old={program}", cell=(CELL,))
    assert ids(both.cells) == [CELL, f"{CELL}+mine", f"{CELL}+old"]


def test_alone_leaves_the_stack_itself_out(program: Path) -> None:
    assert ids(options(f"criu={program}", variant="new", alone=True, cell=(CELL,)).cells) == [f"{CELL}+new"]
    with pytest.raises(UsageError, match="--alone needs a build"):
        options(alone=True)


def test_a_pattern_that_names_a_variant_chooses_it_alone(program: Path) -> None:
    given = (f"criu={program}", f"criu@old={program}")
    assert ids(options(*given, cell=(f"{CELL}+old",)).cells) == [f"{CELL}+old"]
    several = ids(options(*given, cell=("ledger.*.runc@debian-sid+old",)).cells)
    assert several
    assert all(each.endswith("@debian-sid+old") for each in several)


def test_a_build_that_no_chosen_cell_runs_is_told(program: Path) -> None:
    shutil.copy(program, program.with_name("crun"))
    given = (f"crun={program.with_name('crun')}", f"criu@old={program}")
    assert ids(options(*given, cell=(CELL,)).cells) == [CELL, f"{CELL}+old"]
    with pytest.raises(UsageError, match=r"--with: no cell that was chosen runs crun\. Choose cells of a runtime"):
        _ = options(given[0], cell=(CELL,)).cells


def test_across_each_side_restores_the_checkpoints_of_the_other(program: Path) -> None:
    cells = options(f"criu={program}", interop=True, stack=("debian-sid",), runtime=("runc",)).cells
    ways = {cell.way for cell in cells}
    plain = [cell.id for cell in cells if not cell.way and cell.scenario == "live"]
    assert ways
    assert plain == [CELL, f"{CELL}+mine", f"{CELL}~runc@debian-sid+mine", f"{CELL}+mine~runc@debian-sid"]


def test_a_variant_has_the_known_issues_and_the_moments_of_its_stack(program: Path) -> None:
    both = options(f"criu={program}", stack=("debian-sid",)).cells
    today = dt.date(2026, 11, 30)
    pairs = [(cell, cell.base) for cell in both if cell != cell.base]
    assert len(pairs) == len(both) / 2
    proves_nothing = {"control": False}
    for cell, base in pairs:
        assert matrix.expected(cell, today) == matrix.expected(base, today).model_copy(update=proves_nothing)
    assert all(cell.base.question == base.question for cell, base in pairs)


def test_options_reach_workers_as_words_with_whole_paths(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parent)
    words = options("criu=criu", variant="new").arguments()
    assert words[words.index("--with") + 1] == f"criu@new={program}"
    assert "--as" not in words


def test_a_variant_has_no_name_of_a_way(program: Path) -> None:
    with pytest.raises(UsageError, match=r"'commit' is no name for a variant.*--as NAME"):
        options(f"criu={program}", variant="commit")


@pytest.mark.parametrize("alone", [True, False])
def test_the_instrument_is_proven_on_the_stack_itself(program: Path, *, alone: bool) -> None:
    found = options(f"criu={program}", alone=alone, cell=(CELL,)).controls
    assert {control.cell.checkpoint.stack for control in found} == {"debian-sid"}
    assert found == options(cell=(CELL,)).controls


def test_a_build_is_tried_where_it_can_change_something(program: Path) -> None:
    sid = ("debian-sid",)
    tried = {cell.checkpoint.runtime for cell in options(f"criu={program}", stack=sid).cells}
    assert {"runc", "crun", "criu", "podman/crun", "docker/runc", "containerd"} <= tried
    assert not {"runsc", "docker/runsc"} & tried
    assert {cell.checkpoint.runtime for cell in options(f"runsc={program}", stack=sid).cells} == {"docker/runsc"}
    everybody = {cell.checkpoint.runtime for cell in options(stack=sid).cells}
    assert {cell.checkpoint.runtime for cell in options(f"mount={program}", stack=sid).cells} == everybody


def test_every_runtime_is_known_to_run_something() -> None:
    assert all(map(variants.programs_of, RUNTIMES))
