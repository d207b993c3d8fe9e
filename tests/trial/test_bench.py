"""A bench with a simulated node: how it makes containers and report channels, and how it ends the source."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.host import audit, wait
from harness.host.audit import Snapshot
from harness.model.cells import CgroupVersion, Settings, SurfaceKind
from harness.model.errors import CommandFailed, DeadlineExceeded, StageFailed
from harness.model.outcomes import Outcome, Stage
from harness.runtimes.contract import Container, ContainerSpec, Mount
from harness.runtimes.runc import Runc
from harness.trial import source
from harness.trial.bench import Bench
from harness.trial.stages import Stages
from harness.workload.definitions import find
from harness.workload.messages import Beat
from tests.folder_bench import CHECKPOINT, CONTAINER, NONCE, SPEC, node_of, open_bench, tell, use


@pytest.fixture
def held() -> set[str]:
    """The content of the node."""
    return {"process 1 init"}


@pytest.fixture
def bench(tmp_path: Path, held: set[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return open_bench(tmp_path, held, monkeypatch)


# ---- a container is made


def test_every_container_has_a_folder_and_a_channel_of_its_own(bench: Bench) -> None:
    one, other = bench.start("clone"), bench.start("clone")
    assert (one.name, other.name) == ("clone-1", "clone-2")
    for each in (one, other):
        assert each.spec.folder == f"{bench.node.storage}/containers/{each.name}"
        assert each.spec.report == f"{each.spec.folder}/report"
        assert bench.node.path(each.spec.report).is_dir()


def test_a_container_runs_the_workload_of_the_moment(bench: Bench) -> None:
    bench.settings = Settings(period_us=5, ring=64)
    spec = bench.start("source").spec
    assert (spec.image, spec.report_mount) == (bench.image, "/report")
    assert spec.argv == bench.workload.argv("/ledger", "/report", period_us=5, ring=64)
    bench.workload = find("volumes")
    assert bench.start("source").spec.argv != spec.argv


def test_a_container_has_the_mounts_that_the_surfaces_ask_for(bench: Bench) -> None:
    bench.workload = find("bind-mount")
    spec = bench.start("source").spec
    assert spec.mounts == (Mount(SurfaceKind.BIND, "/bind", f"{spec.folder}/shared/bind"),)
    assert bench.node.path(spec.mounts[0].source).is_dir()
    bench.workload = find("volumes")
    assert bench.start("source").spec.mounts == (
        Mount(SurfaceKind.NAMED_VOLUME, "/named"),
        Mount(SurfaceKind.ANONYMOUS_VOLUME, "/anonymous"),
    )


@pytest.mark.parametrize(
    ("name", "prints", "tty"), [("ledger", False, False), ("chatty", True, False), ("chatty-tty", True, True)]
)
def test_a_container_has_a_log_or_a_terminal_where_the_workload_asks_for_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, prints: bool, tty: bool
) -> None:
    bench.workload = find(name)
    source = bench.start("source")
    assert (source.spec.prints, source.spec.tty) == (prints, tty)
    monkeypatch.setattr(bench.runtime, "restore", lambda _, spec: Container(spec, cgroup="/x"))
    clone = bench.restore(replace(CHECKPOINT, container=source))
    assert clone.spec == replace(source.spec, name=clone.name, folder=clone.spec.folder)
    assert clone.spec.folder != source.spec.folder


@pytest.mark.parametrize("error", [CommandFailed("no"), DeadlineExceeded("late"), KeyboardInterrupt()])
def test_nothing_stays_of_a_container_that_did_not_come_to_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def refuse(*_: object) -> Container:
        raise error

    monkeypatch.setattr(bench.runtime, "start", refuse)
    monkeypatch.setattr(bench.runtime, "restore", refuse)
    with pytest.raises(type(error)):
        bench.start("clone")
    with pytest.raises(type(error)):
        bench.restore(CHECKPOINT)
    assert [path.name for path in bench.node.path(f"{bench.node.storage}/containers").iterdir()] == ["source-0"]


def test_a_container_is_removed_with_its_folder(bench: Bench) -> None:
    container = bench.start("clone")
    bench.remove(container)
    assert node_of(bench).said()[-2:] == [
        "runc --root /run/runc delete --force clone-1",
        f"umount {container.spec.folder}/rootfs",
    ]
    assert not bench.node.path(container.spec.folder).exists()


# ---- a source is adopted and a clone is restored


def test_the_channel_of_a_source_moves_aside_with_what_was_said(bench: Bench) -> None:
    container = bench.start("clone")
    tell(bench, "beat", at=container.spec.report, n=7)
    source = bench.adopt(container, NONCE)
    assert [message.n for message in source.channel.listen()] == [7]
    assert link_of(bench, container) == f"{container.spec.folder}/heard"
    assert (source.nonce, source.commands, source.ended, source.deleted) == (NONCE, (), False, False)


def link_of(bench: Bench, container: Container) -> str:
    """Return the target of the container's former report path, as a path in the node."""
    return os.readlink(bench.node.path(container.spec.report))


