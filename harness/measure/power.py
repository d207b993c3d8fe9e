"""The instrument's power: its detection rate for windows of a known length, beside the rate of upstream's own test.

The runtime captures late on purpose: it dumps the frozen container, lets it run for the window, freezes it again, and
only then takes the disk. Each window is tried with this instrument and with the algorithm of podman#28963: one counter
in one file, ten times a second; the restored container reports a file that is ahead of memory. Without a window,
neither may detect anything. Podman itself opens a window of realistic length.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.progress import Progress

from harness.host import cgroups
from harness.host.facts import host_facts
from harness.host.wait import until
from harness.model.cells import Cell, FreezePolicy, Participant, Settings, SurfaceKind
from harness.model.errors import StillframeError
from harness.model.outcomes import Anomaly, Outcome
from harness.oracle.ring import RECORD
from harness.records.documents import check_writable
from harness.records.plan import Plan
from harness.records.run_files import write_aside
from harness.run.flags import SETTINGS, add_to
from harness.run.options import Options
from harness.runtimes.contract import Checkpoint, Container, Runtime
from harness.stacks import build, definition
from harness.trial.bench import Bench
from harness.trial.checkpoint import take
from harness.trial.stages import SPOILED, Stages
from harness.trial.trial import Trial
from harness.workload.definitions import Surface, Workload, find, workloads_root
from harness.workload.programs import compile_all, compile_workload
from reports.terminal.power import Figure, Figures, table
from reports.terminal.terminal import console_for

WINDOWS_US = (0, 10, 100, 1_000, 10_000, 100_000)
FIRST_TICK_SECONDS = 5.0
WHOLE_TICK = 2
"""Ticks after a thaw until one whole tick has passed: the first tick may only finish an interrupted write."""
POLL_SECONDS = 10.0
RAW, ENGINE = "runc", "podman/runc"
SINGLE_FILE = Workload(
    name="single-file",
    description="One counter in one file, as in Podman's own test",
    program="single-file",
    surfaces=(Surface(name="counter", path="/counter", kind=SurfaceKind.ADDED, description="the counter's file"),),
    folder=workloads_root() / "single-file",
)


class DelayedCapture:
    """A runtime that lets a frozen container run for a window before it takes the disk."""

    def __init__(self, runtime: Runtime, window_us: int, *, ticks: bool) -> None:
        """`ticks`: the window begins with the first whole tick; a window in which nothing runs does not count."""
        self._runtime = runtime
        self._window_ns = window_us * 1000
        self._ticks = ticks
        self.realised_us: list[float] = []
        self.realised_ticks: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._runtime, name)

    def capture(self, checkpoint: Checkpoint) -> None:
        """Open the window, close it, and take the disk."""
        if self._window_ns:
            self._open_window(checkpoint.container)
        self._runtime.capture(checkpoint)

    def _open_window(self, container: Container) -> None:
        node = self._runtime.node
        setting, (thawed, frozen) = cgroups.FREEZER[node.version]
        group = node.path(container.cgroup)
        ring = _Ring(node.path(f"{container.upper}/data/added.ring")) if self._ticks else None
        with _apart(cgroups.processes(str(group))):
            control = os.open(group / setting, os.O_WRONLY)
            try:
                first = ring.newest() + WHOLE_TICK if ring else 0
                os.pwrite(control, thawed.encode(), 0)
                latest = time.perf_counter() + FIRST_TICK_SECONDS
                while ring and ring.newest() < first and time.perf_counter() < latest:
                    pass  # a sleep would be longer than the window
                begun = time.perf_counter_ns()
                while time.perf_counter_ns() - begun < self._window_ns:
                    pass
                os.pwrite(control, frozen.encode(), 0)
                took_us = (time.perf_counter_ns() - begun) / 1000
            finally:
                os.close(control)
            until(lambda: cgroups.frozen(str(group)), seconds=POLL_SECONDS, what="the end of the window")
        if ring:
            last = ring.newest()
            self.realised_ticks.append(last - first + WHOLE_TICK)
            took_us = (ring.wall_ns(last) - ring.wall_ns(first - WHOLE_TICK + 1)) / 1000
        self.realised_us.append(took_us)


@contextlib.contextmanager
def _apart(processes: list[int]) -> Iterator[None]:
    """Keep this process and `processes` on different processors: on one, a wake-up would interrupt the other side."""
    own = os.sched_getaffinity(0)
    if len(own) > 1:
        for pid in processes:
            os.sched_setaffinity(pid, {min(own)})
        os.sched_setaffinity(0, own - {min(own)})
    try:
        yield
    finally:
        for pid in (0, *processes):
            os.sched_setaffinity(pid, own)


class _Ring:
    """A ring that a workload writes, with quick access to the newest tick."""

    def __init__(self, path: Path) -> None:
        self._slots = np.memmap(path, RECORD, mode="r")
        self._ticks = self._slots["n"]
        self._newest = int(self._ticks.max())

    def newest(self) -> int:
        """Return the newest tick."""
        while self._ticks[(self._newest + 1) % len(self._ticks)] == self._newest + 1:
            self._newest += 1
        return self._newest

    def wall_ns(self, n: int) -> int:
        """Return the time of tick n in nanoseconds."""
        return int(self._slots["wall_ns"][n % len(self._slots)])


class Rings:
    """This instrument: an ordinary trial with its verdict."""

    name = "rings"

    def __init__(self, bench: Bench, cell: Cell, plan: Plan) -> None:
        self._bench, self._cell, self._plan = bench, cell, plan

    def detect(self, number: int, *, last: bool) -> tuple[bool, float]:
        """Run a trial; return whether it detected disk-ahead, and its seconds."""
        begun = time.monotonic()
        verdict = Trial(self._bench, self._cell, self._plan, number=number, last=last).run().verdict
        if verdict.outcome in SPOILED:
            raise StillframeError(f"{verdict.outcome}: {verdict.reason}")
        found = verdict.outcome is Outcome.INCONSISTENT and Anomaly.DISK_AHEAD in verdict.anomalies
        return found, time.monotonic() - begun


class SingleFile:
    """The upstream test: start, wait, checkpoint, restore, wait for the counter to grow, look for a complaint."""

    name = "single file"

    def __init__(self, bench: Bench, cell: Cell) -> None:
        self._bench, self._cell = bench, cell

    def detect(self, number: int, *, last: bool) -> tuple[bool, float]:  # noqa: ARG002  # nothing is shared
        """Run the test once; return whether it complained, and its seconds."""
        bench, stages = self._bench, Stages()
        bench.node.journal = stages.journal
        bench.workload = _Bare.model_validate(SINGLE_FILE.model_dump())
        begun = time.monotonic()
        source = bench.start("source")
        checkpoint = bench.checkpoint_of(source)
        try:
            _poll(lambda: self._counter(source) > 0, "the counter")
            take(bench.runtime, checkpoint, self._cell.policy, stages, runs_again=lambda: None)
            bench.remove(source)
            clone = bench.restore(checkpoint)
        finally:
            bench.runtime.discard(checkpoint)
        reached = _poll(lambda: self._counter(clone), "the restored counter")
        _poll(lambda: self._counter(clone) > reached, "the restored counter growing")
        found = bool(self._read(clone, "inconsistent"))
        seconds = time.monotonic() - begun
        bench.remove(clone)
        for left in (checkpoint.folder, source.spec.folder):
            bench.node.remove(left)
        return found, seconds

    def _counter(self, container: Container) -> int:
        text = self._read(container, "counter").strip()
        return int(text) if text.isdigit() else -1

    def _read(self, container: Container, name: str) -> str:
        """Return a file's text as the container sees it, like `exec cat`."""
        group = str(self._bench.node.path(container.cgroup))
        for pid in cgroups.processes(group):
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/root/{name}").read_text(encoding="utf-8")
        return ""


