from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path

import pytest

from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.commands import Command, Schedule, Span
from harness.model.errors import RecordError, Unwritable
from harness.model.expectations import STILL as AS_IT_SHOULD
from harness.model.expectations import Expectation
from harness.model.machine import Accommodation, Component, Condition, HostFacts
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.readings import Reading, Skew, SourceHealth, SurfaceReading, Witness
from harness.records.plan import Closing, Plan, missing_trials
from harness.records.record import SCHEMA_VERSION, Record
from harness.records.run_files import (
    append,
    read_closing,
    read_plan,
    read_records,
    write_aside,
    write_closing,
    write_plan,
)

HOST = HostFacts(kernel="6.18", architecture="x86_64", cgroups="v2", cpus=4, memory_gib=15.6, os="Debian")
BOTH = Participant(runtime="runc", stack="debian-sid")
STILL, MOVING = (
    Cell(workload="ledger", policy=policy, checkpoint=BOTH, restore=BOTH)
    for policy in (FreezePolicy.PAUSE, FreezePolicy.NONE)
)


def plan(rounds: int = 2) -> Plan:
    return Plan(run="r1", stillframe="0.1.0", created_ns=1, seed=7, rounds=rounds, cells=(MOVING, STILL), host=HOST)


def record(cell: Cell = STILL, trial: int = 0, *, control: str | None = None) -> Record:
    return Record(
        run="r1",
        cell=cell,
        trial=trial,
        control=control,
        verdict=Verdict(outcome=Outcome.CONSISTENT, reason="it is"),
        start_ns=10,
        end_ns=20,
        schedule=Schedule(seed=7, planned_delay_us=3),
    )


def full_record() -> Record:
    surface = SurfaceReading(surface="added", newest=9, newest_wall_ns=8, torn=1, foreign=2, holes=3, backwards=4)
    return record().model_copy(
        update={
            "verdict": Verdict(
                outcome=Outcome.INCONSISTENT,
                stage=Stage.READ,
                reason="ä\n€",
                anomalies=(Anomaly.TORN, Anomaly.DISK_AHEAD),
            ),
            "readings": (
                Reading(witness=Witness.OFFLINE, nonce="aa", counter=9, counter_wall_ns=8, surfaces=(surface,)),
            ),
            "skews": (Skew(witness=Witness.OFFLINE, surface="added", ticks=None, microseconds=-0.5),),
            "source": SourceHealth(
                ticking=True,
                frozen=False,
                same_nonce=True,
                lost_ticks=0,
                longest_gap_us=1.5,
                kept_pause=True,
                stops=False,
            ),
            "timeline": (Span(name="checkpoint", start_ns=11, end_ns=12),),
            "components": {"checkpoint": (Component(name="criu", version="4.2"),), "restore": ()},
            "host": HOST,
            "commands": (
                Command(argv=("a", "b c"), where="host", stage=Stage.START, exit_code=-9, start_ns=1, seconds=0.5),
                Command(where="n", stage=Stage.FREEZE, write_path="/f", write_text="1", start_ns=1, seconds=0),
                Command(argv=("d",), where="n", stage=Stage.PREPARE, background=True, start_ns=1, seconds=0),
            ),
            "accommodations": (Accommodation(name="no-resources", lacking="controllers", change="none are set"),),
            "warnings": ("careful",),
            "leaks": ("process 7 runc",),
            "log": ("Error (criu)",),
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "r1"
    write_plan(folder, plan())
    return folder


def test_a_plan_comes_back_as_it_was_written(run: Path) -> None:
    assert read_plan(run) == plan()
    assert {path.name for path in run.iterdir()} == {"plan.json", "records"}, "nothing is left aside"


def test_what_is_private_was_never_readable_by_others(tmp_path: Path) -> None:
    (tmp_path / "x.new").touch(mode=0o644)
    assert write_aside(tmp_path / "x", "1", private=True).stat().st_mode & 0o777 == 0o600


def test_a_plan_with_a_secret_in_it_is_read_without(run: Path) -> None:
    path = run / "plan.json"
    path.write_text(path.read_text().replace('"6.18"', '"PASSWORD=hunter2"'))
    assert "hunter2" in path.read_text()
    assert "hunter2" not in read_plan(run).model_dump_json()


def test_all_that_a_plan_promises_comes_back(tmp_path: Path) -> None:
    known = Expectation(outcome=Outcome.HUNG, signature="CRIU", reason="it hangs", review=dt.date(2026, 12, 24))
    asked = STILL.model_copy(update={"way": "commit", "scenario": Scenario.GENERATIONS})
    there = known.model_copy(update={"when": Condition.LACKS_MEM_DIRTY_TRACK})
    host = HOST.model_copy(update={"conditions": tuple(Condition)})
    changes = {"cells": (asked,), "expectations": {asked.id: known}, "fewer": {asked.id: 1}, "host": host}
    changes |= {"conditional": {asked.id: there}}
    written = plan().model_copy(update=changes)
    write_plan(tmp_path / "r1", written)
    assert read_plan(tmp_path / "r1") == written


def test_a_run_has_a_last_word_when_it_came_to_its_end(run: Path) -> None:
    assert read_closing(run) is None
    closing = Closing(run="r1", end_ns=99, leaks=("file /run/stillframe",))
    write_closing(run, closing)
    assert read_closing(run) == closing
    assert {path.name for path in run.iterdir()} == {"plan.json", "closing.json", "records"}


def test_a_record_comes_back_as_it_was_written(run: Path) -> None:
    append(run, full_record())
    assert list(read_records(run)) == [full_record()]


def test_every_record_is_one_more_line(run: Path) -> None:
    written = [record(trial=trial) for trial in range(3)]
    before = b""
    for number, each in enumerate(written, 1):
        path = append(run, each)
        content = path.read_bytes()
        assert content.startswith(before)
        assert (content.count(b"\n"), content[-1:]) == (number, b"\n")
        before = content
    assert list(read_records(run)) == written


def test_a_line_that_is_written_in_pieces_is_written_whole(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:100]))
    append(run, record())
    assert list(read_records(run)) == [record()]


