from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.model.errors import UsageError
from harness.model.outcomes import Outcome
from reports.terminal.show import show_cell
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, cell, moving, plan, poisoned, record, store


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    trials = [record(STILL, 0), moving(STILL, 1, 10), moving(STILL, 2, -30), moving(MOVING)]
    return store(tmp_path, plan((MOVING, STILL, cell(runtime="crun")), 3), trials)


def test_all_trials_and_the_commands_of_the_worst(run_folder: Path) -> None:
    text = show_cell(run_folder, STILL.id)
    assert "# trial 0: consistent 0 µs: a trial that was consistent\n" in text
    assert "# trial 2: inconsistent disk-ahead -450 µs: rootfs is ahead\n" in text
    assert "# commands of trial 2" in text


def test_the_commands_are_a_script(run_folder: Path) -> None:
    text = show_cell(run_folder, STILL.id, 0)
    assert "# commands of trial 0" in text
    assert "\n# start, in debian-sid\n(cd /bundle && runc run --detach one </dev/null)\n# exit 0, 43 ms\n" in text
    assert "install -D -m 644 /dev/stdin /bundle/config.json <<'END'\n{\n" in text
    assert "runc checkpoint --leave-running --image-path '/out/it'\"'\"'s' one </dev/null\n" in text
    assert "# exit 1, 43 ms\n# stderr: no container of that name\n" in text


def test_a_cell_that_did_not_come_back_is_told(run_folder: Path) -> None:
    assert "missing 3 of 3" in show_cell(run_folder, cell(runtime="crun").id)


@pytest.mark.parametrize(("name", "trial"), [("ledger.pause.runc@debian-sidd", None), (STILL.id, 7)])
def test_unknown_names_are_refused_with_valid_ones(run_folder: Path, name: str, trial: int | None) -> None:
    with pytest.raises(UsageError, match=r"Valid: |Nearest: "):
        show_cell(run_folder, name, trial)


def test_no_text_of_a_record_becomes_a_command(tmp_path: Path) -> None:
    trial = record(STILL, outcome=Outcome.LEAKED, reason="x\nreboot")
    source = {"timeline": (), "commands": tuple(poisoned(each, "\nreboot\n") for each in trial.commands[1:])}
    trial = trial.model_copy(update={**source, "log": ("x\nreboot",), "leaks": ("x\nreboot",)})
    text = show_cell(store(tmp_path, plan([STILL], 1), [trial]), STILL.id)
    assert "reboot" in text
    assert "reboot" not in shlex.split(text, comments=True)


def test_what_the_node_and_the_runtime_said_are_comments(tmp_path: Path) -> None:
    trial = record(STILL).model_copy(update={"accommodations": engines.WORKAROUNDS, "warnings": ("x\nreboot",)})
    health = trial.source.model_copy(update={"stops": False})
    known = plan([STILL], 1).model_copy(update={"expectations": {STILL.id: engines.AHEAD}})
    text = show_cell(store(tmp_path, known, [trial.model_copy(update={"source": health})]), STILL.id)
    assert f"# {STILL.id}: consistent 0/1 (<95.0 %) (unexpected)\n" in text
    assert f"# known issue: {engines.AHEAD.link}\n" in text
    assert "# workaround no-resources: lacking controllers in the node's cgroup hierarchy" in text
    assert "a trial that was consistent (warnings: 1)\n" in text
    assert "# warning, although the runtime reported success: x reboot\n" in text
    assert "# source: does not stop when asked\n" in text
    assert "reboot" not in shlex.split(text, comments=True)


def test_a_script_with_a_daemon_can_be_run(tmp_path: Path) -> None:
    docker = next(each for each in engines.records() if each.cell.checkpoint.runtime == "docker/runc")
    promised = plan([docker.cell], 1)
    text = show_cell(store(tmp_path, promised, [docker]), docker.cell.id)
    assert (
        "\ndockerd --config-file /etc/docker/daemon.json </dev/null >/var/log/dockerd.log 2>&1 &\nuntil curl " in text
    )
    HOST.run(["bash", "-n"], stdin=text.encode())
