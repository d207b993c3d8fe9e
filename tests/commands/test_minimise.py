"""What `repro --minimise` leaves out of a trial, and how it decides."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Generator

import pytest

from harness.model.commands import Command
from harness.model.errors import EnvironmentUnfit
from harness.model.outcomes import Stage
from harness.records.record import Record
from harness.run.minimise import Minimiser, Player, has_memory, reason_of
from reports.analysis.reductions import Part, parts
from tests.reports.synthetic import MOVING, moving

WORKLOAD = ("/ledger", "--period-us", "100", "--report", "/report", "--surface", "a=/a.ring", "--surface", "b=/b.ring")
SPECIFICATION = {
    "ociVersion": "1.2.0",
    "process": {"args": list(WORKLOAD), "cwd": "/", "rlimits": []},
    "mounts": [{"destination": "/proc"}, {"destination": "/report"}],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "uts"}], "maskedPaths": ["/sys/firmware"], "cgroupsPath": "/c"},
}


def command(number: int, *argv: str, stage: Stage = Stage.START, runtime: bool = True, text: str = "") -> Command:
    wrote = {"write_path": "/made", "write_text": text} if text else {}
    given = {"argv": argv, "stage": stage, "runtime": runtime, "start_ns": number, "seconds": 0.0}
    return Command.model_validate({"where": "debian-sid", **given, **wrote})


def trial(*commands: Command) -> Record:
    return moving(MOVING).model_copy(update={"commands": commands})


def part(record: Record, kind: str, what: str) -> Part:
    (found,) = (each for each in parts(record) if (each.kind, each.what) == (kind, what))
    return found


FORMS = (
    command(1, "podman", "run", "--detach", "--tmpfs", "/b", "image", *WORKLOAD),
    command(2, "curl", "-d", json.dumps({"Cmd": list(WORKLOAD), "HostConfig": {"Mounts": [{"Target": "/b"}]}})),
    command(3, text=json.dumps(SPECIFICATION, indent=1) + "\n"),
    command(4, text=f"cd /\nexec {' '.join(WORKLOAD)} <&-\n"),
)


@pytest.mark.parametrize("form", FORMS, ids=("words", "a call", "a specification", "a script"))
def test_a_surface_and_the_period_are_found_in_every_form(form: Command) -> None:
    record = trial(form)
    shorter = part(record, "surface", "b=/b.ring").without(record)
    longer = part(record, "period", "100 µs (1000 µs instead)").without(shorter)
    text = longer.model_dump_json(include={"commands"})
    assert "b=/b.ring" not in text
    assert "a=/a.ring" in text
    assert "1000" in text
    assert len(longer.commands) == 1


def test_a_specification_loses_one_member_at_a_time_and_keeps_where_the_workload_reports() -> None:
    record = trial(FORMS[2])
    found = {(each.kind, each.what) for each in parts(record)}
    assert found == {
        *(("surface", each) for each in ("a=/a.ring", "b=/b.ring")),
        ("mount", "/proc"),
        *(("setting", each) for each in ("process.rlimits", "linux.maskedPaths", "pid namespace", "uts namespace")),
        ("period", "100 µs (1000 µs instead)"),
    }
    for kind, what in found - {("period", "100 µs (1000 µs instead)")}:
        record = part(trial(FORMS[2]), kind, what).without(record)
    (left,) = record.commands
    assert json.loads(left.write_text or "") == {
        "ociVersion": "1.2.0",
        "process": {"args": list(WORKLOAD[:5]), "cwd": "/"},
        "mounts": [{"destination": "/report"}],
        "linux": {"namespaces": [], "cgroupsPath": "/c"},
    }


@pytest.mark.parametrize(
    ("option", "left"),
    [
        ("--detach", ("podman", "run", "--tmpfs", "/b", "--log=x", "image", *WORKLOAD)),
        ("--tmpfs", ("podman", "run", "--detach", "--log=x", "image", *WORKLOAD)),
        ("--log", ("podman", "run", "--detach", "--tmpfs", "/b", "image", *WORKLOAD)),
    ],
)
def test_an_option_goes_with_its_value(option: str, left: tuple[str, ...]) -> None:
    record = trial(command(1, "podman", "run", "--detach", "--tmpfs", "/b", "--log=x", "image", *WORKLOAD))
    assert part(record, "option", f"podman {option}").without(record).commands[0].argv == left
    assert not [each for each in parts(record) if each.what == "podman --surface"]


def test_the_last_word_is_no_value() -> None:
    record = trial(command(1, "runc", "delete", "--force", "one"))
    assert part(record, "option", "runc --force").without(record).commands[0].argv == ("runc", "delete", "one")


def test_a_trial_needs_its_own_steps() -> None:
    around = command(2, "runc", "--version", stage=Stage.PREPARE, runtime=False)
    record = trial(command(1, "runc", "run", "one"), around, command(3, "tar", "-c", stage=Stage.PREPARE))
    (step,) = [each for each in parts(record) if each.kind == "step"]
    assert [each.start_ns for each in step.without(record).commands] == [1, 3]


@pytest.mark.parametrize("damage", [{"mounts": [{}]}, {"mounts": 1}, {"process": []}, {"linux": {"namespaces": [[]]}}])
def test_a_specification_of_another_form_has_no_parts(damage: dict[str, object]) -> None:
    record = trial(command(1, text=json.dumps({**SPECIFICATION, **damage})))
    assert {each.kind for each in parts(record)} <= {"surface", "period"}


def test_a_document_that_is_too_deep_has_no_parts() -> None:
    deep = '{"ociVersion": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert parts(trial(command(1, text=deep))) == []


class Played(Player):
    """Says that a failure shows as long as the trial has what it needs."""

    def __init__(self, *needed: str, says: str = "inconsistent disk-ahead: a is ahead;") -> None:
        self.needed, self.says, self.played, self.checkpoint = needed, says, 0, b""

    def rounds(self, script: str) -> Generator[str]:
        while True:
            self.played += 1
            yield self.says if all(each in script for each in self.needed) else "void: the container does not start"


def minimiser(player: Player, record: Record, symptom: str = "disk-ahead", rate: float = 0.5) -> Minimiser:
    def write(trial: Record) -> str:
        return trial.model_dump_json(include={"commands"})

    return Minimiser(record, write, player, symptom, lambda _: None, 3, rate)


def test_what_the_failure_needs_stays_and_nothing_else() -> None:
    record = trial(FORMS[2], command(5, "runc", "run", "--detach", "--debug", "one"))
    found = minimiser(Played("b=/b.ring", "uts", "--detach"), record)
    found.see_that_it_shows()
    found.minimise()
    assert {each.what for each in found.needed} == {"b=/b.ring", "uts namespace", "runc --detach"}
    assert len(found.unneeded) + len(found.needed) == len(parts(record))
    text = found.write(found.record)
    assert all(each not in text for each in ("a=/a.ring", "/proc", "rlimits", "maskedPaths", '\\"pid\\"', "--debug"))
    notes = list(found.notes())
    assert notes[0] == "Parts of the trial were left out as long as disk-ahead showed in 2 of 3 rounds or more."
    assert "options that do not matter: runc --debug" in notes
    assert "options that it needs: runc --detach" in notes


def test_another_reason_for_a_failure_is_another_failure() -> None:
    class Other(Played):
        def rounds(self, script: str) -> Generator[str]:
            while True:
                why = "Error (criu/mem.c:12): no page" if "--detach" in script else "unknown option"
                yield f"restore-failed: a command of the runtime ended with code 1: {why}"

    record = trial(command(5, "runc", "run", "--detach", "--debug", "one"))
    found = minimiser(Other(), record, "restore-failed")
    found.see_that_it_shows()
    found.minimise()
    assert [each.what for each in found.needed] == ["runc --detach"]
    assert reason_of("x-failed: Error (criu/a.c:12): 0x1f") == reason_of("x-failed: Error (criu/a.c:7): 0x2a")


def tar_of(*names: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(f"checkpoints/one/{name}")
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    return packed.getvalue()


def test_where_the_checkpoint_lies_is_needed_as_long_as_it_had_memory() -> None:
    class Elsewhere(Played):
        def rounds(self, script: str) -> Generator[str]:
            while True:
                self.checkpoint = tar_of("images/inventory.img" if "--image-path" in script else "upper/added.ring")
                yield self.says

    record = trial(command(5, "runc", "checkpoint", "--image-path", "/images", "--debug", "one"))
    found = minimiser(Elsewhere(), record)
    found.see_that_it_shows()
    found.minimise()
    assert [each.what for each in found.needed] == ["runc --image-path"]
    assert has_memory(found.checkpoint())
    assert not has_memory(b"")
    assert not has_memory(b"no tar")


def test_a_failure_that_is_too_rare_here_is_told_with_what_came_instead() -> None:
    player = Played("nowhere")
    with pytest.raises(EnvironmentUnfit, match=r"disk-ahead is too rare here for --rate 0\.5: void: the container"):
        minimiser(player, trial(FORMS[2])).see_that_it_shows()
    assert player.played == 3


def test_a_round_is_not_played_when_the_others_have_decided() -> None:
    player = Played()
    found = minimiser(player, trial(command(5, "runc", "run", "--detach", "one")), rate=1 / 3)
    found.see_that_it_shows()
    found.minimise()
    assert player.played == 3 + 1
