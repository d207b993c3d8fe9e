"""Workloads: what `workload.toml` says, the binary compiled from its source, and the messages it sends."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from harness.host import compiler
from harness.host.process import HOST
from harness.model.errors import CommandFailed, EnvironmentUnfit, RecordError, UsageError, unknown
from harness.model.model import Frozen, Reading, SurfaceKind, SurfaceReading, Witness

RECORD_BYTES = 32
FLAGS = ("-std=gnu11", "-O2", "-static", "-Wall", "-Wextra")
COMPILE_SECONDS = 120.0

SEQUENCE = re.compile(r"[0-9]{12}")

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
    source: str = Field(
        pattern=r"^(\.\./[a-z0-9][a-z0-9-]*/)?[^/]+\.c$", description="in this folder, or in another workload's"
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
    def program(self) -> str:
        """Name of its program, which several workloads may share."""
        return PurePosixPath(self.source).stem

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
    return workload


def compile_workload(workload: Workload, cache: Path) -> Path:
    """Give the static binary, compiled unless `cache` has it; `EnvironmentUnfit` if this machine cannot."""
    command = compiler.find()
    source = workload.folder / workload.source
    try:
        version = HOST.run([*command, "--version"], deadline=COMPILE_SECONDS).stdout
        identity = "\0".join((source.read_text(encoding="utf-8"), *FLAGS, *command, version))
        key = hashlib.sha256(identity.encode()).hexdigest()[:16]
        binary = cache.resolve() / "workloads" / f"{source.stem}-{key}" / source.stem
        if not _intact(binary):
            _build([*command, *FLAGS, str(source)], binary)
    except CommandFailed as error:
        raise EnvironmentUnfit(
            f"workload {workload.name} cannot be compiled: {error}", remedy=compiler.INSTALL
        ) from error
    return binary


def compile_all(cache: Path) -> dict[str, Path]:
    """Compile what every workload needs; binaries by program."""
    each_once = {workload.program: workload for workload in map(find, available())}
    return {program: compile_workload(workload, cache) for program, workload in each_once.items()}


def _build(command: list[str], binary: Path) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as aside:
        built, digest = Path(aside, binary.name), Path(aside, "sha256")
        HOST.run([*command, "-o", str(built)], deadline=COMPILE_SECONDS)
        built.chmod(0o755)
        digest.write_text(_digest(built), encoding="ascii")
        built.rename(binary)
        digest.rename(binary.parent / digest.name)


def _intact(binary: Path) -> bool:
    try:
        return (binary.parent / "sha256").read_text(encoding="ascii") == _digest(binary)
    except (OSError, UnicodeDecodeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


Count = Annotated[int, Field(ge=0, lt=1 << 64)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Message(Frozen):
    """What every message says: who, the counter in memory, and when."""

    nonce: Nonce
    n: Count
    wall_ns: Count


class Start(Message):
    """A new process has begun; a restored one never says this."""

    event: Literal["start"]
    pid: Count
    ring: Count
    period_us: Count
    surfaces: tuple[str, ...]


BEAT_NS = 100_000_000
"""A workload that ticks says so at least as often, ledger.c has the same."""


class Beat(Message):
    """It ticks; `gap_ns` is the longest time between two ticks since the beat before."""

    event: Literal["beat"]
    n_wall_ns: Count
    gap_ns: Count


class ReadingMessage(Message):
    """What memory and all surfaces held, found after a pause or at a slot that was not as it has to be."""

    event: Literal["reading"]
    reason: Literal["gap", "discrepancy"]
    n_wall_ns: Count
    gap_ns: Count
    scan_ns: Count = 0
    """How long the look at the surfaces took, up to `wall_ns`; what lies within may be of two instants."""
    surfaces: tuple[SurfaceReading, ...]

    def to_reading(self, witness: Witness) -> Reading:
        """Give the reading as a value of the vocabulary."""
        return Reading(
            witness=witness, nonce=self.nonce, counter=self.n, counter_wall_ns=self.n_wall_ns, surfaces=self.surfaces
        )


class Stop(Message):
    """It was asked to end, and does."""

    event: Literal["stop"]


class Failed(Message):
    """A call failed on a surface, and it ends."""

    event: Literal["failed"]
    errno: Count
    what: str


_MESSAGE: TypeAdapter[Start | Beat | ReadingMessage | Stop | Failed] = TypeAdapter(
    Annotated[Start | Beat | ReadingMessage | Stop | Failed, Field(discriminator="event")]
)


def read_messages(folder: Path, after: int = -1) -> list[tuple[int, Message]]:
    """Messages in `folder` with a sequence number above `after`, in order.

    A message is the target of a symbolic link, which is read and never followed: the folder belongs to a container
    and may hold anything. What is no numbered link is passed over, a link that is no message raises `RecordError`.
    """
    with os.scandir(folder) as entries:
        links = [entry for entry in entries if SEQUENCE.fullmatch(entry.name) and entry.is_symlink()]
    numbered = sorted((int(link.name), link.path) for link in links)
    return [(number, _parse(path)) for number, path in numbered if number > after]


def _parse(path: str) -> Message:
    try:
        return _MESSAGE.validate_json(os.readlink(os.fsencode(path)))  # noqa: PTH115  # a Path changes the text
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(f"{path} is no message of a workload: {first['msg']} at {first['loc']}") from error
