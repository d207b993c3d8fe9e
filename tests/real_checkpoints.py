"""Checkpoints that real engines made, unpacked, and changed by hand.

Those called `still` are exports of Podman 5.8.6 of containers that were frozen around the checkpoint; those of
containerd 2.1.9 and CRI-O 1.36.3 were made through CRI. A ledger of version 1 runs in all but `ledger-2`.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

FOLDER = Path(__file__).resolve().parent / "fixtures" / "checkpoints"
NAMES = tuple(
    sorted(
        path.name.removesuffix(".tar.zst")
        for path in FOLDER.glob("*-*.tar.zst")
        if not path.name.startswith(("criu-", "printed-"))
    )
)

Files = dict[str, bytes]


def compressed(name: str) -> Path:
    """The archive as it is kept."""
    return FOLDER / f"{name}.tar.zst"


def plain(name: str) -> bytes:
    """The archive, not compressed."""
    return zstandard.ZstdDecompressor().decompress(compressed(name).read_bytes(), max_output_size=64 << 20)


def files(name: str) -> Files:
    """Regular files of the archive."""
    return members(plain(name))


def members(archive: bytes) -> Files:
    """Regular files of an archive."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member) if member.isreg() else None
            if content:
                found[member.name] = content.read()
    return found


def packed(content: Mapping[str, bytes], links: Mapping[str, str] = {}) -> bytes:
    """An archive of files and links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def changed(name: str, to: Path, change: Callable[[Files], object]) -> Path:
    """Write the archive with other content to a file."""
    content = files(name)
    change(content)
    to.write_bytes(packed(content))
    return to


def spread(content: Mapping[str, bytes], to: Path) -> Path:
    """Write files below a folder."""
    for name, data in content.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(data)
    return to
