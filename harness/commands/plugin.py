"""pytest's side: options, the plan, benches, and the end of a run.

The controller writes the plan and prepares the stacks before anything starts; each worker opens a bench per
participant and way; at the end the controller reads the records back, prints the table and decides the exit code.
"""

from __future__ import annotations

import contextlib
import copy
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from harness.commands.watching import ending
from harness.commands.watching.reporter import PROPERTY, REPORTER, said
from harness.host.syscalls import die_with_parent
from harness.model.cells import Cell, Scenario
from harness.model.errors import FAULT, UNWRITTEN, USAGE, Exit, StillframeError, Unwritable
from harness.model.expectations import Expectation
from harness.records.plan import Effort
from harness.records.record import Record
from harness.run import stopping
from harness.run.flags import EVERY, SCENARIOS
from harness.run.items import Item, benches_of, items_of
from harness.run.options import Options
from harness.run.prepare import Run
from harness.run.worker import Worker
from harness.trial.trial import Trial
from reports.analysis.cells import judge_all
from reports.analysis.conclusion import Finding
from reports.analysis.crashes import Struck, unstruck
from reports.analysis.known import demand, state
from reports.analysis.tables import RunSummary
from reports.runs.read import read_share
from reports.terminal.tell import tell
from reports.words.finished import finished
from reports.words.outcomes import expectation as told

OPTIONS: pytest.StashKey[Options] = pytest.StashKey()
RUN: pytest.StashKey[Run] = pytest.StashKey()
EFFORT: pytest.StashKey[Effort] = pytest.StashKey()
SUMMARY: pytest.StashKey[RunSummary] = pytest.StashKey()
PAGE: pytest.StashKey[Path] = pytest.StashKey()
FAILED: pytest.StashKey[bool] = pytest.StashKey()
"""There if something could not be written, which has been told."""
WRONG: pytest.StashKey[bool] = pytest.StashKey()
"""There if the choice of tests cannot be read."""
NOTHING_PLANNED = "NOTSET"
"""What pytest says in brackets where there are no parameters."""
EXIT_OF_PYTEST = {
    pytest.ExitCode.USAGE_ERROR: USAGE,
    pytest.ExitCode.INTERNAL_ERROR: FAULT,
    pytest.ExitCode.NO_TESTS_COLLECTED: USAGE,
}
"""Our exit codes for those of pytest that are not about cells."""


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """Declare the options, and refuse wrong words before anything starts.

    In the hook that is for this, pytest would end with its own exit code for a wrong word, which means a failed proof
    here. What is read anew is where pytest looks for more plugins: not in the values of our options.
    """
    group = parser.getgroup("stillframe", "live checkpoints, judged")
    for flag, declaration in EVERY:
        group.addoption(flag, **declaration)
    with _refused(args):
        early_config.known_args_namespace = parser.parse_known_args(args, copy.copy(early_config.option))
    yield
    if not {"-h", "--help"}.isdisjoint(args):
        return
    with _refused(args):
        words = parser.parse(args).file_or_dir
    if any(map(_in_scenarios, words)):
        for word in words:
            if not Path(word.partition("::")[0]).exists():
                _refuse(f"unknown argument {word!r}: it is neither an option nor a file")


@contextlib.contextmanager
def _refused(args: Iterable[str]) -> Iterator[None]:
    """Refuse words that pytest refuses, if they are for scenarios."""
    try:
        yield
    except pytest.UsageError as error:
        if any(map(_in_scenarios, args)):
            _refuse(str(error).strip())
        raise


def _refuse(what: str) -> NoReturn:
    tell(f"stillframe: {what}")
    sys.exit(USAGE)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options once; on the controller, promise the run and make it ready."""
    config.addinivalue_line("markers", "scenario(which): the question that a test asks of its cells")
    if not _runs_scenarios(config):
        return
    try:
        options = Options.read(config.getoption)
        config.stash[OPTIONS] = options
        if _is_worker(config):
            die_with_parent(signal.SIGKILL)  # nobody waits for a worker whose controller was killed
            config.stash[RUN] = Run.join(Path(config.workerinput["stillframe_run"]))  # type: ignore[attr-defined]
            if config.workerinput["stillframe_obeys"]:  # type: ignore[attr-defined]
                stopping.leave_to_controller()
        elif not config.option.collectonly:
            _begin(config, options)
    except StillframeError as error:
        if REPORTER in config.stash:
            raise
        pytest.exit(str(error), returncode=error.exit_code)


def _begin(config: pytest.Config, options: Options) -> None:
    reporter = config.stash.get(REPORTER, None)
    run = config.stash[RUN] = Run.begin(options, progress=reporter.preparing if reporter else _progress)
    stopping.STOPPING.folder = run.folder
    if reporter:
        trials = {
            each.said: run.plan.rounds_of(each.cell) if each.fixture == "cell" else 1 for each in items_of(options)
        }
        reporter.begun(run, trials)


def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker which run it works for."""
    if RUN in node.config.stash:
        node.workerinput["stillframe_run"] = str(node.config.stash[RUN].folder)
        node.workerinput["stillframe_obeys"] = stopping.STOPPING.heard


