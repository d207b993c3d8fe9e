"""Inspection of any checkpoint without a restore: its content, and whether memory and disk are of one instant."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.checkpoints import completeness
from harness.checkpoints.criu.tasks import tasks
from harness.checkpoints.disk import CapturedFiles
from harness.checkpoints.find import Found, choose, find
from harness.checkpoints.layouts import Opened
from harness.checkpoints.untrusted import Budget, Unreadable, reason_of, told_of
from harness.model.description import Task
from harness.model.errors import EnvironmentUnfit, UsageError
from harness.oracle.evidence import Evidence
from harness.oracle.judge import anomalies
from harness.oracle.locations import Location, Locations, Outside, disk_files, location_of
from harness.oracle.offline import Captured, reading_of
from harness.oracle.processes import NoCounter, OwnSurface, Process, processes
from harness.oracle.skews import skews
from harness.privacy.redaction import FORMS
from harness.records.inspection import Finding, InspectedCheckpoint, InspectedProcess, Inspection

ONE_INSTANT = "memory and every surface are of one instant"


def disks_of(words: Sequence[str]) -> dict[str, Path]:
    """Read `DIR` and `MOUNTPOINT=DIR`; raise `UsageError` for an unreadable folder or a repeated mount point."""
    found: dict[str, Path] = {}
    for word in words:
        mount, separator, folder = word.partition("=")
        if not separator or not mount.startswith("/"):
            mount, folder = "/", word
        mount = str(PurePosixPath(mount))
        if mount in found:
            raise UsageError(f"--disk {word}: {mount} already has a disk")
        found[mount] = Path(folder)
        try:
            os.listdir(folder)  # noqa: PTH208  # only its errors matter
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--disk {word}: {folder} cannot be read: {reason_of(error)}",
                remedy="Name the folder with the captured files.",
            ) from error
    return found


def inspect(path: Path, disks: Mapping[str, Path], *, container: str = "", budget: Budget | None = None) -> Inspection:
    """Read the checkpoints at `path`, with extra `disks` by mount point; raise `Unreadable` if one is not trustworthy.

    `container` chooses one of several checkpoints by name, id or folder.
    """
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {reason_of(error)}",
            remedy="Name an archive of a checkpoint, or a folder with its images.",
        ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="inspected-") as own:
            return FORMS.of(_inspect(path, disks, container, Path(own), budget or Budget()))
    except Unreadable as error:
        raise told_of(path, "read", error) from error
    except OSError as error:
        raise EnvironmentUnfit(
            f"{path} cannot be read here: {error.strerror or error}",
            remedy="You need access to all its files, and free space in the folder that TMPDIR names.",
        ) from error


def agrees(finding: Finding, evidence: Evidence) -> bool:
    """Return whether the oracle's offline reading of the same checkpoint has the same result."""
    if evidence.offline is None:
        return finding is Finding.NOTHING_TO_COMPARE
    clean = not any(anomalies(each, evidence.outside) for each in (evidence.offline, *evidence.others))
    right = {Finding.INCONSISTENT} if not clean else {Finding.INCOMPLETE if evidence.outside else Finding.CONSISTENT}
    return finding in right


def _inspect(path: Path, disks: Mapping[str, Path], container: str, own: Path, budget: Budget) -> Inspection:
    found = choose(find(path, own, budget), container)
    if disks and len(found) > 1:
        raise UsageError(
            f"--disk: {path} holds {len(found)} checkpoints, but a disk belongs to one",
            remedy=f"Choose with --container: {', '.join(each.where for each in found[:10])}.",
        )
    checkpoints = []
    for number, each in enumerate(found):
        try:
            checkpoints.append(_checkpoint(each, disks, own / f"disks-{number}", budget))
        except Unreadable as error:
            where = f"in {each.where}: " if each.where else ""
            raise type(error)(f"{where}{error.what}", remedy=error.remedy) from error
    return Inspection(path=str(path), finding=_worst(each.finding for each in checkpoints), checkpoints=checkpoints)


