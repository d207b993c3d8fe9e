"""`stillframe bisect`: which commit of a program has made a cell fail; git searches, a cell of the matrix answers."""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness.host.process import HOST
from harness.model.cells import base_of
from harness.model.commands import Command
from harness.model.errors import (
    CommandFailed,
    DeadlineExceeded,
    EnvironmentUnfit,
    Exit,
    StillframeError,
    UsageError,
)
from harness.records.documents import check_writable
from harness.run import matrix
from harness.run.prepare import need_root
from harness.stacks.builds import Build
from harness.stacks.checkouts import GIT_SECONDS, Tree, git, workspace
from reports.analysis.cells import CellSummary
from reports.analysis.sides import side_of
from reports.analysis.statistics import LEVEL
from reports.runs.read import read_run
from reports.terminal.tell import tell
from reports.text import counted

BUILD_SECONDS, PLAY_SECONDS = 3600.0, 3600.0
MEASURED = 6
"""Trials by which the rate of the failure is measured."""
MOST_TRIALS = 100
FIRST_BAD = re.compile(r"^([0-9a-f]{7,64}) is the first bad commit$", re.MULTILINE)
GOOD, BAD, SKIP = "good", "bad", "skip"
RESULTS = (Exit.EXPECTED, Exit.UNEXPECTED, Exit.INCOMPLETE)
"""Exit codes of a run whose cell can be looked at."""
VARIANT = "bisected"
OURS = "stillframe: "
"""Begins the last line of a command of ours that has failed."""


@dataclass(frozen=True)
class Tried:
    """What came of a commit."""

    answer: str
    """`good`, `bad` or `skip`, as `git bisect` has it."""
    why: str
    run: Path | None = None
    """The run that shows it."""


class Search:
    """Tries commits of a source tree in a copy of it, which the user's own checkout does not notice."""

    def __init__(self, arguments: argparse.Namespace, tree: Tree, out: Path) -> None:
        """Take what was asked for; `tree`: a copy of the source, `out`: a new folder for the runs."""
        self._arguments = arguments
        self.tree = tree
        self._out = out
        self.signature = ""
        self.trials = MEASURED
        self.tried: dict[str, Tried] = {}

    def measure(self, commit: str) -> None:
        """Take the failure of the bad commit as the one to look for, and its rate for the number of trials."""
        cell, why = self._play(commit)
        if cell is None:
            raise UsageError(
                f"the bad commit {commit[:12]} cannot be tried: {why.rstrip('.')}", remedy="Name another with --bad."
            )
        side = side_of(cell)
        if not side.k:
            what = f"the bad commit {commit[:12]} does not fail in {counted(side.n, 'trial')}"
            raise UsageError(what, remedy="Name another commit with --bad, or another cell.")
        self.signature = side.words
        rate = side.k / side.n
        self.trials = 1 if rate == 1 else min(MOST_TRIALS, math.ceil(math.log(LEVEL) / math.log1p(-rate)))
        self.trials = max(2, self.trials)
        tell(f"{commit[:12]} is bad in {side.k} of {side.n} trials: {side.words}")
        tell(f"{counted(self.trials, 'clean trial')} will show that a commit is good (95 % confidence)")

    def attempt(self, commit: str) -> Tried:
        """Build a commit, and try the cell with it."""
        cell, why = self._play(commit)
        if cell is None:
            found = Tried(SKIP, why)
        else:
            side, run = side_of(cell), self._out / commit / "latest"
            if side.k and side.words == self.signature:
                found = Tried(BAD, side.words, run)
            elif not side.k and side.n >= self.trials:
                found = Tried(GOOD, f"clean in {counted(side.n, 'trial')}", run)
            else:
                found = Tried(SKIP, f"another result: {side.words}", run)
        self.tried[commit] = found
        tell(f"{commit[:12]} {found.answer}: {found.why}")
        return found

    def _play(self, commit: str) -> tuple[CellSummary | None, str]:
        """Return the cell as it is with a commit, or None and the reason."""
        given, (name, _, path) = self._arguments, self._arguments.program.partition("=")
        needs = [word for flag in ("needs", "install") for each in getattr(given, flag) for word in (f"--{flag}", each)]
        cache = ["--cache", str(given.cache)]
        stack = base_of(given.cell_id.rpartition("@")[2])
        try:
            build = ["shell", stack, "--build", str(self.tree.path), *needs, *cache, "--", "sh", "-c", given.build]
            with self.tree.at(commit):
                _ours(build, seconds=given.build_seconds)
            Build.read(f"{name}={self.tree.path / path}")
        except CommandFailed as error:
            said = [line for line in error.stderr.splitlines() if line.strip() and not line.startswith("Running ")]
            if said and said[-1].startswith(OURS):
                raise EnvironmentUnfit(said[-1].removeprefix(OURS).rstrip(".")) from error
            return None, f"it does not build: {said[-1] if said else f'the command ends with code {error.code}'}"
        except DeadlineExceeded:
            return None, f"it does not build within {given.build_seconds} s"
        except StillframeError as error:
            return None, f"it does not build: {error.what}"
        out = self._out / commit
        built = ["--with", f"{name}={self.tree.path / path}", "--as", VARIANT, "--alone"]
        words = ["run", *built, "--cell", given.cell_id, *cache]
        words += ["--rounds", str(self.trials), "--proof", "brief", "--out", str(out)]
        played = _ours(words, seconds=PLAY_SECONDS, accept=range(256))
        if played.exit_code not in RESULTS or not (out / "latest").exists():
            said = [line for line in played.stderr.splitlines() if line.strip()]
            return None, f"exit code {played.exit_code} of the run: {said[-1] if said else 'it said nothing'}"
        cells = read_run(out / "latest").cells
        return (cells[0], "") if cells and side_of(cells[0]).outcome else (None, "the cell has no result")


