"""`stillframe plan`: the cells that a run would have, and how long they take."""

from __future__ import annotations

import argparse

from harness.commands.watching import durations
from harness.model.expectations import declared
from harness.run import matrix
from harness.run.options import Options
from harness.workload.definitions import Suite
from reports.terminal.tell import tell
from reports.text import counted

WORKERS = 2
"""For which the minutes of a suite are told."""


def plan(arguments: argparse.Namespace) -> int:
    """Print the cells or their number; say on standard error how often each is tried, and what is left out."""
    options = Options.of(arguments)
    declared()  # a wrong known issue would stop the run
    cells = options.shard.cells(options.cells) if options.shard else options.cells
    print(len(cells) if arguments.count else "\n".join(cell.id for cell in cells))  # noqa: T201
    tell(options.rule)
    if not (options.cell or options.workload or options.interop):
        for suite in Suite:
            tell(_size_of(suite, options))
    for told in matrix.outdated(cells, options.today):
        tell(told)
    if not options.stack and not options.cell and (others := matrix.others()):
        tell(f"Not in the default plan: {', '.join(others)}. Choose stacks with --stack NAME.")
    return 0


def _size_of(suite: Suite, options: Options) -> str:
    """Tell how many cells a suite has with these choices, and how long they take."""
    chosen = options.model_copy(update={"suite": suite})
    cells, fewer = chosen.cells, chosen.fewer
    took = durations.minutes(cells, lambda cell: fewer.get(cell.id, chosen.trials), options.out, WORKERS)
    return f"--suite {suite}: {counted(len(cells), 'cell')}, about {max(1, round(took))} min with {WORKERS} workers"
