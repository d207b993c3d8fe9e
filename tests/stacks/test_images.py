"""Root file systems out of archives and container images."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.untrusted import Unreadable
from harness.model.errors import StackUnavailable
from harness.stacks import build, images
from harness.stacks.definition import StackDefinition

File = tuple[str, str | bytes | None]
"""Name, and content: bytes of a file, a text for the target of a link, or nothing for a folder."""


def tar(members: Iterable[File], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.getuid(), os.getgid()
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            packed.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def layout(folder: Path, *layers: bytes, machine: str = "") -> Path:
    """Write an OCI layout, with an index that leads to an index."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifest = blob(json.dumps({"layers": [blob(each) for each in layers]}).encode())
    if machine:
        manifest["platform"] = {"architecture": machine}
    inner = blob(json.dumps({"manifests": [manifest]}).encode())
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    (folder / "index.json").write_text(json.dumps({"manifests": [inner]}), encoding="utf-8")
    return folder


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as out:
        for each in sorted(folder.rglob("*")):
            out.add(each, str(each.relative_to(folder)), recursive=False)
    return path


def unpacked(source: Path, tmp_path: Path) -> Path:
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    root.mkdir()
    scratch.mkdir()
    images.unpack(source, root, scratch)
    return root


FOLDERS: list[File] = [(name, None) for name in ("usr", "usr/bin", "usr/lib", "usr/lib/old", "etc")]
LOWER = tar(
    [
        *FOLDERS,
        ("bin", "usr/bin"),
        ("usr/bin/criu", b"criu 4.1"),
        ("usr/bin/gone", b"gone"),
        ("usr/lib/old/one", b"1"),
    ]
)
UPPER = tar(
    [
        ("usr/bin/criu", b"criu 4.2"),
        ("usr/bin/.wh.gone", b""),
        ("usr/lib/old/new", b"2"),
        ("usr/lib/old/.wh..wh..opq", b""),
        ("bin/runc", b"runc 1.3"),
    ],
    "w:gz",
)


def check(root: Path) -> None:
    assert (root / "usr/bin/criu").read_bytes() == b"criu 4.2"
    assert sorted(each.name for each in (root / "usr/bin").iterdir()) == ["criu", "runc"]
    assert [each.name for each in (root / "usr/lib/old").iterdir()] == ["new"]
    assert os.readlink(root / "bin") == "usr/bin"


def test_a_layout_is_its_layers_one_over_the_other(tmp_path: Path) -> None:
    check(unpacked(layout(tmp_path / "image", LOWER, UPPER), tmp_path))


def test_an_archive_of_a_layout_is_the_same(tmp_path: Path) -> None:
    check(unpacked(packed(layout(tmp_path / "image", LOWER, UPPER), tmp_path / "image.tar"), tmp_path))


def test_a_docker_archive_names_its_layers_in_its_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "a.tar").write_bytes(LOWER)
    (folder / "b.tar").write_bytes(UPPER)
    (folder / "manifest.json").write_text(json.dumps([{"Layers": ["a.tar", "b.tar"]}]), encoding="utf-8")
    check(unpacked(packed(folder, tmp_path / "image.tar"), tmp_path))


def test_a_docker_archive_does_not_name_a_file_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "secret.tar").write_bytes(LOWER)
    for name in ("../secret.tar", "../../secret.tar", str(tmp_path / "secret.tar"), "a/../../secret.tar"):
        folder = tmp_path / f"image-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps([{"Layers": [name]}]), encoding="utf-8")
        with pytest.raises(Unreadable, match="leads outside"):
            images._layers(folder)


def test_what_unpacks_to_more_than_there_is_room_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root.tar").write_bytes(tar([("usr", None), ("usr/large", bytes(1 << 20))]))
    full = shutil.disk_usage(tmp_path)._replace(free=images.SPARED + (1 << 19))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(Unreadable, match=r"more than 524,288 bytes.*--cache"):
        unpacked(tmp_path / "root.tar", tmp_path)


