"""Freeze policies on a container whose freezers are files, and on a container that refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness.stacks.node
from harness.host.process import HOST
from harness.model.cells import CgroupVersion, FreezePolicy
from harness.model.errors import StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.runtimes import criu_configuration
from harness.trial import checkpoint, freeze
from harness.trial.freeze import POLICIES
from tests.trial.machine import TARGET, Machine


@pytest.fixture(params=list(CgroupVersion))
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


RUNNING = {"paused": False, "frozen": False, "hooked": False}
HELD = {
    FreezePolicy.NONE: RUNNING,
    FreezePolicy.ENGINE: RUNNING,
    FreezePolicy.PAUSE: RUNNING | {"paused": True},
    FreezePolicy.CGROUP: RUNNING | {"frozen": True},
    FreezePolicy.HOOK: RUNNING | {"hooked": True},
}


def test_every_policy_has_its_class() -> None:
    assert set(POLICIES) == set(FreezePolicy) == set(HELD)


@pytest.mark.parametrize("policy", HELD)
def test_a_policy_holds_by_its_own_means_and_lets_go(machine: Machine, policy: FreezePolicy) -> None:
    with machine.hold(policy).hold():
        assert machine.held == HELD[policy]
    assert machine.held == RUNNING
    assert machine.steps == ([] if policy in (FreezePolicy.NONE, FreezePolicy.ENGINE) else ["freeze", "thaw"])


@pytest.mark.parametrize("policy", [FreezePolicy.PAUSE, FreezePolicy.CGROUP])
def test_the_timeline_shows_how_long_it_was_held(machine: Machine, policy: FreezePolicy) -> None:
    machine.take(policy)
    spans = {span.name: span for span in machine.stages.timeline}
    assert spans["freeze"].end_ns <= spans["frozen"].start_ns <= spans["checkpoint"].start_ns
    assert spans["capture"].end_ns <= spans["frozen"].end_ns <= spans["thaw"].start_ns


@pytest.mark.parametrize("policy", HELD)
def test_a_policy_lets_go_also_when_the_checkpoint_fails(machine: Machine, policy: FreezePolicy) -> None:
    machine.answer("checkpoint", 1, stderr="criu failed")
    before = machine.path(criu_configuration.DEFAULT).read_text(encoding="utf-8")
    with pytest.raises(StageFailed, match="criu failed") as raised:
        machine.take(policy)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CHECKPOINT, Outcome.CHECKPOINT_FAILED)
    assert machine.held == RUNNING
    assert machine.path(criu_configuration.DEFAULT).read_text(encoding="utf-8") == before


def test_a_container_that_was_paused_beforehand_stays_paused(machine: Machine) -> None:
    machine.paused = True
    with machine.hold(FreezePolicy.PAUSE).hold():
        assert machine.paused
    assert machine.paused
    assert not [line for line in machine.said() if "pause" in line or "resume" in line]


def test_a_container_that_was_frozen_beforehand_stays_frozen(machine: Machine) -> None:
    machine.frozen = True
    machine._tell_state(frozen=True)
    with machine.hold(FreezePolicy.CGROUP).hold():
        assert machine.held["frozen"]
    assert machine.held["frozen"]


@pytest.mark.parametrize(("command", "outcome"), [("pause", "checkpoint-failed"), ("resume", "source-harmed")])
def test_a_runtime_that_cannot_pause_or_resume_is_blamed(machine: Machine, command: str, outcome: str) -> None:
    machine.answer(command, 1, stderr="no")
    with pytest.raises(StageFailed) as raised, machine.hold(FreezePolicy.PAUSE).hold():
        pass
    assert raised.value.outcome == outcome


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.stacks.node, "FREEZE_SECONDS", 0.0)


@pytest.mark.usefixtures("_no_patience")
def test_a_freezer_that_does_not_take_effect_is_let_go_again(machine: Machine) -> None:
    machine.ignores = True
    with pytest.raises(StageFailed, match=r"(freeze=1|state=FROZEN) taking effect on .*/one") as raised:
        machine.take(FreezePolicy.CGROUP)
    assert (raised.value.stage, raised.value.outcome) == (Stage.FREEZE, Outcome.HUNG)
    assert machine.held == RUNNING, "or the source would be found harmed, by ourselves"


@pytest.mark.usefixtures("_no_patience")
def test_a_freezer_that_does_not_let_go_is_a_hang(machine: Machine) -> None:
    with pytest.raises(StageFailed) as raised, machine.hold(FreezePolicy.CGROUP).hold():
        machine.ignores = False
    assert (raised.value.stage, raised.value.outcome) == (Stage.THAW, Outcome.HUNG)


@pytest.mark.parametrize("ended", [None, "", "soon"])
def test_a_hook_that_did_not_run_to_its_end_is_our_own_fault(machine: Machine, ended: str | None) -> None:
    machine.put(f"{TARGET}.begun", "5\n")
    if ended is not None:
        machine.put(f"{TARGET}.ended", ended)
    with pytest.raises(StageFailed, match="post-dump script did not capture the disk") as raised:
        checkpoint.confirm_hook(machine, TARGET, machine.stages)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CAPTURE, Outcome.HARNESS_ERROR)


@pytest.mark.parametrize(("action", "taken"), [("post-dump", True), ("pre-dump", False), ("network-lock", False)])
def test_the_hooks_script_takes_the_disk_after_the_dump_and_at_no_other_step(
    tmp_path: Path, action: str, taken: bool
) -> None:
    upper, target, script = tmp_path / "upper", tmp_path / "taken", tmp_path / "script"
    upper.mkdir()
    (upper / "added.ring").write_text("x", encoding="ascii")
    script.write_text(freeze.PostDumpHook.SCRIPT.format(upper=upper, target=target), encoding="ascii")
    HOST.run(["sh", str(script)], env={"CRTOOLS_SCRIPT_ACTION": action})
    assert (target / "added.ring").exists() is taken
    if taken:
        begun, ended = (int((tmp_path / f"taken.{when}").read_text(encoding="ascii")) for when in ("begun", "ended"))
        assert 0 < begun <= ended


def test_the_hooks_script_tells_criu_when_it_could_not_take_the_disk(tmp_path: Path) -> None:
    script, target = tmp_path / "script", tmp_path / "taken"
    script.write_text(freeze.PostDumpHook.SCRIPT.format(upper=tmp_path / "nowhere", target=target), encoding="ascii")
    assert HOST.run(["sh", str(script)], env={"CRTOOLS_SCRIPT_ACTION": "post-dump"}, accept=(1,)).exit_code == 1
    assert not (tmp_path / "taken.ended").exists()
