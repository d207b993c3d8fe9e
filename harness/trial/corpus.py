"""Checkpoints for tomorrow: one small one of each participant, to be tried against versions that do not exist yet.

A corpus is a folder: `image.tar.zst` for all, and for each participant a folder with `kept.json` and
`checkpoint.tar.zst`. They hold the memory of processes, and are private to their owner.
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
from pydantic import Field, ValidationError

from harness.checkpoints.archive import unpack
from harness.checkpoints.needs import Needs
from harness.checkpoints.untrusted import everything_below
from harness.model.cells import Cell, Participant, Scenario, Settings
from harness.model.errors import EnvironmentUnfit, RecordError, UsageError
from harness.model.values import Frozen
from harness.records.record import SCHEMA_VERSION, Record
from harness.records.run_files import write_aside
from harness.runtimes.contract import Container

IMAGE, CHECKPOINT, KEPT = "image.tar.zst", "checkpoint.tar.zst", "kept.json"
SMALL = 1024
"""Records per surface, so that a checkpoint is small."""


class Kept(Frozen):
    """A checkpoint that was kept, and what has to be known to restore it."""

    schema_version: int = SCHEMA_VERSION
    record: Record = Field(description="of the trial that it is from, in which it was restored, too")
    settings: Settings
    nonce: str
    freeze_begin_ns: int
    container: Container = Field(description="what the adapter knew of the container")
    needs: Needs = Field(description="what it takes to be restored")
    needs_digest: str = Field(description="the same for checkpoints that take the same")
    image_digest: str = Field(description="SHA-256 of the image's archive, unpacked")
    checkpoint_digest: str = Field(description="SHA-256 of the checkpoint's archive, unpacked")

    @property
    def cell(self) -> Cell:
        """The cell that it was kept for."""
        return self.record.cell


def place(corpus: Path, cell: Cell) -> Path:
    """Folder of the checkpoint that the cell's participant has taken."""
    return corpus / str(cell.checkpoint).replace("/", "_")


def keep(corpus: Path, cell: Cell) -> Path:
    """Folder for what is about to be kept; `UsageError` if there is something."""
    folder = place(corpus, cell)
    if (folder / KEPT).exists():
        remedy = f"Name another folder, or remove {folder}."
        raise UsageError(f"{corpus} holds a checkpoint of {cell.checkpoint} already", remedy=remedy)
    return folder


def read(corpus: Path) -> tuple[Kept, ...]:
    """All that was kept, whole and unchanged; `RecordError` for what is not."""
    found = tuple(_read(path) for path in sorted(corpus.glob(f"*/{KEPT}")))
    if not found:
        remedy = "`stillframe corpus keep DIR` makes one."
        raise UsageError(f"{corpus} holds no checkpoint that was kept", remedy=remedy)
    image = digest(corpus / IMAGE)
    for each in found:
        other = digest(place(corpus, each.cell) / CHECKPOINT)
        if (image, other) != (each.image_digest, each.checkpoint_digest):
            raise RecordError(
                f"{corpus} holds a checkpoint of {each.cell.checkpoint}, or an image, that is not the one that was kept"
            )
        if each.settings != found[0].settings:
            raise RecordError(f"{corpus} holds checkpoints under different settings", remedy="Part them.")
    return found


def _read(path: Path) -> Kept:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path} cannot be read: {what}: {first['msg']}") from error


def cells(kept: Sequence[Kept], participants: Iterable[Participant]) -> Iterator[Cell]:
    """Each of them, to be restored by each participant with the runtime that has taken it."""
    for who in participants:
        for each in kept:
            if each.cell.checkpoint.runtime == who.runtime:
                yield each.cell.model_copy(update={"restore": who, "scenario": Scenario.KEPT})


def write(folder: Path, kept: Kept) -> None:
    """Write what has to be known of a checkpoint; with that it is kept."""
    write_aside(folder / KEPT, kept.model_dump_json(indent=1) + "\n", private=True)


def pack(folder: Path, archive: Path) -> str:
    """Write the content of a folder as an archive, if there is none, and give its digest.

    The same content gives the same digest. `EnvironmentUnfit` for what is neither a file nor a folder.
    """
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = archive.with_name(f".{archive.name}-{os.getpid()}")
        aside.touch(mode=0o600)
        try:
            with aside.open("wb") as raw, zstandard.open(raw, "wb") as out:
                _write_tar(folder, out)
            aside.rename(archive)
        finally:
            aside.unlink(missing_ok=True)
    return digest(archive)


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
    """SHA-256 of an archive, unpacked; `RecordError` if it cannot be read."""
    found = hashlib.sha256()
    try:
        with archive.open("rb") as raw, zstandard.open(raw, "rb") as content:
            while chunk := content.read(1 << 20):
                found.update(chunk)
    except (OSError, zstandard.ZstdError) as error:
        raise RecordError(f"{archive} cannot be read: {error}") from error
    return found.hexdigest()


def lay_out(archive: Path, folder: Path) -> None:
    """Unpack into a folder, with the modes that it was packed with."""
    unpack(archive, folder, modes=True)


def drop(folder: Path) -> None:
    """Remove what was not kept after all."""
    shutil.rmtree(folder, ignore_errors=True)
