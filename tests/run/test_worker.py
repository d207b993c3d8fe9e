"""A worker's share of a run, on benches and trials that only say what was asked of them."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Settings
from harness.model.commands import Schedule
from harness.model.errors import EnvironmentUnfit
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.oracle.evidence import Evidence
from harness.privacy.redaction import HOME, USER, Redaction
from harness.records import run_files
from harness.records.plan import Plan, missing_trials
from harness.records.record import Record
from harness.run.prepare import Run
from harness.run.worker import Worker
from harness.runtimes.contract import Capability
from harness.trial import bench as benches
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from tests.folder_bench import HOST
from tests.reports.synthetic import CRASH

RUNC, CRUN = (Participant(runtime=runtime, stack="host") for runtime in ("runc", "crun"))
CELL = Cell(workload="ledger", policy=FreezePolicy.PAUSE, checkpoint=RUNC, restore=RUNC)
VOLUMES = CELL.model_copy(update={"workload": "volumes"})
COMMIT = CELL.model_copy(update={"way": "commit"})
OTHER = CELL.model_copy(update={"checkpoint": CRUN, "restore": CRUN})
PLAN = Plan(
    run="r1",
    stillframe="0.1.0",
    created_ns=1,
    seed=7,
    rounds=3,
    cells=(CELL, VOLUMES, COMMIT, OTHER),
    host=HOST,
    fewer={VOLUMES.id: 1},
    settings=Settings(ring=64),
)


@dataclass
class Seat:
    """A simulated bench that can only open and close."""

    key: tuple[Participant, str]
    settings: Settings
    lacking: tuple[Capability, ...] = ()
    workload: Any = None
    closed: int = 0
    node: Any = field(
        default_factory=lambda: SimpleNamespace(runtime_seconds=2.0, storage="srv", path=lambda at: Path("/node", at))
    )

    def use(self, workload: Any) -> None:
        self.workload = workload

    def close(self) -> None:
        self.closed += 1


@dataclass
class Room:
    """The recorded calls, and the planned outcomes."""

    opened: list[Seat] = field(default_factory=list)
    trials: list[tuple[Seat, str, int, bool, str]] = field(default_factory=list)
    lacking: tuple[Capability, ...] = ()
    outcome: Outcome = Outcome.CONSISTENT
    error: Exception | None = None
    components: tuple[Component, ...] = ()
    folders: set[str] = field(default_factory=set)
    """Where trials have their temporary files."""

    def open(
        self, key: tuple[Participant, str], _: Path, __: object, settings: Settings, ___: object, **____: object
    ) -> Seat:
        if self.error is not None:
            raise self.error
        self.opened.append(Seat(key, settings, self.lacking))
        return self.opened[-1]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()

    class Told(Trial):
        def __init__(self, bench: Any, cell: Cell, plan: Plan, *, number: int, last: bool, far: Any) -> None:
            self.bench, self.cell, self.plan, self.number, self.last = bench, cell, plan, number, last
            self.evidence = Evidence()
            self.far = far

        def run(self) -> Record:
            seat: Any = self.bench
            room.trials.append((seat, self.cell.id, self.number, self.last, seat.workload.name))
            room.folders.add(tempfile.gettempdir())
            told = record(self.cell, self.number, room.outcome, self.control)
            return told.model_copy(update={"components": {"checkpoint": room.components}})

    class Control(Told):
        control = "ring-byte"

    monkeypatch.setattr(benches.Bench, "open", room.open)
    room.trial, room.control = Told, Control  # type: ignore[attr-defined]
    return room


def record(cell: Cell, number: int, outcome: Outcome, control: str | None) -> Record:
    verdict = Verdict(outcome=outcome, reason="so it was told")
    schedule = Schedule(seed=7, planned_delay_us=0)
    return Record(
        run="r1", cell=cell, trial=number, control=control, verdict=verdict, start_ns=1, end_ns=2, schedule=schedule
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run_files.write_plan(tmp_path / "r1", PLAN)
    return Run(tmp_path / "r1", PLAN, {"host": Path("/")}, {})


def execute(run: Run, room: Any, *cells: Cell, control: bool = False) -> list[Record]:
    kind = room.control if control else room.trial
    with Worker(run) as worker:
        return [record for cell in cells for record in worker.execute(cell, kind)]


def test_a_cell_is_tried_as_often_as_planned_and_every_record_is_kept(run: Run, room: Room) -> None:
    written = execute(run, room, CELL, VOLUMES)
    assert [(told[1], told[2], told[3]) for told in room.trials] == [
        (CELL.id, 0, False),
        (CELL.id, 1, False),
        (CELL.id, 2, True),
        (VOLUMES.id, 0, True),
    ]
    assert list(run_files.read_records(run.folder)) == written


def test_temporary_files_of_a_trial_are_in_its_node(run: Run, room: Room) -> None:
    before = tempfile.gettempdir()
    execute(run, room, VOLUMES)
    assert room.folders == {"/node/srv"}
    assert tempfile.gettempdir() == before


def sequential(run: Run, rounds: int = 3) -> Run:
    plan = run.plan.model_copy(update={"rate": 0.7, "rounds": rounds})
    return Run(run.folder, plan, run.stacks, run.binaries)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_where_a_rate_is_asked_for_the_first_violation_is_the_last_trial(
    run: Run, room: Room, outcome: Outcome
) -> None:
    room.outcome = outcome
    written = execute(sequential(run), room, CELL)
    assert len(written) == (1 if outcome.violates else 3)
    assert missing_trials(sequential(run).plan, written).get(CELL.id) is None, "and the cell is complete"


def test_the_source_of_a_convicted_cell_serves_no_other_cell(run: Run, room: Room) -> None:
    room.outcome = Outcome.INCONSISTENT
    execute(sequential(run), room, CELL, CELL)
    assert [seat.closed for seat in room.opened] == [1, 1]
    room.opened.clear()
    execute(sequential(run, rounds=1), room, CELL, CELL)
    assert len(room.opened) == 1, "the last planned trial has ended its source"


def test_a_cell_with_fewer_trials_is_not_cut_short(run: Run, room: Room) -> None:
    room.outcome = Outcome.INCONSISTENT
    fewer = sequential(run).plan.model_copy(update={"fewer": {VOLUMES.id: 2}})
    assert len(execute(Run(run.folder, fewer, run.stacks, run.binaries), room, VOLUMES)) == 2


def test_no_trial_begins_once_the_run_was_asked_to_end(run: Run, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "append", lambda folder, _: (folder / "stop").touch())
    with Worker(run) as worker:
        assert len(list(worker.execute(CELL, room.trial))) == 1  # type: ignore[attr-defined]
        assert worker.cut_short
        assert [seat.closed for seat in room.opened] == [1], "and its source is not waited for"
        assert len(list(worker.execute(VOLUMES, room.trial))) == 1, "a cell of one trial is whole"  # type: ignore[attr-defined]
        assert not worker.cut_short


def test_a_run_is_the_latest_as_soon_as_it_has_a_record(run: Run, room: Room) -> None:
    latest = run.folder.with_name("latest")
    with Worker(run) as worker:
        trials = worker.execute(CELL, room.trial)  # type: ignore[attr-defined]
        assert not latest.exists()
        next(trials)
        assert latest.resolve() == run.folder.resolve()


def test_a_control_is_played_once(run: Run, room: Room) -> None:
    (written,) = execute(run, room, CELL, control=True)
    assert written.control == "ring-byte"
    assert [(told[2], told[3]) for told in room.trials] == [(0, True)]


def test_a_control_that_a_known_crash_ends_is_played_again(run: Run, room: Room) -> None:
    crash = CRASH.model_copy(update={"component": "runsc", "versions": ("1",), "signature": "so it was told"})
    crashing = Run(run.folder, PLAN.model_copy(update={"crashes": (crash,)}), run.stacks, run.binaries)
    assert len(execute(crashing, room, CELL, control=True)) == 1
    room.outcome = Outcome.RESTORE_FAILED
    assert len(execute(crashing, room, CELL, control=True)) == 1, "without that component it is another failure"
    room.components = (Component(name="runsc", version="1"),)
    assert [each.trial for each in execute(crashing, room, CELL, control=True)] == [0, 1, 2]
    assert len(execute(crashing, room, VOLUMES)) == PLAN.fewer[VOLUMES.id], "and a cell has its planned trials"


def test_cells_share_a_bench_that_serves_them_each_with_its_workload(run: Run, room: Room) -> None:
    execute(run, room, CELL, VOLUMES)
    (seat,) = room.opened
    assert [told[4] for told in room.trials] == ["ledger", "ledger", "ledger", "volumes"]
    assert (seat.settings, seat.closed) == (PLAN.settings, 1)


def test_a_worker_adds_up_its_time_and_that_of_the_runtimes(run: Run, room: Any) -> None:
    with Worker(run) as worker:
        for each in worker.execute(CELL, room.trial):
            before = worker.effort
            assert before.runtime_seconds == 0, f"the bench of trial {each.trial} is still open"
        for _ in worker.execute(COMMIT, room.trial):
            pass
    assert worker.effort.runtime_seconds == 4.0
    assert worker.effort.worker_seconds > before.worker_seconds > 0


@pytest.mark.parametrize("other", [COMMIT, OTHER])
def test_another_way_or_participant_is_another_bench(run: Run, room: Room, other: Cell) -> None:
    execute(run, room, CELL, other, CELL)
    assert [seat.key for seat in room.opened] == [Bench.key_of(each) for each in (CELL, other, CELL)]
    assert [seat.closed for seat in room.opened] == [1, 1, 1]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_bench_that_was_spoiled_is_replaced(run: Run, room: Room, outcome: Outcome) -> None:
    room.outcome = outcome
    execute(run, room, CELL)
    spoiled = outcome in {Outcome.SOURCE_HARMED, Outcome.LEAKED, Outcome.HUNG, Outcome.HARNESS_ERROR}
    assert len(room.opened) == (3 if spoiled else 1)
    assert all(seat.closed == 1 for seat in room.opened)


def test_what_a_runtime_cannot_do_here_is_told_of_every_trial(run: Run, room: Room) -> None:
    room.lacking = (Capability("checkpoint", available=False, evidence="no ptrace"),)
    written = execute(run, room, CELL)
    assert [each.verdict.outcome for each in written] == [Outcome.UNSUPPORTED] * 3
    assert {each.verdict.reason for each in written} == {"checkpoint: no ptrace"}
    assert room.trials == []


def test_a_bench_that_cannot_be_opened_is_a_verdict_and_tried_again(run: Run, room: Room) -> None:
    room.error = EnvironmentUnfit("no node")
    written = execute(run, room, CELL)
    assert [(each.verdict.outcome, each.verdict.stage) for each in written] == [
        (Outcome.HARNESS_ERROR, Stage.PREPARE)
    ] * 3
    room.error = None
    assert execute(run, room, CELL)[0].verdict.outcome is Outcome.CONSISTENT


def test_a_stack_that_is_not_there_costs_its_own_cells(run: Run, room: Room) -> None:
    run.stacks["host"] = "mmdebstrap ended with code 1"
    (written,) = execute(run, room, CELL, control=True)
    assert (written.verdict.outcome, written.control) == (Outcome.HARNESS_ERROR, "ring-byte")
    assert "mmdebstrap" in written.verdict.reason


def test_what_names_the_machine_is_in_no_record_that_a_worker_writes_or_gives(run: Run, room: Room) -> None:
    run = dataclasses.replace(run, redaction=Redaction.knowing({USER: ("ada",)}, {"/home/ada": HOME}))
    room.error = EnvironmentUnfit("ada has no room in /home/ada/x")
    found = execute(run, room, VOLUMES)
    room.error, run.stacks["host"] = None, "/home/ada/stack is ada's"
    found += execute(run, room, COMMIT, control=True)
    assert [each.verdict.reason for each in found] == ["[user] has no room in ~/x", "~/stack is [user]'s"]
    written = "".join(path.read_text(encoding="utf-8") for path in (run.folder / "records").iterdir())
    assert "[user]" in written
    assert "ada" not in written


def test_a_cell_of_two_sides_has_two_benches_and_the_nearer_one_stays(run: Run, room: Room) -> None:
    far = CELL.model_copy(update={"restore": Participant(runtime="crun", stack="host")})
    execute(run, room, CELL, far, CELL)
    assert [str(seat.key[0]) for seat in room.opened] == ["runc@host", "crun@host"]
    assert [seat.closed for seat in room.opened] == [1, 1]
