"""`stillframe show` and `stillframe repro`: a cell of a run, with the commands of one trial; and that as a script."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.model.cells import SurfaceKind, base_of
from harness.model.errors import StillframeError, UsageError
from harness.records.documents import check_writable
from harness.records.plan import Plan
from harness.records.record import Record
from harness.workload import definitions
from harness.workload.definitions import RECORD_BYTES
from reports.runs.read import read_played
from reports.terminal import show as cells
from reports.terminal.tell import tell

PROGRAM = "ledger"
MOST_ROUNDS = 100
KEPT = (
    "checkpoint.tar in the archive is out of a round of this script that has failed; "
    "it has the memory of the workload and of nothing else."
)


def show(arguments: argparse.Namespace) -> int:
    """Print the cell and a trial's commands."""
    folder = arguments.run or arguments.out.absolute() / "latest"
    print(cells.show_cell(folder, arguments.cell_id, arguments.trial), end="")  # noqa: T201
    return 0


def repro(arguments: argparse.Namespace) -> int:
    """Write the script, a report for its upstream, and an archive of both into a folder."""
    from harness.stacks import definition  # noqa: PLC0415  # slow to load, and `show` needs none of them
    from harness.workload.image import FOLDERS  # noqa: PLC0415
    from reports.formats import repro as script  # noqa: PLC0415

    out: Path = arguments.out_folder
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"-o {out} exists and is not an empty folder", remedy="Name a new folder.")
    check_writable(out)
    plays = _checked(arguments)
    for each in arguments.stack:
        definition.name_of(each)
    folder = arguments.run or arguments.out.absolute() / "latest"
    if arguments.control:
        plan, cell, record = read_played(folder, arguments.cell_id, arguments.control)
    else:
        plan, cell, record = cells.chosen_trial(folder, arguments.cell_id, arguments.trial)
    workload = definitions.find(cell.cell.workload)
    if workload.program != PROGRAM or workload.printed or workload.applied or workload.containers > 1:
        what = f"a script judges by the files of one {PROGRAM}, and the workload {workload.name} has more"
        raise UsageError(what, remedy="Choose a cell of another workload.")
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(workload.program_folder.glob("*.[ch]"))}
    parents = (str(Path(each.path).parent) for each in workload.files)
    folders = [f"/{name.lstrip('/')}" for name in dict.fromkeys((*FOLDERS, *parents))]
    kinds = (SurfaceKind.IMAGE, SurfaceKind.DELETED)
    files = {each.path: plan.settings.ring * RECORD_BYTES for each in workload.files if each.kind in kinds}
    write = partial(script.shell_script, sources=sources, folders=folders, files=files)
    shorter, notes, checkpoint = _played(plan, record, write, arguments) if plays else (record, (), b"")
    documents = {
        script.SCRIPT: write(shorter, notes=notes),
        script.README: script.upstream_report(cell, record, plan, notes, _packages(record, arguments.cache)),
    }
    script.write(out, documents, record, plan, checkpoint)
    tell(f"written: {out / script.SCRIPT}, {script.README}, {script.BUNDLE}")
    tell(f"Run it on any machine with these programs: sudo sh {out / script.SCRIPT}")
    return 0


def _checked(arguments: argparse.Namespace) -> bool:
    """Return whether the script is to be played; `UsageError` for what only a play needs, and for what is no number."""
    if not 1 <= arguments.rounds <= MOST_ROUNDS:
        raise UsageError(f"--rounds {arguments.rounds}: give a number from 1 to {MOST_ROUNDS}")
    if not 0 < arguments.rate <= 1:
        raise UsageError(f"--rate {arguments.rate:g}: give a number above 0 and up to 1")
    if arguments.builds and not (arguments.play or arguments.minimise):
        raise UsageError("--with is for a script that is played here", remedy="Add --play or --minimise.")
    return bool(arguments.play or arguments.minimise)


def _packages(record: Record, cache: Path) -> list[str]:
    """Say which packages the programs are out of, as the cache has the stack now; nothing if it does not."""
    from harness.stacks import build, definition, packages  # noqa: PLC0415

    try:
        root = build.cached(definition.load(base_of(record.cell.checkpoint.stack)), cache.absolute())
    except StillframeError:  # a stack of another machine
        return []
    names = dict.fromkeys(each.name for each in record.every_component if not each.sha256)
    return [str(each) for each in packages.packaged(root, names)] if root else []


def _played(
    plan: Plan, record: Record, write: Callable[[Record], str], arguments: argparse.Namespace
) -> tuple[Record, tuple[str, ...], bytes]:
    """Play the script here; gives what is left of the record, what does not matter in words, and a checkpoint."""
    from harness.run import minimise, prepare, variants  # noqa: PLC0415  # slow to load, too
    from harness.stacks import build, builds, definition  # noqa: PLC0415
    from harness.workload.programs import compile_workload  # noqa: PLC0415
    from reports.formats import repro as script  # noqa: PLC0415

    if (symptom := script.symptom_of(record)) == script.ANY:
        remedy = "Choose a trial that has failed with --trial N."
        raise UsageError(f"trial {record.trial} has not failed, so its script has nothing to show", remedy=remedy)
    prepare.need_root()
    builds.declare(tuple(arguments.builds), arguments.variant)
    recorded, cache = record.cell.checkpoint.stack, arguments.cache.absolute()
    stack = variants.only(base_of(recorded)) if arguments.builds else recorded
    before = {each.name: each.sha256 for each in record.every_component if each.sha256}
    others = [each for each in builds.over(stack) if before.get(each.program) != each.sha256]
    notes = [f"Played with {each.program} of sha256 {each.sha256}, which the trial did not have." for each in others]
    for each in notes:
        tell(each)
    root = build.prepare(definition.load(base_of(stack)), cache, mirror=arguments.mirror, progress=tell)
    builds.check(stack, root)
    player = minimise.Player(stack, root, compile_workload(definitions.find(PROGRAM), cache), plan.settings.cgroups)
    found = minimise.Minimiser(record, write, player, symptom, tell, arguments.rounds, arguments.rate)
    found.see_that_it_shows()
    if arguments.minimise:
        found.minimise()
    checkpoint = found.checkpoint()
    kept = (KEPT,) if checkpoint else ()
    return found.record, (*notes, *(found.notes() if arguments.minimise else ()), *kept), checkpoint
