"""The front door of `repro`: what it refuses before anything is written or played."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.cli import main
from harness.model.errors import Unwritable
from reports.formats import repro
from tests.reports.synthetic import MOVING, moving, plan, store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return store(tmp_path / "run", plan((MOVING,), 1), [moving(MOVING)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rounds", "0"], "--rounds 0: give a number from 1 to 100"),
        (["--rounds", "101"], "--rounds 101: give a number from 1 to 100"),
        (["--rate", "0"], "--rate 0: give a number above 0 and up to 1"),
        (["--rate", "nan"], "--rate nan: give a number above 0 and up to 1"),
        (["--with", "runc=/bin/true"], "--with is for a script that is played here. Add --play or --minimise."),
        (["--out-folder", "/dev/null/x"], "/dev/null cannot be written: Not a directory"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    out = tmp_path / "new"
    assert main(["repro", MOVING.id, "--run", str(run), "-o", str(out), *words]) in (2, 3)
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_what_could_not_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.name == repro.BUNDLE:
            raise OSError(28, "No space left on device")
        path.touch()

    monkeypatch.setattr(Path, "write_bytes", full)
    trial = moving(MOVING)
    with pytest.raises(Unwritable, match="No space left on device"):
        repro.write(tmp_path / "new", {repro.SCRIPT: "x", repro.README: "y"}, trial, plan([MOVING]))
    assert not list((tmp_path / "new").iterdir())
