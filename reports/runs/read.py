"""Reads a run's folder, or the folders of its shards, into a summary. Every report starts here."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from harness.foreign.patience import within
from harness.model.controls import CANARY, ControlKind
from harness.model.errors import Exit, RecordError, unknown
from harness.model.outcomes import Outcome
from harness.records.image_path import ImagePath
from harness.records.plan import Plan
from harness.records.record import Record
from harness.records.run_files import Place, read_at, read_tombstone, record_files
from harness.records.shard import Shard
from reports.analysis import images
from reports.analysis.cells import CellSummary, summarise_cell, telling_trials
from reports.analysis.compare import Comparison, compare
from reports.analysis.conclusion import Finding, named
from reports.analysis.known import known_issues
from reports.analysis.tables import RunSummary, summarise
from reports.progress import shown
from reports.runs import shards
from reports.runs.parts import Part, check_same_run, latest
from reports.runs.shards import StoredRun, numbered
from reports.text import counted

PATIENCE_SECONDS = 60.0
SLOWEST = 100
"""Records per second; more of them may take longer than `PATIENCE_SECONDS`."""

Closely = Callable[[CellSummary], Iterable[Record]]
Entry = tuple[Place, Record]


def read_run(run_folder: Path, closely: Closely = telling_trials) -> RunSummary:
    """Read plan, records and closing, and sum them up; `RecordError` if there is no run.

    `closely` chooses the trials that are read in full. The other trials lack the fields for a close look, so memory and
    time depend more on the number of cells than on the number of trials. Trials that no shard brought are missing.
    """
    return read_stored(shards.find(run_folder), closely)


def read_stored(stored: StoredRun, closely: Closely = telling_trials) -> RunSummary:
    """Read a stored run, as `read_run` does."""
    entries = _entries(stored)
    run = _summed(stored, stored.plan, entries, closely).model_copy(update={"unfinished": bool(stored.unfinished)})
    lost = tuple(_lost(stored, run))
    lacking = (*lost, *_lacking(stored, entries))
    return _without_what_is_told(run, lost).found(Exit.INCOMPLETE, *lacking) if lacking else run


def read_share(run_folder: Path) -> RunSummary:
    """Read and sum up only this machine's share: all of a run, or one shard."""
    stored = shards.find(run_folder)
    return _summed(stored, stored.parts[0].plan.share, _entries(stored), telling_trials)


def read_cell(run_folder: Path, cell_id: str, closely: Closely) -> CellSummary:
    """Read one cell of a run, and sum up nothing else; `UsageError` if the run has no such cell."""
    stored = shards.find(run_folder)
    entries = [entry for entry in _entries(stored) if entry[1].control is None]
    cells = {id(cell): cell for cell in (*stored.plan.cells, *(record.cell for _, record in entries))}
    ids = {key: cell.id for key, cell in cells.items()}
    if cell_id not in ids.values():
        raise unknown("cell", cell_id, set(ids.values()), nearest=5)
    planned = tuple(cell for cell in stored.plan.cells if ids[id(cell)] == cell_id)
    plan = stored.plan.model_copy(update={"cells": planned, "controls": ()})
    own = [(place, record) for place, record in entries if ids[id(record.cell)] == cell_id]
    return _summed(stored, plan, own, closely).cells[0]


def read_played(run_folder: Path, cell_id: str, control: str) -> tuple[Plan, CellSummary, Record]:
    """Read a trial of the instrument's own proof in full, and its cell as if it had no other trial.

    `UsageError` if the run has no such control, or did not play it.
    """
    stored = shards.find(run_folder)
    played = [entry for entry in _entries(stored) if entry[1].control]
    found = [entry for entry in played if (entry[1].cell.id, entry[1].control) == (cell_id, control)]
    if not found:
        names = sorted({f"{record.control} {record.cell.id}" for _, record in played})
        raise unknown("control and cell", f"{control} {cell_id}", names, nearest=5)
    record = read_at(found[0][0])
    cell = summarise_cell(record.cell, [record], stored.plan.expected(record.cell), planned=1, missing=0)
    return stored.plan, cell, record


def _entries(stored: StoredRun) -> list[Entry]:
    """Return all records, in an order that depends on their content and not on their paths."""
    with _no_collector():
        entries = list(_watched(stored))
    cells = {id(record.cell): record.cell for _, record in entries}
    ids = {key: cell.id for key, cell in cells.items()}

    def order(entry: Entry) -> tuple[str, str, int, int, bytes]:
        place, record = entry
        return ids[id(record.cell)], record.control or "", record.trial, record.start_ns, place.digest

    return sorted(entries, key=order)


def _watched(stored: StoredRun) -> Iterator[Entry]:
    """Yield all records, and show the number of bytes read on a terminal."""
    paths = [path for part in stored.parts for path in record_files(part.folder)]
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    before = dict(zip(paths, accumulate(sizes, initial=0), strict=False))
    return shown(stored.records(), "reading", sum(sizes), lambda entry: before[entry[0].path] + entry[0].offset)