def test_a_source_is_heard_under_its_own_path_again_when_its_clone_is_gone(bench: Bench) -> None:
    """The runtime may restart the source, and then mounts the folder of that name."""
    for _ in range(2):
        clone = bench.restore(CHECKPOINT)
        tell(bench, "beat", at=clone.spec.report)
        bench.remove(clone)
        assert link_of(bench, CONTAINER) == f"{SPEC.folder}/heard"
    bench.remove(bench.start("other"))
    assert link_of(bench, CONTAINER) == f"{SPEC.folder}/heard"


def test_what_was_restored_in_place_takes_the_channel_with_it(bench: Bench) -> None:
    bench.restore(CHECKPOINT)
    bench.remove(CONTAINER)
    assert not bench.node.path(SPEC.folder).exists()


def test_a_clone_speaks_where_its_source_did_and_not_to_the_same_folder(bench: Bench) -> None:
    """The checkpoint has the path; a restore mounts the folder that has this name at that time."""
    assert bench.source is not None
    tell(bench, "beat", n=7)
    clone = bench.restore(CHECKPOINT)
    assert clone.spec.report == CONTAINER.spec.report
    assert bench.channel(clone).listen() == []
    tell(bench, "beat", at=clone.spec.report, n=8)
    assert [message.n for message in bench.channel(clone).listen()] == [8]
    assert [message.n for message in bench.source.channel.listen()] == [7]


def test_a_clone_does_not_hear_the_one_before(bench: Bench) -> None:
    tell(bench, "beat", at=bench.restore(CHECKPOINT).spec.report)
    assert bench.channel(bench.restore(CHECKPOINT)).listen() == []


def test_a_clone_has_what_its_source_had_but_name_and_folder(bench: Bench) -> None:
    mounts = (Mount(SurfaceKind.BIND, "/bind", f"{SPEC.folder}/shared/bind"),)
    origin = replace(SPEC, mounts=mounts)
    checkpoint = replace(CHECKPOINT, container=replace(CONTAINER, spec=origin))
    clone = bench.restore(checkpoint).spec
    assert (clone.name, clone.folder) == ("clone-1", f"{bench.node.storage}/containers/clone-1")
    assert replace(clone, name=origin.name, folder=origin.folder) == origin
    assert bench.node.path(clone.folder).is_dir()


def test_a_clone_can_become_a_source_itself(bench: Bench) -> None:
    clone = bench.restore(CHECKPOINT)
    tell(bench, "beat", at=clone.spec.report, n=8)
    heir = bench.adopt(clone, NONCE)
    second = bench.restore(bench.checkpoint_of(clone))
    tell(bench, "beat", at=second.spec.report, n=9)
    assert [message.n for message in heir.channel.listen()] == [8]
    assert [message.n for message in bench.channel(second).listen()] == [9]


def test_a_restore_in_place_is_given_the_sources_own_specification(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ContainerSpec] = []

    def restore(_: object, spec: ContainerSpec) -> Container:
        asked.append(spec)
        return CONTAINER

    use(bench, in_place=True)
    monkeypatch.setattr(bench.runtime, "restore", restore)
    assert bench.restore(CHECKPOINT) is CONTAINER
    assert asked == [SPEC]
    assert bench.node.path(SPEC.report).is_dir()


