"""Checkpoints whose parts do not fit together, made by somebody who wants the reading to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.checkpoints import find
from harness.checkpoints.carriers import INDEXES
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.inspection import inspect
from tests.criu_images import PAGE, dump, memory, tar


def test_a_counter_of_no_process_is_declined(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(PAGE))
    (images / "pagemap-7777777777.img").write_bytes((dump(tmp_path / "other", memory()) / "pagemap-1.img").read_bytes())
    (images / "pages-1.img").write_bytes(memory())
    with pytest.raises(Unreadable, match=r"pagemap-7777777777\.img is of no process of pstree\.img"):
        inspect(images, {})


def indexes(folder: Path, leads_to: dict[str, str], *, times: int = 2) -> Path:
    """An OCI layout of indexes by the letters of their digests, each of which names another one several times."""
    (folder / "blobs/sha256").mkdir(parents=True)
    for name, other in leads_to.items():
        descriptor = {"mediaType": INDEXES[0], "digest": f"sha256:{other * 64}"}
        path = folder / (f"blobs/sha256/{name * 64}" if name else "index.json")
        path.write_text(json.dumps({"manifests": [descriptor] * times}))
    return folder


def test_an_index_that_is_in_itself_is_declined(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="holds an index that is in itself"):
        inspect(indexes(tmp_path / "it", {"": "a", "a": "b", "b": "a"}), {})


def test_indexes_that_multiply_are_read_no_further_than_the_budget(tmp_path: Path) -> None:
    layout = indexes(tmp_path / "it", {"": "a", "a": "b", "b": "c", "c": "d", "d": "e"}, times=20)
    with pytest.raises(Unreadable, match="more than 500 parts"):
        inspect(layout, {}, budget=Budget(parts=500))


def test_a_tag_of_a_registry_is_a_digest_and_no_more(tmp_path: Path) -> None:
    tag = "docker/registry/v2/repositories/app/_manifests/tags/1/current/link"
    with pytest.raises(Unreadable, match="link has 201 bytes, where at most 200 are credible"):
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