class _Bare(Workload):
    """A program without arguments."""

    def argv(self, binary: str, *_: object, **__: object) -> tuple[str, ...]:
        return (binary,)


def _poll(probe: Callable[[], int], what: str) -> int:
    return until(probe, seconds=POLL_SECONDS, what=what)


@contextlib.contextmanager
def _bench(runtime: str, stack: str, options: Options, settings: Settings) -> Iterator[Bench]:
    root = build.prepare(definition.load(stack), options.cache, mirror=options.mirror, progress=_tell)
    binaries = compile_all(options.cache)
    binaries[SINGLE_FILE.program] = compile_workload(SINGLE_FILE, options.cache)
    who = Participant(runtime=runtime, stack=stack)
    bench = Bench.open((who, ""), root, binaries, settings)
    try:
        if bench.lacking:
            raise StillframeError("; ".join(f"{who}: {one.evidence}" for one in bench.lacking))
        yield bench
    finally:
        bench.close()


def _cell(who: Participant, policy: FreezePolicy) -> Cell:
    return Cell(workload="ledger", policy=policy, checkpoint=who, restore=who)


def measure(options: Options, stack: str, trials: int, of_engine: int, progress: Progress) -> Iterator[Figure]:
    """Measure each window with both methods, and then unchanged Podman."""
    settings = options.settings
    with _bench(RAW, stack, options, settings.model_copy(update={"period_us": 0})) as bench:
        cell, runtime = _cell(bench.key[0], FreezePolicy.CGROUP), bench.runtime
        for window in WINDOWS_US:
            told = f"{window} us" if window else "none"
            for method in (Rings(bench, cell, _plan(cell, options)), SingleFile(bench, cell)):
                late = DelayedCapture(runtime, window, ticks=isinstance(method, Rings))
                bench.runtime = late  # type: ignore[assignment]
                bench.workload = find("ledger")
                yield _figure(method, told, trials, late, progress)
    with _bench(ENGINE, stack, options, settings) as bench:
        cell = _cell(bench.key[0], FreezePolicy.ENGINE)
        for method in (Rings(bench, cell, _plan(cell, options)), SingleFile(bench, cell)):
            bench.workload = find("ledger")
            yield _figure(method, str(bench.key[0]), of_engine, None, progress)


