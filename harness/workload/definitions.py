"""Workload definitions: the content of `workload.toml`."""

from __future__ import annotations

import functools
import os
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from harness.foreign.roots import RootSource
from harness.model.cells import SurfaceKind
from harness.model.errors import UsageError, unknown
from harness.model.invalid import fault, read_toml, wrong
from harness.model.values import Frozen

RECORD_BYTES = 32
DEFINITION = "workload.toml"
_ROOT = Path(__file__).resolve().parents[2] / "workloads"
_BROUGHT: dict[str, Path] = {}
"""Folders of the user's own workloads, by name."""
MOUNTED = frozenset(SurfaceKind) - {
    SurfaceKind.ADDED,
    SurfaceKind.IMAGE,
    SurfaceKind.DELETED,
    SurfaceKind.STDOUT,
    SurfaceKind.MEMORY,
}
"""Kinds of surface on a mount instead of the container's root file system."""
BARRIER = "/barrier"
"""Folder of the host in which containers that tick together share a file."""
PROGRAMS = ("drive", "verify")
"""The programs of an application."""
APPLICATION = "/application"
"""Folder of the container with what is in the folder of an application's workload."""
KINDS = "kinds"
DATA = "/data"
"""Folder of the container for an application's files."""
CriuOption = Annotated[str, Field(pattern=r"^[a-z-]+(=[A-Za-z0-9]+)?$")]
OPTIONS = {SurfaceKind.DELETED: "--deleted", SurfaceKind.STDOUT: "--print", SurfaceKind.MEMORY: "--pages"}
"""The workload's options for kinds of surface that have only one form."""


class Suite(StrEnum):
    """How much of the matrix is run: each one has what is in those before it."""

    QUICK = "quick"
    DEFAULT = "default"
    FULL = "full"


class Form(StrEnum):
    """How a file carries the counter."""

    RING = "ring"
    APPEND = "append"
    SENTINEL = "sentinel"
    APPLICATION = "application"

    @property
    def option(self) -> str:
        """The workload's option for it."""
        return "--surface" if self is Form.RING else f"--{self}"


class Memory(StrEnum):
    """A sort of memory; workloads/ledger/pages.h tells what each one is."""

    ANONYMOUS = "anonymous"
    SHARED = "shared"
    MEMFD = "memfd"
    FILE = "file"
    HEAP = "heap"
    STACK = "stack"
    HUGE = "huge"


class Surface(Frozen):
    """A file of the container that carries the counter, its standard output, or pages of memory."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    path: str = Field(default="", pattern=r"^(/.*)?$", description="of a file, in the container")
    every: int = Field(
        default=1, ge=1, le=1_000_000, description="of standard output: it prints a line at every Nth tick"
    )
    memory: Memory | None = Field(default=None, description="of kind `memory`: the sort of memory")
    pages: int = Field(
        default=16, ge=4, le=1 << 18, description="of kind `memory`: how many pages there are, with a record in each"
    )
    kind: SurfaceKind
    form: Form = Field(
        default=Form.RING,
        description="`ring`: it has the latest records; `append`: each tick adds its record, so that the file grows; "
        "`sentinel`: written once, at the start, and equal to memory as long as nobody changes it; `application`: a "
        "folder with the programs drive and verify, which keep it in files of their own",
    )
    description: str

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.kind is SurfaceKind.STDOUT and self.path:
            raise fault("standard output has no path. Remove it", "path")
        if (self.kind is SurfaceKind.MEMORY) != (self.memory is not None):
            raise fault("a surface of kind 'memory', and no other, has a sort of memory. Correct it", "memory")
        if self.memory and self.path:
            raise fault("memory has no path. Remove it", "path")
        if self.kind is not SurfaceKind.STDOUT and not self.path and not self.memory:
            raise fault("a surface that is a file needs a path. Add it")
        if self.kind is not SurfaceKind.STDOUT and self.every != 1:
            raise fault("only standard output skips ticks. Remove it", "every")
        if self.form is not Form.RING and self.kind in (*OPTIONS, SurfaceKind.IMAGE):
            raise fault(f"a surface of kind {self.kind} has no form of its own. Remove it", "form")
        return self

    @property
    def arguments(self) -> tuple[str, str]:
        """The workload's option for the surface, and its value."""
        value = f"{self.memory}:{self.pages}" if self.memory else self.path or self.every
        return OPTIONS.get(self.kind, self.form.option), f"{self.name}={value}"


