"""Where a checkpoint keeps each surface, as a bench finds it in what an adapter lays open."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import workload
from harness.bench import Bench
from harness.oracle.offline import Deleted, File, InTmpfs
from harness.runtimes.contract import Contents
from tests.folder_bench import node_of, open_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return open_bench(tmp_path, set(), monkeypatch)


def places(bench: Bench, name: str, **disks: str) -> dict[str, object]:
    """`root=/x` is the mount point `/`, any other name a folder there."""
    bench.workload = workload.find(name)
    folders = {"/" if mount == "root" else f"/{mount}": at for mount, at in disks.items()}
    return dict(bench.places(Contents("/c/images", folders)))


def test_a_file_that_was_added_is_in_the_captured_layer(bench: Bench) -> None:
    node = node_of(bench)
    node.put("/c/upper/data/added.ring", "x")
    assert places(bench, "ledger", root="/c/upper") == {
        "added": File(node.path("/c/upper/data/added.ring")),
        "tmpfs": InTmpfs("tmpfs.ring"),
    }
    assert places(bench, "ledger", root="/c/upper/") == places(bench, "ledger", root="/c/upper")


@pytest.mark.parametrize("captured", [False, True])
def test_a_file_of_the_image_is_the_images_unless_it_was_captured(bench: Bench, captured: bool) -> None:
    node = node_of(bench)
    node.put(f"{node.storage}/image/image/image.ring", "pristine")
    if captured:
        node.put("/c/upper/image/image.ring", "changed")
    at = "/c/upper" if captured else f"{node.storage}/image"
    assert places(bench, "image-file", root="/c/upper") == {"image": File(node.path(f"{at}/image/image.ring"))}


def test_a_deletion_is_looked_for_where_the_file_would_be(bench: Bench) -> None:
    found = places(bench, "deleted-file", root="/c/upper")
    assert found["deleted"] == Deleted(bench.node.path("/c/upper/image/deleted"))
    assert list(found) == ["added", "deleted"]


def test_a_volume_is_in_the_checkpoint_only_where_it_was_captured(bench: Bench) -> None:
    node = node_of(bench)
    assert list(places(bench, "volumes", root="/c/upper")) == ["added"]
    assert places(bench, "volumes", root="/c/upper", named="/c/volume") == {
        "added": File(node.path(f"{node.storage}/image/data/added.ring")),
        "named": File(node.path("/c/volume/named.ring")),
    }
    assert list(places(bench, "bind-mount", root="/c/upper")) == ["added"]


def test_memory_on_a_mount_is_in_criu_s_archives_unless_it_was_captured_as_files(bench: Bench) -> None:
    everything = places(bench, "shm", root="/c/upper")
    assert (everything["tmpfs"], everything["shm"]) == (InTmpfs("tmpfs.ring"), InTmpfs("shm.ring"))
    assert places(bench, "shm", root="/c/upper", scratch="/c/tmpfs")["tmpfs"] == File(
        bench.node.path("/c/tmpfs/tmpfs.ring")
    )


def test_a_checkpoint_without_a_layer_holds_no_file_of_it(bench: Bench) -> None:
    assert places(bench, "ledger") == {"tmpfs": InTmpfs("tmpfs.ring")}
    assert places(bench, "image-file") == places(bench, "deleted-file") == {}