def test_who_is_asked_to_end_unpacks_no_further(tmp_path: Path) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    (tmp_path / "root.tar").write_bytes(LOWER)
    (tmp_path / "root").mkdir()
    with pytest.raises(KeyboardInterrupt):
        images.unpack(tmp_path / "root.tar", tmp_path / "root", tmp_path, end)


def test_no_file_gives_the_rights_of_another_user(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, kind, mode in (("su", tarfile.REGTYPE, 0o6755), ("mail", tarfile.DIRTYPE, 0o3775)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, mode
            made.addfile(info)
    (tmp_path / "root.tar").write_bytes(out.getvalue())
    root = unpacked(tmp_path / "root.tar", tmp_path)
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "mail").stat().st_mode) == 0o3775


def test_a_tar_is_a_root_file_system(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(LOWER)
    assert (unpacked(tmp_path / "root.tar", tmp_path) / "bin/criu").read_bytes() == b"criu 4.1"


def test_a_link_does_not_lead_out_of_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inner = str(outside).lstrip("/")
    hostile: list[File] = [("usr", None), (inner, None), ("away", str(outside)), ("away/file", b"1")]
    hostile += [("up", "../../.."), ("up/file", b"2")]
    (tmp_path / "root.tar").write_bytes(tar(hostile))
    root = unpacked(tmp_path / "root.tar", tmp_path)
    assert list(outside.iterdir()) == []
    assert (root / "file").read_bytes() == b"2"
    assert (root / inner / "file").read_bytes() == b"1"


def test_a_file_behind_a_link_that_leads_nowhere_is_declined(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(tar([("away", "/nowhere"), ("away/file", b"1")]))
    with pytest.raises(Unreadable, match="away is a link that leads nowhere"):
        unpacked(tmp_path / "root.tar", tmp_path)


@pytest.mark.parametrize("name", ["../file", "/../file", "a/../../file"])
def test_a_name_does_not_lead_out_of_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "root.tar").write_bytes(tar([("usr", None), (name, b"1")]))
    with pytest.raises(Unreadable):
        unpacked(tmp_path / "root.tar", tmp_path)


def test_a_device_is_left_out(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        info = tarfile.TarInfo("disk")
        info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 8, 0
        made.addfile(info)
    (tmp_path / "root.tar").write_bytes(out.getvalue())
    assert list(unpacked(tmp_path / "root.tar", tmp_path).iterdir()) == []


def test_an_image_for_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"no manifest for .*Export it for this machine"):
        unpacked(layout(tmp_path / "image", LOWER, machine="s390x"), tmp_path)


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ("{", "no JSON document"),
        ("[]", "no list of manifests"),
        ('{"manifests": []}', "no manifest for"),
        ('{"manifests": [{"digest": "../../etc/passwd"}]}', "a part without a digest"),
        ('{"manifests": [{"digest": "sha256:../x"}]}', "a part without a digest"),
        ('{"manifests": [1]}', "no manifest for"),
    ],
)
def test_an_index_that_leads_nowhere_is_told(tmp_path: Path, index: str, told: str) -> None:
    folder = layout(tmp_path / "image", LOWER)
    (folder / "index.json").write_text(index, encoding="utf-8")
    with pytest.raises(Unreadable, match=told):
        unpacked(folder, tmp_path)


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(LOWER)
    before = images.digest_of(tmp_path / "root.tar")
    (tmp_path / "root.tar").write_bytes(UPPER)
    assert images.digest_of(tmp_path / "root.tar") != before == hashlib.sha256(LOWER).hexdigest()


@pytest.mark.parametrize("index", ["[" * 100_000, '{"manifests": [{"platform": "linux"}]}', '{"manifests": 1}'])
def test_a_stack_out_of_a_damaged_image_is_told_in_one_sentence(tmp_path: Path, index: str) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    (folder / "index.json").write_text(index, encoding="utf-8")
    stack = StackDefinition(name="mine", description="an image", archive=folder)
    with pytest.raises(StackUnavailable, match=r"the stack mine cannot be unpacked from .*image"):
        build.prepare(stack, tmp_path / "cache", mirror=None, progress=lambda _: None)
    assert [each.name for each in (tmp_path / "cache/stacks").iterdir()] == ["mine.lock"]
