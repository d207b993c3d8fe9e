"""Archives of engines, made by hand, and what is in them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.archive import unpack
from harness.checkpoints.criu.image import INVENTORY, MOUNTS, STATISTICS, encoded
from harness.checkpoints.translation.translate import Order, translate
from tests.checkpoints.translation.test_bridges import OTHERS, RUNC, mount, write
from tests.criu_images import dump, memory, tar, tmpfs

IMAGE, DIGEST = "registry.example/team/app:1", "sha256:" + "ab" * 32
PULLABLE = f"registry.example/team/app@{DIGEST}"
SPEC = {
    "process": {"args": ["/ledger", "--report", "/report"]},
    "mounts": [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/scratch", "type": "tmpfs"},
        {"destination": "/report", "type": "bind", "source": "/srv/report"},
        {"destination": "/etc/hosts", "type": "bind", "source": "/run/hosts", "options": ["rbind"]},
        {"destination": "/run/.containerenv", "type": "bind", "source": "/run/env"},
    ],
    "linux": {"maskedPaths": ["/proc/keys", "/proc/timer_list"]},
}
STATS = encoded(STATISTICS, [STATISTICS.messages[0](dump={"frozen_time": 7})])
LAYER = {"data": None, "data/added": b"new", "etc": None, "etc/hosts": b""}


def images(folder: Path, masked: tuple[dict[str, Any], ...] = RUNC) -> dict[str, bytes]:
    made = dump(folder / "images", memory())
    write(made / "inventory.img", INVENTORY, [{"img_version": 2}])
    tmpfs(made, {}, device=70)
    write(made / "mountpoints-1.img", MOUNTS, (*masked, *OTHERS, mount(9, "/etc/hosts", "/hosts", "/etc/hosts")))
    return {f"checkpoint/{path.name}": path.read_bytes() for path in made.iterdir()}


def spec(**annotations: str) -> bytes:
    return json.dumps({**SPEC, "annotations": annotations}).encode()


def packed(path: Path, parts: Mapping[str, bytes | None]) -> Path:
    return tar(path, {name: content for name, content in parts.items() if content is not None})


def podman(folder: Path, more: Mapping[str, bytes | None] = {}, **config: object) -> Path:
    """Write an archive like Podman's; None leaves a part out."""
    known = {"id": "c" * 64, "name": "live", "rootfsImageID": "d" * 64, "rootfsImageName": IMAGE, "runtime": "runc"}
    folder.mkdir(exist_ok=True)
    parts = {
        **images(folder),
        "config.dump": json.dumps({**known, "createdTime": "2026-11-23T10:00:00Z", **config}).encode(),
        "spec.dump": spec(**{"io.container.manager": "libpod", "org.example": "kept"}),
        "network.status": b"null",
        "stats-dump": STATS,
        "rootfs-diff.tar": tar(folder / "layer.tar", LAYER).read_bytes(),
        "deleted.files": b'["/image/deleted"]',
        "ctr.log": b"2026-11-23T10:00:00Z stdout F said\n",
        "artifacts/": None,
    }
    return packed(folder / "podman.tar", {**parts, **more})


def opened(path: Path, folder: Path) -> dict[str, bytes]:
    unpack(path, folder)
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def names(content: bytes, folder: Path) -> list[str]:
    (folder / "tar").write_bytes(content)
    with tarfile.open(folder / "tar") as read_again:
        return read_again.getnames()


def translated(source: Path, folder: Path, order: Order) -> tuple[Path, dict[str, bytes], Any]:
    out = folder / f"{source.stem}-{order.to or 'same'}.tar"
    done = translate(source, out, order)
    return out, opened(out, folder / f"{out.stem}.opened"), done