def pytest_testnodedown(node: Any) -> None:
    """Add up the time of an xdist worker that has ended."""
    told = getattr(node, "workeroutput", {}).get("stillframe_effort")
    if told is not None:
        stash = node.config.stash
        stash[EFFORT] = Effort.model_validate(told) + stash.get(EFFORT, Effort(worker_seconds=0, runtime_seconds=0))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Keep everything of one bench on one worker, which then needs one node for it.

    `xdist_group` would say so too, but xdist 3.8 hides a group in an attribute that pytest 9.2 does not read.
    """
    if OPTIONS not in config.stash:
        return None
    benches = benches_of(config.stash[OPTIONS])

    class ByBench(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return str(benches.get(said(nodeid), nodeid))

    return ByBench(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """End with our exit code if the choice of tests cannot be read."""
    try:
        return (yield)
    except pytest.UsageError as error:
        if OPTIONS not in session.config.stash:
            raise
        session.config.stash[WRONG] = True
        pytest.exit(str(error), returncode=USAGE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests that ask for a `cell` or a `control` one item for each that is planned."""
    if OPTIONS not in metafunc.config.stash:
        return
    run = metafunc.config.stash.get(RUN, None)
    marker = metafunc.definition.get_closest_marker("scenario")
    scenarios = marker.args if marker else (Scenario.LIVE,)
    for name in {"cell", "control", "mutants"}.intersection(metafunc.fixturenames):
        items = [
            pytest.param(item.value, id=item.said, marks=_marks(item, run))
            for item in items_of(metafunc.config.stash[OPTIONS])
            if item.fixture == name and (name != "cell" or item.cell.scenario in scenarios)
            if run is None or not run.loses(item.cell)
        ]
        metafunc.parametrize(name, items)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring together what shares a bench, whatever file it is in."""
    if OPTIONS in config.stash:
        benches = benches_of(config.stash[OPTIONS])
        items[:] = [item for item in items if said(item.name) != NOTHING_PLANNED]
        items.sort(key=lambda item: benches.get(said(item.name), -1))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Leave out what comes after the run was asked to end."""
    return True if RUN in item.config.stash and item.config.stash[RUN].stopping else None


def pytest_runtest_logstart() -> None:
    """Note that from now on a trial may be in progress."""
    stopping.STOPPING.trying = True


def _marks(item: Item, run: Run | None) -> list[pytest.MarkDecorator]:
    """Mark an item for pytest; without a run (`--collect-only`) nothing is expected to fail, since nothing runs."""
    # No timeout: however many rounds there are, every stage of a trial has a deadline of its own.
    marks = [pytest.mark.timeout(0)]
    if run and item.fixture == "cell" and (link := run.plan.expected(item.cell).link):
        marks.append(pytest.mark.xfail(reason=link, raises=KnownIssueShown, strict=True))
    return marks


class KnownIssueShown(Exception):
    """A cell is wrong in the way that is declared of it."""


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """This process's part of the run; it owns at most one bench at a time."""
    with Worker(request.config.stash[RUN]) as worker:
        yield worker
    request.config.stash[EFFORT] = worker.effort
    if _is_worker(request.config):
        request.config.workeroutput["stillframe_effort"] = worker.effort.model_dump()  # type: ignore[attr-defined]


@pytest.fixture
def execute(worker: Worker, request: pytest.FixtureRequest) -> Callable[..., list[Record]]:
    """Execute all trials of a cell and give their records; `kind` is a control's class, executed once.

    If a record cannot be written, the run stops.
    """

    def execute(cell: Cell, kind: type[Trial] = Trial) -> list[Record]:
        try:
            records = list(worker.execute(cell, kind))
        except Unwritable as error:
            request.session.shouldstop = str(error)
            pytest.skip(str(error))
        if worker.cut_short:
            pytest.skip("the run was asked to end")
        found = finished(worker.run.plan, cell, kind.control, records)
        request.node.user_properties.append((PROPERTY, found.model_dump(mode="json")))
        return records

    return execute


@pytest.fixture
def check(execute: Callable[..., list[Record]], worker: Worker) -> Callable[..., None]:
    """Execute a cell as `execute` does, and hold its trials against what is expected of it."""

    def check(cell: Cell, kind: type[Trial] = Trial) -> None:
        hold(execute(cell, kind), worker.run.plan.expected(cell), worker.run.plan.crash_of)

    return check


