"""The content of the images: one for all workloads that are single programs, and one for each application."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.host.process import HOST
from harness.model.cells import SurfaceKind
from harness.model.errors import EnvironmentUnfit
from harness.workload.definitions import (
    APPLICATION,
    DATA,
    DEFINITION,
    KINDS,
    PROGRAMS,
    RECORD_BYTES,
    Workload,
    available,
    find,
)

REPORT = "/report"
"""Folder of the container for the workload's messages."""
FOLDERS = ("proc", "sys", "dev", "etc", "run", "tmp", REPORT)
COPY_SECONDS = 120.0


def lay_out_image(image: Path, binaries: Mapping[str, Path], ring: int) -> None:
    """Write the image for all programs together: themselves, and folders and files of the image.

    `ring`: records that a file of the image has room for.
    """
    surfaces = [surface for name in available() for surface in find(name).files if not find(name).application]
    _make(image, *FOLDERS, *(str(Path(surface.path).parent) for surface in surfaces))
    for program, binary in binaries.items():
        shutil.copy(binary, image / program)
    for surface in surfaces:
        if surface.kind in (SurfaceKind.IMAGE, SurfaceKind.DELETED):
            (image / surface.path.lstrip("/")).write_bytes(bytes(ring * RECORD_BYTES))


def lay_out_application(image: Path, root: Path | None, binaries: Mapping[str, Path], workload: Workload) -> None:
    """Write the image of an application: its root file system, the files beside its definition, and the programs.

    `root`: None if it needs no root file system. Raise `EnvironmentUnfit` if something cannot be copied.
    """
    try:
        _lay_out_application(image, root, binaries, workload)
    except (OSError, shutil.Error) as error:
        what = f"the image of the workload {workload.name} cannot be made: {error}"
        raise EnvironmentUnfit(what, remedy=f"Only files and folders can be in {workload.folder}.") from error


def _lay_out_application(image: Path, root: Path | None, binaries: Mapping[str, Path], workload: Workload) -> None:
    if root is not None:
        HOST.run(["cp", "--archive", "--reflink=auto", str(root), str(image)], deadline=COPY_SECONDS)
    _make(image, *FOLDERS, DATA, APPLICATION)
    shutil.copy(binaries[workload.program], image / workload.program)
    place, application = image / APPLICATION.lstrip("/"), workload.application
    for path in sorted(workload.folder.iterdir()):
        if path.is_dir():
            shutil.copytree(path, place / path.name)
        elif path.name != DEFINITION:
            shutil.copy(path, place)
    if application and application.program:
        for name in PROGRAMS:
            shutil.copy(binaries[application.program], place / name)
    if application and application.kinds:
        (place / KINDS).write_text("".join(f"{each}\n" for each in application.kinds), encoding="ascii")


def _make(image: Path, *folders: str) -> None:
    for name in folders:
        (image / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
