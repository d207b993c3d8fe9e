"""The cost of a run: start and end of a node, and cells per minute with more workers."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.progress import Progress
from rich.table import Table

from harness.host.process import HOST
from harness.model.errors import CommandFailed, StillframeError
from harness.model.values import Frozen
from harness.records.documents import check_writable
from harness.records.run_files import read_records, write_aside
from harness.run.flags import SETTINGS, add_to
from harness.run.options import Options
from harness.stacks import build, definition
from harness.stacks.node import Node
from reports.terminal.terminal import console_for

WORKERS = (1, 2, 4)
STACKS = ("debian-trixie", "debian-sid", "debian-experimental")
RUNTIMES = ("runc", "crun")
NODES = 20
RUN_SECONDS = 1200.0


class Speed(Frozen):
    """Speed of a run with a number of workers."""

    workers: int
    cells: int
    seconds: float

    @property
    def per_minute(self) -> float:
        """Cells per minute, from the start of the first trial to the end of the last one."""
        return 60 * self.cells / self.seconds


class Scaling(Frozen):
    """All measured values; times in seconds."""

    processors: int
    node_start: float
    node_end: float
    speeds: tuple[Speed, ...]


def measure(options: Options, progress: Progress) -> Scaling:
    """Start and end nodes, and run the same cells with more and more workers."""
    root = build.prepare(definition.load(STACKS[0]), options.cache, mirror=options.mirror, progress=progress.log)
    starts, ends = [], []
    for _ in progress.track(range(NODES), description="nodes"):
        begun = time.monotonic()
        node = Node(STACKS[0], root)
        started = time.monotonic()
        node.end()
        starts.append(started - begun)
        ends.append(time.monotonic() - started)
    speeds = tuple(
        _speed(options, workers) for workers in progress.track(WORKERS, description="runs with more and more workers")
    )
    return Scaling(
        processors=len(os.sched_getaffinity(0)), node_start=median(starts), node_end=median(ends), speeds=speeds
    )


def _speed(options: Options, workers: int) -> Speed:
    with tempfile.TemporaryDirectory() as out:
        chosen = [word for stack in STACKS for word in ("--stack", stack)]
        chosen += [word for runtime in RUNTIMES for word in ("--runtime", runtime)]
        chosen += [] if options.rounds is None else ["--rounds", str(options.rounds)]
        argv = [sys.executable, "-m", "harness.commands.cli", "run", *chosen, "--workers", str(workers)]
        argv += ["--seed", str(options.seed), "--cache", str(options.cache), "--out", out]
        ended = HOST.run(argv, deadline=RUN_SECONDS, accept=range(256), cwd=str(Path(__file__).parents[2]))
        if ended.exit_code:
            said = "".join(f"\n{line}" for line in (ended.stderr or ended.stdout).splitlines()[-10:])
            count = f"{workers} worker{'s' * (workers > 1)}"
            what = f"a run with {count} ended with exit code {ended.exit_code}, so its speed is not valid{said}"
            raise CommandFailed(what)
        records = [record for record in read_records(Path(out) / "latest") if record.control is None]
    seconds = (max(each.end_ns for each in records) - min(each.start_ns for each in records)) / 1e9
    return Speed(workers=workers, cells=len({each.cell.id for each in records}), seconds=seconds)


def table(scaling: Scaling) -> Table:
    """Return a table with a row per number of workers, and the ratio to one worker."""
    one = scaling.speeds[0].per_minute
    node = f"a node starts in {1000 * scaling.node_start:.0f} ms and ends in {1000 * scaling.node_end:.0f} ms"
    grid = Table(title=f"{scaling.processors} processors; {node}", title_justify="left")
    for heading in ("workers", "cells", "seconds", "cells per minute", "ratio to one worker"):
        grid.add_column(heading)
    for each in scaling.speeds:
        figures = (f"{each.seconds:.0f}", f"{each.per_minute:.0f}", f"{each.per_minute / one:.2f}")
        grid.add_row(str(each.workers), str(each.cells), *figures)
    return grid


def main(argv: list[str] | None = None) -> int:
    """Measure and print; `--json FILE` writes the figures to a file."""
    parser = argparse.ArgumentParser(prog="ci/bench scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    add_to(parser, SETTINGS)
    arguments = parser.parse_args(argv)
    try:
        if arguments.json:
            check_writable(arguments.json.absolute().parent)
        options = Options.read(lambda name: getattr(arguments, name, ()))
        with Progress(console=console_for(sys.stderr)) as progress:
            scaling = measure(options, progress)
        console_for(sys.stdout).print(table(scaling))
        if arguments.json:
            write_aside(arguments.json, scaling.model_dump_json(indent=1) + "\n")
    except StillframeError as error:
        sys.stderr.write(f"ci/bench scaling: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
