"""The command that translates."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoints.translation.translate import Order, translate
from harness.commands.cli import main
from tests.checkpoints.translation.exports import podman


def test_the_command_tells_what_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(podman(tmp_path / "in", rootfsImageName="app\x1b[31m")), str(tmp_path / "out.tar")
    assert main(["translate", source, "--to", "crio", "--runtime", "crun", "-o", out]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: of an archive exported by Podman\n  /proc/keys: ")
    assert "config.dump: the runtime is crun" in said
    assert "podman -> crio" in said
    assert "note: the request that restores it must mount" in said
    assert "\x1b" not in said
    assert main(["translate", out, "--runtime", "crun", "-o", f"{out}.2"]) == 0
    assert "nothing had to be changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], 2, "nothing to translate"),
        (["--to", "containerd"], 1, "pulls the container's image by digest"),
        (["--to", "podman", "--runtime", "crun"], 0, ""),
    ],
)
def test_the_command_declines_with_a_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, told: str
) -> None:
    assert main(["translate", str(podman(tmp_path / "in")), *options, "-o", str(tmp_path / "out")]) == code
    assert told in capsys.readouterr().err
    assert (tmp_path / "out").exists() is (code == 0)


def test_an_archive_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", str(tmp_path / "none"), "--to", "crio", "-o", str(tmp_path / "out")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_big_one_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, told = podman(tmp_path / "in"), list[str]()
    translate(source, tmp_path / "small", Order("crio"), progress=told.append)
    assert told == []
    monkeypatch.setattr("harness.checkpoints.translation.translate.BIG", 1)
    translate(source, tmp_path / "big", Order("crio"), progress=told.append)
    assert told == ["reading it", "unpacking it", "rewriting it", "packing it"]
