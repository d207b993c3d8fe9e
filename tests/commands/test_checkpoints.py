"""The commands for checkpoints: however they end, the exit code is no answer that nobody has given."""

from __future__ import annotations

import json
import os
import signal
import subprocess  # noqa: TID251  # a shell, whose redirections are what is tried
import sys
import tempfile
from pathlib import Path

import pytest

from harness.commands.cli import main
from harness.oracle import inspection
from tests.criu_images import dump, memory, tar
from tests.oracle.inspection.test_inspection import podman

MAIN = "import sys; from harness.commands.cli import main; sys.exit(main())"


def fails(error: BaseException) -> object:
    def find(*_: object) -> None:
        raise error

    return find


def shell(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of a shell in which "$0" "$@" is `stillframe inspect` with these arguments."""
    command = [sys.executable, "-c", MAIN, "inspect", *map(str, arguments)]
    return subprocess.run(["sh", "-c", script, *command], capture_output=True, text=True, check=False)


def test_a_fault_of_our_own_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inspection, "find", fails(KeyError("a\x1b[31m")))
    assert main(["inspect", str(tmp_path)]) == 70
    told = capsys.readouterr().err
    assert "KeyError" in told
    assert told.endswith("Please report the lines above.\n")
    assert "\x1b" not in told


def test_who_interrupts_gets_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(inspection, "find", fails(KeyboardInterrupt()))
    assert main(["inspect", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "stillframe: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_that_was_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def find(*_: object) -> None:
        assert list(tmp_path.iterdir()) != []
        os.kill(os.getpid(), number)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(inspection, "find", find)
    before = signal.getsignal(number)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path)])
    assert ended.value.code == 128 + number
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert signal.getsignal(number) == before


def test_output_that_is_closed_or_full_is_no_answer(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", memory())
    done = shell('exec "$0" "$@" >/dev/full', images)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "standard output cannot be written: No space left on device" in done.stderr
    done = shell('exec "$0" "$@" >&-', images)
    assert (done.returncode, done.stderr) == (3, "")
    done = shell('("$0" "$@"; echo $? >&2) | true', images)
    assert done.stderr in ("141\n", "3\n"), "it may be faster than its reader, and never 0"
    assert shell('exec "$0" "$@" 2>&-', tmp_path / "nowhere").returncode == 2
    assert shell('exec "$0" "$@" 2>/dev/full', tmp_path / "nowhere").returncode != 1


def test_only_files_and_folders_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        for command in (["inspect"], ["compatible"], ["translate", "--criu", "4.1", "-o", str(tmp_path / "out")]):
            assert main([command[0], str(tmp_path / name), *command[1:]]) == 2
            assert "it is a pipe, not a file or folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["inspect", ""])
    assert ended.value.code == 2
    assert "argument PATH: the name is empty" in capsys.readouterr().err


def test_names_drive_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tar(tmp_path / "it\x07.tar", {"a\x1b[2J\nstillframe: verdict": b"x"}))]) == 2
    told = capsys.readouterr().err
    assert "a\ufffd[2J stillframe: verdict" in told
    assert told.count("\n") == 1
    assert told[:-1].isprintable()


def test_json_holds_nothing_that_is_no_text(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    config = {"name": "a\ud800b", "namedVolumes": []}
    path = podman(tmp_path, None, config=config).rename(tmp_path / "\udcff.tar")
    assert main(["inspect", str(path), "--json"]) == 3
    found = json.loads(capsysbinary.readouterr().out.decode())
    assert found["path"].endswith("/\ufffd.tar")
    assert found["checkpoints"][0]["description"]["container_name"] == "a\ufffdb"
