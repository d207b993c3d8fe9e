"""Workloads of a size, and the table of a run with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure.pause import main
from harness.workload import definitions
from tests.reports.pages.test_pauses import sized
from tests.reports.synthetic import STILL, plan, store


def test_each_size_is_a_workload_that_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "sizes"), "--memory", "16", "--files", "1,5"]) == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [folder.name for folder in folders] == ["memory-16-mib", "files-1-mib", "files-5-mib"]
    for folder in folders:
        assert definitions.load(folder).name == folder.name
    assert [(folder / "bulk").read_text() for folder in folders] == ["16 0\n", "0 1\n", "0 5\n"]


def test_a_folder_that_exists_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "memory-16-mib").mkdir()
    assert main([str(tmp_path), "--memory", "16", "--files", "1"]) == 2
    assert "Name a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["0", "16,-1", "x"])
def test_a_size_is_a_whole_number(tmp_path: Path, words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), f"--memory={words}"])
    assert ended.value.code == 2


def test_the_table_has_a_column_for_each_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = STILL.model_copy(update={"workload": "memory-16-mib"})
    run = store(tmp_path / "run", plan((cell,), 1), [sized("memory-16-mib", 42)])
    assert main([str(run), "--table"]) == 0
    said = capsys.readouterr().out
    assert "16 MiB" in said
    assert "42" in said


def test_a_run_without_sizes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--table"]) == 2
    assert "no trial of a workload that says its size" in capsys.readouterr().err