OF_APPLICATION: tuple[dict[str, Any], ...] = (
    {
        "name": "first",
        "path": f"{DATA}/0-first",
        "kind": "added",
        "form": "sentinel",
        "description": "file that is written at the start, before the others in an archive",
    },
    {
        "name": "application",
        "path": APPLICATION,
        "kind": "added",
        "form": "application",
        "description": "files of the application",
    },
    {
        "name": "last",
        "path": f"{DATA}/z-last",
        "kind": "added",
        "form": "sentinel",
        "description": "file that is written at the start, behind the others in an archive",
    },
)
"""The surfaces of an application."""


class Application(RootSource):
    """An application in an image of its own, driven by the programs `drive` and `verify` in the workload's folder."""

    program: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9-]*)?$",
        description="instead of an image, and of the two programs: folder in `workloads` whose C files are compiled to "
        "one program, which is both, by its name",
    )
    kinds: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], ...] = Field(
        default=(), description=f"a line for each is in the file {APPLICATION}/{KINDS}: what the program `state` keeps"
    )
    criu: tuple[CriuOption, ...] = Field(
        default=(), description="options that CRIU needs for it, as in CRIU's configuration files"
    )

    @property
    def needed(self) -> bool:
        """Whether it needs a root file system; a program that is compiled for it needs none."""
        return not self.program


class Workload(Frozen):
    """A program that ticks, with its surfaces in writing order."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    program: str = Field(
        default="ledger",
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="folder in `workloads` whose C files are compiled to it",
    )
    surfaces: tuple[Surface, ...] = Field(
        default=(), max_length=16, description="by default, for an application: two sentinels and the application"
    )
    application: Application | None = None
    containers: int = Field(default=1, ge=1, le=16, description="containers that tick together over a shared file")
    pods: bool = Field(default=False, description="only for containers of pods, which have no tmpfs of their own")
    proof: bool = Field(default=False, description="it is part of the instrument's own proof, not of the matrix")
    tty: bool = Field(default=False, description="its standard output is a terminal")
    suite: Suite = Field(
        default=Suite.DEFAULT, description="the smallest suite that it is in: `default`, or `full` if it is a long one"
    )
    every_policy: bool = Field(
        default=False, description="it has a cell for every freeze policy, not only for the best one"
    )
    moving: bool = Field(
        default=False,
        description="it runs once per participant, in the first way that captures all of it, under the best policy and "
        "under the first, in which at most the engine holds the container still",
    )
    folder: Path

    @model_validator(mode="before")
    @classmethod
    def _of_an_application(cls, given: object) -> object:
        if isinstance(given, dict) and "application" in given:
            return {"surfaces": OF_APPLICATION, "moving": True} | given
        return given

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for values in ([each.name for each in self.surfaces], [each.path for each in self.files]):
            if len(set(values)) < len(values):
                raise fault("two surfaces have the same name or path. Rename one", "surfaces")
        driven = [each for each in self.surfaces if each.form is Form.APPLICATION]
        if not self.surfaces:
            raise fault("has no surface. Add one, or an application", "surfaces")
        if len(driven) != (self.application is not None):
            raise fault("one surface of the form 'application' belongs to an application. Correct it", "surfaces")
        printed = [each for each in self.surfaces if each.kind is SurfaceKind.STDOUT]
        if len(printed) > 1:
            raise fault("two surfaces are standard output. Remove one", "surfaces")
        if self.tty and not printed:
            raise fault("has a terminal, but prints nothing. Remove it, or add a surface of kind 'stdout'", "tty")
        return self

    @property
    def moves(self) -> bool:
        """Whether ticks change what a checkpoint takes apart from memory."""
        return any(each.kind is not SurfaceKind.MEMORY and each.form is not Form.SENTINEL for each in self.surfaces)

    @property
    def files(self) -> tuple[Surface, ...]:
        """The surfaces that are files."""
        return tuple(each for each in self.surfaces if each.path)

    @property
    def criu(self) -> tuple[str, ...]:
        """Options of CRIU that its application needs."""
        return self.application.criu if self.application else ()

    @property
    def applied(self) -> Surface | None:
        """The surface of its application, if it has one."""
        return next((each for each in self.surfaces if each.form is Form.APPLICATION), None)

    @property
    def printed(self) -> Surface | None:
        """The surface on standard output, if there is one."""
        return next((each for each in self.surfaces if each.kind is SurfaceKind.STDOUT), None)

    @property
    def program_folder(self) -> Path:
        """Return the folder with the C files of its program; several workloads may share it."""
        return (workloads_root() if self.application else self.folder.parent) / self.program

    @property
    def program_folders(self) -> tuple[Path, ...]:
        """Return the folders of all programs that are compiled for it."""
        own = self.application.program if self.application else ""
        return (self.program_folder, *((workloads_root() / own,) if own else ()))

    @property
    def mounts(self) -> tuple[tuple[SurfaceKind, str], ...]:
        """Kind and folder of each mount that the surfaces need."""
        found = [(each.kind, str(PurePosixPath(each.path).parent)) for each in self.surfaces if each.kind in MOUNTED]
        return tuple(dict.fromkeys([*found, *([(SurfaceKind.BIND, BARRIER)] if self.containers > 1 else [])]))

    def argv(
        self, binary: str, report: str, *, period_us: int, ring: int, number: int = 0, canary: str = ""
    ) -> tuple[str, ...]:
        """Return the command line inside the container; `report`: folder for messages, `number`: of its containers."""
        surfaces = (word for each in self.surfaces for word in each.arguments)
        barrier = ("--barrier", f"{number}/{self.containers}={BARRIER}/file") if self.containers > 1 else ()
        looked_for = ("--canary", canary) if canary else ()
        settings = ("--period-us", str(period_us), "--ring", str(ring), "--report", report)
        return (binary, *settings, *surfaces, *barrier, *looked_for)


def workloads_root() -> Path:
    """Where the workloads are."""
    return _ROOT


def name_of(given: str) -> str:
    """Return the name of a workload that is given by it, or by its folder, which becomes available."""
    if "/" not in given and given not in (".", ".."):
        if given not in available():
            raise unknown("workload", given, available())
        return given
    folder = Path(given).absolute()
    name = folder.resolve().name
    if not folder.is_dir():
        raise UsageError(f"{given} is no folder", remedy="Name a workload, or the folder with its workload.toml.")
    if name in available() and available()[name].resolve() != folder.resolve():
        what = f"{given}: a workload called {name!r} is already defined in {available()[name]}"
        raise UsageError(what, remedy="Choose another name for the folder and the workload.")
    load(folder.resolve())
    _BROUGHT[name] = folder.resolve()
    return name


def given_as(name: str) -> str:
    """Return what names a workload on a command line: its name, or the folder that the user brought."""
    return str(_BROUGHT.get(name, name))


def available() -> dict[str, Path]:
    """Folder of each workload by name: the project's, and those that the user brought."""
    return _folders(workloads_root()) | _BROUGHT


