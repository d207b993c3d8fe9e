"""A simulated node with one running container; its freezers are files."""

from __future__ import annotations

import json
from pathlib import Path

from harness.model.cells import CgroupVersion, FreezePolicy
from harness.model.outcomes import Stage
from harness.runtimes import criu_configuration
from harness.runtimes.contract import Checkpoint, Container, ContainerSpec
from harness.runtimes.runc import Runc
from harness.trial import checkpoint, freeze
from harness.trial.freeze import POLICIES
from harness.trial.stages import Stages
from tests.folder_node import Answer, FolderNode

SPEC = ContainerSpec(
    name="one", image="/image", argv=("/ledger",), folder="/one", report="/one/report", report_mount="/report"
)
FOLDER = "/checkpoint"
TARGET = f"{FOLDER}/upper"


class Machine(FolderNode):
    """A node with one running container; runtime and kernel obey, except for the request in `ignores`."""

    def __init__(self, root: Path, version: CgroupVersion) -> None:
        super().__init__(root, version)
        self.paused = False
        self.ignores: bool | None = None
        """The state, frozen or not, that the kernel does not enter."""
        self.put("/proc/1/cgroup", "1:pids:/\n")
        self.runtime = Runc(self, Runc.ways[0])
        self.runtime.prepare()
        self.stages = Stages()
        self.journal = self.stages.journal
        self.container = Container(SPEC, cgroup=self.freezer("one"), upper="/one/upper")
        self.checkpoint = Checkpoint(self.container, FOLDER)
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
        """Show the state in the kernel's format: freezer.state for version 1, cgroup.events for version 2."""
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
            "hooked": "action-script" in self.path(criu_configuration.DEFAULT).read_text(encoding="utf-8"),
        }

    def hold(self, policy: FreezePolicy) -> freeze.NoFreeze:
        return POLICIES[policy](self.runtime, self.checkpoint, self.stages)

    def take(self, policy: FreezePolicy) -> None:
        runs_again = lambda: self.run(["seen-running"])  # noqa: E731
        checkpoint.take(self.runtime, self.checkpoint, policy, self.stages, runs_again=runs_again)

    @property
    def steps(self) -> list[str]:
        """The stages so far; other spans of the timeline are left out."""
        return [span.name for span in self.stages.timeline if span.name in list(Stage)]
