"""Definitions of workloads: what `workload.toml` says."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, ValidationError, model_validator

from harness.model.cells import SurfaceKind
from harness.model.errors import UsageError, unknown
from harness.model.values import Frozen

RECORD_BYTES = 32
MOUNTED = frozenset(SurfaceKind) - {
    SurfaceKind.ADDED,
    SurfaceKind.IMAGE,
    SurfaceKind.DELETED,
    SurfaceKind.STDOUT,
}
"""Kinds of surface that are on a mount, and not on the container's root file system."""
OPTIONS = {SurfaceKind.DELETED: "--deleted", SurfaceKind.STDOUT: "--print"}
"""The workload's options for surfaces that are no file with a ring."""


class Surface(Frozen):
    """A file of the container that carries the counter, or its standard output."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    path: str = Field(default="", pattern=r"^(/.*)?$", description="of a file, in the container")
    every: int = Field(
        default=1, ge=1, le=1_000_000, description="of standard output: it prints a line at every tick of so many"
    )
    kind: SurfaceKind
    description: str

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.kind is SurfaceKind.STDOUT and self.path:
            raise ValueError("standard output has no path")
        if self.kind is not SurfaceKind.STDOUT and (not self.path or self.every != 1):
            raise ValueError("a surface that is a file has a path, and is written at every tick")
        return self

    @property
    def arguments(self) -> tuple[str, str]:
        """The workload's option for it, and the value."""
        return OPTIONS.get(self.kind, "--surface"), f"{self.name}={self.path or self.every}"


class Workload(Frozen):
    """A program that ticks; surfaces in the order of writing."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    program: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", description="folder in `workloads` whose C files are compiled to it"
    )
    surfaces: tuple[Surface, ...] = Field(min_length=1, max_length=16)
    proof: bool = Field(default=False, description="it is for the instrument's own proof, and not for the matrix")
    tty: bool = Field(default=False, description="its standard output is a terminal")
    every_policy: bool = Field(
        default=False, description="it is asked under every freeze policy, and not only under the one that holds best"
    )
    folder: Path

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for values in ([each.name for each in self.surfaces], [each.path for each in self.files]):
            if len(set(values)) < len(values):
                raise ValueError("two surfaces have the same name or path")
        printed = [each for each in self.surfaces if each.kind is SurfaceKind.STDOUT]
        if len(printed) > 1:
            raise ValueError("two surfaces are standard output")
        if self.tty and not printed:
            raise ValueError("it has a terminal, and prints nothing")
        return self

    @property
    def files(self) -> tuple[Surface, ...]:
        """The surfaces that are files."""
        return tuple(each for each in self.surfaces if each.path)

    @property
    def printed(self) -> Surface | None:
        """The surface that is its standard output, if it has one."""
        return next((each for each in self.surfaces if each.kind is SurfaceKind.STDOUT), None)

    @property
    def program_folder(self) -> Path:
        """Where its program's C files are; several workloads may share it."""
        return self.folder.parent / self.program

    @property
    def mounts(self) -> tuple[tuple[SurfaceKind, str], ...]:
        """Kind and folder of each mount that the surfaces ask for."""
        found = [(each.kind, str(PurePosixPath(each.path).parent)) for each in self.surfaces if each.kind in MOUNTED]
        return tuple(dict.fromkeys(found))

    def argv(self, binary: str, report: str, *, period_us: int, ring: int) -> tuple[str, ...]:
        """Command line inside the container; `report` is the folder for messages."""
        surfaces = (word for each in self.surfaces for word in each.arguments)
        return (binary, "--period-us", str(period_us), "--ring", str(ring), "--report", report, *surfaces)


def workloads_root() -> Path:
    """Where the workloads are."""
    return Path(__file__).resolve().parents[2] / "workloads"


def available() -> dict[str, Path]:
    """Folder of each workload by name."""
    return {path.parent.name: path.parent for path in sorted(workloads_root().glob("*/workload.toml"))}


def find(name: str) -> Workload:
    """Load the workload called `name`; `UsageError` if there is none."""
    folders = available()
    if name not in folders:
        raise unknown("workload", name, folders)
    return load(folders[name])


def load(folder: Path) -> Workload:
    """Read the definition in `folder`; `UsageError` if it is wrong."""
    path = folder / "workload.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        workload = Workload.model_validate({**raw, "folder": folder})
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"{path} is no workload definition: {error}") from error
    if workload.name != folder.name:
        raise UsageError(f"{path} calls itself {workload.name!r}", remedy=f"Its name must be {folder.name!r}.")
    if not any(workload.program_folder.glob("*.c")):
        raise UsageError(
            f"{path} has the program {workload.program!r}, and there is no C file in {workload.program_folder}",
            remedy="Name the folder of a workload that has C files.",
        )
    return workload
