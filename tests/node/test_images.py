"""A checkpoint image goes through a real registry to another node, and comes back to life there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from harness.images import study
from harness.images.engines import Podman
from harness.images.producers import PodmanImage, Producer
from harness.images.routes import Pushed
from harness.model.cells import Settings
from harness.model.outcomes import Outcome
from harness.records.image_path import Base, ImagePath, Spot, Step
from harness.run.flags import default_cache
from harness.stacks import build, definition
from harness.trial.bench import Bench
from harness.workload.programs import compile_all

STACK = "debian-sid"
"""The one that has a registry."""


class PodmanAlone(Podman):
    producers: ClassVar[tuple[Producer, ...]] = (PodmanImage(),)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> list[ImagePath]:
    monkeypatch.setattr(study, "ROUTES", (Pushed(),))
    root = build.prepare(definition.load(STACK), default_cache(), mirror=None, progress=print)
    binaries: dict[str, Path] = compile_all(default_cache())
    open_bench = partial(Bench.open, lower=root, binaries=binaries, settings=Settings())
    return list(study._studied(PodmanAlone(), STACK, open_bench, print))


def test_an_image_restores_behind_a_registry_and_is_refused_without_its_base(paths: list[ImagePath]) -> None:
    through, pullable, missing, changed = paths
    assert [attempt.step for attempt in through.attempts] == [Step.RESTORE]
    assert through.outcome is Outcome.CONSISTENT, through.attempts
    made, pushed, arrived = through.looks
    assert made.digest != pushed.digest == arrived.digest, "a push compresses, and a pull takes what there is"
    assert made.annotations == arrived.annotations
    assert arrived.annotations[Spot.MANIFEST]["io.podman.annotations.checkpoint.runtime.name"] == "runc"
    assert set(through.base_told) == {"name of the base image", "id of the base image"}
    assert (pullable.base, pullable.outcome) == (Base.PULLABLE, Outcome.CONSISTENT)
    for path, named in ((missing, "name of the base image"), (changed, "id of the base image")):
        assert path.outcome is Outcome.REFUSED, path.attempts
        refusal = path.attempts[0].refusal
        assert refusal is not None
        assert (refusal.early, refusal.named, refusal.left) == (True, (named,), ())