def test_checkpoints_have_names_of_their_own(bench: Bench) -> None:
    one, other = bench.checkpoint_of(CONTAINER), bench.checkpoint_of(CONTAINER)
    assert one.container == other.container == CONTAINER
    assert (one.name, other.name) == ("checkpoint-1", "checkpoint-2")
    assert one.images == f"{bench.node.storage}/checkpoints/checkpoint-1/images"


# ---- the source


def test_a_source_is_started_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started = Runc.start

    def start(runtime: Runc, spec: ContainerSpec) -> Container:
        tell(bench, "start", at=spec.report, n=0, pid=1, ring=4, period_us=0, surfaces=["added"])
        tell(bench, "beat", at=spec.report, n=1)
        return started(runtime, spec)

    monkeypatch.setattr(Runc, "start", start)
    bench.source, stages = None, Stages()
    bench.node.journal = stages.journal
    source = bench.running_source(stages)
    assert bench.running_source(Stages()) is source
    assert (source.container.name, source.nonce) == ("source-1", NONCE)
    assert source.commands == tuple(stages.journal.commands)
    assert {command.stage.value for command in source.commands} == {"start"}


@pytest.mark.parametrize("crashes", [True, False])
def test_what_never_comes_to_tick_is_removed_and_a_crash_is_no_fault_of_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, crashes: bool
) -> None:
    bench.source, stages = None, Stages()
    bench.node.journal = stages.journal
    bench.node.crash_logs = {"/var/log/panics": 0}
    node_of(bench).put("/var/log/panics", "panic: of an earlier container\n")
    bench.node.mark()

    def silence(*_: object, **__: object) -> None:
        node_of(bench).put("/var/log/panics", "panic: of an earlier container\n" + "panic: of this one\n" * crashes)
        raise DeadlineExceeded("the first tick did not happen within 30 s")

    monkeypatch.setattr(source, "until", silence)
    with pytest.raises(StageFailed) as raised:
        bench.running_source(stages)
    assert raised.value.stage is Stage.START
    assert raised.value.outcome is (Outcome.CHECKPOINT_FAILED if crashes else Outcome.HUNG)
    assert bench.node.crashes() == (("panic: of this one",) if crashes else ())
    assert bench.source is None
    assert "runc --root /run/runc delete --force source-1" in node_of(bench).said()


def test_a_source_is_dropped_once(bench: Bench) -> None:
    bench.drop_source()
    bench.drop_source()
    assert bench.source is None
    assert node_of(bench).said().count("runc --root /run/runc delete --force source-0") == 1
    assert not bench.node.path(SPEC.folder).exists()


def test_without_a_source_there_is_nobody_to_ask(bench: Bench) -> None:
    bench.source = None
    assert bench.stop_source() is True
    assert node_of(bench).said() == []


@pytest.mark.parametrize("ticks", [False, True])
def test_a_source_that_says_nothing_stands_still(bench: Bench, monkeypatch: pytest.MonkeyPatch, ticks: bool) -> None:
    tell(bench, "beat")
    monkeypatch.setattr(wait, "moment", lambda _: tell(bench, "beat") if ticks else None)
    assert bench.source is not None
    assert bench.source.stands_still() is not ticks


def test_a_first_word_is_found_also_among_those_heard_before(bench: Bench) -> None:
    assert bench.source is not None
    for n in (1, 2, 3):
        tell(bench, "beat", n=n)
    channel = bench.source.channel
    assert len(channel.listen()) == 3
    found = channel.first(lambda said: isinstance(said, Beat) and said.n > 1)
    assert found is not None
    assert found.n == 2
    assert channel.first(lambda said: said.n > 3) is None


@pytest.mark.parametrize("named", ["source-0", "c0ffee"], ids=["by its name", "by the engine's own name"])
def test_what_a_runtime_notes_about_the_living_source_is_no_leak(bench: Bench, held: set[str], named: str) -> None:
    assert bench.source is not None
    bench.source.container = replace(CONTAINER, id="c0ffee")
    noted, left, mount = f"file /run/{named}/state", "file /run/clone-1/state", f"mount /run/{named}/rootfs (overlay)"
    before = bench.snapshot()
    held |= {noted, left, mount}
    assert bench.quiet_leaks(before, seconds=0) == (left, mount)
    bench.source = None
    assert noted in bench.quiet_leaks(before, seconds=0)


