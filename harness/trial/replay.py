"""A trial whose commands somebody else runs in the node: it waits, reads and judges where the trial itself does."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from harness.model.cells import Cell, Scenario, Settings
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.machine import HostFacts
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.model.readings import Reading
from harness.oracle.judge import judge, overlapped
from harness.oracle.refusal import NAMES_THE_PAUSE
from harness.records.plan import Plan
from harness.runtimes import adapter
from harness.runtimes.contract import WORK, Checkpoint, ContainerSpec
from harness.runtimes.criu_log import CLOCK_STEP_SECONDS, KEPT, telling_lines
from harness.stacks.node import Node
from harness.trial.bench import STOP_SECONDS, Bench
from harness.trial.source import Channel, Source, first_tick
from harness.trial.trial import Trial
from harness.workload.definitions import find
from harness.workload.image import REPORT
from harness.workload.messages import BEAT_NS

NO_HOST = HostFacts(kernel="", architecture="", cgroups="", cpus=0, memory_gib=0, os="")
ON_ONE_NODE = (Scenario.LIVE, Scenario.PAUSED, Scenario.GENERATIONS, Scenario.INCREMENTAL, Scenario.KEEP)
WELL = (Outcome.CONSISTENT, Outcome.NOT_CAPTURED)
TIMED_OUT = 124
"""Exit code of timeout(1)."""
SAID = 3
"""Lines that are taken for the last words of a command."""
OF_CRIU = ("dump.log", "restore.log", "criu-dump.log")
LOGS = (
    f"{Node.storage}/checkpoints/*/*.log",
    f"{Node.storage}/checkpoints/*/{WORK}/*.log",
    f"{Node.storage}/containers/*/*.log",
    f"{Node.storage}/containers/*/criu/*.log",
    f"{Node.storage}/podman/root/overlay-containers/*/userdata/*.log",
    f"{Node.storage}/containerd/io.containerd.runtime.v2.task/*/*/*.log",
    "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/*/*.log",
    "/run/containerd/io.containerd.runtime.v2.task/*/*/*.log",
    "/var/log/criu/*.log",
)
"""Where runtimes and engines log, and have CRIU log."""


def can_be_replayed(cell: Cell) -> bool:
    """Whether all commands of a trial ran in one node, on the image that every node has."""
    one_node = cell.restore == cell.checkpoint and cell.scenario in ON_ONE_NODE
    return one_node and not find(cell.workload).application


@dataclass(frozen=True)
class Conclusion:
    """What came of a replay."""

    verdict: Verdict | None
    """None where the commands did not go far enough for one."""
    readings: tuple[Reading, ...]
    log: tuple[str, ...]
    """Lines that tell why something failed."""


class Replay(Trial):
    """Follows a trial's commands; each method is called at the place where the trial itself does the same."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Follow the commands of a trial of `cell` in `node`."""
        runtime = adapter(cell.checkpoint.runtime, cell.way)(node)
        bench = Bench(Bench.key_of(cell), node, runtime, find(cell.workload), Settings(), ())
        plan = Plan(run="replay", stillframe="", created_ns=0, seed=0, rounds=1, cells=(cell,), host=NO_HOST)
        super().__init__(bench, cell, plan, number=0, last=True)
        self._source: Source | None = None
        self._kept_pause: bool | None = None
        self._heard_restored = False
        self._since_ns = 0
        """When the restore began."""
        self._step_seconds = time.time()
        """When the latest command ended."""

    def started(self, name: str, report: str) -> None:
        """Wait until the container `name` ticks, the next source; `report` is where its clone will report."""
        if self._heard_restored and judge(self.evidence).outcome in WELL:
            self._heard_restored, self._kept_pause, self.evidence = False, None, self.new_evidence()
        if self._over:
            return
        with self._failures(), self.stages.at(Stage.START):
            container = self.bench.runtime.known(self._spec(name, report))
            channel = Channel(self.bench.node.path(f"{container.spec.folder}/heard"))
            nonce = self._source.nonce if self._source else self._first_tick(channel)  # an heir does not start anew
            self._source = Source(container, channel, nonce)
            self._source.tick_after(time.time_ns() - BEAT_NS)
            self._heard = len(channel.listen())
            self.evidence = self.new_evidence()
            self.evidence.source_nonce = nonce
            self.evidence.freeze_begin_ns = time.time_ns()

    def ended(self, stage: Stage, code: int, said: str) -> None:
        """Take note of how a command of the runtime ended, and of what was `said` on the terminal meanwhile."""
        since, self._step_seconds = self._step_seconds, time.time()
        if not code or self._over:
            return
        with self._failures(), self.stages.at(stage):
            if code == TIMED_OUT:
                raise DeadlineExceeded("a command of the runtime did not end in time")
            error = CommandFailed(f"a command of the runtime ended with code {code}", exit_code=code, runtime=True)
            error.log = self._telling(since, said)
            reason = error.log[0] if error.log else ""
            if self.cell.scenario is Scenario.PAUSED and stage is Stage.CHECKPOINT and NAMES_THE_PAUSE.search(reason):
                raise StageFailed(stage, Outcome.REFUSED, reason, log=error.log)
            raise error

    def runs_again(self) -> None:
        """Wait until the source was seen running after its checkpoint."""
        if self._source and not self._over:
            with self._failures(), self.stages.at(Stage.THAW):
                self._source.tick_after(time.time_ns())

    def still_paused(self) -> None:
        """See whether the source is paused, as its user has left it."""
        if self._source:
            with self._failures(), self.stages.at(Stage.READ):
                self._kept_pause = self._source.stands_still()

    def read(self, folder: str) -> None:
        """Read the checkpoint in `folder` without a restore, and see whether the source goes on."""
        if self._source is None:
            return
        with self._failures():
            self.free_ns = time.time_ns()
            if not self.evidence.failures:
                self.read_offline(Checkpoint(self._source.container, folder))
            self.examine(self._source)
            self.evidence.source = self.evidence.source.model_copy(update={"kept_pause": self._kept_pause})
        self._since_ns = time.time_ns()

    def restored(self, name: str) -> None:
        """Hear what the workload finds that was restored as the container `name`."""
        if self._source is None or self._over:
            return
        self._heard_restored = True
        with self._failures():
            with self.stages.at(Stage.RESTORE):
                clone = self.bench.runtime.known(self._spec(name, self._source.container.spec.report))
            self.read_restored(clone, self._since_ns)

    def stopping(self) -> None:
        """See whether the source ends, now that it was asked to."""
        if self._source and self.evidence.source.ticking:
            stops = self._source.ends(seconds=STOP_SECONDS)
            self.evidence.source = self.evidence.source.model_copy(update={"stops": stops})

    def conclude(self) -> Conclusion:
        """Judge what was seen, as the trial does; nothing that was left behind is looked for."""
        evidence = self.evidence
        readings = tuple(reading for reading in (evidence.offline, evidence.restored) if reading)
        vacuous = evidence.cut is not None and not overlapped(evidence)
        far_enough = bool(evidence.failures or self._heard_restored or vacuous)
        return Conclusion(judge(evidence) if far_enough else None, readings, self.log[:KEPT])

    @property
    def _over(self) -> bool:
        """Whether it has come to a verdict that later commands do not change."""
        return bool(self.evidence.failures) or self._heard_restored

    def _first_tick(self, channel: Channel) -> str:
        start = first_tick(channel)
        self.bench.settings = Settings(period_us=start.period_us, ring=start.ring)
        return start.nonce

    def _spec(self, name: str, report: str) -> ContainerSpec:
        printed = self.bench.workload.printed is not None
        return ContainerSpec(
            name=name,
            image="",
            argv=(),
            folder=f"{Node.storage}/containers/{name}",
            report=report,
            report_mount=REPORT,
            prints=printed,
            tty=self.bench.workload.tty,
        )

    def _telling(self, since: float, said: str) -> tuple[str, ...]:
        """Lines that tell why a command failed: errors in CRIU's log, or else last words, the very last first."""
        root, criu, own = self.bench.node.path("/"), "", ""
        for path in (path for pattern in LOGS for path in root.glob(pattern.lstrip("/"))):
            with contextlib.suppress(OSError):  # it is gone already
                if path.stat().st_mtime <= since - CLOCK_STEP_SECONDS:
                    continue
                text = path.read_text(encoding="utf-8", errors="replace") + "\n"
                criu, own = (criu + text, own) if path.name in OF_CRIU else (criu, own + text)
        words = (_last_words(text) for text in (said, own, criu))
        return telling_lines(criu) or next(filter(None, words), ())


def _last_words(text: str) -> tuple[str, ...]:
    *before, last = ["", *(line.strip() for line in text.splitlines() if line.strip())]
    return (last, *filter(None, before[-SAID + 1 :])) if last else ()
