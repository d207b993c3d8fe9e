"""`stillframe images`: make checkpoint images, carry them, restore them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from harness.commands.declarations.runs import IMAGES_STACK
from harness.host import audit
from harness.images.study import every_image, study
from harness.model.errors import Exit
from harness.model.expectations import About, unmatched
from harness.records import run_files
from harness.records.documents import check_writable
from harness.run import variants
from harness.run.options import Options
from harness.run.prepare import need_root, redaction_for
from reports.analysis.images import exit_code
from reports.formats import markdown
from reports.formats import report as write
from reports.terminal import terminal
from reports.terminal.tell import tell


def images(arguments: argparse.Namespace) -> int:
    """Make images in the chosen stacks."""
    options = Options.of(arguments)
    need_root()
    chosen = options.stack or (IMAGES_STACK,)
    stacks = [name for stack in chosen for name in variants.of_stack(stack, alone=options.alone)]
    return make_images(options, stacks, arguments.run)


def make_images(options: Options, stacks: Iterable[str], run: Path | None) -> int:
    """Make images, and report them with `run` or alone; gives the exit code."""
    check_writable(run or options.out)
    before = audit.of_host()
    folder = run or options.out / f"images-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    if run:
        run_files.read_plan(run)  # or there is no such run
    found = [path for stack in stacks for path in study(options, stack, tell)]
    redaction = redaction_for(found, keep_names=options.keep_names)
    paths = [redaction.of(path) for path in found]
    run_files.make_folder(folder)
    run_files.write_images(folder, paths)
    page = write.write_share(folder) if run else write.write_images(paths, folder)
    write.add_to_step_summary(markdown.render_images(paths))
    terminal.show_images(paths)
    print(f"report: {page}")  # noqa: T201
    leaks = audit.of_host().leaks(before)
    if leaks:
        tell(f"left behind on the host: {', '.join(leaks)}")
    if astray := unmatched(every_image(), About.IMAGES):
        tell(f"declared of no image that there is: {', '.join(astray)}")
    return Exit.UNEXPECTED if leaks or astray else exit_code(paths)