@functools.cache
def _folders(root: Path) -> dict[str, Path]:
    return {folder.name: folder for folder in sorted(root.iterdir()) if os.path.lexists(folder / DEFINITION)}


def find(name: str) -> Workload:
    """Load the workload called `name`; `UsageError` if it does not exist."""
    folders = available()
    if name not in folders:
        raise unknown("workload", name, folders)
    return load(folders[name])


def check_programs(workload: Workload) -> None:
    """Raise `UsageError` unless an application's folder has its programs, as executable files."""
    for name in PROGRAMS if workload.application and not workload.application.program else ():
        program = workload.folder / name
        if not program.is_file():
            remedy = "Write it: it is any executable, and speaks lines."
            raise UsageError(f"the workload {workload.name} has no program {name} in {workload.folder}", remedy=remedy)
        if not program.stat().st_mode & 0o111:
            raise UsageError(f"{program} is not executable", remedy=f"Make it so: chmod +x {program}")


@functools.cache
def load(folder: Path) -> Workload:
    """Read the definition in `folder`; `WrongFile` if it is wrong."""
    path = folder / DEFINITION
    workload = read_toml(Workload, path, {"folder": folder})
    if workload.name != folder.name:
        remedy = "Rename one of them."
        raise wrong(path, ("name",), f"must be {folder.name!r} like the folder, not {workload.name!r}. {remedy}")
    if workload.application is not None:
        check_programs(workload)
        own = workload.application.beside(path, "application", system=False)
        workload = workload.model_copy(update={"application": own})
    for each, place in zip(workload.program_folders, (("program",), ("application", "program")), strict=False):
        if not any(each.glob("*.c")):
            raise wrong(path, place, f"{each.name!r} has no C file in {each}. Name a folder that has C files.")
    return workload
