"""A checkout with the scripts of ci/, and programs that only write down how they are called."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.host.process import BASE_ENVIRONMENT, HOST
from harness.model.commands import Command

ROOT = Path(__file__).resolve().parents[2]


class Checkout:
    """A copy of the scripts, with `programs` before those of the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.cache = folder / "cache"
        self.programs = folder / "programs"
        self.log = folder / "log"
        shutil.copytree(ROOT / "ci", self.folder / "ci")
        shutil.copy(ROOT / "pyproject.toml", self.folder)
        self.become("1000")

    def become(self, user: str) -> None:
        """Let the scripts see a user by this number; 0 is root."""
        self.program(self.programs / "id", f"echo {user}")

    def program(self, path: Path, *lines: str) -> None:
        """Write a program that notes its arguments and then does what the lines say."""
        path.parent.mkdir(parents=True, exist_ok=True)
        note = "" if path.name == "id" else f'echo "{path.name} $*" >>{self.log}\n'
        path.write_text(f"#!/bin/sh\n{note}" + "\n".join(lines) + "\n")
        path.chmod(0o755)

    def run(self, *words: str, where: Path | None = None, env: Mapping[str, str] | None = None) -> Command:
        """Run a script of the checkout to its end, however it ends."""
        given = {
            "PATH": f"{self.programs}:{BASE_ENVIRONMENT['PATH']}",
            "STILLFRAME_CACHE": str(self.cache),
            "PYTHON": sys.executable,
            **(env or {}),
        }
        heard = "--default-signal=INT,TERM,HUP"  # whoever started the tests may ignore some, as nohup(1)
        command = ["env", heard, "bash", *words]
        return HOST.run(command, cwd=str(where or self.folder), env=given, accept=range(256), deadline=60)

    @property
    def called(self) -> list[str]:
        """The calls since this was last asked."""
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return calls

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file of the checkout."""
        path = self.folder / name
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)