def bisect(arguments: argparse.Namespace) -> int:
    """Search the commit, and tell it with the evidence on both sides."""
    need_root()
    source, name = arguments.source, arguments.program.partition("=")
    if not (name[1] and name[2]):
        remedy = "Write NAME=PATH; the path is relative to the source."
        raise UsageError(f"--with {arguments.program}: no name and path of a program", remedy=remedy)
    if len(planned := matrix.plan(cells=(arguments.cell_id,))) > 1:
        what = f"{arguments.cell_id} is {counted(len(planned), 'cell')}"
        raise UsageError(what, remedy="Name one: `stillframe plan` lists them.")
    if arguments.build_seconds <= 0:
        raise UsageError(f"--build-seconds {arguments.build_seconds:g}: give a number above 0")
    check_writable(arguments.out.absolute())
    good, bad = _commits(source, arguments.good, arguments.bad)
    arguments.cache = arguments.cache.absolute()
    out = arguments.out.absolute() / f"bisect-{bad[:12]}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    with workspace("stillframe-bisected-") as folder:
        search = Search(arguments, Tree(source, folder, bad), out)
        search.measure(bad)
        before = search.attempt(good)
        if before.answer != GOOD:
            what = f"the good commit {good[:12]} is not good: {before.why}"
            raise UsageError(what, remedy="Name another with --good.")
        first = _searched(search, good, bad)
        return _told(search, first, out)


def _commits(source: Path, good: str, bad: str) -> tuple[str, str]:
    """Return the ids of both ends; `UsageError` for what is no checkout, dirty, or no range."""
    if shutil.which("git") is None:
        raise EnvironmentUnfit("git is not installed", remedy="Install git.")
    try:
        changed = git(source, "status", "--porcelain", "--untracked-files=no")
    except CommandFailed as error:
        raise UsageError(f"--source {source} is no checkout of git", remedy="Name its folder.") from error
    if changed:
        what = f"--source {source} has changes that are not committed: {changed.splitlines()[0].strip()}"
        raise UsageError(what, remedy="Commit them, or put them aside with `git stash`.")
    found = []
    for flag, ref in (("--good", good), ("--bad", bad)):
        try:
            found.append(git(source, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"))
        except CommandFailed as error:
            raise UsageError(f"{flag} {ref} is no commit of {source}") from error
    if found[0] == found[1]:
        what = f"--good {good} and --bad {bad} are the same commit"
        raise UsageError(what, remedy="Name an older commit with --good.")
    try:
        git(source, "merge-base", "--is-ancestor", found[0], found[1])
    except CommandFailed as error:
        what = f"--good {good} is not an ancestor of --bad {bad}"
        raise UsageError(what, remedy="Name an older commit with --good.") from error
    return found[0], found[1]


def _searched(search: Search, good: str, bad: str) -> str:
    """Have git search; return the first bad commit, or an empty text if commits that cannot be tried hide it."""
    said = search.tree.git("bisect", "start", "--no-checkout", bad, good)
    while not (found := FIRST_BAD.search(said)):
        commit = search.tree.git("rev-parse", "BISECT_HEAD")
        answer = search.attempt(commit).answer
        try:
            said = search.tree.git("bisect", answer, commit)
        except CommandFailed as error:  # only commits that cannot be tried are left
            tell(error.stdout.strip() or str(error))
            return ""
    return found[1]


def _told(search: Search, first: str, out: Path) -> int:
    """Tell the commit, and where the evidence is."""
    if not first:
        tell("verdict: the commits that are left cannot be tried")
        return Exit.INCOMPLETE
    print(f"first bad commit: {search.tree.git('log', '-1', '--format=%H %s', first)}")  # noqa: T201
    for answer in (BAD, GOOD):
        shown = [(commit, each) for commit, each in search.tried.items() if each.answer == answer and each.run]
        for commit, each in shown[-1:]:
            print(f"{answer}: {commit[:12]}: {each.why}: {each.run}")  # noqa: T201
            if each.run:
                _hand_over(each.run, out / f"repro-{answer}")
    print(f"runs: {out}")  # noqa: T201
    return Exit.EXPECTED


def _hand_over(run: Path, folder: Path) -> None:
    """Write the trial of a commit as a script, if a script can tell it."""
    cell = read_run(run).cells[0].cell.id
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _ours(["repro", cell, "--run", str(run), "-o", str(folder)], seconds=GIT_SECONDS)
        print(f"  sudo sh {folder}/repro.sh")  # noqa: T201
    except StillframeError as error:
        tell(f"no script: {error}")


def _ours(words: list[str], *, seconds: float, accept: range = range(1)) -> Command:
    """Call a command of ours, which ends with us."""
    argv = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "harness.commands.cli", *words]
    root = str(Path(__file__).resolve().parents[2])
    return HOST.run(argv, deadline=seconds, accept=accept, env={"PYTHONPATH": root})
