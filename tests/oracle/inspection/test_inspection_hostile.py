"""Hostile checkpoints, whose parts do not fit together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.checkpoints import find
from harness.checkpoints.carriers import INDEXES
from harness.checkpoints.untrusted import Broken, Budget, Unreadable
from harness.oracle.inspection import inspect
from tests.criu_images import PAGE, dump, memory, tar


def test_a_counter_of_no_process_is_not_memory(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(PAGE))
    (images / "pagemap-7777777777.img").write_bytes((dump(tmp_path / "other", memory()) / "pagemap-1.img").read_bytes())
    (images / "pages-1.img").write_bytes(memory())
    (found,) = inspect(images, {}).checkpoints
    assert [each.pid for each in found.workloads] == [1], "its pages are now those of the only process"


def indexes(folder: Path, depth: int, *, times: int) -> Path:
    """An OCI layout of nested indexes; each index names the next one several times."""
    (folder / "blobs/sha256").mkdir(parents=True)
    content = b'{"manifests": []}'
    for _ in range(depth):
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs/sha256" / digest).write_bytes(content)
        descriptor = {"mediaType": INDEXES[0], "digest": f"sha256:{digest}"}
        content = json.dumps({"manifests": [descriptor] * times}).encode()
    (folder / "index.json").write_bytes(content)
    return folder


def test_indexes_that_multiply_are_read_no_further_than_the_budget(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="more than 500 parts"):
        inspect(indexes(tmp_path / "it", 4, times=20), {}, budget=Budget(parts=500))


def test_indexes_in_indexes_are_declined_before_anything_is_overlooked(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="nests indexes more than 4 levels deep"):
        inspect(indexes(tmp_path / "it", 5, times=1), {})


def test_a_part_that_is_not_what_its_digest_says_is_broken(tmp_path: Path) -> None:
    layout = indexes(tmp_path / "it", 2, times=1)
    for path in (layout / "blobs/sha256").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Broken, match="does not match its digest"):
        inspect(layout, {})


def test_a_tag_of_a_registry_is_a_digest_and_no_more(tmp_path: Path) -> None:
    tag = "docker/registry/v2/repositories/app/_manifests/tags/1/current/link"
    with pytest.raises(Unreadable, match="link has 201 bytes, more than the limit of 200"):
        inspect(tar(tmp_path / "it.tar", {tag: b"x" * 201}), {})


def test_checkpoints_and_images_are_counted_while_they_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "a/b", "ab"):
        dump(tmp_path / "it" / name, bytes(PAGE))
    monkeypatch.setattr(find, "MOST_CHECKPOINTS", 2)
    assert [each.where for each in inspect(tmp_path / "it", {}).checkpoints] == ["a", "ab"]
    monkeypatch.setattr(find, "MOST_CHECKPOINTS", 1)
    with pytest.raises(Unreadable, match="more than 1 checkpoints"):
        inspect(tmp_path / "it", {})
    layers: list[dict[str, list[str]]] = [{"Layers": []}] * 3
    monkeypatch.setattr(find, "MOST_IMAGES", 2)
    with pytest.raises(Unreadable, match="more than 2 images"):
        inspect(tar(tmp_path / "it.tar", {"manifest.json": json.dumps(layers).encode()}), {})
