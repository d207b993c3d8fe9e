"""A desk: the folder of a clone in which a reader types, with what the pages take for granted."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.commands import Command
from harness.run.flags import default_cache
from tests.docs.pages import ROOT, Block

SECONDS = 240.0
Done = dict[tuple[str, ...], tuple[Path, Command]]
"""Lines that were typed, after those that made runs, with the folder and how each ended."""
APART = {".git", "ci", "out"}
"""What is not the same as in the checkout: the tests have their own runs, and their own set-up."""


class Desk:
    """A folder that looks like a clone. Its `ci/setup` takes the environment of the tests, which is set up already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: tuple[str, ...] = ()
        """Lines that have made runs here."""
        for path in ROOT.iterdir():
            if path.name not in APART:
                (folder / path.name).symlink_to(path)
        (folder / "ci").mkdir()
        for path in (ROOT / "ci").iterdir():
            if path.name != "setup":
                (folder / "ci" / path.name).symlink_to(path)
        venv = folder / "venv/bin"
        (folder / "ci/setup").write_text(f"venv={venv.parent} cache={default_cache()}\n", encoding="utf-8")
        module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "scripts"
        ]["stillframe"].partition(":")
        program(venv / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        program(venv / "stillframe", f"#!{sys.executable}\nimport sys, {module}\nsys.exit({module}.{function}())\n")
        program(folder / "bin/sudo", '#!/bin/sh\nexec "$@"\n')
        program(folder / "bin/nproc", "#!/bin/sh\necho 1\n")  # the runs are small, and more workers take longer

    def typed(self, line: str) -> Command:
        """Type a line, and wait for its end."""
        env = {
            "PATH": f"{self.folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STILLFRAME_CACHE": str(default_cache()),
        }
        argv = ["bash", "-e", "-o", "pipefail", "-c", line]
        return HOST.run(argv, cwd=str(self.folder), env=env, deadline=SECONDS, accept=range(256))

    def follow(self, block: Block, done: Done) -> None:
        """Type the lines of a block. What is `done` already, after the same runs, is not done again but copied."""
        assert block.mark is not None
        for line in block.commands:
            makes_a_run, last = line.startswith("sudo ci/matrix "), line == block.commands[-1]
            if line in self.runs:
                continue
            if before := done.get((*self.runs, line)):
                folder, ended = before
                if makes_a_run:
                    shutil.copytree(folder / "out", self.folder / "out", symlinks=True)
            else:
                ended = self.typed(line)
            told = f"{block.name}: {line}\nexit code {ended.exit_code}\n{ended.stdout}{ended.stderr}"
            if ended.exit_code not in (block.mark.codes if last else (0,)):
                pytest.fail(told, pytrace=False)
            if last and (missing := set(block.prints).difference(ended.stdout.splitlines())):
                pytest.fail(f"{told}\ndoes not print {missing}", pytrace=False)
            done[(*self.runs, line)] = (self.folder, ended)
            if makes_a_run:
                self.runs = (*self.runs, line)


def program(path: Path, text: str) -> None:
    """Write a script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
