"""Stack definitions: the content of `ci/stacks/*.toml`, and of files that a user brings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from harness.foreign.roots import RootSource
from harness.model.cells import base_of
from harness.model.errors import UsageError, unknown
from harness.model.invalid import read_toml, wrong
from harness.stacks import images

KEY_DIGITS = 16
ENDING = ".toml"
VARIABLE = "STILLFRAME_STACKS"
_BROUGHT: dict[str, Path] = {}
"""Definitions of the user's own, by name."""


class StackDefinition(RootSource):
    """A set of binaries: the root file system that has them."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)
    description: str
    runtimes: tuple[str, ...] = Field(default=(), description="its runtimes that are in the matrix by default")

    variant: ClassVar[str] = "apt"
    """Which packages it has in any case, as `mmdebstrap --variant` names them."""
    system: ClassVar[bool] = True
    """It is a whole system, with a folder usr."""

    @property
    def key(self) -> str:
        """Digest of the content: a changed definition is another stack in the cache."""
        if self.archive is not None:
            return images.digest_of(self.archive)[:KEY_DIGITS]
        content = self.model_dump_json(include={"suite", "also", "packages"})
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_DIGITS]


class ImageDefinition(StackDefinition):
    """The root file system of a container's image; it may have nothing but one program."""

    variant = "essential"
    system = False


def folder() -> Path:
    """Where the definitions are: a link to `ci/stacks`, whose files are in the package that is built."""
    return Path(__file__).resolve().with_name("definitions").resolve()


def name_of(given: str) -> str:
    """Return the name of a stack that is given by it, or by the file that defines it, which becomes available."""
    if not given.endswith(ENDING):
        if "/" in given:
            raise UsageError(f"{given} is no stack", remedy=f"Name a stack, or its file, which ends in {ENDING}.")
        return given
    path = Path(given).absolute()
    name = path.stem
    if name in available() and path_of(name).resolve() != path.resolve():
        what = f"{given}: a stack called {name!r} is already defined in {path_of(name)}"
        raise UsageError(what, remedy="Choose another name for the file and the stack.")
    _read(name, path)
    _BROUGHT[name] = path
    return name


def given_as(name: str) -> str:
    """Return what names a stack on a command line: its name, or the file that the user brought."""
    return str(_BROUGHT.get(name, name))


def path_of(name: str) -> Path:
    """Return the file of the definition called `name`."""
    return _BROUGHT.get(name) or _files().get(name) or folder() / f"{name}{ENDING}"


def available() -> list[str]:
    """Return the names of all defined stacks; `UsageError` if the user's folder defines one again."""
    return sorted({*_files(), *_BROUGHT})


def _files() -> dict[str, Path]:
    """Return the files of all definitions by name: the project's, and those in the folder `$STILLFRAME_STACKS`."""
    found = {path.stem: path for path in folder().glob(f"*{ENDING}")}
    if own := os.environ.get(VARIABLE):
        if not Path(own).is_dir():
            raise UsageError(f"${VARIABLE} names {own}, which is no folder", remedy="Correct it, or unset it.")
        for path in sorted(Path(own).absolute().glob(f"*{ENDING}")):
            if path.stem in found:
                what = f"{path}: a stack called {path.stem!r} is already defined in {found[path.stem]}"
                raise UsageError(what, remedy="Choose another name for the file and the stack.")
            found[path.stem] = path
    return found


def load(name: str) -> StackDefinition:
    """Read the definition called `name`, for a variant that of its base.

    `UsageError` if there is none, `WrongFile` if it is wrong.
    """
    name = base_of(name)
    if name not in available():
        raise unknown("stack", name, available())
    return _read(name, path_of(name))


def _read(name: str, path: Path) -> StackDefinition:
    definition = read_toml(StackDefinition, path)
    if definition.name != name:
        raise wrong(path, ("name",), f"must be {name!r} like the file, not {definition.name!r}. Rename one of them.")
    return definition.beside(path)