def _summed(stored: StoredRun, plan: Plan, entries: Sequence[Entry], closely: Closely) -> RunSummary:
    places = {id(record): place for place, record in entries}

    def close_up(cell: CellSummary) -> CellSummary:
        chosen = {id(trial) for trial in closely(cell)}
        trials = tuple(read_at(places[id(trial)]) if id(trial) in chosen else trial for trial in cell.trials)
        return cell.model_copy(update={"trials": trials})

    seconds = PATIENCE_SECONDS + len(entries) / SLOWEST
    what = f"the judgement of {stored.folder} takes more than {seconds:.0f} s"
    with within(seconds, RecordError(what, remedy="Look at the patterns of its known issues.")):
        run = summarise(plan, [record for _, record in entries], stored.closing, runs=stored.runs)
        run = with_images(run, stored.images)
    folder = stored.parts[0].folder
    tombstone = read_tombstone(folder)
    check_same_run(folder, plan, "tombstone", tombstone)
    return run.model_copy(update={"cells": tuple(map(close_up, run.cells)), "tombstone": tombstone})


def _lost(stored: StoredRun, run: RunSummary) -> Iterator[Finding]:
    """Yield the shards that did not come back, with their missing cells and controls."""
    lost = stored.lost
    theirs = {cell.id for shard in lost for cell in shard.share(stored.plan.cells, ())[0]}
    played = {control for shard in lost for control in shard.share((), stored.plan.controls)[1]}
    cells = tuple(each.cell.id for each in run.cells if each.missing and each.cell.id in theirs)
    absent = (each.control for each in run.controls if each.verdict.outcome is Outcome.MISSING)
    controls = tuple(named(control) for control in absent if control in played)
    if lost:
        share = f"{len(cells)} of {counted(len(run.cells), 'cell')}, {len(controls)} of {len(run.controls)} controls"
        yield Finding(what=f"{_capital(numbered(lost))} did not come back ({share})", cells=cells, controls=controls)


def _without_what_is_told(run: RunSummary, lost: Sequence[Finding]) -> RunSummary:
    """Return the run without the findings that the lost shards explain."""
    whole = {each.cell.id for each in run.cells if each.exit_code is not Exit.INCOMPLETE}
    told = {name for finding in lost for name in (*finding.cells, *finding.controls)} - whole
    findings = tuple(
        finding
        for finding in run.conclusion.findings
        if not (finding.cells or finding.controls) or not told.issuperset((*finding.cells, *finding.controls))
    )
    return run.model_copy(update={"conclusion": run.conclusion.model_copy(update={"findings": findings})})


def _lacking(stored: StoredRun, entries: Sequence[Entry]) -> Iterator[Finding]:
    """Yield the duties that shards which came back did not fulfil."""
    seen = {place.folder for place, record in entries if record.control == CANARY.name and record.run in stored.runs}
    here = {shard: parts for shard, parts in stored.shards.items() if parts}
    if killed := stored.killed:
        yield Finding(what=f"{_capital(numbered(killed))} did not finish")
    blind = [shard for shard, parts in here.items() if _owes(shard, stored.plan) and seen.isdisjoint(_folders(parts))]
    if blind:
        yield Finding(
            what=f"{_capital(numbered(blind))} ran no canary, so nothing proves that the instrument works there"
        )


def _owes(shard: Shard, plan: Plan) -> bool:
    """Whether a shard has to prove that it is not blind."""
    return any(control.kind is ControlKind.CANARY for control in shard.share(plan.cells, plan.controls)[1])


def _folders(parts: Iterable[Part]) -> set[Path]:
    return {part.folder for part in parts}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_images(run: RunSummary, paths: tuple[ImagePath, ...]) -> RunSummary:
    """Add checkpoint images to a run; unexpected images count like unexpected cells."""
    code = images.exit_code(paths) if paths else Exit.EXPECTED
    issues = known_issues(run.cells, paths, covered=run.plan.covered)
    run = run.model_copy(update={"images": paths, "known_issues": issues})
    told = images.verdict(paths)
    return run if code is Exit.EXPECTED else run.found(code, Finding(what=_capital(told)))


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Stop the garbage collector: the values have no cycles, and it scans all of them again and again."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def compare_runs(before: Path, after: Path) -> Comparison:
    """Read two runs and compare them; `RecordError` if one is missing, `NotComparable` if the result means nothing.

    Of two copies of a run, the one that is further is compared with itself.
    """
    first, second = shards.find(before), shards.find(after)
    if (first.plan.run, first.plan.created_ns) == (second.plan.run, second.plan.created_ns):
        one = first.copy
        first = second = first if latest([one, second.copy]) is one else second
    return compare(read_stored(first, _nothing), read_stored(second, _nothing))


def _nothing(_: CellSummary) -> tuple[Record, ...]:
    return ()
