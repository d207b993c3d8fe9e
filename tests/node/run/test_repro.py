"""Scripts of real trials, run in a fresh node that has neither Python nor Stillframe."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from harness.commands.cli import main
from harness.host import audit
from harness.host.wait import until
from harness.model.commands import Command
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.run import minimise
from harness.run.flags import default_cache
from harness.stacks.node import Node
from harness.workload.definitions import find
from harness.workload.programs import compile_workload
from reports.analysis.reductions import parts
from reports.formats.repro import CHECKPOINT, shell_script
from tests.node.conftest import STACK
from tests.reports.synthetic import MOVING, moving

RED = f"ledger.none.runc@{STACK}"
CELLS = {RED: (0, "reproduced 2/2"), f"ledger.pause.runc@{STACK}": (1, "not reproduced 0/2")}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a cell that must be wrong and of its green neighbour."""
    folder = tmp_path_factory.mktemp("out")
    chosen = [word for cell in CELLS for word in ("--cell", cell)]
    assert main(["run", *chosen, "--rounds", "1", "--proof", "brief", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("cell", CELLS)
def test_a_script_reproduces_what_is_wrong_and_not_what_is_right(
    out: Path, stack_root: Path, tmp_path: Path, cell: str
) -> None:
    assert main(["repro", cell, "--out", str(out), "-o", str(tmp_path / "repro")]) == 0
    program = compile_workload(find("ledger"), default_cache())
    code, told = CELLS[cell]
    with Node(STACK, stack_root, name="repro", share={Node.shared: tmp_path}) as node:
        (tmp_path / "ledger").write_bytes(program.read_bytes())
        (tmp_path / "ledger").chmod(0o755)
        assert node.run(["sh", "-c", "command -v python3"], accept=(0, 127, 1)).stdout == ""
        before = node.run(["find", "/sys/fs/cgroup", "-type", "d"]).stdout
        argv = ["env", f"LEDGER={Node.shared}/ledger", "sh", f"{Node.shared}/repro/repro.sh", "2"]
        said = node.run(argv, accept=range(256), deadline=120)
        assert (said.exit_code, said.stdout.splitlines()[-1]) == (code, told), said.stdout + said.stderr
        assert node.run(["find", "/sys/fs/cgroup", "-type", "d"]).stdout == before


def test_a_script_is_minimised_and_its_checkpoint_kept(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = ("hostname", "runc --leave-running")  # of about forty parts, which take a minute
    monkeypatch.setattr(minimise, "parts", lambda record: [each for each in parts(record) if each.what in tried])
    argv = ["repro", RED, "--minimise", "--rounds", "1", "--out", str(out), "-o", str(tmp_path / "repro")]
    assert main(argv) == 0
    told = (tmp_path / "repro/README.md").read_text(encoding="utf-8")
    assert "\n- settings that do not matter: hostname\n" in told
    assert "\n- options that it needs: runc --leave-running\n" in told
    assert "- runc: package runc " in told
    packed = zstandard.ZstdDecompressor().stream_reader((tmp_path / "repro/bundle.tar.zst").read_bytes()).read()
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as bundle,
        tarfile.open(fileobj=bundle.extractfile(CHECKPOINT)) as kept,
    ):
        names = {Path(name).name for name in kept.getnames()}
    assert {"inventory.img", "pages-1.img", "added.ring"} <= names


def test_a_script_is_played_with_a_build(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrapper = tmp_path / "runc"
    refusing = 'case "$*" in *checkpoint*) echo no, thank you >&2; exit 9 ;; esac'
    wrapper.write_text(f'#!/bin/sh\n{refusing}\nexec runc.distrib "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    build = ["--with", f"runc={wrapper}", "--as", "refusing"]
    argv = ["repro", RED, "--play", "--rounds", "1", "--out", str(out), "-o", str(tmp_path / "repro"), *build]
    assert main(argv) == 3
    said = capsys.readouterr().err
    assert "Played with runc of sha256 " in said
    assert "checkpoint-failed: a command of the runtime ended with code 9" in said


@pytest.fixture
def hanging(stack_root: Path, tmp_path: Path) -> Iterator[Node]:
    """A node with the script of a trial whose first command never ends."""
    endless = Command(where=STACK, stage=Stage.START, argv=("sleep", "600"), start_ns=0, seconds=0, exit_code=0)
    trial = moving(MOVING).model_copy(update={"commands": (endless,), "components": {}})
    (tmp_path / "repro.sh").write_text(shell_script(trial, {}, [], {}), encoding="utf-8")
    with Node(STACK, stack_root, name="repro", share={Node.shared: tmp_path}) as node:
        yield node


def left(node: Node) -> list[str]:
    groups = node.run(["find", "/sys/fs/cgroup", "-name", "repro-*"]).stdout.split()
    files = node.run(["find", "/tmp", "-mindepth", "1"]).stdout.split()
    return [*groups, *files, *(each for each in audit.processes_of(node.pid) if "sleep" in each)]


def test_a_round_that_does_not_end_is_given_up(hanging: Node) -> None:
    argv = ["env", "LEDGER=/bin/true", "ROUND_SECONDS=2", "sh", f"{Node.shared}/repro.sh", "1"]
    said = hanging.run(argv, accept=(2,), deadline=60)
    assert said.stdout == "round 1: void: the round did not end within 2 s\n"
    assert "This cannot run here: no round came to a result" in said.stderr
    assert not left(hanging)


@pytest.mark.parametrize("sent", ["INT", "TERM", "HUP", "KILL"])
def test_a_script_that_is_ended_leaves_nothing(hanging: Node, sent: str) -> None:
    began = (
        f"env --default-signal=INT LEDGER=/bin/true sh {Node.shared}/repro.sh 1 </dev/null >/dev/null 2>&1 & echo $!"
    )
    pid = hanging.run(["sh", "-c", began]).stdout.strip()
    until(lambda: any("sleep" in each for each in left(hanging)), seconds=20, what="the trial")
    hanging.run(["kill", f"-{sent}", pid])
    until(lambda: not left(hanging), seconds=20, what="the end of all that it made")


def test_the_scripts_own_process_is_not_what_a_trial_left(stack_root: Path, tmp_path: Path) -> None:
    verdict = Verdict(outcome=Outcome.LEAKED, reason="left behind: process 12 sleep")
    ends = Command(where=STACK, stage=Stage.START, argv=("true",), start_ns=0, seconds=0, exit_code=0)
    left_behind = {"verdict": verdict, "leaks": ("process 12 sleep",), "commands": (ends,), "components": {}}
    trial = moving(MOVING).model_copy(update=left_behind)
    (tmp_path / "repro.sh").write_text(shell_script(trial, {}, [], {}), encoding="utf-8")
    with Node(STACK, stack_root, name="repro", share={Node.shared: tmp_path}) as node:
        said = node.run(["env", "LEDGER=/bin/true", "sh", f"{Node.shared}/repro.sh", "1"], accept=(1,), deadline=60)
    assert said.stdout.splitlines()[-1] == "not reproduced 0/1"