def hold(trials: Sequence[Record], expectation: Expectation, struck: Struck = unstruck) -> None:
    """Fail unless the trials are as expected; where something is declared, fail as its strict xfail waits for."""
    worst = max((trial.verdict for trial in trials), key=lambda found: found.outcome.severity)
    if judge_all(trials, expectation, struck) != {Exit.EXPECTED}:
        asked = demand(state(expectation, worst.outcome, as_expected=False), expectation) if expectation.link else ""
        more = f"; {asked}" if asked else ""
        pytest.fail(f"{worst.outcome}, should be {told(expectation)}: {worst.reason}{more}", pytrace=False)
    if expectation.link:
        raise KnownIssueShown(f"{told(expectation)}: {worst.reason}")


def pytest_handlecrashitem(report: pytest.TestReport) -> None:
    """Let the records decide about what a worker was running when it crashed: another worker runs it again."""
    report.outcome = "skipped"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None]:
    """When all workers and benches have ended, look at the host and decide the exit code from the records."""
    yield
    config = session.config
    if _is_worker(config) or not _runs_scenarios(config):
        return
    own = _own(config, exitstatus)
    if RUN in config.stash:
        run = config.stash[RUN]
        if UNWRITTEN in (stopped := _stopped(session)):
            _tell_once(config, stopped)
        with _written(session):
            run.close(config.stash.get(EFFORT, None), interrupted=stopping.STOPPING.by)
        if (stopping.STOPPING.by or own == USAGE) and not stopping.has_records(run.folder):
            stopping.drop(run.folder)
            session.exitstatus = Exit.INCOMPLETE if stopping.STOPPING.by else USAGE
            return
        summary = read_share(run.folder)
        if exitstatus == pytest.ExitCode.TESTS_FAILED and summary.conclusion.exit_code is Exit.EXPECTED:
            what = "A test of the instrument failed, so no result of this run counts"
            summary = summary.found(Exit.BLIND, Finding(what=what))
        config.stash[SUMMARY] = summary
        reporter = config.stash.get(REPORTER, None)
        if reporter:
            reporter.summarised(summary)
        session.exitstatus = own or summary.conclusion.exit_code.value
        with _written(session):
            config.stash[PAGE] = ending.write_report(summary, run.folder)
            if reporter:
                reporter.page = config.stash[PAGE]
    elif own is not None:
        session.exitstatus = own


def _own(config: pytest.Config, status: int) -> int | None:
    """Return our exit code for a session that did not come to its tests; None if it did."""
    if WRONG in config.stash:
        return USAGE
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and OPTIONS in config.stash:
        if config.stash[OPTIONS].shard:
            return 0  # nothing falls to this shard
        tell("stillframe: no test matches the words for pytest")
    return EXIT_OF_PYTEST.get(pytest.ExitCode(status)) if status in EXIT_OF_PYTEST else None


@contextlib.contextmanager
def _written(session: pytest.Session) -> Iterator[None]:
    """Tell what cannot be written; then the run is incomplete, unless its exit code already says worse."""
    try:
        yield
    except Unwritable as error:
        _tell_once(session.config, str(error))
        if session.exitstatus in (Exit.EXPECTED, pytest.ExitCode.INTERRUPTED):
            session.exitstatus = Exit.INCOMPLETE


def _stopped(session: pytest.Session) -> str:
    """Return why the session was stopped, here or by a worker; empty if it was not."""
    workers = session.config.pluginmanager.getplugin("dsession")
    return str(session.shouldstop or getattr(workers, "shouldstop", "") or "")


def _tell_once(config: pytest.Config, what: str) -> None:
    """Tell the first thing that could not be written, which is why others cannot."""
    if not config.stash.get(FAILED, False):
        tell(f"stillframe: {what}")
    config.stash[FAILED] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the end."""
    if SUMMARY not in config.stash:
        return
    if config.stash[SUMMARY].conclusion.exit_code is not Exit.EXPECTED:
        stats = terminalreporter.stats  # or a red run would end with green words
        stats["executed"] = stats.pop("passed", [])
        stats.setdefault("error", [])
    terminalreporter.section("stillframe")
    page, out = config.stash.get(PAGE, None), config.stash[OPTIONS].out
    ending.tell(config.stash[SUMMARY], page, out, verbose=config.option.verbose > 0)


def _runs_scenarios(config: pytest.Config) -> bool:
    if _is_worker(config):
        return "stillframe_run" in config.workerinput  # type: ignore[attr-defined]
    return any(map(_in_scenarios, config.args))


def _in_scenarios(word: str) -> bool:
    path = Path(word.partition("::")[0]).resolve()
    return path == SCENARIOS or SCENARIOS in path.parents


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _progress(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # pytest has no reporter yet
