"""Where a trial's script waits, reads and judges, and how it tells what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.host.process import HOST
from harness.model.cells import FreezePolicy, Scenario
from harness.model.commands import Command
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.model.readings import Reading, Skew, SurfaceReading, Witness
from harness.records.record import Record
from reports.words.replay import PROGRAM, conclusion
from reports.words.script import script
from tests.reports.synthetic import MOVING, STILL, cell, record

AT = "/srv/stillframe"
PLAIN = ("start", "freeze", "checkpoint", "capture", "thaw", "restore", "clean-up")
ARGV: dict[str, Sequence[Sequence[str]]] = {
    "start": (
        ("mkdir", "-p", f"{AT}/containers/source-1/report"),
        ("runc", "run", "source-1"),
        ("mv", f"{AT}/containers/source-1/report", f"{AT}/containers/source-1/heard"),
        ("ln", "-s", f"{AT}/containers/source-1/heard", f"{AT}/containers/source-1/report"),
    ),
    "freeze": (("runc", "pause", "source-1"),),
    "checkpoint": (
        ("mkdir", "-p", f"{AT}/checkpoints/checkpoint-2"),
        ("mkdir", "-p", f"{AT}/checkpoints/checkpoint-2/images"),
        ("runc", "checkpoint", "source-1"),
    ),
    "capture": (("cp", "--archive", "a", "b"),),
    "thaw": (("runc", "resume", "source-1"),),
    "read": (("runc", "list"),),
    "stop": (("runc", "kill", "source-1"),),
    "restore": (
        ("mkdir", "-p", f"{AT}/containers/source-1/report"),
        ("mkdir", "-p", f"{AT}/containers/clone-3"),
        ("mkdir", "-p", f"{AT}/containers/clone-3/criu"),
        ("runc", "restore", "clone-3"),
    ),
    "clean-up": (("runc", "delete", "clone-3"),),
}
STARTED = f"started source-1 {AT}/containers/source-1/report"
READ = f"read {AT}/checkpoints/checkpoint-2"


def ran(*stages: str, trial: Record | None = None, **last: object) -> Record:
    """A trial of these stages; `last` is how its last command differs."""
    commands = [
        Command(
            argv=tuple(argv),
            where="debian-sid",
            stage=Stage(stage),
            runtime=argv[0] == "runc",
            exit_code=0,
            start_ns=number,
            seconds=0.02,
        )
        for number, stage in enumerate(stages)
        for argv in ARGV[stage]
    ]
    commands[-1] = commands[-1].model_copy(update=last)
    return (trial or record(STILL)).model_copy(update={"commands": tuple(commands)})


def cues(trial: Record) -> list[str]:
    """What its script asks of the shell, after the cell was named."""
    lines = [line.removeprefix(f"{PROGRAM} ") for line in script(trial) if line.startswith(PROGRAM)]
    assert lines[0] == f"begin {trial.cell.id} {trial.verdict.outcome} {trial.cell.checkpoint.stack}"
    assert lines[-1] == "verdict"
    assert list(script(trial))[-1] == f"{PROGRAM} verdict"
    return lines[1:-1]


def test_a_script_waits_and_reads_where_the_trial_did() -> None:
    assert cues(ran(*PLAIN)) == [
        "ended start $?",
        STARTED,
        "ended freeze $?",
        "ended checkpoint $?",
        READ,
        "ended restore $?",
        "restored clone-3",
    ]


def test_where_nobody_holds_still_the_source_is_seen_running_before_the_capture() -> None:
    found = cues(ran("start", "checkpoint", "capture", "restore", trial=record(MOVING)))
    assert found[2:5] == ["ended checkpoint $?", "runs-again", READ]


def test_what_a_checkpoint_is_read_with_comes_before_the_source_ends() -> None:
    found = cues(ran("start", "checkpoint", "read", "stop", "restore"))
    assert found[3:] == [READ, "stopping", "ended restore $?", "restored clone-3"]


def test_a_pause_of_the_user_is_looked_at_before_it_is_undone() -> None:
    paused = record(STILL.model_copy(update={"scenario": Scenario.PAUSED}))
    found = cues(ran("start", "freeze", "checkpoint", "thaw", "restore", trial=paused))
    assert found[3:6] == ["ended checkpoint $?", "still-paused", READ]


def test_requests_that_overlapped_are_told_of() -> None:
    concurrent = STILL.model_copy(update={"scenario": Scenario.CONCURRENT})
    text = "\n".join(script(ran(*PLAIN, trial=record(concurrent))))
    assert "# Calls overlapped or were given up on." in text
    assert "overlapped" not in "\n".join(script(ran(*PLAIN)))


def test_what_is_restored_in_place_is_the_source() -> None:
    trial = ran("start", "checkpoint", "restore")
    kept = tuple(each for each in trial.commands if not each.argv[-1].startswith(f"{AT}/containers/clone-3"))
    assert cues(trial.model_copy(update={"commands": kept}))[-1] == "restored source-1"


def test_each_generation_is_read() -> None:
    heir = ("ln", "-s", f"{AT}/containers/clone-3/heard", f"{AT}/containers/source-1/report")
    first, second = ran(*PLAIN[:-1]).commands, ran("checkpoint", "restore").commands
    adopted = first[0].model_copy(update={"argv": heir, "stage": Stage.PREPARE})
    found = cues(record(STILL).model_copy(update={"commands": (*first, adopted, *second)}))
    again = f"started clone-3 {AT}/containers/source-1/report"
    assert found[6:] == ["restored clone-3", again, "ended checkpoint $?", READ, "ended restore $?", "restored clone-3"]


@pytest.mark.parametrize("last", ["start", "checkpoint", "thaw"])
def test_a_trial_that_ended_early_is_read_as_far_as_it_came(last: str) -> None:
    stages = ("start", "checkpoint", "thaw")
    found = cues(ran(*stages[: stages.index(last) + 1], "clean-up"))
    assert (READ in found) is (last != "start")
    assert not [each for each in found if each.startswith("restored")]


def test_a_loop_and_a_variable_have_no_exit_code_of_the_runtime() -> None:
    trial = ran("start")
    poll = [
        trial.commands[1].model_copy(update={"argv": ("runc", "state"), "exit_code": code, "start_ns": 7})
        for code in (1, 0)
    ]
    given = trial.commands[1].model_copy(update={"argv": ("podman", "run"), "stdout": "ab" * 32})
    used = trial.commands[1].model_copy(update={"argv": ("podman", "rm", "ab" * 32), "stage": Stage.CLEAN_UP})
    assert cues(trial.model_copy(update={"commands": (*poll, given, used)})) == []


def test_what_hung_is_ended_in_a_replay() -> None:
    hung = ran("start", "checkpoint", exit_code=None, seconds=59.2)
    lines = list(script(hung))
    at = lines.index("timeout 60 runc checkpoint source-1 </dev/null")
    assert lines[at + 1 : at + 3] == ["# not finished, 59.2 s", f"{PROGRAM} ended checkpoint $?"]


def test_names_of_a_record_are_words_for_the_shell() -> None:
    trial = ran("start", "checkpoint")
    changed = [
        each.model_copy(update={"argv": tuple(word.replace("checkpoint-2", "a; reboot\n") for word in each.argv)})
        for each in trial.commands
    ]
    assert f"read '{AT}/checkpoints/a; reboot'" in cues(trial.model_copy(update={"commands": tuple(changed)}))


def test_elsewhere_the_lines_do_nothing() -> None:
    lines = [line for line in script(ran(*PLAIN)) if PROGRAM in line]
    found = HOST.run(["bash", "-e", "-c", "\n".join(lines)])
    assert (found.stdout, found.stderr) == ("", "")


# ---- what came of it


def reading(witness: Witness, newest: int | None) -> tuple[Reading, tuple[Skew, ...]]:
    ticks = None if newest is None else newest - 6_140
    surfaces = (
        SurfaceReading(surface="added", newest=newest, newest_wall_ns=1),
        SurfaceReading(surface="stdout", newest=6_141, newest_wall_ns=None),
    )
    apart = (
        Skew(witness=witness, surface="added", ticks=ticks, microseconds=None if ticks is None else ticks * 100.0),
        Skew(witness=witness, surface="stdout", ticks=1, microseconds=None),
    )
    return Reading(witness=witness, nonce="1", counter=6_140, counter_wall_ns=1, surfaces=surfaces), apart


def told(verdict: Verdict | None, recorded: Outcome, *, log: tuple[str, ...] = ()) -> list[str]:
    return list(conclusion(verdict, [], log, recorded))


def test_memory_and_each_surface_are_told_with_their_distance() -> None:
    verdict = Verdict(outcome=Outcome.INCONSISTENT, reason="disk-ahead: added", anomalies=(Anomaly.DISK_AHEAD,))
    both = [reading(Witness.OFFLINE, 7_540), reading(Witness.RESTORED, None)]
    assert list(conclusion(verdict, both, (), Outcome.INCONSISTENT)) == [
        "Read in the files of the checkpoint:",
        "           tick  disk minus memory",
        "  memory  6,140",
        "  added   7,540  +1,400 ticks, +140 ms",
        "  stdout  6,141  +1 tick",
        "Found by the restored workload:",
        "             tick  disk minus memory",
        "  memory    6,140",
        "  added   nothing",
        "  stdout    6,141  +1 tick",
        "verdict: inconsistent: memory and disk are from different instants",
        "why: disk-ahead: added",
        "recorded: the same",
    ]


def test_a_clean_trial_is_told_in_the_words_of_the_oracle() -> None:
    verdict = Verdict(outcome=Outcome.CONSISTENT, reason="memory and every captured surface are of one instant")
    assert told(verdict, Outcome.CONSISTENT) == [f"verdict: consistent: {verdict.reason}", "recorded: the same"]


def test_a_failure_is_told_with_its_log_and_nothing_twice() -> None:
    verdict = Verdict(outcome=Outcome.RESTORE_FAILED, reason="Error: No mapping")
    found = told(verdict, Outcome.CONSISTENT, log=("Error: No mapping", "Error: \x1b[2Jlast"))
    assert found == [
        "verdict: restore-failed: the checkpoint could not be restored",
        "why: Error: No mapping",
        "log: Error: \ufffd[2Jlast",
        "recorded: consistent: restored, and each captured surface is within one tick of memory",
        "Trials of the same cell can differ where the result depends on timing.",
    ]


def test_without_a_verdict_it_says_what_was_recorded() -> None:
    assert told(None, Outcome.UNSUPPORTED) == [
        "verdict: none. The commands of the recorded trial end before there is something to judge.",
        "recorded: unsupported: a probe proved that this cannot work here",
    ]


def test_it_does_not_claim_to_have_looked_for_what_is_left_behind() -> None:
    verdict = Verdict(outcome=Outcome.CONSISTENT, reason="of one instant")
    assert told(verdict, Outcome.LEAKED)[-1].startswith("This shell does not look for what is left behind")


def test_the_policy_decides_and_not_the_stages() -> None:
    """A freeze around both holds the source still until its thaw, so nobody waits for it to run again."""
    found = cues(ran("start", "freeze", "checkpoint", "capture", "thaw", trial=record(cell(FreezePolicy.PAUSE))))
    assert "runs-again" not in found


def test_what_cleaned_up_after_a_failed_restore_is_not_repeated() -> None:
    trial = ran(*PLAIN[:-1], exit_code=1)
    removal = trial.commands[-1].model_copy(update={"argv": ("runc", "delete", "clone-3"), "exit_code": 1})
    lines = list(script(trial.model_copy(update={"commands": (*trial.commands, removal)})))
    assert "# runc delete clone-3 </dev/null" in lines
    assert not [line for line in lines if line.startswith("runc delete")]
    asked = [line.removeprefix(f"{PROGRAM} ") for line in lines if line.startswith(PROGRAM)]
    assert asked[-3:] == ["ended restore $?", "restored clone-3", "verdict"]
