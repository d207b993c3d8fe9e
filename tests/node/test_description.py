"""What we say of an archive, and what checkpointctl says of it, by itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.translation.translate import Order, translate
from harness.model.cells import FreezePolicy, Participant, Settings
from harness.model.description import Description
from harness.oracle.inspection import inspect
from harness.run.flags import default_cache
from harness.stacks import build, definition
from harness.trial.bench import Bench
from harness.trial.checkpoint import take
from harness.trial.stages import Stages
from harness.workload.programs import compile_all

STACK = "debian-sid"
"""The one that has checkpointctl."""
PULLABLE = f"localhost/workload@sha256:{'0' * 64}"


@pytest.fixture(params=["podman/runc", "podman/crun"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    root = build.prepare(definition.load(STACK), default_cache(), mirror=None, progress=print)
    who = Participant(runtime=request.param, stack=STACK)
    bench = Bench.open((who, ""), root, compile_all(default_cache()), Settings())
    with contextlib.closing(bench):
        yield bench


def archives(bench: Bench, folder: Path) -> Iterator[Path]:
    """One as the engine has made it, and the same in the forms of the others."""
    stages = Stages()
    checkpoint = bench.checkpoint_of(bench.running_source(stages).container)
    take(bench.runtime, checkpoint, FreezePolicy.CGROUP, stages, runs_again=lambda: None)
    own = bench.node.path(checkpoint.archive)
    yield own
    for form in ("crio", "containerd"):
        translate(own, folder / f"{form}.tar", Order(form, image=PULLABLE))
        yield Path(shutil.copy(folder / f"{form}.tar", own.with_name(f"{form}.tar")))


def of_checkpointctl(bench: Bench, archive: Path) -> dict[str, Any]:
    path = f"/{archive.relative_to(bench.node.path('/'))}"
    said = bench.node.run(["checkpointctl", "inspect", "--format", "json", "--all", path]).stdout
    found: dict[str, Any] = json.loads(said)[0]
    return found


def said(ours: Description, theirs: dict[str, Any]) -> dict[str, tuple[object, object]]:
    """What we say and what they say; a time of theirs is in whole seconds."""
    statistics, sizes = theirs["statistics"], theirs["checkpoint_size"]
    counted = ours.statistics
    assert counted is not None
    return {
        "name": (ours.container_name, theirs["container_name"]),
        "id": (ours.container_id, theirs["id"]),
        "image": (ours.image, theirs["image"]),
        "runtime": (ours.runtime, theirs["runtime"]),
        "engine": (ours.engine, theirs["engine"].lower().replace("-", "")),
        "created": (_seconds(ours.created), _seconds(theirs["created"])),
        "mounts": (
            {(each.target, each.kind, each.source) for each in ours.mounts},
            {(each["destination"], each["type"], each["source"]) for each in theirs["mounts"]},
        ),
        "bytes": (ours.images_bytes, sizes["total_size"]),
        "bytes of pages": (ours.pages_bytes, sizes["memory_pages_size"]),
        "bytes of disk": (ours.disk_bytes, sizes["root_fs_diff_size"]),
        "freezing": (counted.freezing_us, statistics["freezing_time"]),
        "frozen": (counted.frozen_us, statistics["frozen_time"]),
        "dumped": (counted.memory_dump_us, statistics["memdump_time"]),
        "written": (counted.memory_write_us, statistics["memwrite_time"]),
        "scanned": (counted.pages_scanned, statistics["pages_scanned"]),
        "pages": (counted.pages_written, statistics["pages_written"]),
    }


def _seconds(time: str) -> dt.datetime | None:
    return dt.datetime.fromisoformat(time).replace(microsecond=0) if time else None


def test_checkpointctl_says_the_same(bench: Bench, tmp_path: Path) -> None:
    """Also of archives that `translate` has written: it looks for name and time in annotations of Kubernetes."""
    for archive in archives(bench, tmp_path):
        both = said(inspect(archive, {}).checkpoints[0].description, of_checkpointctl(bench, archive))
        assert {what: each for what, each in both.items() if each[0] != each[1] or each[1] in ("", None)} == {}
