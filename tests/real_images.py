"""CRIU's images of real containers, out of the checkpoints in `tests/fixtures`, and changes to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.checkpoints import archive
from harness.checkpoints.criu import image
from harness.checkpoints.criu.image import Kind
from harness.checkpoints.untrusted import Budget

FOLDER = Path(__file__).resolve().parent / "fixtures" / "checkpoints"
STILL, CRIO = "still-ledger", "crio-runc-ledger"
"""A ledger with surfaces on its root and on a tmpfs, frozen while it was dumped: by Podman and crun, and by CRI-O."""
PROCESSES = ("criu-4.2-processes", "criu-4.3-processes")
"""What `processes.c` starts, dumped by CRIU itself, without pages."""


def unpacked(name: str, to: Path) -> Path:
    """Folder with the images of a checkpoint, without pages."""
    archive.unpack(FOLDER / f"{name}.tar.zst", to, wanted=lambda each: each.endswith(".img") and "/pages-" not in each)
    return to / "checkpoint"


def messages(path: Path, kind: Kind) -> list[Any]:
    return list(image.read(path, kind, Budget()))


def change(path: Path, kind: Kind, how: Callable[[list[Any]], object]) -> None:
    """Write an image again with its list of messages changed."""
    found = messages(path, kind)
    how(found)
    path.write_bytes(image.encoded(kind, found))