def test_a_record_is_private_to_its_owner(run: Path) -> None:
    before = os.umask(0)
    try:
        path = append(run, record())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_cells_and_controls_have_files_of_their_own(run: Path) -> None:
    unusual = STILL.model_copy(update={"restore": Participant(runtime="podman/crun", stack="host")})
    for each in (record(), record(control="ring-byte"), record(MOVING), record(unusual)):
        append(run, each)
    assert {path.name for path in (run / "records").iterdir()} == {
        f"{STILL.id}.jsonl",
        f"control-ring-byte.{STILL.id}.jsonl",
        f"{MOVING.id}.jsonl",
        "ledger.pause.runc@debian-sid~podman_crun@host.jsonl",
    }
    assert len(list(read_records(run))) == 4


def test_a_last_line_that_was_cut_off_is_skipped(run: Path) -> None:
    append(run, record())
    path = append(run, record(trial=1))
    path.write_bytes(path.read_bytes()[:-1])
    assert list(read_records(run)) == [record()]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff\xfe", b'{"schema_version": 1, "run": "r1"}', b"null"])
def test_a_damaged_line_is_an_error_that_names_file_and_line(run: Path, damage: bytes) -> None:
    path = append(run, record())
    append(run, record(trial=1))
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join((first, damage, second, b"")))
    with pytest.raises(RecordError) as raised:
        list(read_records(run))
    assert str(raised.value).startswith(f"{path}:2 is not a valid record: ")
    assert raised.value.exit_code == 2


def test_a_newer_schema_is_refused_in_one_sentence(run: Path) -> None:
    newer = SCHEMA_VERSION + 1
    path = append(run, record())
    for file in (path, run / "plan.json"):
        raw = json.loads(file.read_text(encoding="utf-8")) | {"schema_version": newer, "unheard-of": True}
        file.write_text(json.dumps(raw) + "\n", encoding="utf-8")
    told = (
        f"has schema version {newer}, but this program reads versions up to {SCHEMA_VERSION}. Use a newer stillframe."
    )
    with pytest.raises(RecordError) as of_record:
        list(read_records(run))
    with pytest.raises(RecordError) as of_plan:
        read_plan(run)
    assert str(of_record.value) == f"{path}:1 {told}"
    assert str(of_plan.value) == f"{run / 'plan.json'} {told}"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}"])
def test_a_damaged_plan_is_an_error_that_names_it(run: Path, content: bytes) -> None:
    (run / "plan.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"plan\.json is not a valid plan: "):
        read_plan(run)


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_what_is_no_run_is_an_error_with_a_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=rf"{name} holds no run: .* Name a run's folder\."):
        read_plan(tmp_path / name)


def test_trials_that_did_not_come_back_are_counted_by_cell() -> None:
    assert missing_trials(plan(), []) == {MOVING.id: 2, STILL.id: 2}
    assert missing_trials(plan(), [record(), record(MOVING)]) == {MOVING.id: 1, STILL.id: 1}
    assert missing_trials(plan(), [record(), record(trial=1), record(MOVING)]) == {MOVING.id: 1}