def test_what_the_last_trial_saw_is_the_baseline_of_the_next_beside_the_same_source(
    bench: Bench, held: set[str]
) -> None:
    before = bench.snapshot()
    assert bench.quiet_leaks(before, seconds=0) == ()
    held.add("file /run/late")
    assert bench.quiet_leaks(bench.baseline(), seconds=0) == ("file /run/late",), "it came after the last look"
    assert bench.quiet_leaks(bench.baseline(), seconds=0) == (), "and is told once"


def looks(*left: set[str]) -> Callable[[audit.Snapshot], tuple[str, ...]]:
    """What is left in a node at each look."""
    each = iter(left)
    return lambda _: tuple(sorted(next(each)))


STAYS, GOES, LINK = "file /run/left", "process 7 podman", "link veth0"


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ([{STAYS, GOES}, {STAYS, GOES}, {STAYS}, set()], set()),
        ([{STAYS, LINK}, {STAYS, LINK}, set()], set()),
        ([{STAYS}, {STAYS, GOES}, {STAYS, GOES}, set()], set()),
        ([{STAYS}, {STAYS}, {"file too late"}], {STAYS}),
        ([{STAYS, GOES}, {STAYS}, {STAYS}, {"file too late"}], {STAYS}),
    ],
    ids=["a process", "a link", "a process at the second look", "what stays", "what a process leaves"],
)
def test_only_what_a_process_or_the_kernel_may_remove_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, found: list[set[str]], left: set[str]
) -> None:
    monkeypatch.setattr(bench, "_leaks", looks(*found))
    assert bench.quiet_leaks(audit.NOTHING, seconds=20) == tuple(left)


def test_a_daemon_may_remove_anything(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_leaks", looks({STAYS}, {STAYS}, {STAYS}, set()))
    monkeypatch.setattr(bench.node, "daemons", [object()])
    assert bench.quiet_leaks(audit.NOTHING, seconds=20) == ()


@pytest.mark.parametrize("version", list(CgroupVersion))
def test_processes_of_the_living_source_may_come_and_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, version: CgroupVersion
) -> None:
    asked: list[str] = []

    def of_node(_: int, alive: str = "") -> Snapshot:
        asked.append(alive)
        return Snapshot(frozenset())

    monkeypatch.setattr(audit, "of_node", of_node)
    bench.node.version = version
    assert bench.source is not None
    bench.source.container = replace(CONTAINER, cgroup=bench.node.freezer("source-0"))
    bench.snapshot()
    bench.source = None
    bench.snapshot()
    assert asked == ["/source-0", ""]


# ---- shared surfaces and surfaces outside the checkpoint


@pytest.mark.parametrize(
    ("name", "kinds", "outside"),
    [
        ("bind-mount", {SurfaceKind.BIND}, {"bind"}),
        ("bind-mount", set(), set()),
        ("ledger", {SurfaceKind.BIND}, set()),
        ("volumes", {SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME}, {"named", "anonymous"}),
    ],
)
def test_surfaces_are_outside_by_their_kind(
    bench: Bench, name: str, kinds: set[SurfaceKind], outside: set[str]
) -> None:
    use(bench, outside=frozenset(kinds))
    bench.workload = find(name)
    assert bench.outside == outside


@pytest.mark.parametrize(
    ("name", "changes", "spends"),
    [
        ("ledger", {}, False),
        ("ledger", {"in_place": True}, True),
        ("shm", {}, False),
        ("deleted-file", {}, False),
        ("bind-mount", {}, True),
        ("volumes", {}, True),
    ],
)
def test_a_restore_needs_the_source_gone_where_they_would_share_something(
    bench: Bench, name: str, changes: dict[str, bool], spends: bool
) -> None:
    use(bench, **changes)
    bench.workload = find(name)
    assert bench.spends_source is spends
