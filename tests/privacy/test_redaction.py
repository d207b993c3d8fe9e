"""Redaction of the names of a machine and its users, and the fields of a record that may hold them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.cells import Cell, Participant
from harness.model.commands import Command
from harness.model.expectations import Expectation
from harness.model.machine import Accommodation, HostFacts
from harness.model.outcomes import Outcome, Prediction, Stage, Verdict
from harness.privacy.patterns import SECRET
from harness.privacy.redaction import CODE, FORMS, HOME, HOST, MACHINE, USER, Redaction
from harness.records.plan import Closing
from harness.records.record import Record
from tests.reports.synthetic import STILL, plan, poisoned, record

MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"
NAMES = {HOST: ("Buildbox7.corp.example", "Buildbox7"), USER: ("ada", "root"), MACHINE: (MACHINE_ID,)}
FOLDERS = {"/home/ada": HOME, "/root": HOME, "/home/ada/src/frames": CODE}
KNOWING = Redaction.knowing(NAMES, FOLDERS)

TEXTS = {
    "no room for the stack x: 3 MiB free in /home/ada/.cache, 4 needed": (
        "no room for the stack x: 3 MiB free in ~/.cache, 4 needed"
    ),
    "lowerdir=/root/a:/root,upperdir=/home/ada": "lowerdir=~/a:~,upperdir=~",
    '  File "/home/ada/src/frames/harness/trial.py", line 7': '  File "[stillframe]/harness/trial.py", line 7',
    "/home/grace/x and '/home/alan'": "~/x and '~'",
    "ada@buildbox7:/srv, BUILDBOX7.corp.example. Then": "[user]@[host]:/srv, [host]. Then",
    "(00.1) Running on Buildbox7.other.example Linux 6.12.9 #1 SMP": "(00.1) Running on [host] Linux 6.12.9 #1 SMP",
    "uid=1000(ada) /tmp/stillframe-ada/x ada_x": "uid=1000([user]) /tmp/stillframe-[user]/x ada_x",
    "/var/home/grace/x": "/var/home/[user]/x",
    f"machine {MACHINE_ID}": "machine [machine]",
    "https://ada:hunter2@buildbox7/home/ada": "https://[secret]@[host]/home/[user]",
}
KEPT = (
    "adagio, nomada, ada2, buildbox77, xbuildbox7",
    "/proc/41/root/srv/stillframe/containers/source-2/rootfs",
    "/home/",
    "/rootfs /root.txt /x/root",
    "root, cgroup-root=pids:/ and --root /run/runc",
)


@pytest.mark.parametrize(("told", "left"), TEXTS.items())
def test_a_name_is_taken_out_and_a_word_stands_for_it(told: str, left: str) -> None:
    assert KNOWING.text(told) == left
    assert KNOWING.text(left) == left


@pytest.mark.parametrize("told", KEPT)
def test_what_only_looks_like_one_stays(told: str) -> None:
    assert KNOWING.text(told) == told


@pytest.mark.parametrize(
    "name", ["debian", "localhost", "root", "runner", "max", "vm", "ci", "memory", "ahead", "7", "1000", "Host", ""]
)
def test_an_ordinary_word_names_nobody(name: str) -> None:
    told = f"{name}: {name} disk-ahead on debian-sid, max of memory, root@localhost"
    assert Redaction.knowing({HOST: (name,), USER: (name,)}, {"/home/x": HOME}).text(told) == told


def test_whoever_is_called_by_a_word_of_an_id_keeps_that_name_but_not_the_home() -> None:
    spared = Redaction.knowing({USER: ("ledger", "ada")}, {"/home/ledger": HOME}, spared={"ledger", "Pause"})
    assert spared.text("ledger.pause, ada, /home/ledger/x") == "ledger.pause, [user], ~/x"


@pytest.mark.parametrize("folder", ["/", "", "/var", "/nonexistent"])
def test_a_folder_that_is_nobodys_home_is_left_alone(folder: str) -> None:
    told = "/var/run and /"
    assert Redaction.knowing({}, {folder: HOME}).text(told) == told


def command(**values: Any) -> Command:
    return Command(**({"where": "debian-sid", "stage": Stage.READ, "start_ns": 1, "seconds": 0.02} | values))


def test_what_is_pasted_into_a_node_means_the_home_of_its_superuser() -> None:
    spelled = {"argv": ("ls", "/root/x", "/home/ada/x"), "cwd": "/root", "write_path": "/root/f", "write_text": "/root"}
    inside = KNOWING.of(command(**spelled, stdout="/root/x", stderr="ada"))
    assert (inside.argv, inside.cwd) == (("ls", "/root/x", "~/x"), "/root")
    assert (inside.write_path, inside.write_text) == ("/root/f", "/root")
    assert (inside.stdout, inside.stderr) == ("~/x", "[user]")
    outside = KNOWING.of(command(**spelled, where="host"))
    assert (outside.argv, outside.cwd) == (("ls", "~/x", "~/x"), "~")
    assert (outside.write_path, outside.write_text) == ("~/f", "~")


def test_the_words_of_a_command_are_told_from_each_other() -> None:
    told = command(argv=("podman", "login", "--password", "hunter2", "-e", "A=ada", "buildbox7"))
    assert KNOWING.of(told).argv == ("podman", "login", "--password", SECRET, "-e", "A=[value of A]", HOST)


def test_what_must_go_may_go_over_several_lines_of_a_log() -> None:
    log = ("it said", '"env": [', ' "A=hunter2",\n "B=x"', "]", "-----BEGIN PRIVATE KEY-----", "hunter2", "the end")
    found = KNOWING.of(record(STILL).model_copy(update={"log": log}))
    assert found.log == ("it said", '"env": [', ' "A=[value of A]",\n "B=[value of B]"', "]", SECRET, "", "")


def test_what_has_nothing_to_take_out_is_the_same_value() -> None:
    for value in (record(STILL), plan([STILL]), Closing(run="r", end_ns=1, leaks=())):
        assert KNOWING.of(value) is value
        assert FORMS.of(value) is value


def machined() -> Record:
    """A record with the machine's names in each field that may hold them."""
    told = "Buildbox7 ada /home/ada/.cache/x /root/.cache " + MACHINE_ID
    spoken = {"stdout": told, "stderr": told, "write_text": told, "write_path": "/home/ada/f", "cwd": "/home/ada"}
    return record(STILL).model_copy(
        update={
            "verdict": Verdict(outcome=Outcome.HARNESS_ERROR, stage=Stage.PREPARE, reason=told),
            "host": HostFacts(kernel="6.1-Buildbox7", architecture="x", cgroups="v2", cpus=1, memory_gib=1, os=told),
            "commands": (command(argv=("cp", told, "--x=/home/ada"), **spoken),),
            "accommodations": (Accommodation(name="x", lacking=told, change=told),),
            "prediction": Prediction(answer="no", reasons=(told, told)),
            **dict.fromkeys(("warnings", "changes", "leaks", "log"), (told, told)),
        }
    )


