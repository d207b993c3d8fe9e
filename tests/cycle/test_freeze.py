"""Freeze policies on a container whose freezers are files, and on one that refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cycle import capture, checkpoint, freeze
from harness.cycle.freeze import POLICIES
from harness.cycle.stages import Stages
from harness.errors import StageFailed
from harness.host.process import HOST
from harness.model import CgroupVersion, FreezePolicy, Outcome, Stage
from harness.runtimes.contract import Captured, Checkpoint, Container, ContainerSpec
from harness.runtimes.oci import CRIU_CONFIGURATION
from harness.runtimes.runc import Runc
from tests.folder_node import Answer, FolderNode

SPEC = ContainerSpec(name="one", image="/image", argv=("/ledger",), report_mount="/report")
TARGET = "/checkpoint/upper"


class Machine(FolderNode):
    """A node with one running container; its runtime obeys, and its kernel unless `ignores` says otherwise."""

    def __init__(self, root: Path, version: CgroupVersion) -> None:
        super().__init__(root, version)
        self.paused = False
        self.ignores: bool | None = None
        """The wish, to be frozen or not, that the kernel does not fulfil."""
        self.put("/proc/1/cgroup", "1:pids:/\n")
        self.runtime = Runc(self)
        self.stages = Stages()
        self.journal = self.stages.journal
        self.container = Container(SPEC, report="/one/report", cgroup=self.freezer("one"), upper="/one/upper")
        self.frozen = False
        self._tell_state(frozen=False)
        self.programs |= {"state": self._state, "pause": self._pause, "resume": self._resume}

    def _state(self, *_: object) -> Answer:
        return 0, json.dumps({"status": "paused" if self.paused else "running"}), ""

    def _pause(self, *_: object) -> Answer:
        self.paused = True
        return 0, "", ""

    def _resume(self, *_: object) -> Answer:
        self.paused = False
        return 0, "", ""

    def set(self, inside: str, value: str) -> None:
        super().set(inside, value)
        self.frozen = {"cgroup.freeze=1": True, "freezer.state=FROZEN": True}.get(f"{Path(inside).name}={value}", False)
        if self.frozen is not self.ignores:
            self._tell_state(frozen=self.frozen)
        elif self.version is CgroupVersion.V1:
            self.put(inside, "FREEZING\n" if self.frozen else "FROZEN\n")

    def _tell_state(self, *, frozen: bool) -> None:
        """Show it as the kernel does: freezer.state of version 1, cgroup.events of version 2."""
        if self.version is CgroupVersion.V1:
            self.put(f"{self.container.cgroup}/freezer.state", "FROZEN\n" if frozen else "THAWED\n")
        else:
            self.put(f"{self.container.cgroup}/cgroup.events", f"populated 1\nfrozen {frozen:d}\n")

    @property
    def held(self) -> dict[str, object]:
        """Everything that a policy may touch."""
        return {
            "paused": self.paused,
            "frozen": self.frozen,
            "hooked": "action-script" in self.path(CRIU_CONFIGURATION).read_text(encoding="utf-8"),
        }

    def hold(self, policy: FreezePolicy) -> freeze.NoFreeze:
        return POLICIES[policy](self.runtime, self.container, self.stages, target=TARGET)

    def take(self, policy: FreezePolicy) -> Captured:
        runs_again = lambda: self.run(["seen-running"])  # noqa: E731
        return checkpoint.take(self.runtime, self.container, "/checkpoint", policy, self.stages, runs_again=runs_again)

    @property
    def steps(self) -> list[str]:
        """The stages so far; other spans of the timeline are left out."""
        return [span.name for span in self.stages.timeline if span.name in list(Stage)]


@pytest.fixture(params=list(CgroupVersion))
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


RUNNING = {"paused": False, "frozen": False, "hooked": False}
HELD = {
    FreezePolicy.NONE: RUNNING,
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
    assert machine.steps == ([] if policy is FreezePolicy.NONE else ["freeze", "thaw"])


@pytest.mark.parametrize("policy", [FreezePolicy.PAUSE, FreezePolicy.CGROUP])
def test_the_timeline_shows_how_long_it_was_held(machine: Machine, policy: FreezePolicy) -> None:
    machine.take(policy)
    spans = {span.name: span for span in machine.stages.timeline}
    assert spans["freeze"].end_ns <= spans["frozen"].start_ns <= spans["checkpoint"].start_ns
    assert spans["capture"].end_ns <= spans["frozen"].end_ns <= spans["thaw"].start_ns


@pytest.mark.parametrize("policy", HELD)
def test_a_policy_lets_go_also_when_the_checkpoint_fails(machine: Machine, policy: FreezePolicy) -> None:
    machine.answer("checkpoint", 1, stderr="criu failed")
    before = machine.path(CRIU_CONFIGURATION).read_text(encoding="utf-8")
    with pytest.raises(StageFailed, match="criu failed") as raised:
        machine.take(policy)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CHECKPOINT, Outcome.CHECKPOINT_FAILED)
    assert machine.held == RUNNING
    assert machine.path(CRIU_CONFIGURATION).read_text(encoding="utf-8") == before


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
    monkeypatch.setattr(freeze, "FREEZE_SECONDS", 0.0)


@pytest.mark.usefixtures("_no_patience")
def test_a_freezer_that_does_not_take_effect_is_let_go_again(machine: Machine) -> None:
    machine.ignores = True
    with pytest.raises(StageFailed, match=r"(freeze=1|state=FROZEN) taking effect on one") as raised:
        machine.take(FreezePolicy.CGROUP)
    assert (raised.value.stage, raised.value.outcome) == (Stage.FREEZE, Outcome.HUNG)
    assert machine.held == RUNNING, "or the source would be found harmed, by ourselves"


@pytest.mark.usefixtures("_no_patience")
def test_a_freezer_that_does_not_let_go_is_a_hang(machine: Machine) -> None:
    with pytest.raises(StageFailed) as raised, machine.hold(FreezePolicy.CGROUP).hold():
        machine.ignores = False
    assert (raised.value.stage, raised.value.outcome) == (Stage.THAW, Outcome.HUNG)


def test_the_disk_follows_memory_within_the_hold(machine: Machine) -> None:
    taken = machine.take(FreezePolicy.PAUSE)
    assert taken == Captured(Checkpoint("/checkpoint/images"), TARGET)
    assert machine.steps == ["freeze", "checkpoint", "capture", "thaw"]
    verbs = ["pause", "checkpoint", "cp", "resume"]
    assert [word for line in machine.said() for word in line.split() if word in verbs] == verbs
    assert "cp --archive /one/upper /checkpoint/upper" in machine.said()


@pytest.mark.parametrize("policy", [FreezePolicy.NONE, FreezePolicy.PAUSE, FreezePolicy.CGROUP])
def test_only_the_disk_of_a_container_that_nobody_holds_is_taken_after_it_ran_again(
    machine: Machine, policy: FreezePolicy
) -> None:
    machine.take(policy)
    seen, taken = "seen-running", "cp --archive /one/upper /checkpoint/upper"
    order = [line for line in machine.said() if line in (seen, taken)]
    assert order == ([seen, taken] if policy is FreezePolicy.NONE else [taken])


def test_a_disk_that_cannot_be_copied_is_our_own_fault(machine: Machine) -> None:
    machine.answer("cp", 1, stderr="no space left on device")
    with pytest.raises(StageFailed) as raised:
        machine.take(FreezePolicy.PAUSE)
    assert (raised.value.stage, raised.value.outcome) == (Stage.CAPTURE, Outcome.HARNESS_ERROR)
    assert machine.held == RUNNING


def test_the_hook_is_in_the_configuration_while_criu_reads_it_and_takes_the_disk(machine: Machine) -> None:
    def dump(*_: object) -> Answer:
        configuration = machine.path(CRIU_CONFIGURATION).read_text(encoding="utf-8")
        assert configuration.splitlines() == ["cgroup-root=pids:/", f"action-script={TARGET}.hook"]
        assert machine.path(f"{TARGET}.hook").stat().st_mode & 0o111
        machine.put(f"{TARGET}.begun", "5\n")
        machine.put(f"{TARGET}.ended", "9\n")
        return 0, "", ""

    machine.programs["checkpoint"] = dump
    assert machine.take(FreezePolicy.HOOK).upper == TARGET
    assert not [line for line in machine.said() if line.startswith("cp ")]
    (span,) = (span for span in machine.stages.timeline if span.name == "capture")
    assert (span.start_ns, span.end_ns) == (5, 9)


@pytest.mark.parametrize("ended", [None, "", "soon"])
def test_a_hook_that_did_not_run_to_its_end_is_our_own_fault(machine: Machine, ended: str | None) -> None:
    machine.put(f"{TARGET}.begun", "5\n")
    if ended is not None:
        machine.put(f"{TARGET}.ended", ended)
    with pytest.raises(StageFailed, match="post-dump script did not capture the disk") as raised:
        capture.confirm_hook(machine, TARGET, machine.stages)
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