def test_of_a_cell_with_fewer_rounds_no_more_are_missed() -> None:
    fewer = plan().model_copy(update={"fewer": {STILL.id: 1}})
    assert (fewer.rounds_of(STILL), fewer.rounds_of(MOVING)) == (1, 2)
    assert missing_trials(fewer, []) == {MOVING.id: 2, STILL.id: 1}
    assert missing_trials(fewer, [record()]) == {MOVING.id: 2}


def test_a_plan_says_what_its_cells_should_be() -> None:
    known = Expectation(outcome=Outcome.HUNG, signature="CRIU", reason="it hangs", review=dt.date(2026, 12, 24))
    expecting = plan().model_copy(update={"expectations": {MOVING.id: known}})
    assert (expecting.expected(MOVING), expecting.expected(STILL)) == (known, AS_IT_SHOULD)


def test_what_a_cell_should_be_may_depend_on_the_machine() -> None:
    lacking = HOST.model_copy(update={"conditions": (Condition.LACKS_MEM_DIRTY_TRACK,)})
    there = Expectation(when=Condition.LACKS_MEM_DIRTY_TRACK, outcome=Outcome.UNSUPPORTED, reason="no tracking")
    known = Expectation(outcome=Outcome.HUNG, reason="it hangs")
    changes = {"expectations": {MOVING.id: known}, "conditional": {MOVING.id: there, STILL.id: there}}
    has = plan().model_copy(update=changes)
    assert [has.expected(cell) for cell in (MOVING, STILL)] == [known, AS_IT_SHOULD]
    assert [has.expected(cell, lacking) for cell in (MOVING, STILL)] == [there, there]
    lacks = has.model_copy(update={"host": lacking})
    assert [lacks.expected(cell) for cell in (MOVING, STILL)] == [there, there]
    assert lacks.expected(MOVING, HOST) == known, "the machine of the trial counts"


def test_controls_and_more_trials_than_planned_do_not_stand_in_for_missing_ones() -> None:
    controls = [record(control="ring-byte"), record(trial=1, control="fresh-start")]
    many = [record(MOVING, trial) for trial in range(5)]
    assert missing_trials(plan(), [*controls, *many]) == {STILL.id: 2}


def convicting(cell: Cell = STILL, trial: int = 0) -> Record:
    return record(cell, trial).model_copy(update={"verdict": Verdict(outcome=Outcome.INCONSISTENT, reason="ahead")})


def test_a_cell_that_its_violation_has_ended_is_complete() -> None:
    asked = plan(rounds=5).model_copy(update={"rate": 0.5})
    moving = [record(MOVING, trial) for trial in range(5)]
    assert missing_trials(asked, [*moving, record(), convicting(trial=1)]) == {}
    assert missing_trials(asked, [*moving, convicting(trial=2)]) == {STILL.id: 2}, (
        "trials before the violation are missing"
    )
    assert missing_trials(asked, [*moving, record()]) == {STILL.id: 4}
    assert missing_trials(plan(rounds=5), [*moving, convicting()]) == {STILL.id: 4}, (
        "without a rate all rounds are planned"
    )


def test_a_violation_ends_no_cell_with_fewer_trials_and_no_other_cell() -> None:
    asked = plan(rounds=5).model_copy(update={"rate": 0.5, "fewer": {STILL.id: 2}})
    assert missing_trials(asked, [convicting()]) == {MOVING.id: 5, STILL.id: 1}


def test_a_trial_that_came_back_twice_does_not_stand_in_for_another() -> None:
    assert missing_trials(plan(), [record(), record(), record(MOVING), record(MOVING, 1)]) == {STILL.id: 1}


def test_a_record_that_does_not_fit_is_taken_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = record(STILL, 0), record(STILL, 1)
    write_plan(tmp_path, plan())
    path, write = append(tmp_path, first), os.write

    def little_room(descriptor: int, line: bytes) -> int:
        if len(line) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, line[: len(line) // 2])

    monkeypatch.setattr(os, "write", little_room)
    with pytest.raises(Unwritable, match=rf"^{path} cannot be written: No space left on device\. Free some space"):
        append(tmp_path, second)
    monkeypatch.undo()
    append(tmp_path, second)
    assert list(read_records(tmp_path)) == [first, second]


@pytest.mark.parametrize("private", [True, False])
def test_a_file_in_a_folder_that_is_gone_cannot_be_written(tmp_path: Path, private: bool) -> None:
    with pytest.raises(Unwritable, match=r"/gone/a cannot be written: No such file or directory$"):
        write_aside(tmp_path / "gone/a", "text", private=private)