def test_a_record_carries_no_name_of_the_machine_that_made_it() -> None:
    text = KNOWING.of(machined()).model_dump_json()
    assert [each for each in ("uildbox7", "ada", "/home", MACHINE_ID) if each in text] == []
    assert "/root" in text, "the node's own /root stays"
    assert "/root" not in KNOWING.of(machined().model_copy(update={"commands": ()})).model_dump_json()
    kept = FORMS.of(machined()).model_dump_json()
    assert [each for each in ("Buildbox7", "ada", "/home/ada", MACHINE_ID) if each not in kept] == []


def test_ids_stacks_and_versions_stay_whatever_a_machine_is_called() -> None:
    side = Participant(runtime="ada", stack="buildbox7")
    cell = Cell(workload="ada", policy=STILL.policy, checkpoint=side, restore=side)
    told = record(cell, control="ada")
    known = {cell.id: Expectation(outcome="hung", reason="ada")}
    promised = plan([cell]).model_copy(update={"expectations": known, "conditional": known})
    assert KNOWING.of(promised) == promised
    found = KNOWING.of(told)
    assert (found.cell, found.control, found.components) == (told.cell, told.control, told.components)
    assert [each.where for each in found.commands] == ["buildbox7"] * len(told.commands)


@pytest.mark.parametrize("poison", ["https://ada:hunter2@x/ ", "PASSWORD=hunter2 ", "--password hunter2 "])
def test_a_secret_is_taken_out_of_any_text_however_deep(poison: str) -> None:
    for value in (machined(), plan([STILL]), Closing(run="r", end_ns=1, leaks=("x",))):
        assert "hunter2" in poisoned(value, poison).model_dump_json()
        assert "hunter2" not in FORMS.of(poisoned(value, poison)).model_dump_json()


def test_other_values_stay() -> None:
    due = Expectation(outcome=Outcome.HUNG, rate=(0.1, 0.2), review=dt.date(2027, 1, 1), reason="ada", signature="ada")
    found = KNOWING.of(due)
    assert found == due.model_copy(update={"reason": USER, "signature": USER})


PARTS = st.sampled_from([*TEXTS, *KEPT, "ada", "Buildbox7", "/home/", "/root", "~", ".", "/", "@", "://", "=", " "])


@given(st.lists(PARTS | st.text(max_size=5), max_size=8).map("".join))
def test_the_second_time_nothing_is_left_to_take_out(text: str) -> None:
    assert KNOWING.text(KNOWING.text(text)) == KNOWING.text(text)


@given(st.lists(PARTS | st.text(max_size=5), max_size=4))
def test_the_same_holds_of_a_record(texts: list[str]) -> None:
    words = tuple(texts)
    told = record(STILL).model_copy(update={"log": words, "commands": (command(argv=words),)})
    once = KNOWING.of(told)
    assert KNOWING.of(once) == once
    assert (len(once.log), len(once.commands[0].argv)) == (len(words), len(words))
