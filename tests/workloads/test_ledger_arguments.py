"""The ledger's command line."""

from __future__ import annotations

import itertools
import subprocess  # noqa: TID251
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--report is missing"),
        (["--report", "R"], "--surface is missing"),
        (["--surface", "a=b"], "--report is missing"),
        (["--report"], "--report takes a folder"),
        (["--report", "R" * 4096, "--surface", "a=b"], "too long"),
        (["--report", "R", "--surface"], "NAME=PATH"),
        (["--report", "R", "--surface", "a"], "NAME=PATH"),
        (["--report", "R", "--surface", "=b"], "NAME=PATH"),
        (["--report", "R", "--surface", "a="], "NAME=PATH"),
        (["--report", "R", "--surface", 'a"=b'], "NAME=PATH"),
        (["--report", "R", "--surface", "a=b", "--surface", "a=c"], "a second surface the name a"),
        (["--report", "R", "--surface", "a=b", "--deleted", "a=c"], "--deleted gives a second surface the name a"),
        (["--report", "R", "--deleted", "a"], "--deleted takes NAME=PATH"),
        (["--report", "R", "--surface", "a=b", "--print", "a=1"], "--print gives a second surface the name a"),
        (["--report", "R", "--print", "a=0"], "--print takes NAME=N with N from 1 to 1000000, not 0"),
        (["--report", "R", "--print", "a=1000001"], "1 to 1000000, not 1000001"),
        (["--report", "R", "--print", "a=/x"], "1 to 1000000, not /x"),
        (["--report", "R", "--print", "a"], "--print takes NAME="),
        (["--report", "R", "--barrier", "2/2=f"], "--barrier takes I/N=PATH with I below N and N from 2 to 16, not 2"),
        (["--report", "R", "--barrier", "0/1=f"], "N from 2 to 16, not 1"),
        (["--report", "R", "--barrier", "0/17=f"], "N from 2 to 16, not 17"),
        (["--report", "R", "--barrier", "0/2="], "--barrier takes I/N=PATH"),
        (["--report", "R", "--barrier", "f"], "--barrier takes I/N=PATH"),
        (["--report", "R", *(f"--surface=s{n}" for n in range(1))], "unknown option --surface=s0"),
        (
            ["--report", "R", *itertools.chain(*(("--surface", f"s{n}=s") for n in range(17)))],
            "exceeds the limit of 16 surfaces",
        ),
        (["--report", "R", "--surface", "a=b", "--ring", "3"], "4 to 1048576, not 3"),
        (["--report", "R", "--surface", "a=b", "--ring", "1048577"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--ring", "18446744073709551620"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--ring", "8k"], ", not 8k"),
        (["--report", "R", "--surface", "a=b", "--ring"], "4 to 1048576"),
        (["--report", "R", "--surface", "a=b", "--period-us", "-1"], ", not -1"),
        (["--report", "R", "--surface", "a=b", "--period", "1"], "unknown option --period"),
    ],
)
def test_a_wrong_argument_is_told_in_one_sentence(
    ledger_binary: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = subprocess.run([ledger_binary, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.startswith("ledger: ")
    assert done.stderr.endswith("; see ledger --help\n")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_teaches(ledger_binary: Path) -> None:
    done = subprocess.run([ledger_binary, "--help"], capture_output=True, text=True, check=True)
    assert all(
        word in done.stdout
        for word in (
            "--period-us",
            "--ring",
            "--report",
            "--surface NAME=PATH",
            "--deleted NAME=PATH",
            "--print NAME=N",
            "--barrier I/N=PATH",
            "Example",
        )
    )
    assert done.stderr == ""
