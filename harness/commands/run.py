"""`stillframe run` and `stillframe corpus`: hand the cells to pytest, which runs them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.commands.declarations.runs import IMAGES_STACK
from harness.commands.images import make_images
from harness.commands.watching import ending
from harness.commands.watching.reporter import BLOCKED, Reporter
from harness.model.cells import Settings
from harness.model.errors import USAGE, Exit, Interrupted, StillframeError, UsageError
from harness.model.expectations import declared
from harness.records.documents import check_writable
from harness.run import stopping
from harness.run.flags import SCENARIOS
from harness.run.matrix import DEFAULT_STACKS
from harness.run.options import Options
from harness.run.prepare import need_root
from harness.trial import corpus as kept
from reports.analysis.cells import prevailing
from reports.terminal.tell import tell
from reports.text import counted


def run(arguments: argparse.Namespace) -> int:
    """Run cells, and after cross-restore the checkpoint images."""
    options = Options.of(arguments)
    code, folder = run_cells(options, arguments, arguments.pytest)
    chosen = options.cell or options.runtime or options.policy or IMAGES_STACK not in (options.stack or DEFAULT_STACKS)
    elsewhere = options.shard is not None and options.shard.number > 1  # one machine makes them for all
    if not options.interop or chosen or elsewhere or code not in list(Exit) or stopping.STOPPING.by:
        return code
    stopping.STOPPING.folder = None  # a signal ends the images at once
    try:
        return prevailing({Exit(code), Exit(make_images(options, (IMAGES_STACK,), folder))}).value
    except KeyboardInterrupt:
        what = f"interrupted by {stopping.STOPPING.by} while checkpoint images were made"
        raise Interrupted(what, remedy="The report of the cells is complete.") from None


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
    return run_cells(options, arguments)[0]


class _Started:
    """Keeps the session. After a wrong word, `pytest.main` returns 4, which means a failed proof here."""

    session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep it."""
        self.session = session

    def code(self, code: int | pytest.ExitCode) -> int:
        """Return our exit code for that of `pytest.main`."""
        if self.session:
            return int(self.session.exitstatus)
        return USAGE if code is pytest.ExitCode.USAGE_ERROR else int(code)


def run_cells(options: Options, arguments: argparse.Namespace, more: Sequence[str] = ()) -> tuple[int, Path | None]:
    """Run the cells of `options` by pytest, and tell the end; gives the exit code and the folder of the run."""
    if not options.cells:
        raise UsageError("the choices leave no cell", remedy="`stillframe plan` lists them.")
    need_root()
    declared()  # a wrong known issue is told before anything starts
    for folder in (options.out, options.cache, *([options.keep] if options.keep else [])):
        check_writable(folder)
    workers = arguments.workers
    if workers > (there := len(os.sched_getaffinity(0))):
        tell(f"-n {workers}: this machine has {counted(there, 'processor')}. More workers disturb each other.")
    several = ["-n", str(workers)] if workers > 1 else []
    ours = ["-c", str(SCENARIOS / "run.ini"), "--rootdir", str(SCENARIOS.parent), "--no-header", *several]
    words, started = [str(SCENARIOS), *ours, *options.arguments(), *more], _Started()
    if more:  # they are for pytest's own reporter
        code = started.code(pytest.main([*words, "--verbose"], plugins=[started]))
        return code, stopping.STOPPING.folder
    with Reporter(workers) as reporter:
        code = started.code(pytest.main([*words, *BLOCKED], plugins=[started, reporter]))
    if isinstance(reporter.error, StillframeError):
        raise reporter.error
    if reporter.summary is None:
        stopping.STOPPING.check()
        return code, None
    ending.tell(reporter.summary, reporter.page, arguments.out, verbose=arguments.verbose)
    return code, stopping.STOPPING.folder
