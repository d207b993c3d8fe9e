"""The trials that build a bridge between two participants, on simulated benches."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkpoints.criu.image import MOUNTS, PAGEMAP
from harness.checkpoints.translation.translate import Order
from harness.model.errors import CommandFailed
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Refusal
from harness.runtimes.contract import Checkpoint, Container
from harness.runtimes.criu_configuration import DEFAULT
from harness.runtimes.runc import Runc
from harness.trial.bench import Bench
from harness.trial.trial import Trial
from scenarios.test_bridges import Mapped, Translated
from tests.checkpoints.translation.exports import opened, podman
from tests.checkpoints.translation.test_bridges import CRUN, EMPTY, RUNC, read, write
from tests.folder_bench import CELL, CHECKPOINT, PLAN, Played, open_bench

IMAGES = CHECKPOINT.images


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = open_bench(tmp_path / "near", set(), monkeypatch)
    bench.components = (Component(name="crun", version="1.28"), Component(name="criu", version="4.2.1"))
    return bench


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = open_bench(tmp_path / "far", set(), monkeypatch)
    bench.components = (Component(name="runc", version="1.1.15"), Component(name="criu", version="4.1.1"))
    return bench


def build(kind: type[Trial], near: Bench, far: Bench) -> tuple[Trial, contextlib.ExitStack]:
    trial = kind(near, CELL, PLAN, number=0, last=False, far=far)
    acquired = contextlib.ExitStack()
    trial.build_bridge(CHECKPOINT, acquired)
    return trial, acquired


def test_criu_is_told_what_covers_masked_paths_until_the_trial_ends(near: Bench, far: Bench) -> None:
    far.node.write(DEFAULT, "cgroup-root=cpu:/\n")
    write(far.node.path(f"{IMAGES}/mountpoints-13.img"), MOUNTS, (*CRUN, *EMPTY))
    trial, acquired = build(Mapped, near, far)
    covered = "/run/crun/.empty-directory"
    assert trial.changes == (
        "external=mnt[/proc/keys]:/dev/null",
        "external=mnt[/proc/timer_list]:/dev/null",
        f"external=mnt[{covered}]:{covered}",
    )
    assert far.node.read(DEFAULT).splitlines() == ["cgroup-root=cpu:/", *trial.changes]
    assert far.node.path(covered).is_dir()
    acquired.close()
    assert far.node.read(DEFAULT) == "cgroup-root=cpu:/\n"
    assert not far.node.path("/run").exists(), "what was made for the trial goes with it"


def test_the_brought_checkpoint_is_rewritten_for_who_restores_it(near: Bench, far: Bench) -> None:
    table = write(far.node.path(f"{IMAGES}/mountpoints-13.img"), MOUNTS, CRUN)
    pages = [{"pages_id": 1}, {"vaddr": 4096, "compat_nr_pages": 0, "nr_pages": 3, "flags": 4}]
    pagemap = write(far.node.path(f"{IMAGES}/pagemap-1.img"), PAGEMAP, pages)
    trial, _ = build(Translated, near, far)
    assert len(trial.changes) == 3
    assert [each.ext_key for each in read(table, MOUNTS)] == ["/dev/null", "/dev/null"]
    assert [each.compat_nr_pages for each in read(pagemap, PAGEMAP)[1:]] == [3]


def test_what_the_restoring_side_takes_as_it_is_is_left_alone(near: Bench, far: Bench) -> None:
    table = write(far.node.path(f"{IMAGES}/mountpoints-13.img"), MOUNTS, RUNC)
    before = table.read_bytes()
    assert build(Translated, near, far)[0].changes == ()
    assert table.read_bytes() == before


class Crio(Runc):
    """A runtime with archives of its own form."""

    def translation(self, checkpoint: Checkpoint) -> Order:
        assert checkpoint.folder == CHECKPOINT.folder
        return Order("crio")


def test_an_archive_of_another_engine_is_written_in_the_form_of_who_restores_it(
    near: Bench, far: Bench, tmp_path: Path
) -> None:
    far.runtime = Crio(far.node, replace(Runc.ways[0], form="crio"))
    archive = far.node.path(CHECKPOINT.archive)
    archive.parent.mkdir(parents=True)
    shutil.copy(podman(tmp_path / "in"), archive)
    trial, _ = build(Translated, near, far)
    assert any(change.startswith("podman -> crio: ") for change in trial.changes)
    assert "io.kubernetes.cri-o.LogPath" in opened(archive, tmp_path / "opened")
    before = archive.read_bytes()
    near.runtime = far.runtime
    assert build(Translated, near, far)[0].changes == (), "one engine needs no other form"
    assert archive.read_bytes() == before


@pytest.mark.parametrize("two", [True, False])
def test_only_who_declines_another_is_graded(
    near: Bench, far: Bench, monkeypatch: pytest.MonkeyPatch, *, two: bool
) -> None:
    def decline(*_: object) -> Container:
        raise CommandFailed("no", stderr="made by crun, and this is runc", runtime=True)

    def attempt(trial: Trial, acquired: contextlib.ExitStack) -> None:
        trial.restore(CHECKPOINT, acquired)

    other = far if two else near
    near.node.path(CHECKPOINT.folder).mkdir(parents=True)
    monkeypatch.setattr(Bench, "bring", lambda *_: Checkpoint(CHECKPOINT.container, CHECKPOINT.folder))
    monkeypatch.setattr(other.runtime, "restore", decline)
    played = Played(near, attempt)
    played.far = other
    record = played.run()
    assert record.refusal == (Refusal(early=True, named=("crun and runc",)) if two else None)
    assert record.verdict.outcome is (Outcome.REFUSED if two else Outcome.RESTORE_FAILED)
