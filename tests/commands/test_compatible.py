"""Will it be restored here: asked of the programs on PATH, and told with an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.commands.cli import main
from tests.checkpoints.test_compatibility import NEW, images
from tests.checkpoints.translation.test_bridges import RUNC


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with runc and criu."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, said in {"runc": "runc version 1.4.3", "criu": "Version: 4.1.1"}.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_who_is_here_is_asked(programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = images(tmp_path / "old", RUNC)
    assert main(["compatible", str(old)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "yes: runc (runc 1.4.3, criu 4.1.1)"
    assert lines[1] == "no: criu (criu 4.1.1)"
    (programs / "criu").write_text("#!/bin/sh\necho 'Version: 4.3'\n")
    assert main(["compatible", str(old), "--with", "criu", "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    (criu,) = told["components"]
    assert (criu["name"], criu["version"], told["prediction"]["answer"]) == ("criu", "4.3", "no")


def test_the_reason_names_the_field(programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compatible", str(images(tmp_path / "new", (), NEW)), "--with", "runc"]) == 1
    said = capsys.readouterr().out
    assert "reads the number of pages from a field that is 0 here" in said
    assert f"  remedy: stillframe translate {tmp_path / 'new'} --criu 4.1 -o NEW\n" in said
    assert programs.exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("{images}", "--with", "crun"), 3, "crun is not here: no crun on PATH"),
        (("{images}", "--with", "runk"), 2, "unknown runtime 'runk'"),
        (("{images}/nowhere",), 2, "cannot be read"),
        (("{images}/inventory.img",), 2, "is not a tar archive"),
        (("/",), 2, "it holds no checkpoint of a known kind, but nothing"),
    ],
)
@pytest.mark.usefixtures("programs")
def test_what_cannot_be_told_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, told: str
) -> None:
    folder = images(tmp_path / "images")
    (tmp_path / "empty").mkdir()
    given = [word.format(images=folder) if word != "/" else str(tmp_path / "empty") for word in words]
    assert main(["compatible", *given]) == code
    assert told in capsys.readouterr().err


def test_nothing_here_is_nothing_to_tell(programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for program in programs.iterdir():
        program.unlink()
    assert main(["compatible", str(images(tmp_path / "images"))]) == 3
    assert "nothing on PATH restores checkpoints" in capsys.readouterr().err
    (programs / "criu").write_text("#!/bin/sh\nexit 7\n")
    (programs / "criu").chmod(0o755)
    assert main(["compatible", str(tmp_path / "images")]) == 3
    assert "criu does not tell its version" in capsys.readouterr().err
