"""What one participant has checkpointed and another one declines is translated, and then restored: same counter."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from harness.checkpoints.translation.bridges import Runtime, to_runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.host.wait import until
from harness.model.cells import FreezePolicy, Participant, Settings
from harness.model.errors import CommandFailed, Untranslatable
from harness.model.outcomes import Answer
from harness.run.flags import default_cache
from harness.runtimes.contract import Checkpoint, Translating
from harness.stacks import build, definition
from harness.trial import predict
from harness.trial.bench import Bench
from harness.trial.checkpoint import take
from harness.trial.source import Source
from harness.trial.stages import Stages
from harness.workload.definitions import find
from harness.workload.messages import ReadingMessage
from harness.workload.programs import compile_all
from tests.node.conftest import STACK

Open = Callable[[str], Bench]
SID = "debian-sid"
"""The stack with a containerd that restores checkpoints for CRI."""


def sid_root() -> Path:
    return build.prepare(definition.load(SID), default_cache(), mirror=None, progress=print)


@pytest.fixture
def opened(stack_root: Path) -> Iterator[Open]:
    binaries = compile_all(default_cache())
    with contextlib.ExitStack() as benches:

        def open_bench(runtime: str) -> Bench:
            stack, root = (SID, sid_root()) if runtime.startswith("cri/") or SID in runtime else (STACK, stack_root)
            who = Participant(runtime=runtime.partition("@")[0], stack=stack)
            bench = Bench.open((who, ""), root, binaries, Settings())
            benches.callback(bench.close)
            return bench

        yield open_bench


def checkpointed(bench: Bench, policy: FreezePolicy) -> tuple[Source, Checkpoint]:
    stages = Stages()
    source = bench.running_source(stages)
    checkpoint = bench.checkpoint_of(source.container)
    take(bench.runtime, checkpoint, policy, stages, runs_again=lambda: None)
    return source, checkpoint


def assert_goes_on(bench: Bench, checkpoint: Checkpoint, source: Source) -> None:
    """Restore, and hear the first word of it: the same counter as in the source, and as on every surface."""
    clone = bench.restore(checkpoint)
    heard = bench.channel(clone)
    said = until(
        lambda: next((each for each in heard.listen() if isinstance(each, ReadingMessage)), None),
        seconds=20,
        what="a reading of the restored workload",
    )
    assert said.nonce == source.nonce
    assert all(surface.newest is not None and abs(surface.newest - said.n) <= 1 for surface in said.surfaces)
    bench.remove(clone)


@pytest.mark.parametrize(("origin", "target"), [("runc", "crun"), ("crun", "runc")])
def test_images_of_one_runtime_are_restored_by_the_other(opened: Open, origin: str, target: str) -> None:
    near, far = opened(origin), opened(target)
    source, checkpoint = checkpointed(near, FreezePolicy.PAUSE)
    as_it_is = far.bring(checkpoint, near)
    with pytest.raises(CommandFailed) as declined:
        far.restore(as_it_is)
    assert any("No mapping for" in line for line in declined.value.log)
    translated = far.bring(checkpoint, near)
    done = to_runtime(far.node.path(translated.images), Runtime(target))
    assert {"/proc/keys", "/proc/timer_list"} <= {each.split(":")[0] for each in done}
    assert_goes_on(far, translated, source)


def test_an_archive_of_podmans_goes_to_another_form_and_back(opened: Open, tmp_path: Path) -> None:
    bench = opened("podman/runc")
    bench.workload = find("deleted-file")
    source, checkpoint = checkpointed(bench, FreezePolicy.CGROUP)
    archive = bench.node.path(f"{checkpoint.folder}/checkpoint.tar")
    for form in ("crio", "containerd"):
        there, back = tmp_path / f"{form}.tar", tmp_path / f"{form}-back.tar"
        translate(archive, there, Order(form, image=f"localhost/workload@sha256:{'0' * 64}"))
        translate(there, back, Order("podman", template=archive))
        archive_of_another = replace(checkpoint, folder=f"{checkpoint.folder}-{form}")
        bench.node.run(["mkdir", archive_of_another.folder])
        bench.node.path(f"{archive_of_another.folder}/checkpoint.tar").write_bytes(back.read_bytes())
        assert_goes_on(bench, archive_of_another, source)


def translated(origin: Bench, target: Bench, checkpoint: Checkpoint) -> Checkpoint:
    """Carry an archive to another engine, and translate it for that one."""
    there = target.bring(checkpoint, origin)
    archive = target.node.path(there.archive)
    translate(archive, archive, cast(Translating, target.runtime).translation(there), force=True)
    return there


@pytest.mark.parametrize("program", Runtime)
def test_podman_and_containerd_restore_each_others_archives(opened: Open, program: Runtime) -> None:
    """What was deleted stays deleted; CRIU's checks are all on."""
    podman, containerd = opened(f"podman/{program}@{SID}"), opened(f"cri/containerd/{program}")
    for origin, target, policy in (
        (podman, containerd, FreezePolicy.CGROUP),
        (containerd, podman, FreezePolicy.ENGINE),
    ):
        origin.workload = target.workload = find("deleted-file")
        source, checkpoint = checkpointed(origin, policy)
        as_it_is = target.bring(checkpoint, origin)
        predicted = predict.prediction(as_it_is, target, ())
        form = target.runtime.way.form
        assert (predicted.answer, predicted.translate.partition(" -")[0]) == (Answer.NO, f"--to {form}")
        assert "--runtime" not in predicted.translate, "it is the same"
        with pytest.raises(CommandFailed):
            target.restore(as_it_is)
        there = translated(origin, target, checkpoint)
        assert predict.prediction(there, target, ()).answer is Answer.YES
        assert_goes_on(target, there, source)


def test_a_template_without_a_network_does_not_fit_a_pod_of_the_nodes_network(opened: Open, tmp_path: Path) -> None:
    podman, containerd = opened(f"podman/runc@{SID}"), opened("cri/containerd/runc")
    podman.workload = containerd.workload = find("deleted-file")
    _, like = checkpointed(podman, FreezePolicy.CGROUP)
    _, checkpoint = checkpointed(containerd, FreezePolicy.ENGINE)
    order = Order("podman", template=podman.node.path(like.archive))
    with pytest.raises(Untranslatable, match=r"the template has no mount at \['/etc/resolv.conf'\]") as declined:
        translate(containerd.node.path(checkpoint.archive), tmp_path / "out.tar", order)
    assert "--network host" in declined.value.remedy


def test_a_file_in_a_pods_shared_memory_is_in_no_other_pod(opened: Open) -> None:
    """So the translation declines what no restore could open."""
    podman, containerd = opened(f"podman/runc@{SID}"), opened("cri/containerd/runc")
    containerd.workload = podman.workload = find("pod-shm")
    _, checkpoint = checkpointed(containerd, FreezePolicy.ENGINE)
    predicted = predict.prediction(checkpoint, containerd, ())
    assert (predicted.answer, predicted.translate) == (Answer.NO, "")
    with pytest.raises(CommandFailed) as failed:
        containerd.restore(checkpoint)
    assert any("Can't open file dev/shm/shm.ring" in line for line in failed.value.log)
    with pytest.raises(Untranslatable, match=r"its processes use /dev/shm/shm\.ring \([0-9,]+ bytes\)"):
        translated(containerd, podman, checkpoint)
