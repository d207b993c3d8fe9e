"""A checkpoint of anybody's making, read without a restore: which workload it is of, and whether it is one instant."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness import workload
from harness.checkpoints import layouts
from harness.checkpoints.untrusted import Budget, Unreadable, beneath
from harness.errors import EnvironmentUnfit, UsageError
from harness.model import SurfaceKind
from harness.oracle.judge import anomalies, skews
from harness.oracle.offline import Deleted, File, Held, in_tmpfs, reading_of
from harness.oracle.pages import NoCounter, Process, processes
from harness.records import Finding, Inspection
from harness.redaction import FORMS
from harness.workload import Surface, Workload

MEMORY_KINDS = frozenset({SurfaceKind.TMPFS, SurfaceKind.SHM})
"""Kinds of surface that are in CRIU's images where they are on no captured disk."""
VOLUMES = frozenset({SurfaceKind.NAMED_VOLUME, SurfaceKind.ANONYMOUS_VOLUME})
"""Kinds of surface that a checkpoint with disks has to have: where they are missing, they are lost."""


@dataclass(frozen=True)
class _Candidate:
    """A workload that the checkpoint may be of."""

    workload: Workload
    process: Process
    places: Mapping[str, File | Held | Deleted]
    absent: Mapping[str, str]
    """Surfaces that the checkpoint does not reach, and why not."""

    @property
    def fit(self) -> tuple[bool, int, int]:
        """How well it fits: by the process's own arguments, by surfaces that are there, by those that are not."""
        own = {(surface.option, surface.name, surface.path) for surface in self.workload.surfaces}
        there = sum(map(_there, self.places.values()))
        return own == self.process.options, there, there - len(self.workload.surfaces)


def disks_of(words: Sequence[str]) -> dict[str, Path]:
    """Read `DIR` and `MOUNTPOINT=DIR`; `UsageError` for what is no folder or is given twice."""
    found: dict[str, Path] = {}
    for word in words:
        mount, separator, folder = word.partition("=")
        if not separator or not mount.startswith("/"):
            mount, folder = "/", word
        mount = str(PurePosixPath(mount))
        if mount in found:
            raise UsageError(f"--disk {word}: there are two disks for {mount}")
        found[mount] = Path(folder)
        try:
            os.listdir(folder)  # noqa: PTH208  # its errors are what counts
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--disk {word}: {folder} cannot be read: {_told(error)}",
                remedy="Name the folder with the captured files.",
            ) from error
    return found


def inspect(path: Path, disks: Mapping[str, Path], *, budget: Budget | None = None) -> Inspection:
    """Read the checkpoint at `path`, with `disks` by mount point beside it; `Unreadable` if it cannot be believed."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {_told(error)}",
            remedy="Name an archive of a checkpoint, or a folder with its images.",
        ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="inspected-") as own:
            return FORMS.of(_inspect(path, disks, Path(own), budget or Budget()))
    except Unreadable as error:
        raise Unreadable(f"{path} cannot be read: {error.what}", remedy=error.remedy) from error
    except OSError as error:
        raise EnvironmentUnfit(
            f"{path} cannot be read here: {error}",
            remedy="It takes rights to all of its files, and room in the folder that TMPDIR names.",
        ) from error


def _told(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _inspect(path: Path, disks: Mapping[str, Path], own: Path, budget: Budget) -> Inspection:
    known = [workload.find(name) for name in workload.available()]
    surfaces = {surface.path for each in known for surface in each.surfaces}
    layout, opened = layouts.lay_open(path, own, budget, surfaces.__contains__)
    disks = {**opened.disks, **disks}
    told = Inspection(
        path=str(path),
        layout=layout.name,
        description=opened.description,
        finding=Finding.NOTHING_TO_COMPARE,
        reason="memory is in a form that only its maker reads",
    )
    if opened.images is None:
        return told
    try:
        found = processes(opened.images, budget, within=opened.within)
    except NoCounter as error:
        return told.model_copy(update={"reason": error.what})
    names = {PurePosixPath(surface.path).name for each in known for surface in each.surfaces}
    tmpfs = in_tmpfs(opened.images, names, budget)
    whole = bool(opened.disks)
    candidates = [_candidate(each, process, disks, tmpfs, whole=whole) for process in found for each in known]
    chosen = max(candidates, key=lambda candidate: candidate.fit)
    if chosen.fit[:2] == (False, 0):
        reason = "nothing tells which workload the counter is of: no surface of any is in the checkpoint"
        return told.model_copy(update={"reason": reason, "reading": reading_of(chosen.process.counter, {})})
    return told.model_copy(update=_judged(chosen))


def _candidate(
    each: Workload, process: Process, disks: Mapping[str, Path], tmpfs: Mapping[str, bytes], *, whole: bool
) -> _Candidate:
    places: dict[str, File | Held | Deleted] = {}
    absent: dict[str, str] = {}
    for surface in each.surfaces:
        place = _place(surface, disks, tmpfs, whole=whole)
        if process.options and (surface.option, surface.name, surface.path) not in process.options:
            absent[surface.name] = "the process was started without it"
        elif isinstance(place, str):
            absent[surface.name] = place
        else:
            places[surface.name] = place
    return _Candidate(each, process, places, absent)


def _place(
    surface: Surface, disks: Mapping[str, Path], tmpfs: Mapping[str, bytes], *, whole: bool
) -> File | Held | Deleted | str:
    """Where the surface is, or why the checkpoint does not reach it; `whole`: it has disks of its own."""
    path = PurePosixPath(surface.path)
    mounted = surface.kind in workload.MOUNTED
    mount = str(path.parent) if mounted else "/"
    if mount in disks:
        there = beneath(disks[mount], str(path.relative_to(mount)))
        return Deleted(there) if surface.kind is SurfaceKind.DELETED else File(there)
    if surface.kind in MEMORY_KINDS:
        return Held(tmpfs.get(path.name, b""))
    if whole and surface.kind in VOLUMES:
        return Held(b"")
    if surface.kind is SurfaceKind.BIND:
        return f"a folder of the host is outside of a checkpoint; --disk {mount}=DIR adds it"
    return f"the disk of {mount} is not in the checkpoint; --disk {'' if mount == '/' else f'{mount}='}DIR adds it"


def _there(place: File | Held | Deleted) -> bool:
    if isinstance(place, Held):
        return bool(place.data)
    return place.marked if isinstance(place, Deleted) else place.path.is_file()


def _judged(chosen: _Candidate) -> dict[str, object]:
    reading = reading_of(chosen.process.counter, chosen.places)
    found = anomalies(reading)
    if found:
        finding, reason = Finding.INCONSISTENT, "memory and disk are not of one instant"
    elif any(isinstance(place, File | Deleted) for place in chosen.places.values()):
        finding, reason = Finding.CONSISTENT, "memory and every surface that the checkpoint reaches are of one instant"
    else:
        finding, reason = Finding.NOTHING_TO_COMPARE, "no disk is in the checkpoint that memory could be held against"
    return {
        "workload": chosen.workload.name,
        "reading": reading,
        "skews": skews(reading),
        "anomalies": found,
        "absent": dict(chosen.absent),
        "finding": finding,
        "reason": reason,
    }