def _worst(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=list(Finding).index)


def _checkpoint(found: Found, disks: Mapping[str, Path], own: Path, budget: Budget) -> InspectedCheckpoint:
    opened = found.open()
    told = InspectedCheckpoint(
        where=found.where,
        layout=found.layout,
        description=opened.description,
        finding=Finding.NOTHING_TO_COMPARE,
        reason="memory is in a form that only gVisor can read",
    )
    if opened.images is None:
        return told
    completeness.check(opened.images, opened.sizes, budget, followed=opened.within)
    listed = tasks(opened.images, budget)
    told = told.model_copy(update={"tasks": listed})
    try:
        workloads = processes(opened.images, budget, within=opened.within)
    except NoCounter as error:
        return told.model_copy(update={"reason": error.what})
    named = {task.pid: task for task in listed}
    judged = _judged(workloads, named, _Laid(opened, disks, own), budget)
    worst = max(judged, key=lambda each: list(Finding).index(each.finding))
    return told.model_copy(update={"workloads": judged, "finding": worst.finding, "reason": worst.reason})


@dataclass(frozen=True)
class _Laid:
    """The disks and the log of a checkpoint, and the disks that the user named."""

    opened: Opened
    disks: Mapping[str, Path]
    own: Path
    """Folder for unpacked files; it does not exist yet."""

    def place(self, surface: OwnSurface, where: Locations) -> Location:
        """Return the location of a surface."""
        disks, has_log = {*self.opened.disks, *self.disks}, self.opened.log is not None
        return location_of(surface, where, disks, self.opened.absent, named=tuple(self.disks), log=has_log)

    def take(self, wanted: Mapping[str, set[str]]) -> dict[str, CapturedFiles]:
        """Unpack the `wanted` files of each disk."""
        named = {mount: CapturedFiles(disk, whole=mount != "/") for mount, disk in self.disks.items()}
        found = {
            mount: disk.take(wanted[mount], self.own / str(number))
            for number, (mount, disk) in enumerate(self.opened.disks.items())
            if mount in wanted and mount not in named
        }
        return found | named


def _judged(
    workloads: Sequence[Process], named: Mapping[int, Task], laid: _Laid, budget: Budget
) -> tuple[InspectedProcess, ...]:
    images = laid.opened.images or laid.opened.within
    places: list[dict[str, Location]] = []
    for process in workloads:
        where = Locations.of(images, process, named[process.pid], budget)
        places.append({surface.name: laid.place(surface, where) for surface in process.surfaces})
    wanted = disk_files(place for each in places for place in each.values())
    captured = Captured(images, laid.take(wanted), budget, laid.opened.log, laid.opened.within)
    return tuple(
        _process(process, named[process.pid].name, where, captured)
        for process, where in zip(workloads, places, strict=True)
    )


def _process(process: Process, name: str, places: Mapping[str, Location], captured: Captured) -> InspectedProcess:
    absent = {name: place.why for name, place in places.items() if isinstance(place, Outside)}
    inside = {name: place for name, place in places.items() if name not in absent}
    reading = reading_of(process, inside, captured)
    found = anomalies(reading)
    lacking = f"not in this checkpoint: {', '.join(absent)}"
    if found:
        finding, reason = Finding.INCONSISTENT, "memory and disk are not of one instant"
    elif not reading.surfaces:
        finding, reason = Finding.NOTHING_TO_COMPARE, f"no surface can be compared with memory: {lacking}"
    elif absent:
        finding, reason = Finding.INCOMPLETE, f"memory and the other surfaces are of one instant; {lacking}"
    else:
        finding, reason = Finding.CONSISTENT, ONE_INSTANT
    return InspectedProcess(
        pid=process.pid,
        name=name,
        told_by=process.told_by.value,
        finding=finding,
        reason=reason,
        reading=reading,
        skews=skews(reading),
        anomalies=found,
        absent=absent,
    )
