"""The trial in which something fails in the middle of a live checkpoint, on a simulated bench."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import audit, cgroups
from harness.model.cells import FAULTS, KILLS, Scenario
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.model.readings import Fault, Leftover
from harness.runtimes import RUNTIMES
from harness.runtimes.contract import Checkpoint, Container, State
from harness.trial import trial
from harness.trial.bench import Bench
from harness.trial.source import Source
from harness.trial.trial import Trial
from reports.words.findings import FAILS
from scenarios.interrupted import aftermath, test_faults
from scenarios.interrupted.test_faults import KILLED, Faulty, Killer
from tests.folder_bench import CELL, CHECKPOINT, CONTAINER, PLAN, node_of, open_bench, tell

LATER = 1 << 62
CRIU_AT_WORK = {41: "runc", 42: "criu"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(aftermath, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(test_faults, "REST_SECONDS", 0.0)
    monkeypatch.setattr(trial, "LATEST_MOMENT_US", 1)
    opened = open_bench(tmp_path, set(), monkeypatch)
    monkeypatch.setattr(opened.runtime, "state", lambda _: State.RUNNING)
    monkeypatch.setattr(audit, "programs_below", lambda _: {})
    node_of(opened).put(f"{CONTAINER.cgroup}/cgroup.events", "populated 1\nfrozen 0\n")
    tell(opened, "beat", n_wall_ns=LATER)
    return opened


def play(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: Callable[[Checkpoint], None], scenario: Scenario
) -> Faulty:
    monkeypatch.setattr(bench.runtime, "live_checkpoint", call)
    cell = CELL.model_copy(update={"scenario": scenario})
    played = Faulty(bench, cell, PLAN.model_copy(update={"cells": (cell,)}), number=0, last=False)
    assert bench.source is not None
    with contextlib.ExitStack() as acquired:
        played.experiment(bench.source, acquired)
    return played


def found(played: Faulty) -> Fault:
    assert played.fault is not None
    return played.fault


def write_images(bench: Bench, checkpoint: Checkpoint) -> None:
    for name in ("inventory.img", "pages-1.img"):
        path = bench.node.path(f"{checkpoint.images}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1 << 16))


def test_every_fault_has_words_and_a_runtime_and_every_kill_a_program() -> None:
    assert set(FAILS) == set(FAULTS)
    assert set(KILLED) == set(KILLS)
    assert {each for one in RUNTIMES.values() for way in one.ways for each in way.thorough} >= set(FAULTS)


class TestTheTarget:
    """A folder that is full, or read-only."""

    @pytest.fixture(autouse=True)
    def mounts(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        made: list[list[str]] = []
        monkeypatch.setattr(bench.node, "run", made.append)
        return made

    def test_has_room_for_a_part_of_what_a_whole_checkpoint_needs(
        self, bench: Bench, experiments: list[Source], mounts: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Faulty, "_share", 0.5)

        def call(checkpoint: Checkpoint) -> None:
            if mounts:
                raise CommandFailed("no space left on device", runtime=True)
            write_images(bench, checkpoint)

        played = play(bench, monkeypatch, call, Scenario.DISK_FULL)
        mount, umount = mounts
        room = int((1 << 17) * test_faults.ROOM * 0.5)
        assert mount[:6] == ["mount", "--no-mtab", "-t", "tmpfs", "-o", f"size={room}"]
        assert mount[-1].endswith("/images")
        assert umount == ["umount", "--no-mtab", "--lazy", mount[-1]]
        assert found(played).what == f"the folder had room for {room >> 10} KiB"
        assert (found(played).said, found(played).stage) == ("no space left on device", None)
        assert experiments == [bench.source]

    def test_that_is_not_in_the_way_proves_nothing(
        self, bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(test_faults, "archive_of", lambda *_: Leftover.WHOLE)
        with pytest.raises(StageFailed, match="the checkpoint was whole all the same") as raised:
            play(bench, monkeypatch, lambda _: None, Scenario.READ_ONLY)
        assert (raised.value.outcome, experiments) == (Outcome.VACUOUS, [])

    @pytest.mark.parametrize("left", [Leftover.PARTIAL, Leftover.GONE])
    def test_is_not_written_and_yet_the_checkpoint_is_reported_as_done(
        self, bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch, left: Leftover
    ) -> None:
        monkeypatch.setattr(test_faults, "archive_of", lambda *_: left)
        with pytest.raises(StageFailed, match=f"reported as done, and its archive is {left}") as raised:
            play(bench, monkeypatch, lambda _: None, Scenario.READ_ONLY)
        assert (raised.value.outcome, experiments) == (Outcome.CHECKPOINT_BROKEN, [])

    @pytest.mark.parametrize("archived", [True, False], ids=["an engine's archive", "images in the caller's folder"])
    def test_a_part_that_a_failed_call_leaves_convicts_the_engine_whose_archive_it_is(
        self,
        bench: Bench,
        experiments: list[Source],
        mounts: list[list[str]],
        monkeypatch: pytest.MonkeyPatch,
        *,
        archived: bool,
    ) -> None:
        def call(checkpoint: Checkpoint) -> None:
            if mounts:
                place = checkpoint.archive if archived else f"{checkpoint.images}/pages-1.img"
                bench.node.path(place).write_bytes(b"a part")
                raise CommandFailed("no space left on device", runtime=True)
            write_images(bench, checkpoint)

        if archived:
            with pytest.raises(StageFailed, match="a part of its archive is left") as raised:
                play(bench, monkeypatch, call, Scenario.DISK_FULL)
            assert raised.value.outcome is Outcome.CHECKPOINT_BROKEN
        else:
            assert found(play(bench, monkeypatch, call, Scenario.DISK_FULL)).archive is Leftover.PARTIAL
        assert len(experiments) == (not archived)

    def test_an_error_of_ours_is_not_that_of_the_runtime(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def call(_: Checkpoint) -> None:
            raise CommandFailed("no such file")

        with pytest.raises(StageFailed) as raised:
            play(bench, monkeypatch, call, Scenario.READ_ONLY)
        assert raised.value.outcome is Outcome.HARNESS_ERROR


class TestAProgram:
    """A program that is killed."""

    @pytest.fixture(autouse=True)
    def killed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        killed: list[int] = []

        def kill(pid: int, number: int) -> None:
            assert number == signal.SIGKILL
            killed.append(pid)

        monkeypatch.setattr(os, "kill", kill)
        return killed

    def test_is_killed_after_its_share_of_its_own_time(
        self, bench: Bench, experiments: list[Source], killed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Faulty, "_share", 0.25)
        at_work: dict[int, str] = {}
        monkeypatch.setattr(audit, "programs_below", lambda _: dict(at_work))

        def call(_: Checkpoint) -> None:
            begun = time.monotonic()
            at_work.update(CRIU_AT_WORK)
            while time.monotonic() < begun + 0.4 and not killed:
                time.sleep(0.001)
            at_work.clear()
            if killed:
                raise CommandFailed("criu was killed", runtime=True)

        played = play(bench, monkeypatch, call, Scenario.KILLED_CRIU)
        assert killed == [42]
        assert (found(played).what, found(played).said) == ("criu was killed", "criu was killed")
        assert experiments == [bench.source]

    def test_that_is_never_there_proves_nothing(
        self, bench: Bench, killed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StageFailed, match="no conmon or containerd-shim was there to be killed") as raised:
            play(bench, monkeypatch, lambda _: None, Scenario.KILLED_SHIM)
        assert (raised.value.outcome, killed) == (Outcome.VACUOUS, [])

    def test_the_first_of_several_that_runs_is_killed_and_nobody_else(
        self, bench: Bench, killed: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = {1: "init", 7: "containerd", 8: "containerd-shim", 9: "dockerd", 10: "dockerd"}
        monkeypatch.setattr(audit, "programs_below", lambda _: running)
        killer = Killer(bench.node, "/nowhere", KILLED[Scenario.KILLED_DAEMON], 0.0)
        with killer.during():
            deadline = time.monotonic() + 10
            while not killer.killed:
                assert time.monotonic() < deadline
        assert (killed, killer.killed) == ([9, 10], "dockerd")
        assert bench.node.journal.commands[-1].argv == ("pkill", "--signal", "KILL", "--exact", "dockerd")

    def test_that_has_just_ended_was_not_killed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def kill(pid: int, _: int) -> None:
            raise ProcessLookupError(pid)

        monkeypatch.setattr(os, "kill", kill)
        killer = Killer(bench.node, "/nowhere", ("criu",))
        killer._kill("criu", [42])
        assert killer.killed == ""

    def test_an_engine_that_ends_with_its_call_is_no_fault_of_ours(
        self, bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit, "programs_below", lambda _: {9: "crio"})
        monkeypatch.setattr(bench.node, "revive", lambda: True)

        def call(_: Checkpoint) -> None:
            time.sleep(0.05)
            raise EnvironmentUnfit("crio has ended with code -9")

        played = play(bench, monkeypatch, call, Scenario.KILLED_DAEMON)
        assert found(played).said.startswith("crio has ended")
        assert experiments == [bench.source]

    def test_a_call_that_does_not_end_is_hung_with_what_was_seen(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def call(_: Checkpoint) -> None:
            raise DeadlineExceeded("runc did not end", log=("42 criu state D",))

        with pytest.raises(StageFailed) as raised:
            play(bench, monkeypatch, call, Scenario.KILLED_CRIU)
        assert (raised.value.outcome, raised.value.log) == (Outcome.HUNG, ("42 criu state D",))

    def test_a_source_that_stays_frozen_is_harmed(
        self, bench: Bench, experiments: list[Source], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit, "programs_below", lambda _: CRIU_AT_WORK)
        monkeypatch.setattr(bench.runtime, "state", lambda _: State.PAUSED)
        monkeypatch.setattr(bench.runtime, "resume", lambda _: None)
        with pytest.raises(StageFailed, match=r"criu was killed, and the source .* calls it paused") as raised:
            play(bench, monkeypatch, lambda _: time.sleep(0.05), Scenario.KILLED_CRIU)
        assert (raised.value.outcome, raised.value.stage) == (Outcome.SOURCE_HARMED, Stage.THAW)
        assert experiments == []


class TestARestore:
    """A program that is killed in the middle of the restore of the cell's checkpoint."""

    @pytest.fixture
    def restores(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What each restore says: an error, or nothing; the last one is that of the trial."""
        monkeypatch.setattr(audit, "programs_below", lambda _: CRIU_AT_WORK)
        monkeypatch.setattr(os, "kill", lambda *_: None)
        monkeypatch.setattr(Trial, "restore", lambda *_: CONTAINER)
        said: list[str] = ["", "criu was killed"]

        def restore(_: Checkpoint) -> Container:
            time.sleep(0.05)
            if why := said.pop(0):
                raise CommandFailed(why, runtime=True)
            return CONTAINER

        monkeypatch.setattr(Faulty, "_share", 0.0)
        monkeypatch.setattr(bench, "restore", restore)
        monkeypatch.setattr(bench, "remove", lambda _: None)
        return said

    def played(self, bench: Bench) -> Faulty:
        cell = CELL.model_copy(update={"scenario": Scenario.KILLED_CRIU})
        faulty = Faulty(bench, cell, PLAN.model_copy(update={"cells": (cell,)}), number=3, last=False)
        with contextlib.ExitStack() as acquired:
            faulty.restore(CHECKPOINT, acquired)
        return faulty

    def test_that_says_so_is_made_once_more(self, bench: Bench, restores: list[str]) -> None:
        fault = found(self.played(bench))
        assert (fault.what, fault.said, fault.stage) == ("criu was killed", "criu was killed", Stage.RESTORE)
        assert (fault.ticking, fault.archive, restores) == (True, None, [])

    @pytest.mark.parametrize("runs", [True, False])
    def test_that_is_reported_as_done_has_a_container_that_runs(
        self, bench: Bench, restores: list[str], monkeypatch: pytest.MonkeyPatch, *, runs: bool
    ) -> None:
        restores[-1] = ""
        monkeypatch.setattr(cgroups, "processes", lambda _: [7] if runs else [])
        if runs:
            assert found(self.played(bench)).said == ""
        else:
            with pytest.raises(StageFailed, match="reported as done, and nothing runs") as raised:
                self.played(bench)
            assert raised.value.outcome is Outcome.RESTORE_FAILED

    def test_leaves_a_source_alone_that_has_ended(self, bench: Bench, restores: list[str]) -> None:
        assert bench.source is not None
        bench.source.ended = True
        assert found(self.played(bench)).ticking is None


@pytest.mark.parametrize(
    ("seen", "stage"),
    [
        ([(False, False)], Stage.FREEZE),
        ([(True, False)], Stage.FREEZE),
        ([(True, False), (True, True)], Stage.CHECKPOINT),
        ([(True, True), (False, True)], Stage.CAPTURE),
        ([(True, True), (False, True), (False, False)], Stage.THAW),
        ([(True, True), (False, False)], Stage.THAW),
    ],
)
def test_how_far_a_checkpoint_is_follows_from_criu_and_the_container(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seen: list[tuple[bool, bool]], stage: Stage
) -> None:
    killer = Killer(bench.node, "/nowhere", ("criu",))
    monkeypatch.setattr(cgroups, "subgroups", lambda _: ["/nowhere"])
    for dumping, held in seen:
        monkeypatch.setattr(cgroups, "frozen", lambda _, held=held: held)
        killer._follow(dumping)
    assert killer.stage is stage


@pytest.mark.parametrize("scenario", [Scenario.DISK_FULL, Scenario.KILLED_CRIU])
def test_the_trials_of_a_cell_cover_the_whole_time_and_one_of_four_is_about_the_restore(
    bench: Bench, scenario: Scenario
) -> None:
    cell = CELL.model_copy(update={"scenario": scenario})
    plan = PLAN.model_copy(update={"rounds": 8, "cells": (cell,)})
    trials = [Faulty(bench, cell, plan, number=number, last=False) for number in range(8)]
    restores = [each.number for each in trials if each._at_restore]
    assert restores == ([3, 7] if scenario is Scenario.KILLED_CRIU else [])
    for those in (restores, [number for number in range(8) if number not in restores]):
        assert [int(len(those) * trials[number]._share) for number in those] == list(range(len(those)))
