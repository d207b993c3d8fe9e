"""`stillframe show`: a cell of a run, with the commands of one trial."""

from __future__ import annotations

import argparse

from reports.terminal import show as cells


def show(arguments: argparse.Namespace) -> int:
    """Print the cell and a trial's commands."""
    folder = arguments.run or arguments.out.absolute() / "latest"
    print(cells.show_cell(folder, arguments.cell_id, arguments.trial), end="")  # noqa: T201
    return 0
