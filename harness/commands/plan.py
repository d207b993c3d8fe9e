"""`stillframe plan`: the cells that a run would have."""

from __future__ import annotations

import argparse

from harness.model.expectations import declared
from harness.run import matrix
from harness.run.options import Options
from reports.terminal.tell import tell


def plan(arguments: argparse.Namespace) -> int:
    """Print the cells or their number; say on standard error how often each is tried, and what is left out."""
    options = Options.of(arguments)
    declared()  # a wrong known issue would stop the run
    cells = options.shard.cells(options.cells) if options.shard else options.cells
    print(len(cells) if arguments.count else "\n".join(cell.id for cell in cells))  # noqa: T201
    tell(options.rule)
    for told in matrix.outdated(cells, options.today):
        tell(told)
    if not options.stack and not options.cell and (others := matrix.others()):
        tell(f"Not in the default plan: {', '.join(others)}. Choose stacks with --stack NAME.")
    return 0
