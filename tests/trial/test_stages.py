from __future__ import annotations

import time

import pytest

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, Lost, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.trial.stages import Stages

BLAMED = {
    Stage.START: Outcome.CHECKPOINT_FAILED,
    Stage.FREEZE: Outcome.CHECKPOINT_FAILED,
    Stage.CHECKPOINT: Outcome.CHECKPOINT_FAILED,
    Stage.CAPTURE: Outcome.CHECKPOINT_FAILED,
    Stage.THAW: Outcome.SOURCE_HARMED,
    Stage.RESTORE: Outcome.RESTORE_FAILED,
    Stage.STOP: Outcome.SOURCE_HARMED,
    Stage.CLEAN_UP: Outcome.LEAKED,
}


def failure_at(stage: Stage, error: Exception) -> StageFailed:
    with pytest.raises(StageFailed) as raised, Stages().at(stage):
        raise error
    assert raised.value.__cause__ is error
    return raised.value


@pytest.mark.parametrize("stage", list(Stage))
def test_a_failed_command_is_blamed_on_whoever_the_stage_belongs_to(stage: Stage) -> None:
    failure = failure_at(stage, CommandFailed("runc ended with code 1", runtime=True))
    assert (failure.stage, failure.outcome) == (stage, BLAMED.get(stage, Outcome.HARNESS_ERROR))
    assert failure.reason == "runc ended with code 1"


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("error", [CommandFailed("mkdir failed"), DeadlineExceeded("cp is late", ours=True)])
def test_a_command_of_the_harness_is_never_blamed_on_a_runtime(stage: Stage, error: Exception) -> None:
    assert failure_at(stage, error).outcome is Outcome.HARNESS_ERROR


@pytest.mark.parametrize("stage", list(Stage))
def test_lateness_is_a_hang_only_where_somebody_is_under_test(stage: Stage) -> None:
    failure = failure_at(stage, DeadlineExceeded("runc did not end within 60 s"))
    assert (failure.stage, failure.outcome) == (stage, Outcome.HUNG if stage in BLAMED else Outcome.HARNESS_ERROR)
    assert failure.reason == "runc did not end within 60 s"


@pytest.mark.parametrize("stage", list(Stage))
def test_whoever_is_gone_has_failed_and_does_not_hang(stage: Stage) -> None:
    failure = failure_at(stage, Lost("a tick cannot come: it has no process"))
    assert failure.outcome is BLAMED.get(stage, Outcome.HARNESS_ERROR)


def test_the_reason_is_the_first_telling_line_of_the_log_behind_the_command() -> None:
    error = CommandFailed("runc ended with code 1", stderr="criu failed: type NOTIFY")
    error.log = ("(00.1) Error (criu): the cause", "(00.2) Error (criu): the end")
    failure = failure_at(Stage.CHECKPOINT, error)
    assert (failure.reason, failure.log) == (error.log[0], error.log)


def test_without_such_a_log_the_end_of_stderr_is_kept() -> None:
    lines = [f"line {number}" for number in range(50)]
    failure = failure_at(Stage.RESTORE, CommandFailed("it failed", stderr="\n".join(lines)))
    assert failure.log == tuple(lines[30:])


def test_what_breaks_in_the_harness_leaves_as_it_is() -> None:
    stages = Stages()
    with pytest.raises(ZeroDivisionError), stages.at(Stage.CHECKPOINT):
        raise ZeroDivisionError
    assert [span.name for span in stages.timeline] == ["checkpoint"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), EnvironmentUnfit("dockerd has ended with code 1")])
def test_the_stage_in_which_something_else_broke_is_known_the_innermost_of_several(error: Exception) -> None:
    stages = Stages()
    with pytest.raises(type(error)), stages.at(Stage.THAW), stages.at(Stage.CAPTURE):
        raise error
    assert stages.failed_at is Stage.CAPTURE


def test_a_failed_command_is_no_such_thing() -> None:
    stages = Stages()
    with pytest.raises(StageFailed), stages.at(Stage.CAPTURE):
        raise CommandFailed("no", runtime=True)
    assert stages.failed_at is None


def test_a_stage_within_another_keeps_its_own_verdict() -> None:
    stages = Stages()
    with pytest.raises(StageFailed) as raised, stages.at(Stage.READ), stages.at(Stage.RESTORE):
        raise CommandFailed("no", runtime=True)
    assert (raised.value.stage, raised.value.outcome) == (Stage.RESTORE, Outcome.RESTORE_FAILED)


def test_every_stage_has_a_span_also_one_that_failed() -> None:
    stages, before = Stages(), time.time_ns()
    with stages.at(Stage.FREEZE):
        pass
    with pytest.raises(StageFailed), stages.at(Stage.CHECKPOINT):
        raise CommandFailed("no", runtime=True)
    stages.span("running again", 5, 5)
    assert [span.name for span in stages.timeline] == ["freeze", "checkpoint", "running again"]
    freeze, checkpoint, instant = stages.timeline
    assert before <= freeze.start_ns <= freeze.end_ns <= checkpoint.start_ns <= checkpoint.end_ns
    assert (instant.start_ns, instant.end_ns) == (5, 5)


def test_commands_are_attributed_to_the_stage_they_run_in() -> None:
    stages = Stages()
    seen = [stages.journal.stage]
    with stages.at(Stage.CHECKPOINT):
        seen.append(stages.journal.stage)
        with stages.at(Stage.CAPTURE):
            seen.append(stages.journal.stage)
        seen.append(stages.journal.stage)
    seen.append(stages.journal.stage)
    assert seen == [Stage.PREPARE, Stage.CHECKPOINT, Stage.CAPTURE, Stage.CHECKPOINT, Stage.PREPARE]
