from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.commands.cli import main
from harness.model.cells import Settings
from harness.model.errors import RecordError
from harness.model.machine import Component
from harness.model.outcomes import Outcome
from harness.records.record import Record
from reports.runs.pool import as_json, pool
from reports.terminal.pool import rate
from tests.reports.synthetic import MOVING, NOON, STILL, moving, plan, record, store

NEWER = {side: (Component(name="criu", version="4.3"),) for side in ("checkpoint", "restore")}


def run(folder: Path, number: int, records: Iterable[Record], **changes: Any) -> Path:
    """Store a run; a larger number is a later run."""
    told = {"run": f"run-{number}", "created_ns": NOON + number, **changes}
    return store(folder / f"run-{number}", plan((MOVING, STILL), 5).model_copy(update=told), records)


def clean(*trials: int, **changes: Any) -> list[Record]:
    return [record(STILL, trial).model_copy(update=changes) for trial in trials]


def told(*folders: Path) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.cell.id, each.runs, rate(each)) for each in pool(folders)]


def test_trials_of_several_runs_are_added_up(tmp_path: Path) -> None:
    first = run(tmp_path, 1, [*clean(0, 1, 2), moving(MOVING)])
    second = run(tmp_path, 2, [*clean(0, 1), moving(MOVING), record(MOVING, 1)])
    assert told(first, second) == [
        (MOVING.id, ("run-1", "run-2"), "2/3 (9.4-99.2 %)"),
        (STILL.id, ("run-1", "run-2"), "0/5 (<45.1 %)"),
    ]


def test_a_component_that_changed_begins_a_new_pool(tmp_path: Path) -> None:
    old, new = run(tmp_path, 1, clean(0, 1)), run(tmp_path, 2, clean(0, components=NEWER))
    again = run(tmp_path, 3, clean(5))
    assert told(new, again, old) == [
        (STILL.id, ("run-1", "run-3"), "0/3 (<63.2 %)"),
        (STILL.id, ("run-2",), "0/1 (<95.0 %)"),
    ]


@pytest.mark.parametrize("change", [{"period_us": 7}, {"ring": 64}, {"cgroups": "v1"}])
def test_runs_with_other_settings_are_not_pooled(tmp_path: Path, change: dict[str, Any]) -> None:
    other = Settings.model_validate(change)
    folders = [run(tmp_path, 1, clean(0)), run(tmp_path, 2, clean(0), settings=other)]
    assert [runs for _, runs, _ in told(*folders)] == [("run-1",), ("run-2",)]


def test_the_order_of_the_runs_and_a_run_named_twice_change_nothing(tmp_path: Path) -> None:
    folders = [
        run(tmp_path, 1, [*clean(0, 1), moving(STILL, 2)]),
        run(tmp_path, 2, clean(0, components=NEWER)),
        run(tmp_path, 3, clean(0, 1)),
    ]
    every = {as_json(pool(order)) for order in itertools.permutations(folders)}
    copy = Path(shutil.copytree(folders[0], tmp_path / "copy"))
    every |= {as_json(pool([*folders, folders[1], copy])), as_json(pool([copy, *folders[::-1]]))}
    (tmp_path / "latest").symlink_to(folders[2])
    every.add(as_json(pool([*folders, tmp_path / "latest"])))
    assert len(every) == 1


def test_copies_of_a_run_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "a", 1, clean(0))
    other = run(tmp_path / "b", 1, [moving(STILL, 0), *clean(1)])
    for order in ((first, other), (other, first)):
        with pytest.raises(RecordError, match="are copies of run run-1 that contradict each other: run-1 lacks trial"):
            pool(order)


def test_an_unfinished_copy_of_a_run_adds_nothing(tmp_path: Path) -> None:
    early = run(tmp_path / "a", 1, clean(0))
    (early / "closing.json").unlink()
    late = run(tmp_path / "b", 1, [*clean(0), moving(STILL, 1)])
    assert told(early, late) == told(late, early) == told(late)


def test_controls_and_what_proves_nothing_are_left_out(tmp_path: Path) -> None:
    silent = [record(STILL, number, outcome) for number, outcome in enumerate(Outcome) if outcome.violates is None]
    control = record(STILL, 9, Outcome.INCONSISTENT, control="ring-byte")
    found = pool([run(tmp_path, 1, [*silent, control, *clean(20)])])
    assert [(each.n, each.outcomes) for each in found] == [(1, {Outcome.CONSISTENT: 1})]


def test_evidence_that_ends_at_a_violation_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed, ended = run(tmp_path, 1, clean(0)), run(tmp_path, 2, [*clean(0), moving(STILL, 1)], rate=0.05)
    assert [each.sequential for each in pool([fixed, ended])] == [True]
    assert main(["pool", str(fixed), str(ended)]) == 0
    assert "inconsistent*" in (shown := capsys.readouterr().out)
    assert "* a run of this pool ends at the first violation" in shown
    assert main(["pool", str(fixed)]) == 0
    assert "*" not in capsys.readouterr().out


def test_the_table_tells_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = run(tmp_path, 1, clean(0, 1)), run(tmp_path, 2, clean(0, components=NEWER))
    assert main(["pool", str(old), str(new)]) == 0
    shown = capsys.readouterr().out
    assert pool([old])[0].digest[:12] in shown
    assert "criu 4.2.1 -> 4.3" in " ".join(shown.split())
    assert shown.splitlines()[-1] == "2 pools of 1 cell; trials that prove nothing are left out."


def test_pools_are_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pool", "--json", str(run(tmp_path, 1, clean(0, 1)))]) == 0
    (raw,) = json.loads(capsys.readouterr().out)
    assert (raw["id"], raw["runs"], raw["n"], raw["k"]) == (STILL.id, ["run-1"], 2, 0)
    assert raw["rate_bound"] == pytest.approx(0.7764, abs=5e-5)
    assert len(raw["digest"]) == 64


def test_a_folder_that_holds_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError):
        pool([tmp_path])
    assert main(["pool", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_record_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = record(STILL).model_copy(update={"components": {"restore": (Component(name="\x1b[2J[red]", version="1"),)}})
    folders = [run(tmp_path, 1, [record(STILL)]), run(tmp_path, 2, [evil])]
    assert main(["pool", *map(str, folders)]) == 0
    assert "\x1b" not in (shown := capsys.readouterr().out)
    assert "[red]" in "".join(shown.split())
