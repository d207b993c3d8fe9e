"""The opening of a bench: what it prepares before its first trial, and that a failed opening leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.host import audit
from harness.host.audit import Snapshot
from harness.model.cells import CgroupVersion, Participant, Settings, SurfaceKind
from harness.model.errors import CommandFailed, EnvironmentUnfit
from harness.model.outcomes import Outcome, Stage
from harness.runtimes import RUNTIMES, contract
from harness.runtimes.runc import Runc
from harness.trial import bench as benches
from harness.trial.bench import Bench
from harness.trial.stages import Stages
from harness.trial.trial import Trial
from harness.workload.definitions import RECORD_BYTES, available, find
from harness.workload.image import lay_out_image
from tests.folder_bench import CELL, PLAN, furnish, node_of, open_bench
from tests.folder_node import Answer, FolderNode


def test_the_image_is_the_same_for_all_workloads(tmp_path: Path) -> None:
    node, binary = FolderNode(tmp_path / "node"), tmp_path / "built"
    binary.write_text("#!", encoding="ascii")
    lay_out_image(node.path("/i"), {"ledger": binary}, ring=8)
    for name in available():
        for surface in find(name).files:
            file = node.path(f"/i{surface.path}")
            assert file.parent.is_dir()
            of_image = surface.kind in (SurfaceKind.IMAGE, SurfaceKind.DELETED)
            assert (file.read_bytes() if file.exists() else None) == (bytes(8 * RECORD_BYTES) if of_image else None)
    assert node.path("/i/ledger").read_text(encoding="ascii") == "#!"
    assert node.path("/i/report").is_dir()


class Opened(FolderNode):
    """A folder in which a simulated node starts."""

    folder: Path
    ended = 0
    given: tuple[Any, ...] = ()

    def __init__(self, *given: object, name: str, version: CgroupVersion) -> None:
        super().__init__(self.folder)
        self.given = (*given, name, version)
        furnish(self)
        for program in ("runc", "criu"):
            self.programs[program] = self._speak

    def _speak(self, argv: Sequence[str], _: str) -> Answer:
        if "--version" in argv:
            return 0, {"runc": "runc version 1.3.0\n", "criu": "Version: 4.1\n"}[argv[0]], ""
        return 0, "Looks good.\n", ""

    def end(self) -> None:
        Opened.ended += 1


KEY = Bench.key_of(CELL)


@pytest.fixture
def _folders_for_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "of_node", lambda *_, **__: Snapshot(frozenset({"process 1 init"})))
    monkeypatch.setattr(Opened, "folder", tmp_path / "opened", raising=False)
    monkeypatch.setattr(Opened, "ended", 0)
    monkeypatch.setattr(benches, "Node", Opened)


@pytest.mark.usefixtures("_folders_for_nodes")
def test_a_bench_is_ready_for_any_container_of_its_participant(tmp_path: Path) -> None:
    bench = Bench.open(KEY, tmp_path, {}, Settings(cgroups=CgroupVersion.V1))
    assert isinstance(bench.node, Opened)
    assert bench.node.given == ("folder", tmp_path, "runc", CgroupVersion.V1)
    assert bench.key == Bench.key_of(CELL) == (CELL.checkpoint, "")
    assert (bench.lacking, [one.available for one in bench.capabilities]) == ((), [True])
    assert [component.name for component in bench.components] == ["runc", "criu"]
    assert bench.image == f"{bench.node.storage}/image"
    assert Opened.ended == 0
    stages = Stages()
    bench.node.journal = stages.journal
    for _ in range(2):
        bench.warm_up(stages)
    assert bench.warm
    assert stages.journal.commands == [], "a replay does not need the warm-up"
    assert list(bench.node.path(f"{bench.node.storage}/containers").iterdir()) == []


@pytest.mark.usefixtures("_folders_for_nodes")
def test_a_runtime_that_fails_in_the_warm_up_is_blamed_and_nothing_is_called_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CommandFailed("runc ended with code 2: panic: no", runtime=True)

    bench = Bench.open(KEY, tmp_path, {}, Settings())
    monkeypatch.setattr(Runc, "start", crash)
    record = Trial(bench, CELL, PLAN, number=0, last=True).run()
    assert (record.verdict.outcome, record.verdict.stage) == (Outcome.CHECKPOINT_FAILED, Stage.START)
    assert record.verdict.reason == "runc ended with code 2: panic: no"
    assert record.verdict.also == ()
    assert [each.name for each in record.components["checkpoint"]] == ["runc", "criu"], "for the known crashes"
    assert not bench.warm


@pytest.mark.usefixtures("_folders_for_nodes")
def test_a_bench_whose_runtime_lacks_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = contract.Capability("checkpoint", available=False, evidence="no ptrace")
    monkeypatch.setattr(Runc, "capabilities", lambda _: (lacks, contract.Capability("x", available=True, evidence="")))
    bench = Bench.open(KEY, tmp_path, {}, Settings())
    assert bench.lacking == (lacks,)
    assert node_of(bench).said() == [], "nothing else was asked of it"


@pytest.mark.usefixtures("_folders_for_nodes")
@pytest.mark.parametrize("error", [CommandFailed("no"), KeyboardInterrupt()])
def test_a_bench_that_cannot_be_opened_leaves_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(Runc, "prepare", refuse)
    with pytest.raises(type(error)):
        Bench.open(KEY, tmp_path, {}, Settings())
    assert Opened.ended == 1


def test_the_bench_of_a_way_is_another() -> None:
    assert Bench.key_of(CELL.model_copy(update={"way": "commit"})) != Bench.key_of(CELL)
    assert Bench.key_of(CELL.model_copy(update={"workload": "volumes"})) == Bench.key_of(CELL)


@pytest.mark.usefixtures("_folders_for_nodes")
def test_the_name_of_a_node_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "podman/runc", Runc)
    who = Participant(runtime="podman/runc", stack="folder")
    bench = Bench.open((who, ""), tmp_path, {}, Settings())
    assert isinstance(bench.node, Opened)
    assert bench.node.given[-2] == "podman-runc"


def test_a_program_is_asked_once_for_its_version(tmp_path: Path) -> None:
    node, answers = FolderNode(tmp_path), [(1, "", "out of memory"), (0, "Version: 4.1\n", "")]
    node.programs["criu"] = lambda *_: answers.pop(0)
    with pytest.raises(CommandFailed):
        node.ask(["criu", "--version"])  # a failure may have been one of the machine
    said = [node.ask(["criu", "--version"]), node.ask(["criu", "--version"])]
    assert said[0] is said[1]
    assert node.journal.commands[1:] == said, "both are on record"


# ---- another workload


@pytest.fixture
def furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return open_bench(tmp_path, set(), monkeypatch)


def test_an_application_has_an_image_of_its_own_which_is_loaded_once(
    furnished: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = furnished
    bench.binaries = {name: Path(__file__) for name in ("ledger", "state")}
    journal = find("journal")
    bench.use(journal)
    assert bench.node.path(f"{bench.image_folder}/application/verify").exists()
    assert bench.images["journal"][0] == bench.image_folder
    first = bench.start("first")
    assert first.spec.image == bench.image_folder
    assert first.spec.application == journal.application
    monkeypatch.delattr("harness.trial.application.lay_out_application")
    bench.use(find("ledger"))
    assert bench.start("second").spec.image == bench.image
    bench.use(journal)
    assert bench.start("third").spec.image == first.spec.image


def test_an_application_without_an_image_is_told_at_each_trial(furnished: Bench) -> None:
    bench = furnished
    bench.roots = {"valkey": "the workload valkey has no image: no network"}
    for _ in range(2):
        with pytest.raises(EnvironmentUnfit, match="the workload valkey has no image: no network"):
            bench.use(find("valkey"))


def test_what_criu_needs_for_a_workload_is_configured_for_it_alone_and_on_record(furnished: Bench) -> None:
    bench = furnished
    bench.images["sqlite-wal"] = "image", ()
    bench.use(find("sqlite-wal"))
    paths = ("/etc/criu/default.conf", "/etc/criu/runc.conf", "/etc/criu/crun.conf")
    assert all("file-locks\n" in bench.node.read(path) for path in paths)
    assert [each.write_path for each in bench.readied] == list(paths)
    bench.use(find("ledger"))
    assert not any("file-locks" in bench.node.read(path) for path in paths)
