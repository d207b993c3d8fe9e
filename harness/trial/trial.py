"""One trial: wait for the planned moment, checkpoint live, read offline, restore, read, judge, record.

`Trial.run` never raises because of a container: every failure becomes a verdict. It has the only broad except.
"""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Collection, Iterator

from harness.checkpoints.description import statistics
from harness.checkpoints.untrusted import Broken, Unreadable
from harness.host import wait
from harness.model.cells import Cell
from harness.model.commands import Command, Schedule
from harness.model.description import Statistics
from harness.model.errors import CommandFailed, DeadlineExceeded, Lost, StageFailed
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Prediction, Stage, Verdict
from harness.model.readings import Abandoned, Concurrent, Fault, Secret, Witness
from harness.oracle.evidence import Evidence
from harness.oracle.judge import judge, overlapped
from harness.oracle.lines import lag
from harness.oracle.refusal import graded
from harness.oracle.skews import apart, skews, skews_of_others
from harness.records.plan import Plan
from harness.records.record import Inspected, Record
from harness.runtimes.contract import Checkpoint, Container
from harness.sameness.comparison import Comparison
from harness.trial import application, predict
from harness.trial.bench import Bench
from harness.trial.checkpoint import take
from harness.trial.restored import begun, follow, go_on, hear, see_alive, size_of
from harness.trial.source import Channel, Source, health_of, late_in
from harness.trial.stages import Stages, behind, told, warnings
from harness.workload.messages import BEAT_NS, Beat, Failed, Message, ReadingMessage, Start

LATEST_MOMENT_US = 20_000
SETTLE_SECONDS = 2.0


