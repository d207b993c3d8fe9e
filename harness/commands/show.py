"""`stillframe show` and `stillframe repro`: a cell of a run, with the commands of one trial; and that as a script."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.model.cells import SurfaceKind
from harness.model.errors import UsageError
from harness.workload import definitions
from harness.workload.definitions import RECORD_BYTES
from reports.runs.read import read_played
from reports.terminal import show as cells
from reports.terminal.tell import tell

PROGRAM = "ledger"


def show(arguments: argparse.Namespace) -> int:
    """Print the cell and a trial's commands."""
    folder = arguments.run or arguments.out.absolute() / "latest"
    print(cells.show_cell(folder, arguments.cell_id, arguments.trial), end="")  # noqa: T201
    return 0


def repro(arguments: argparse.Namespace) -> int:
    """Write the script, a report for its upstream, and an archive of both into a folder."""
    from harness.trial.bench import IMAGE_FOLDERS  # noqa: PLC0415  # both are slow to load, and `show` needs neither
    from reports.formats import repro as script  # noqa: PLC0415

    out: Path = arguments.out_folder
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"-o {out} exists and is not an empty folder", remedy="Name a new folder.")
    folder = arguments.run or arguments.out.absolute() / "latest"
    if arguments.control:
        plan, cell, record = read_played(folder, arguments.cell_id, arguments.control)
    else:
        plan, cell, record = cells.chosen_trial(folder, arguments.cell_id, arguments.trial)
    workload = definitions.find(cell.cell.workload)
    if workload.program != PROGRAM or workload.printed or workload.containers > 1:
        what = f"a script judges by the files of one {PROGRAM}, and the workload {workload.name} has more"
        raise UsageError(what, remedy="Choose a cell of another workload.")
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(workload.program_folder.glob("*.[ch]"))}
    parents = (str(Path(each.path).parent) for each in workload.files)
    folders = [f"/{name.lstrip('/')}" for name in dict.fromkeys((*IMAGE_FOLDERS, *parents))]
    kinds = (SurfaceKind.IMAGE, SurfaceKind.DELETED)
    files = {each.path: plan.settings.ring * RECORD_BYTES for each in workload.files if each.kind in kinds}
    documents = {
        script.SCRIPT: script.shell_script(record, sources, folders, files),
        script.README: script.upstream_report(cell, record, plan),
    }
    script.write(out, documents, record, plan)
    tell(f"written: {out / script.SCRIPT}, {script.README}, {script.BUNDLE}")
    tell(f"Run it on any machine with these programs: sudo sh {out / script.SCRIPT}")
    return 0
