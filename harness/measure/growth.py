"""Growth of time and memory with the number of records: `python -m harness.measure.growth RUN`.

The records of a real run are repeated with new numbers, to make runs of several sizes. Planning, reading and reporting
are each measured in a new process, so that no step uses modules or data that another step has loaded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.model.cells import Cell
from harness.model.errors import RecordError, StillframeError, UsageError
from harness.model.values import Frozen
from harness.records.plan import Closing
from harness.records.run_files import read_plan, write_closing, write_plan
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.formats import write as formats
from reports.formats.report import SITE, write_summary
from reports.pages import site
from reports.runs.read import read_run
from reports.runs.summary import summary_json
from reports.terminal import terminal

SIZES = (10, 100, 1_000, 10_000)


def printed(run: RunSummary) -> str:
    """Return the run's report for a terminal."""
    stream = StringIO()
    terminal.show_run(run, Console(file=stream, width=terminal.LOG_WIDTH))
    return stream.getvalue()


WHOLE = "all of it"
RENDERERS: dict[str, Callable[[RunSummary], str]] = {
    "site": lambda run: "".join(text for _, text in site.render(run)),
    "formats": lambda run: "".join(text for _, text in formats.render(run, now=datetime.now(UTC))),
    "markdown": markdown.render,
    "json": summary_json,
    "terminal": printed,
}


class Cost(Frozen):
    """Time and memory of one step, for a run with `records` trials."""

    records: int
    step: str
    seconds: float
    mebibytes: float
    output_bytes: int = 0


def multiply(source: Path, folder: Path, records: int) -> Path:
    """Write a run with exactly `records` trials into `folder`, spread evenly over the cells of the run in `source`."""
    plan = read_plan(source)
    kept = {cell: lines for cell in plan.cells if (lines := _lines(source, cell))}
    if not kept:
        raise RecordError(f"{source} holds no records to repeat", remedy="Name the folder of a finished run.")
    cells = list(kept)[:records]
    each, more = divmod(records, len(cells))
    rounds = {cell: each + (number < more) for number, cell in enumerate(cells)}
    most = max(rounds.values())
    fewer = {cell.id: count for cell, count in rounds.items() if count < most}
    promised = {"cells": tuple(cells), "controls": (), "rounds": most, "rate": None, "fewer": fewer}
    write_plan(folder, plan.model_copy(update=promised))
    for cell in cells:
        with (folder / "records" / f"{cell.slug}.jsonl").open("w", encoding="utf-8") as file:
            for number, raw in zip(range(rounds[cell]), itertools.cycle(kept[cell]), strict=False):
                raw["schedule"] |= {"seed": number, "planned_delay_us": number}
                file.write(json.dumps(raw | {"trial": number, "run": plan.run}, separators=(",", ":")) + "\n")
    write_closing(folder, Closing(run=plan.run, end_ns=plan.created_ns, leaks=()))
    return folder


def measure(step: str, folder: Path, records: int) -> Cost:
    """Take one step and return its seconds and this process's peak memory."""
    run = read_run(folder) if step in RENDERERS else None
    begun, output = time.perf_counter(), 0
    if run is not None:
        output = len(RENDERERS[step](run).encode())
    elif step == "plan":
        output = _planned(folder)
    else:
        run = read_run(folder)
        if step == WHOLE:
            output = len(printed(run))
            page = write_summary(run, folder / SITE)
            output += sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
    seconds = time.perf_counter() - begun
    return Cost(records=records, step=step, seconds=seconds, mebibytes=_peak_mebibytes(), output_bytes=output)


def grow(source: Path, sizes: Sequence[int], folder: Path) -> Iterator[Cost]:
    """Make a run of each size in `folder` and measure every step; `WHOLE` includes the start of its process."""
    for records in sizes:
        run = multiply(source, folder / str(records), records)
        for step in ("plan", "read", *RENDERERS, WHOLE):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                begun = time.perf_counter()
                cost = fresh.submit(measure, step, run, records).result()
                wall = time.perf_counter() - begun
            yield cost.model_copy(update={"seconds": wall}) if step == WHOLE else cost


def table(costs: Sequence[Cost]) -> Table:
    """Return a table with a row per size and step."""
    grid = Table(title="cost by number of records; each step in a new process", title_justify="left")
    for heading in ("records", "step", "seconds", "peak MiB", "output KB"):
        grid.add_column(heading, justify="left" if heading == "step" else "right")
    for each in costs:
        size = f"{each.output_bytes / 1e3:,.0f}" if each.output_bytes else "-"
        grid.add_row(f"{each.records:,}", each.step, f"{each.seconds:.2f}", f"{each.mebibytes:.0f}", size)
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    """Print the cost of each step."""
    parser = argparse.ArgumentParser(prog="python -m harness.measure.growth", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a real run; its records are repeated")
    told = "numbers of records (default 10 100 1000 10000)"
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help=told)
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of a table")
    arguments = parser.parse_args(argv)
    try:
        if min(arguments.sizes) < 1:
            raise UsageError(f"--sizes {min(arguments.sizes)}: must be at least 1")
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            costs = list(grow(arguments.run, arguments.sizes, Path(folder)))
    except StillframeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if arguments.json:
        sys.stdout.writelines(f"{cost.model_dump_json()}\n" for cost in costs)
    else:
        terminal.console_for(sys.stdout).print(table(costs))
    return 0


def _planned(folder: Path) -> int:
    again = folder.with_name(f"{folder.name}-planned")
    write_plan(again, read_plan(folder))
    return (again / "plan.json").stat().st_size


def _lines(source: Path, cell: Cell) -> list[dict[str, Any]]:
    path = source / "records" / f"{cell.slug}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _peak_mebibytes() -> float:
    """Return this process's own peak; getrusage may give the parent's peak from before the exec (getrusage(2))."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