class Trial:
    """One execution of a cell. A scenario overrides steps; a control overrides steps to break something."""

    control: str | None = None
    played = True
    """A control came to make its fault; without that it proves nothing."""

    def __init__(
        self, bench: Bench, cell: Cell, plan: Plan, *, number: int, last: bool, far: Bench | None = None
    ) -> None:
        """`last`: no later trial needs the source container; `far`: bench that restores, if not `bench`."""
        self.bench = bench
        self.far = far or bench
        self.cell = cell
        self.plan = plan
        self.number = number
        self.last = last
        self.stages = Stages()
        own_seed = random.Random(f"{plan.seed}/{cell.base.question}/{number}").getrandbits(63)  # noqa: S311
        delay = random.Random(own_seed).randrange(LATEST_MOMENT_US)  # noqa: S311
        self.schedule = Schedule(seed=own_seed, planned_delay_us=delay)
        self.evidence = self.new_evidence()
        self.log: tuple[str, ...] = ()
        self.changes: tuple[str, ...] = ()
        self.prediction: Prediction | None = None
        self.inspection: Inspected | None = None
        self.statistics: Statistics | None = None
        self.abandoned: Abandoned | None = None
        self.fault: Fault | None = None
        self.secrets: tuple[Secret, ...] = ()
        self.concurrent: tuple[Concurrent, ...] = ()
        self.mapped: Collection[str] = ()
        """Keys of external mounts that CRIU's configuration maps at the restore."""
        self.free_ns = 0
        """When the source was let go on after its checkpoint."""
        self._heard = 0
        self._looks = Comparison()
        made = bench.source.commands if bench.source else ()
        theirs = (*self.far.setup, *self.far.readied) if self.foreign else ()
        self.inherited: tuple[Command, ...] = (*theirs, *bench.setup, *bench.readied, *made)

    @property
    def _benches(self) -> tuple[Bench, ...]:
        return (self.bench, self.far) if self.foreign else (self.bench,)

    @property
    def foreign(self) -> bool:
        """Whether the participant that restores is not the one that checkpointed."""
        return self.far is not self.bench

    @property
    def maker(self) -> tuple[Component, ...]:
        """Versions of the participant that checkpointed."""
        return self.bench.components

    def new_evidence(self) -> Evidence:
        """Return evidence without any observation."""
        return Evidence(period_ns=self.bench.settings.period_us * 1000, outside=self.bench.outside)

    def run(self) -> Record:
        """Execute the trial and return its record."""
        start = time.time_ns()
        for bench in self._benches:
            bench.node.journal = self.stages.journal
            bench.node.remarks.clear()
        before = self.bench.idle
        with self._failures():
            for bench in self._benches:
                bench.warm_up(self.stages)
            before = self.bench.idle
            source = self.begin()
            if not self.last:
                before = self.bench.baseline()
            with contextlib.ExitStack() as acquired:
                self.experiment(source, acquired)
        unseen = bool(self.evidence.failures) and self.evidence.source.ticking is None  # it may be dead
        if self.last or unseen or self.bench.outgrown or (self.bench.source is not None and self.bench.source.ended):
            with self._failures():
                self.end_source()
            with self._failures(), self.stages.at(Stage.CLEAN_UP):
                self.bench.drop_source()
        with self._failures(), self.stages.at(Stage.AUDIT):
            for bench, known in ((self.bench, before), (self.far, self.far.idle))[: len(self._benches)]:
                if bench.warm:
                    self.evidence.leaks += bench.quiet_leaks(known, seconds=SETTLE_SECONDS)
        return self.plan.settled(self._record(judge(self.evidence), start))

    def begin(self) -> Source:
        """Return a running source."""
        return self.bench.running_source(self.stages)

    def experiment(self, source: Source, acquired: contextlib.ExitStack) -> None:
        """Take the steps in order; each one adds to the evidence."""
        self.evidence.source_nonce = source.nonce
        self.await_moment(source)
        checkpoint = self.checkpoint(source, acquired)
        self.read_offline(checkpoint)
        if self.evidence.cut is None or overlapped(self.evidence):
            self.examine(source)
            if self.bench.spends_source:
                self.end_source()
            begun = time.time_ns()
            self.read_restored(self.restore(checkpoint, acquired), begun)

    def await_moment(self, source: Source) -> None:
        """Wait for the planned delay while the workload ticks; on a busy machine, wait for a tick first."""
        with self.stages.at(Stage.START):
            try:
                source.tick_after(time.time_ns() - BEAT_NS)  # usually the latest beat
            except Lost:
                self.bench.node.crash_logs = dict(source.crashes_before)  # a trial before may have seen it, too
                with self.bench.blaming_a_crash():
                    raise
        begun = time.monotonic()
        wait.moment(begun + self.schedule.planned_delay_us / 1e6)
        realised = round((time.monotonic() - begun) * 1e6)
        self.schedule = self.schedule.model_copy(update={"realised_delay_us": realised})

    def checkpoint(self, source: Source, acquired: contextlib.ExitStack) -> Checkpoint:
        """Take memory and disk under the cell's freeze policy; check the source's health even after a failure."""
        checkpoint = self.bench.checkpoint_of(source.container)
        acquired.callback(self._remove_checkpoint, checkpoint)
        checkpoint = self.begin_checkpoint(source, checkpoint)
        self._heard = len(source.channel.listen())
        self._looks.before(self.bench.node, source.container)
        self.evidence.freeze_begin_ns = self.evidence.freeze_begin_ns or time.time_ns()
        try:
            take(
                self.bench.runtime,
                checkpoint,
                self.cell.policy,
                self.stages,
                runs_again=lambda: source.tick_after(time.time_ns()),
            )
        except StageFailed:
            self.free_ns = time.time_ns()
            self.examine(source)
            raise
        self.free_ns = time.time_ns()
        return checkpoint

    def begin_checkpoint(self, source: Source, checkpoint: Checkpoint) -> Checkpoint:  # noqa: ARG002
        """Do nothing: memory is dumped in one round."""
        return checkpoint

    def read_offline(self, checkpoint: Checkpoint) -> None:
        """Read the checkpoint without a restore, if possible."""
        with self.stages.at(Stage.READ):
            try:
                contents = self.bench.runtime.contents(checkpoint)
            except Broken as error:
                self.evidence.broken = f"reported as a success, but incomplete: {error}"
                return
            if contents.images is None:
                return
            try:
                self.statistics = statistics(self.bench.node.path(checkpoint.folder))
                nonce = self.evidence.source_nonce or ""
                self.evidence.offline, *self.evidence.others = self.bench.read_offline(contents, nonce)
                self.evidence.recovered = application.recovered(self.bench, contents, self.evidence.offline)
            except Broken as error:
                self.evidence.lacking = str(error)
                self.log += (f"the checkpoint is incomplete: {error}",)
            except Unreadable as error:  # the restore shows whether the checkpoint or the reader is wrong
                self.evidence.unreadable = str(error)
                self.log += (f"the checkpoint could not be read: {error}",)

    def examine(self, source: Source) -> None:
        """Check that the source goes on: thawed, same process, ticking since it was let go, nothing lost."""
        with self.stages.at(Stage.READ):
            frozen = self.bench.frozen(source.container)
            self._looks.after(self.bench.node, source.container)
            try:
                source.tick_after(self.free_ns)
                ticking = True
            except DeadlineExceeded as error:
                if error.ours:
                    raise
                ticking = False
            self.evidence.source = health_of(
                source, source.channel.heard[self._heard :], ticking=ticking, frozen=frozen
            )

    def end_source(self) -> None:
        """Ask the source to end, once."""
        source = self.bench.source
        if source is not None and not source.ended and self.evidence.source.ticking:
            with self.stages.at(Stage.STOP):
                stops = self.bench.stop_source()
            self.evidence.source = self.evidence.source.model_copy(update={"stops": stops})

    def restore(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> Container:
        """Restore a container from the checkpoint."""
        with self.stages.at(Stage.RESTORE):
            if self.foreign:
                checkpoint = self.far.bring(checkpoint, self.bench)
                for left in (checkpoint.folder, checkpoint.container.spec.folder):
                    acquired.callback(self.far.node.remove, left)
            self.build_bridge(checkpoint, acquired)
            if self.foreign:
                self.prediction = predict.prediction(checkpoint, self.far, self.mapped)
            if self.foreign or (
                self.last and self.bench.runtime.way.kind and self.cell.workload == self.bench.runtime.way.plain
            ):
                self.inspection = predict.inspection(checkpoint, self.far, self.evidence)
            clone = self._restored(checkpoint)
        if self.bench.runtime.way.in_place and self.bench.source is not None:
            self.bench.source.deleted = True  # the clone is the source, and is deleted as the clone
        acquired.callback(self._remove, clone)
        return clone

    def _restored(self, checkpoint: Checkpoint) -> Container:
        """Restore the checkpoint; grade the refusal if another participant declines it."""
        try:
            return self.far.restore(checkpoint)
        except CommandFailed as error:
            if error.runtime and self.foreign:
                said = "\n".join((error.stderr, *error.log))
                self.evidence.refusal = graded(said, self.maker, self.far.components, late=error.late)
            raise

    def build_bridge(self, checkpoint: Checkpoint, acquired: contextlib.ExitStack) -> None:
        """Do nothing: the checkpoint is restored as it is."""

    def read_restored(self, clone: Container, since: int) -> None:
        """Read the restored workload's first report after `since`, and check that its counter moves."""
        group, late = str(self.far.node.path(clone.cgroup)), late_in(self.far.node)
        channel = self.far.channel(clone)
        with self.stages.at(Stage.READ), contextlib.suppress(DeadlineExceeded):
            first = hear(channel, group, lambda said: begun(said) > since, late=late)
            self.stages.span("running again", first.wall_ns, first.wall_ns)
            self.evidence.started_afresh = isinstance(first, Start)
            if isinstance(first, ReadingMessage):
                self.evidence.restored = first.to_reading(Witness.RESTORED)
                said = hear(channel, group, lambda said: application.moves(said, first.n), late=late)
                if isinstance(said, Beat):
                    self.evidence.restored_moves = True
                    see_alive(group, late=late)
                    self.evidence.sameness = self._looks.restored(self.far.node, clone)
                    self.read_log(clone, channel)
                self.read_application(clone, channel, said)

    def read_application(self, clone: Container, channel: Channel, said: Message) -> None:
        """For an application: let the restored one run on and end, and have a fresh one read its files.

        `said`: a tick of it, or why it cannot go on.
        """
        if self.bench.workload.applied is None:
            return
        group, source = str(self.far.node.path(clone.cgroup)), self.bench.source
        ended = application.afterwards(self.far.runtime, clone, channel, said, group=group)
        if isinstance(ended, Failed):
            heard = source.channel if source else None
            self.evidence.unfit = application.unfit(ended, self.evidence.restored, heard)
        else:
            self.evidence.afterwards = ended

    def read_log(self, clone: Container, channel: Channel) -> None:
        """For a workload that prints: wait for twice the log's largest lag, then read the engine's log."""
        printed, restored = self.bench.workload.printed, self.evidence.restored
        if printed is None or restored is None:
            return
        ticks = 2 * lag(printed.every)
        log = self.far.runtime.log(clone)
        path = self.far.node.path(log) if log else None
        size = size_of(path)
        due, stands = go_on(channel, restored.counter, ticks, period_ns=self.evidence.period_ns)
        if stands:
            see_alive(str(self.far.node.path(clone.cgroup)), late=late_in(self.far.node))
            self.evidence.restored_moves, self.evidence.stood_at = False, due
        travels = printed.name not in self.far.outside
        self.evidence.log = follow(path, printed, restored, due=due, travels=travels, channel=channel, size=size)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn failures inside into findings: a failed stage keeps its outcome, any other error is harness-error."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # no error of the harness may be blamed on a runtime
            for each in behind(error):
                if isinstance(each, StageFailed):
                    self._fail(each.outcome, each.stage, each.reason, each.log)
                elif isinstance(each, Exception):
                    stage = self.stages.failed_at or self.stages.journal.stage
                    lines = tuple("".join(traceback.format_exception(each, chain=False)).splitlines()[-30:])
                    self._fail(Outcome.HARNESS_ERROR, stage, f"{type(each).__name__}: {each}", lines)
                else:
                    raise each from None  # a failure after Ctrl-C is no finding

    def _fail(self, outcome: Outcome, stage: Stage, reason: str, log: tuple[str, ...]) -> None:
        self.evidence.failures.append(Verdict(outcome=outcome, stage=stage, reason=reason))
        self.log += log

    def _remove(self, clone: Container) -> None:
        with self.stages.at(Stage.CLEAN_UP):
            self.far.remove(clone)

    def _remove_checkpoint(self, checkpoint: Checkpoint) -> None:
        with self.stages.at(Stage.CLEAN_UP):
            self.bench.runtime.discard(checkpoint)
            self.bench.node.remove(checkpoint.folder)

    def _record(self, verdict: Verdict, start_ns: int) -> Record:
        failed = bool(self.evidence.failures)
        self.log += tuple(line for bench in self._benches for line in told(bench.node, verdict, failed=failed))
        readings = self.evidence.readings
        return Record(
            run=self.plan.run,
            cell=self.cell,
            trial=self.number,
            control=self.control,
            verdict=verdict,
            start_ns=start_ns,
            end_ns=time.time_ns(),
            schedule=self.schedule,
            readings=tuple(readings),
            skews=(
                *(skew for reading in readings for skew in skews(reading)),
                *skews_of_others(self.evidence),
                *apart(self.evidence),
            ),
            continuation=self.evidence.log,
            source=self.evidence.source,
            abandoned=self.abandoned,
            fault=self.fault,
            secrets=self.secrets,
            concurrent=self.concurrent,
            timeline=tuple(self.stages.timeline),
            components={"checkpoint": self.maker, "restore": self.far.components},
            host=self.plan.host,
            accommodations=tuple(dict.fromkeys(each for bench in self._benches for each in bench.accommodations)),
            commands=(*self.inherited, *self.stages.journal.commands),
            warnings=tuple(
                dict.fromkeys(
                    (
                        *warnings(self.stages.journal.commands),
                        *(remark for bench in self._benches for remark in bench.node.remarks),
                    )
                )
            ),
            changes=self.changes,
            statistics=self.statistics,
            prediction=self.prediction,
            inspection=self.inspection,
            refusal=self.evidence.refusal,
            sameness=self.evidence.sameness,
            leaks=self.evidence.leaks,
            log=self.log,
            played=self.played,
        )
