"""A large synthetic run: many engines and ways, other workloads and scenarios, known issues, workarounds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache
from typing import Any

from harness.model.cells import Cell, FreezePolicy, Participant, Scenario
from harness.model.commands import Command
from harness.model.controls import CONTROLS, ControlKind
from harness.model.expectations import MOVING, OUTSIDE, Expectation
from harness.model.machine import Accommodation
from harness.model.outcomes import Anomaly, Outcome, Stage, Verdict
from harness.records.plan import Plan
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from tests.reports import synthetic
from tests.reports.synthetic import RAW, record

ENGINE, PAUSE, CGROUP = FreezePolicy.ENGINE, FreezePolicy.PAUSE, FreezePolicy.CGROUP
WAYS: dict[str, tuple[tuple[str, tuple[FreezePolicy, ...]], ...]] = {
    "runc": (("", RAW),),
    "crun": (("", RAW),),
    "criu": (("", (FreezePolicy.NONE, CGROUP, FreezePolicy.HOOK)),),
    "podman/runc": (("", (ENGINE, PAUSE, CGROUP)), ("image", (ENGINE,))),
    "podman/crun": (("", (ENGINE, PAUSE, CGROUP)), ("image", (ENGINE,))),
    "docker/runc": (("", (ENGINE, PAUSE)), ("commit", (PAUSE,))),
    "docker/runsc": (("", (ENGINE,)),),
    "containerd": (("", (ENGINE, PAUSE)),),
    "runsc": (("", (ENGINE, CGROUP)), ("overlay-none", (ENGINE,))),
}
WORKLOADS = ("bind-mount", "deleted-file", "image-file", "image-file-on-host", "shm", "volumes")
STACKS = ("debian-trixie", "debian-sid", "debian-experimental")

AHEAD = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_AHEAD,
    reason="a live checkpoint lets the container run on while its root file system is exported",
    link="https://github.com/containers/podman/issues/28963",
    owner="podman",
    review=dt.date(2027, 3, 1),
    declared="scenarios/expectations/podman.toml:3-17",
)
LOST = Expectation(
    outcome=Outcome.INCONSISTENT,
    anomaly=Anomaly.DISK_BEHIND,
    reason="files of the image that were modified in place are left out of the archive",
    link="https://github.com/containers/podman/issues/29000",
    review=dt.date(2027, 3, 1),
)
NO_RESTORE = Expectation(
    outcome=Outcome.RESTORE_FAILED,
    signature="bind-mount /proc/0/ns/net",
    reason="start --checkpoint looks for the network of a container that has none yet",
    link="https://github.com/moby/moby/issues/50750",
    review=dt.date(2027, 1, 31),
)
WORKAROUNDS = (
    Accommodation(
        name="no-resources",
        lacking="controllers in the node's cgroup hierarchy: cgroup.controllers is empty",
        change="linux.resources of the specification is empty",
    ),
    Accommodation(
        name="criu-cgroups",
        lacking="a pure cgroup2 hierarchy: CRIU sees the host's v1 hierarchies in /proc/1/cgroup",
        change="manage-cgroups=ignore and cgroup-root=CONTROLLER:/ in CRIU's configuration",
    ),
)
TICKS: dict[Anomaly | None, int] = {Anomaly.DISK_AHEAD: 15_400, Anomaly.DISK_BEHIND: -766_760}
WARNING = "Error (criu/kerndat.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted"


@cache
def cells() -> tuple[Cell, ...]:
    return tuple(
        each
        for stack in STACKS
        for runtime, ways in WAYS.items()
        for way, policies in ways
        for each in _asked(Participant(runtime=runtime, stack=stack), way, policies)
    )


def _asked(who: Participant, way: str, policies: tuple[FreezePolicy, ...]) -> Iterator[Cell]:
    still = PAUSE if PAUSE in policies else policies[-1]

    def ask(workload: str, policy: FreezePolicy, scenario: Scenario = Scenario.LIVE) -> Cell:
        return Cell(workload=workload, policy=policy, checkpoint=who, restore=who, way=way, scenario=scenario)

    yield from (ask("ledger", policy) for policy in policies)
    if not way:
        yield from (ask(workload, still) for workload in WORKLOADS if "/" in who.runtime or workload != "volumes")
        yield ask("ledger", ENGINE if ENGINE in policies else still, Scenario.PAUSED)
        yield ask("ledger", still, Scenario.GENERATIONS)


def expectation(cell: Cell) -> Expectation | None:
    """Return the expectation of a cell that is not simply consistent."""
    engine = cell.checkpoint.runtime.partition("/")[0]
    if engine == "docker" and cell.checkpoint.stack != "debian-trixie" and not cell.way:
        return NO_RESTORE
    if engine == "podman" and cell.workload.startswith("image-file"):
        return LOST
    if engine == "podman" and cell.policy is ENGINE and cell.scenario is Scenario.LIVE:
        return AHEAD
    if cell.workload == "bind-mount":
        return OUTSIDE
    return MOVING if cell.policy is FreezePolicy.NONE else None


@cache
def plan() -> Plan:
    planned = cells()
    return synthetic.plan(planned).model_copy(
        update={
            "expectations": {cell.id: told for cell in planned if (told := expectation(cell))},
            "fewer": {
                cell.id: 1 for cell in planned if cell.workload != "ledger" or cell.scenario is not Scenario.LIVE
            },
            "controls": tuple(
                CONTROLS[name].control(cell, ControlKind.CONTROL)
                for cell in planned
                if cell.policy is PAUSE
                and cell.workload == "ledger"
                and not cell.way
                and cell.scenario is Scenario.LIVE
                for name in ("fresh-start", "ring-byte")
            ),
        }
    )


@cache
def summary(*, all_well: bool = False) -> RunSummary:
    return synthetic.summary(plan(), records(all_well=all_well))


@cache
def records(*, all_well: bool = False) -> list[Record]:
    """Return a run with only expected results, or with many kinds of failures."""
    promised = plan()
    found = [
        _as_expected(cell, trial, expectation(cell))
        for cell in promised.cells
        for trial in range(promised.rounds_of(cell))
    ]
    found += [
        record(
            each.cell,
            outcome=Outcome.COLD_START if each.name == "fresh-start" else Outcome.INCONSISTENT,
            control=each.name,
            reason="found, as it had to be",
            anomalies=(each.anomaly,) if each.anomaly else (),
        )
        for each in promised.controls
    ]
    return found if all_well else [each for each in map(_gone_wrong, found) if each]


def _as_expected(cell: Cell, trial: int, told: Expectation | None) -> Record:
    outcome = told.outcome if told else Outcome.CONSISTENT
    ticks = TICKS.get(told.anomaly, 0) if told else 0
    made = record(
        cell,
        trial,
        outcome,
        anomalies=(told.anomaly, Anomaly.ORDER_BROKEN) if told and told.anomaly else (),
        ticks=ticks + 13 * trial if ticks else 13_000 if outcome is Outcome.NOT_CAPTURED else 0,
        reason="criu failed: bind-mount /proc/0/ns/net -> /var/run/docker/netns/x: no such file or directory"
        if outcome is Outcome.RESTORE_FAILED
        else "",
    )
    runtime = cell.checkpoint.runtime
    paused = {"kept_pause": True} if cell.scenario is Scenario.PAUSED else {}
    return made.model_copy(
        update={
            "accommodations": WORKAROUNDS[: 1 if "runsc" in runtime else 2],
            "warnings": (WARNING,) if "crun" in runtime else (),
            "commands": (*_daemon(cell), *made.commands)
            if runtime.startswith(("docker", "containerd"))
            else made.commands,
            "source": made.source.model_copy(update={**paused, "stops": True}),
        }
    )


def _daemon(cell: Cell) -> Iterator[Command]:
    common = {"where": cell.checkpoint.stack, "stage": Stage.PREPARE, "start_ns": synthetic.NOON, "seconds": 0.01}
    yield Command(argv=("dockerd", "--config-file", "/etc/docker/daemon.json"), background=True, **common)
    for code in (7, 7, 0):
        argv = ("curl", "--silent", "--fail", "--unix-socket", "/run/docker.sock", "http://docker/_ping")
        yield Command(argv=argv, exit_code=code, **common)


def _gone_wrong(each: Record) -> Record | None:
    cell, who = each.cell, str(each.cell.checkpoint)
    bare = {"readings": (), "skews": ()}
    changed: dict[str, Any] = {}
    if each.control:
        pass
    elif who == "crun@debian-trixie" and cell.policy is FreezePolicy.HOOK and each.trial > 2:
        return None
    elif who == "podman/runc@debian-experimental" and cell.policy is ENGINE and cell.workload == "ledger":
        repaired = record(cell, each.trial)
        changed = {name: getattr(repaired, name) for name in ("verdict", "readings", "skews")}
    elif who == "containerd@debian-sid" and cell.scenario is Scenario.PAUSED:
        reason = "its user had paused the source, and it is not paused any more"
        verdict = Verdict(outcome=Outcome.SOURCE_HARMED, stage=Stage.THAW, reason=reason)
        health = each.source.model_copy(update={"kept_pause": False, "stops": False})
        changed = {"verdict": verdict, "source": health}
    elif who == "runsc@debian-trixie" and cell.workload == "deleted-file":
        reason = (
            "runsc checkpoint --leave-running --image-path /srv/stillframe/checkpoints/checkpoint-26/images "
            "source-25 ended with 128 in debian-trixie: checkpoint failed: loading sandbox: file does not exist"
        )
        verdict = Verdict(outcome=Outcome.CHECKPOINT_FAILED, stage=Stage.CHECKPOINT, reason=reason)
        changed = {"verdict": verdict, "log": ("FATAL ERROR: checkpoint failed",), **bare}
    elif who == "runsc@debian-experimental":
        verdict = Verdict(outcome=Outcome.UNSUPPORTED, stage=Stage.PREPARE, reason="checkpoint: no runsc in this stack")
        changed = {"verdict": verdict, "timeline": (), "commands": (), **bare}
    return each.model_copy(update=changed)
