"""A worker: executes cells of a run one after the other, and writes their records."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator

from harness.model.cells import Cell
from harness.model.errors import EnvironmentUnfit, StillframeError
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.oracle.evidence import Evidence
from harness.records import run_files
from harness.records.plan import Effort
from harness.records.record import Record
from harness.run.hindrances import not_tried
from harness.run.prepare import Run
from harness.stacks.node import Node
from harness.trial.bench import Bench
from harness.trial.stages import SPOILED
from harness.trial.trial import Trial
from harness.workload.definitions import find

MOST_TRIES = 3
"""Trials of a control that a known crash ends again and again."""


@contextlib.contextmanager
def _temporary_files_in(node: Node) -> Iterator[None]:
    """Keep temporary files in a node: if this process is killed, they end with it."""
    tempfile.tempdir = str(node.path(node.storage))
    try:
        yield
    finally:
        tempfile.tempdir = None


class Worker(contextlib.AbstractContextManager["Worker"]):
    """A worker that executes cells one after the other and reuses a bench while the participants stay the same."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.evidence: dict[tuple[str, Cell], Evidence] = {}
        """Evidence of the trials of the instrument's own proof."""
        self.cut_short = False
        """Whether the run was asked to end while a cell still had trials to come."""
        self._benches: dict[object, Bench] = {}
        self._seconds = self._runtime_seconds = 0.0
        self._pointed = False

    def __exit__(self, *_: object) -> None:
        begun = time.monotonic()
        self._close()
        self._seconds += time.monotonic() - begun

    @property
    def effort(self) -> Effort:
        """Time of this worker so far."""
        return Effort(worker_seconds=self._seconds, runtime_seconds=self._runtime_seconds)

    def execute(self, cell: Cell, kind: type[Trial] = Trial) -> Iterator[Record]:
        """Execute a cell's trials by the plan's rule, and write each record at once.

        A control has one trial; another one follows if a known crash of the runtime ended it.
        """
        plan, played = self.run.plan, kind.control is not None
        rounds = MOST_TRIES if played else plan.rounds_of(cell)
        for number in range(rounds):
            self.cut_short = number > 0 and self.run.stopping
            if self.cut_short:
                self._close()
                return
            begun = time.monotonic()
            last = played or number == rounds - 1
            record = self.run.redaction.of(self._one(cell, kind, number, last=last))
            run_files.append(self.run.folder, record)
            if not self._pointed:
                self.run.point()
                self._pointed = True
            ends = not plan.crash_of(record) if played else plan.ends(cell, record.verdict.outcome)
            if record.verdict.outcome in SPOILED or (ends and not last):
                self._close()  # and the source, which no trial needs any more
            self._seconds += time.monotonic() - begun
            yield record
            if ends:
                return

    def _one(self, cell: Cell, kind: type[Trial], number: int, *, last: bool) -> Record:
        start = time.time_ns()
        try:
            bench, far = self._benches_for(cell)
        except StillframeError as error:
            verdict = Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.PREPARE, reason=str(error))
            return not_tried(self.run.plan, cell, number, verdict, control=kind.control, start=start)
        lacking = dict.fromkeys((*bench.lacking, *far.lacking))
        if lacking:
            reason = "; ".join(f"{one.name}: {one.evidence}" for one in lacking)
            verdict = Verdict(outcome=Outcome.UNSUPPORTED, stage=Stage.PREPARE, reason=reason)
            return not_tried(self.run.plan, cell, number, verdict, control=kind.control, start=start)
        trial = kind(bench, cell, self.run.plan, number=number, last=last, far=far)
        with _temporary_files_in(bench.node):
            record = trial.run()
        if kind.control is not None and record.played:
            self.evidence[kind.control, cell] = trial.evidence
        return record

    def _benches_for(self, cell: Cell) -> tuple[Bench, Bench]:
        """Return the benches for a cell, opening them if needed; close all other benches first."""
        keys = (Bench.key_of(cell), Bench.far_key_of(cell))
        for key in [key for key in self._benches if key not in keys]:
            self._end(self._benches.pop(key))
        for key in keys:
            if key not in self._benches:
                root = self.run.stacks[key[0].stack]
                if isinstance(root, str):
                    raise EnvironmentUnfit(root)
                self._benches[key] = Bench.open(
                    key, root, self.run.binaries, self.run.plan.settings, self.run.corpus, roots=self.run.images
                )
            self._benches[key].use(find(cell.workload))
        return self._benches[keys[0]], self._benches[keys[1]]

    def _close(self) -> None:
        with contextlib.ExitStack() as closing:
            for bench in self._benches.values():
                closing.callback(self._end, bench)
            self._benches = {}

    def _end(self, bench: Bench) -> None:
        self._runtime_seconds += bench.node.runtime_seconds
        bench.close()
