"""How long a live checkpoint holds its source still, by the size of memory and of files.

Each size is a workload, which `stillframe run` tries like any other. The time is the longest one between two ticks of
the source, so that nothing has to be believed about a runtime. The run's report has the curves, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from harness.model.errors import StillframeError, UsageError
from harness.records.run_files import read_records
from reports.analysis.pauses import Pause, pauses_of
from reports.terminal.terminal import console_for

MEMORY, FILES = (16, 128, 512), (1, 100, 500)
DEFINITION = """\
name = "{name}"
description = "{memory} MiB of memory and {files} MiB of files, all of them written"

[application]
program = "state"
kinds = ["journal", "bulk"]
"""


def workloads(folder: Path, memory: Sequence[int], files: Sequence[int]) -> Iterator[Path]:
    """Write a workload for each size, in MiB, and give its folder."""
    for what, of_memory, of_files in [
        *(("memory", size, 0) for size in memory),
        *(("files", 0, size) for size in files),
    ]:
        own = folder / f"{what}-{of_memory + of_files}-mib"
        own.mkdir(parents=True)
        definition = DEFINITION.format(name=own.name, memory=of_memory, files=of_files)
        (own / "workload.toml").write_text(definition, encoding="ascii")
        (own / "bulk").write_text(f"{of_memory} {of_files}\n", encoding="ascii")
        yield own


def table(found: Sequence[Pause]) -> Table:
    """Return a row per participant and policy, with the median for each size."""
    sizes = sorted({(each.what, each.mebibytes) for each in found}, key=lambda size: (size[0] != "memory", size[1]))
    told = {(each.who, each.what, each.mebibytes): f"{each.typical:,.0f}" for each in found}
    title = "how long the source stood still, in ms: median of the trials"
    grid = Table(title=title, title_justify="left")
    grid.add_column("participant (policy)")
    for what, size in sizes:
        grid.add_column(f"{what}\n{size} MiB", justify="right")
    for who in dict.fromkeys(each.who for each in found):
        grid.add_row(who, *(told.get((who, *size), "-") for size in sizes))
    return grid


def main(argv: Sequence[str] | None = None) -> int:
    """Write the workloads, or print the table of a run."""
    parser = argparse.ArgumentParser(prog="python -m harness.measure.pause", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="new folder for the workloads, or with --table a run")
    parser.add_argument("--table", action="store_true", help="print the table of the run in DIR")
    for what, default in (("memory", MEMORY), ("files", FILES)):
        told = f"MiB of {what}, separated by commas (default {','.join(map(str, default))})"
        parser.add_argument(f"--{what}", default=default, type=_sizes, metavar="N,...", help=told)
    arguments = parser.parse_args(argv)
    try:
        if arguments.table:
            found = pauses_of(read_records(arguments.folder))
            if not found:
                remedy = "Name the folder of a run of such workloads."
                raise UsageError(f"{arguments.folder} has no trial of a workload that says its size", remedy=remedy)
            console_for(sys.stdout).print(table(found))
        else:
            sys.stdout.writelines(f"{own}\n" for own in workloads(arguments.folder, arguments.memory, arguments.files))
    except FileExistsError as error:
        sys.stderr.write(f"{error.filename} exists already. Name a new folder.\n")
        return UsageError.exit_code
    except StillframeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _sizes(words: str) -> tuple[int, ...]:
    sizes = tuple(int(word) for word in words.split(",") if word)
    if any(size < 1 for size in sizes):
        raise argparse.ArgumentTypeError(f"{words}: each size is a whole number from 1 on")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
