"""The harness's overhead: a trial's wall time divided by the time in the runtimes' own commands."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from harness.model.errors import StillframeError
from harness.records.record import Record
from harness.records.run_files import read_records
from reports.terminal.terminal import console_for


def ratio(record: Record) -> float | None:
    """Return a trial's wall time divided by its runtime time; None if it ran no command of the runtime."""
    own = sum(command.seconds for command in record.commands if command.runtime and command.start_ns >= record.start_ns)
    return (record.end_ns - record.start_ns) / 1e9 / own if own else None


def table(records: Sequence[Record]) -> Table:
    """Return a row per cell and one for all cells: trials, median seconds, and median, least and greatest ratio."""
    rows: dict[str, list[Record]] = {}
    for record in records:
        if record.control is None and ratio(record) is not None:
            rows.setdefault(record.cell.id, []).append(record)
            rows.setdefault("all", []).append(record)
    grid = Table(title="wall time of a trial divided by the time in the runtime's own commands", title_justify="left")
    for heading in ("cell", "trials", "median wall s", "median ratio", "min", "max"):
        grid.add_column(heading)
    for name, trials in sorted(rows.items(), key=lambda row: (row[0] == "all", row[0])):
        ratios = [found for trial in trials if (found := ratio(trial)) is not None]
        wall = statistics.median((trial.end_ns - trial.start_ns) / 1e9 for trial in trials)
        figures = (statistics.median(ratios), min(ratios), max(ratios))
        grid.add_row(name, str(len(trials)), f"{wall:.3f}", *(f"{figure:.2f}" for figure in figures))
    return grid


def main() -> int:
    """Print the table of a run; the argument is the run's folder."""
    try:
        console_for(sys.stdout).print(table(list(read_records(Path(sys.argv[1])))))
    except StillframeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
