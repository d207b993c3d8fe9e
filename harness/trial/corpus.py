"""The corpus: one small checkpoint of each participant, kept for restores by later versions.

A corpus is a folder with `image.tar.zst`, and for each participant a folder with `kept.json` and `checkpoint.tar.zst`.
The files hold the memory of processes, so only their owner can read them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import zstandard
from pydantic import Field

from harness.checkpoints.archive import unpack
from harness.checkpoints.needs import Needs
from harness.checkpoints.untrusted import MOST_KEPT, everything_below
from harness.foreign import files
from harness.model.cells import Cell, Participant, Scenario, Settings
from harness.model.errors import EnvironmentUnfit, RecordError, UsageError
from harness.model.values import Frozen
from harness.records.documents import content, parse, readable, writable
from harness.records.record import SCHEMA_VERSION, Record
from harness.records.run_files import write_aside
from harness.runtimes.contract import Container

IMAGE, CHECKPOINT, KEPT = "image.tar.zst", "checkpoint.tar.zst", "kept.json"
SMALL = 1024
"""Records per surface, so that a checkpoint is small."""


class Kept(Frozen):
    """A kept checkpoint, and everything that its restore needs."""

    schema_version: int = SCHEMA_VERSION
    record: Record = Field(description="record of the trial that took the checkpoint and restored it")
    settings: Settings
    nonce: str
    freeze_begin_ns: int
    container: Container = Field(description="the adapter's value of the container")
    needs: Needs = Field(description="what a restore needs")
    needs_digest: str = Field(description="equal for checkpoints with equal needs")
    image_digest: str = Field(description="SHA-256 of the image's decompressed archive")
    checkpoint_digest: str = Field(description="SHA-256 of the checkpoint's decompressed archive")

    @property
    def cell(self) -> Cell:
        """The cell of the trial that took the checkpoint."""
        return self.record.cell


def place(corpus: Path, cell: Cell) -> Path:
    """Return the folder for the checkpoint of the cell's participant."""
    return corpus / str(cell.checkpoint).replace("/", "_")


def keep(corpus: Path, cell: Cell) -> Path:
    """Return the folder for a new checkpoint; `UsageError` if it already holds one."""
    folder = place(corpus, cell)
    if (folder / KEPT).exists():
        remedy = f"Name another folder, or remove {folder}."
        raise UsageError(f"{corpus} already holds a checkpoint of {cell.checkpoint}", remedy=remedy)
    return folder


def read(corpus: Path) -> tuple[Kept, ...]:
    """Read all kept checkpoints; `RecordError` if one is incomplete or has changed."""
    found = tuple(
        parse(Kept, content(path), str(path), newest=SCHEMA_VERSION, name="kept checkpoint") for path in _kept(corpus)
    )
    if not found:
        remedy = "`stillframe corpus keep DIR` makes one."
        raise UsageError(f"{corpus} holds no kept checkpoint", remedy=remedy)
    image = digest(corpus / IMAGE)
    for each in found:
        other = digest(place(corpus, each.cell) / CHECKPOINT)
        if (image, other) != (each.image_digest, each.checkpoint_digest):
            raise RecordError(
                f"{corpus}: the checkpoint of {each.cell.checkpoint}, or the image, has changed since it was kept"
            )
        if each.settings != found[0].settings:
            remedy = "Keep checkpoints with different settings in different folders."
            raise RecordError(f"{corpus} holds checkpoints with different settings", remedy=remedy)
    return found


def _kept(corpus: Path) -> list[Path]:
    """Return the paths of all descriptions of kept checkpoints."""
    with readable(corpus):
        every = files.entries(Path(os.path.realpath(corpus))) if corpus.is_dir() else []
        folders = [corpus / each.name for each in every if each.is_dir(follow_symlinks=False)]
        return [each / KEPT for each in folders if files.is_there(each / KEPT)]


def cells(kept: Sequence[Kept], participants: Iterable[Participant]) -> Iterator[Cell]:
    """Plan a cell for each kept checkpoint and each participant with the same runtime."""
    for who in participants:
        for each in kept:
            if each.cell.checkpoint.runtime == who.runtime:
                yield each.cell.model_copy(update={"restore": who, "scenario": Scenario.KEPT})


def write(folder: Path, kept: Kept) -> None:
    """Write `kept.json`, which makes the checkpoint part of the corpus."""
    write_aside(folder / KEPT, kept.model_dump_json(indent=1) + "\n", private=True)


def pack(folder: Path, archive: Path) -> str:
    """Write the content of a folder as an archive, unless the archive exists, and return its digest.

    Equal contents have equal digests. `EnvironmentUnfit` if the folder holds anything but files and folders.
    """
    if not archive.exists():
        with writable(archive):
            _pack(folder, archive)
    return digest(archive)


def _pack(folder: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = archive.with_name(f".{archive.name}-{os.getpid()}")
    aside.touch(mode=0o600)
    try:
        with aside.open("wb") as raw, zstandard.open(raw, "wb") as out:
            _write_tar(folder, out)
        aside.rename(archive)
    finally:
        aside.unlink(missing_ok=True)


def _write_tar(folder: Path, out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(everything_below(folder)):
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            if not (info.isreg() or info.isdir()):
                raise EnvironmentUnfit(f"{path.name} cannot be kept: it is neither a file nor a folder")
            info.mtime, info.uname, info.gname = 0, "", ""
            if info.isdir():
                tar.addfile(info)
                continue
            with path.open("rb") as content:
                tar.addfile(info, content)


def digest(archive: Path) -> str:
    """Return the SHA-256 of a decompressed archive; `RecordError` if it cannot be read."""
    found, size = hashlib.sha256(), 0
    try:
        with os.fdopen(files.open_regular(archive), "rb") as raw, zstandard.open(raw, "rb") as unpacked:
            while chunk := unpacked.read(1 << 20):
                found.update(chunk)
                size += len(chunk)
                if size > MOST_KEPT:
                    raise RecordError(f"{archive} unpacks to more than {MOST_KEPT:,} bytes, which is the limit")
    except (OSError, zstandard.ZstdError) as error:
        raise RecordError(f"{archive} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return found.hexdigest()


def lay_out(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder, with the modes of its files."""
    unpack(archive, folder, modes=True)


def drop(folder: Path) -> None:
    """Remove the folder of a checkpoint that is not kept."""
    shutil.rmtree(folder, ignore_errors=True)
