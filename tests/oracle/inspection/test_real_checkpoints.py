"""What is said of checkpoints that real engines made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.checkpoints.needs import needs
from harness.checkpoints.translation.bridges import Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.commands.cli import main
from tests.oracle.inspection.answers import absent, distances, only
from tests.real_checkpoints import NAMES, compressed

ANSWERS: dict[str, tuple[str, list[dict[str, int | None]], set[str]]] = {
    "containerd-runc-deleted-file": ("consistent", [{"added": 0, "deleted": 0}], set()),
    "containerd-runc-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "crio-runc-image-file": ("inconsistent", [{"image": None}], set()),
    "crio-runc-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "ledger-2": ("consistent", [{"added": 0, "tmpfs": 0, "named": 0, "deleted": 0}], set()),
    "podman-image-docker": ("inconsistent", [{"added": 608, "tmpfs": 0}], set()),
    "still-added-only": ("consistent", [{"added": 0}], set()),
    "still-addshm": ("consistent", [{"added": 0, "shm": 0}], set()),
    "still-ledger": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
    "still-mixed": ("consistent", [{"added": 0, "tmpfs": 0, "image": 0}], set()),
    "still-tmpfs-only": ("consistent", [{"tmpfs": 0}], set()),
    "still-vol": ("consistent", [{"added": 0, "named": 0, "anonymous": 0}], set()),
    "still-vol-ignored": ("incomplete", [{"added": -1}], {"named", "anonymous"}),
    "still-voldata": ("consistent", [{"added": 0, "tmpfs": 0}], set()),
}
"""Finding, distance of each surface from memory in ticks by workload, and surfaces outside the checkpoint."""
EXIT = {"consistent": 0, "inconsistent": 1, "incomplete": 3, "nothing-to-compare": 3}


def test_of_each_that_is_kept_the_answer_is_known() -> None:
    assert tuple(ANSWERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_real_checkpoint_is_answered_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    finding, apart, lacking = ANSWERS[name]
    found = only(compressed(name))
    assert (found.finding, distances(found), absent(found)) == (finding, apart, lacking)
    assert main(["inspect", str(compressed(name))]) == EXIT[finding]
    told = " ".join(capsys.readouterr().out.split())
    assert f"verdict: {finding}" in told
    assert all(f"{surface} is not in this checkpoint" in told for surface in lacking)
    assert [(task.pid, task.name, task.threads) for task in found.tasks] == [(1, "ledger", 1)]
    teller = "its own description" if name == "ledger-2" else "its arguments"
    assert [each.told_by for each in found.workloads] == [teller]


@pytest.mark.parametrize("name", NAMES)
def test_all_commands_find_the_same_checkpoint(name: str, tmp_path: Path) -> None:
    assert needs(compressed(name)).architecture == "x86_64"
    done = translate(compressed(name), tmp_path / "out.tar", Order(runtime=Runtime.RUNC))
    assert done.was.startswith("an archive ")
    assert distances(only(tmp_path / "out.tar")) == distances(only(compressed(name)))


def test_a_bound_that_is_too_low_says_how_to_raise_it(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(compressed("still-ledger"))
    assert main(["inspect", path, "--max-bytes", "64K"]) == 2
    told = capsys.readouterr().err
    assert "65,536 bytes, which is the limit. If you trust it and it really is that large, raise --max-" in told
    assert main(["inspect", path, "--max-bytes", "1M"]) == 0
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", path, "--max-bytes", "many"])


def test_json_holds_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json", str(compressed("still-vol-ignored"))]) == 3
    said = json.loads(capsys.readouterr().out)
    (checkpoint,) = said["checkpoints"]
    assert (said["finding"], checkpoint["finding"], checkpoint["layout"]) == ("incomplete", "incomplete", "archive")
    assert [each["told_by"] for each in checkpoint["workloads"]] == ["its arguments"]
