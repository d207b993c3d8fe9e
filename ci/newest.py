"""Runs the tests with the newest version of every Python package, and tells which package breaks which test.

`ci/newest` starts it in the environment with the locked versions. It puts each newer package back, alone, and runs the
failing tests again: those that pass then, this package breaks.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import tomllib
import venv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ci.locked import Versions, changes, normal
from harness.host.process import HOST
from harness.model.errors import CommandFailed, StillframeError, UsageError
from reports.formats.report import add_to_step_summary

ROOT = Path(__file__).resolve().parents[1]
MOST = 10
"""Failing tests that are looked into."""
INSTALL_SECONDS, TEST_SECONDS = 1800, 3600
START = "pytest does not start"
PASSED, NO_MATCH = 0, 5


class Environment(Protocol):
    """Packages that tests can run with."""

    def versions(self) -> dict[str, str]:
        """Return what is installed."""

    def install(self, *words: str) -> None:
        """Install packages; raise `CommandFailed` if that cannot be done."""

    def failing(self, tests: Collection[str]) -> list[str]:
        """Run these tests and return those that fail."""


class Folder:
    """A virtual environment in a folder."""

    def __init__(self, folder: Path, scratch: Path, **env: str) -> None:
        self.python = str(folder / "bin/python")
        self._env = {**os.environ, **env}
        self._pytest = [self.python, "-m", "pytest", "-rfE", "--no-header", "--basetemp", str(scratch / "tests")]

    def versions(self) -> dict[str, str]:
        """Return what is installed."""
        listed = HOST.run([self.python, "-m", "pip", "list", "--format", "json"], env=self._env, deadline=60).stdout
        return {normal(each["name"]): each["version"] for each in json.loads(listed)}

    def install(self, *words: str) -> None:
        """Install packages; raise `CommandFailed` if that cannot be done."""
        line = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
        HOST.run(line, cwd=str(ROOT), env=self._env, deadline=INSTALL_SECONDS)

    def all_failing(self, options: Sequence[str]) -> list[str]:
        """Run all tests, of nodes only as root, and return those that fail."""
        runs = [self._run("tests", "--ignore", "tests/node", "-n", str(os.cpu_count()), *options)]
        if os.geteuid() == 0:
            runs.append(self._run("tests/node", *options))
        if all(run is None for run in runs):
            raise UsageError(f"No test matches: {' '.join(options)}")
        return [test for run in runs for test in run or ()]

    def failing(self, tests: Collection[str]) -> list[str]:
        """Run these tests and return those that fail."""
        return self._run(*(["tests", "--collect-only"] if START in tests else tests)) or []

    def _run(self, *words: str) -> list[str] | None:
        """Return what fails, or None if no test matches."""
        done = HOST.run([*self._pytest, *words], cwd=str(ROOT), env=self._env, deadline=TEST_SECONDS, accept=range(256))
        if done.exit_code in (PASSED, NO_MATCH):
            return None if done.exit_code == NO_MATCH else []
        print(done.stdout, done.stderr, flush=True)
        return failures(done.stdout) or [START]


def failures(output: str) -> list[str]:
    """Return the tests, or the files, that pytest's short summary names."""
    return re.findall(r"^(?:FAILED|ERROR) (\S+\.py(?:::\w+)*(?:\[.*?\])?)(?: - .*)?$", output, flags=re.MULTILINE)


def blame(failing: Collection[str], locked: Versions, newest: Environment) -> dict[str, list[str]]:
    """Return which tests pass once a package alone is put back to its locked version, by its name."""
    found = newest.versions()
    newer = [name for name in changes(locked, found) if name in locked and name in found]
    guilty: dict[str, list[str]] = {}
    for name in newer:
        print(f"putting {name} back to {locked[name]}", flush=True)
        try:
            newest.install(f"{name}=={locked[name]}")
            still = newest.failing(failing)
            if mended := [test for test in failing if test not in still]:
                guilty[name] = mended
        except CommandFailed as error:
            print(f"{name} {locked[name]} cannot be put back: {error}", flush=True)
        newest.install("--no-deps", *(f"{each}=={found[each]}" for each in newer))
    return guilty


def told(
    failing: Sequence[str], changed: Mapping[str, str], guilty: Mapping[str, Sequence[str]], before: Collection[str]
) -> str:
    """Say in Markdown how it went; `before` fails with the locked versions, too."""
    if not changed:
        return "### Newest packages\n\nci/requirements.txt has the newest version of every package.\n"
    lines = [f"### Newest packages: {_count(failing)}", ""]
    for test in failing[:MOST]:
        names = [name for name, tests in guilty.items() if test in tests]
        if test in before:
            why = "also fails with the versions in ci/requirements.txt"
        elif names:
            why = "broken by " + " together with ".join(changed[name] for name in names)
        else:
            why = "no single package; it fails whichever of those below is put back alone"
        lines.append(f"- `{test}`: {why}")
    if len(failing) > MOST:
        lines.append(f"- {len(failing) - MOST} more, which were not looked into")
    lines += ["", "Packages that differ from ci/requirements.txt:", "", *(f"- {each}" for each in changed.values())]
    if not failing:
        lines += ["", "`ci/lock` takes them into ci/requirements.txt."]
    return "\n".join(lines) + "\n"


def _count(failing: Sequence[str]) -> str:
    if not failing:
        return "all tests pass"
    return "1 test fails" if len(failing) == 1 else f"{len(failing)} tests fail"


def requirements(project: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    """Return what pip installs: the checkout with its tests, and what builds it."""
    return ["--editable", ".[test]", *project["build-system"]["requires"]]


def main(options: Sequence[str]) -> int:
    """Try the newest versions; give the exit code."""
    with tempfile.TemporaryDirectory(prefix="newest-", dir=os.environ.get("STILLFRAME_CACHE")) as folder:
        scratch = Path(folder)
        venv.create(scratch / "venv", with_pip=True)
        locked = Folder(Path(sys.prefix), scratch)
        newest = Folder(scratch / "venv", scratch, PYTHONPYCACHEPREFIX=str(scratch / "pycache"))
        try:
            newest.install(*requirements(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))
        except CommandFailed as error:
            return _say(f"### Newest packages: pip cannot install them\n\n{error}\n", 3)
        changed = changes(locked.versions(), newest.versions())
        if not changed:
            return _say(told([], changed, {}, []), 0)
        print("\n".join(changed.values()), flush=True)
        failing = newest.all_failing(options)
        looked = failing[:MOST]
        before = locked.failing(looked) if looked else []
        new = [test for test in looked if test not in before]
        guilty = blame(new, locked.versions(), newest) if new else {}
        return _say(told(failing, changed, guilty, before), int(bool(failing)))


def _say(text: str, code: int) -> int:
    print(text, flush=True)
    add_to_step_summary(text)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StillframeError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
