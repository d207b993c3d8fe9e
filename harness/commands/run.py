"""`stillframe run` and `stillframe corpus`: hand the cells to pytest, which runs them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import pytest

from harness.commands.declarations.runs import IMAGES_STACK
from harness.commands.images import make_images
from harness.model.cells import Settings
from harness.model.errors import USAGE, Exit, UsageError
from harness.model.expectations import declared
from harness.records.documents import check_writable
from harness.run.flags import SCENARIOS
from harness.run.matrix import DEFAULT_STACKS
from harness.run.options import Options
from harness.run.prepare import need_root
from harness.trial import corpus as kept
from reports.analysis.cells import prevailing
from reports.analysis.tables import counted
from reports.terminal.tell import tell


def run(arguments: argparse.Namespace) -> int:
    """Run cells, and after cross-restore the checkpoint images."""
    options = Options.of(arguments)
    code = run_cells(options, arguments.workers, arguments.pytest)
    chosen = options.cell or options.runtime or options.policy or IMAGES_STACK not in (options.stack or DEFAULT_STACKS)
    elsewhere = options.shard is not None and options.shard.number > 1  # one machine makes them for all
    if not options.interop or chosen or elsewhere or code not in list(Exit):
        return code
    return prevailing({Exit(code), Exit(make_images(options, (IMAGES_STACK,), options.out / "latest"))}).value


def corpus(arguments: argparse.Namespace) -> int:
    """Keep checkpoints, or try those that are kept."""
    trying, folder = arguments.what == "try", arguments.folder
    there = kept.read(folder) if trying or folder.exists() else ()
    changes = {"kept" if trying else "keep": folder.absolute(), "rounds": 1}
    settings = there[0].settings if there else Settings(ring=kept.SMALL)
    options = Options.of(arguments).model_copy(update={**changes, **settings.model_dump()})
    if not trying:
        for cell in options.cells:
            kept.keep(folder, cell)
    return run_cells(options, arguments.workers)


class _Started:
    """Keeps the session. After a wrong word, `pytest.main` returns 4, which means a failed proof here."""

    session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep it."""
        self.session = session


def run_cells(options: Options, workers: int, more: Sequence[str] = ()) -> int:
    """Run the cells of `options` by pytest; gives the exit code of the run."""
    if not options.cells:
        raise UsageError("the choices leave no cell", remedy="`stillframe plan` lists them.")
    need_root()
    declared()  # a wrong known issue is told before anything starts
    for folder in (options.out, options.cache, *([options.keep] if options.keep else [])):
        check_writable(folder)
    if workers > (there := len(os.sched_getaffinity(0))):
        tell(f"-n {workers}: this machine has {counted(there, 'processor')}. More workers disturb each other.")
    several = ["-n", str(workers)] if workers > 1 else []
    ours = ["-c", str(SCENARIOS / "run.ini"), "--rootdir", str(SCENARIOS.parent), "--verbose", "--no-header"]
    started = _Started()
    code = pytest.main([str(SCENARIOS), *ours, *several, *options.arguments(), *more], plugins=[started])
    if started.session:
        return int(started.session.exitstatus)
    return USAGE if code is pytest.ExitCode.USAGE_ERROR else int(code)