def _figure(
    method: Rings | SingleFile, window: str, trials: int, late: DelayedCapture | None, progress: Progress
) -> Figure:
    task = progress.add_task(f"{method.name}, window {window}", total=trials)
    found = []
    for number in range(trials):
        found.append(method.detect(number, last=number == trials - 1))
        progress.advance(task)
    return Figure(
        method=method.name,
        window=window,
        trials=trials,
        detected=sum(detected for detected, _ in found),
        realised_us=median(late.realised_us) if late and late.realised_us else None,
        realised_ticks=median(late.realised_ticks) if late and any(late.realised_ticks) else None,
        seconds=median(seconds for _, seconds in found),
    )


def _plan(cell: Cell, options: Options) -> Plan:
    return Plan(
        run="power",
        stillframe="",
        created_ns=time.time_ns(),
        seed=options.seed,
        rounds=1,
        settings=options.settings,
        cells=(cell,),
        host=host_facts(),
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and print; `--json FILE` writes the figures to a file."""
    parser = argparse.ArgumentParser(prog="ci/bench power", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stack", default="debian-sid", metavar="NAME", help="stack to measure (default %(default)s)")
    parser.add_argument("--trials", type=int, default=50, metavar="N", help="trials per window (default %(default)s)")
    parser.add_argument("--engine-trials", type=int, default=20, metavar="N", help="trials of Podman (default 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    add_to(parser, SETTINGS)
    arguments = parser.parse_args(argv)
    found: list[Figure] = []
    console = Console(stderr=True)
    try:
        if arguments.json:
            check_writable(arguments.json.absolute().parent)
        given = {**vars(arguments), "stack": [arguments.stack]}
        options = Options.read(lambda name: given.get(name, ()))
        try:
            with Progress(console=console) as progress:
                found.extend(measure(options, arguments.stack, arguments.trials, arguments.engine_trials, progress))
        except KeyboardInterrupt:
            _tell("stopped; these are the figures so far")
        figures = Figures(stack=arguments.stack, seed=options.seed, figures=tuple(found))
        console_for(sys.stdout).print(table(figures))
        if arguments.json:
            write_aside(arguments.json, figures.model_dump_json(indent=1) + "\n")
    except StillframeError as error:
        _tell(f"ci/bench power: {error}")
        return error.exit_code
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
